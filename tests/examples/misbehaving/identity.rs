//! A good codec, the identity, of which each library changes one thing.

use clipsmaster_plugin_api::{Codec, Decoder, Descriptor, ErrorKind, Options, Result, Unavailable};

/// [`Codec`] with the identity as default. An implementor replaces what it does wrong.
pub(crate) trait Behaviour: Default + Send + 'static {
    const DESCRIPTOR: Descriptor;
    const DECODER: Option<Decoder> = Some(|input, _limits| Ok(input));

    fn probe() -> Result<String, Unavailable> {
        Ok(String::new())
    }

    fn open() -> Result<Self> {
        Ok(Self::default())
    }

    fn bound(&self, len: usize) -> usize {
        len
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        copy(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        copy(src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        Some(src.len() as u64)
    }
}

/// What `store` does, in either direction.
pub(crate) fn copy(src: &[u8], dst: &mut [u8]) -> Result<usize> {
    dst.get_mut(..src.len()).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(src);
    Ok(src.len())
}

/// The codec that behaves as `B` says.
pub(crate) struct Identity<B>(B);

impl<B: Behaviour> Codec for Identity<B> {
    const DESCRIPTOR: Descriptor = B::DESCRIPTOR;
    const DECODER: Option<Decoder> = B::DECODER;

    fn probe() -> Result<String, Unavailable> {
        B::probe()
    }

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        B::open().map(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.0.bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.0.compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.0.decompress(src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        B::decompressed_len(src)
    }
}
