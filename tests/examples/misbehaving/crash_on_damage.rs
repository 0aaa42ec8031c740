//! Crashes on a damaged frame, although it declares that it is safe on hostile input.

mod framed;
mod identity;
mod segv;

use clipsmaster_plugin_api::{Decoder, Descriptor, ErrorKind, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct CrashOnDamage;

impl Behaviour for CrashOnDamage {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-crash-on-damage", "test");
    const DECODER: Option<Decoder> = None;

    fn bound(&self, len: usize) -> usize {
        framed::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::decompress(src, dst, |frame| {
            let verdict = frame.check();
            if verdict.as_ref().is_err_and(|e| e.kind == ErrorKind::Corrupt) {
                segv::segv();
            }
            verdict
        })
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        framed::declared_len(src)
    }
}

export_plugin! { id: "bad-crash-on-damage", codecs: [Identity<CrashOnDamage>] }
