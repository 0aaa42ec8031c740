//! The codec: chunks in, frames out, by way of the engine.

use crate::{
    engine::{Engine, LANES, Setup, Way},
    pieces::{Format, Found, MOST_PIECE_BYTES, Packed},
    plan::Piece,
    rounds::{MOST_BYTES, Rounds},
};
use clipsmaster_framing::verify;
use clipsmaster_plugin_api::{
    BatchItem, Codec, Descriptor, Error, ErrorKind, OptionSpec, Options, Result, Unavailable, hardware,
};
use std::{env, marker::PhantomData};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("device", 0, 63, 0, "index of the device, as `nvidia-smi` counts"),
    OptionSpec::new(
        "max_memory_mib",
        0,
        1 << 20,
        0,
        "device memory an instance may use, in MiB; 0 is a quarter of what is free",
    ),
    OptionSpec::new(
        "min_size_bytes",
        0,
        1 << 30,
        0,
        "smaller calls are left to the next implementation, in bytes of content",
    ),
    OptionSpec::new("pinned", 0, 1, 1, "whether staging buffers are pinned: 1, or 0"),
];

/// With the value `0`, staging buffers are not pinned unless the option says so: for measurements through the command line.
const PINNED_VARIABLE: &str = "CLIPSMASTER_CUDA_PINNED";

/// Chunks wanted in one call: with a few MiB each, they fill two rounds.
const BATCH: usize = 16;

/// What the four descriptors have in common.
pub(crate) const fn descriptor(algorithm: &'static str) -> Descriptor {
    Descriptor::new(algorithm, "nvcomp")
        .hardware(hardware::CUDA)
        .library_version("6")
        .levels(1, 1, 1)
        .options(OPTIONS)
        .trusted_input_only()
}

/// An instance: two streams with their buffers, the second once there was use for it.
pub(crate) struct Nvcomp<F> {
    engine: Engine,
    min_size_bytes: usize,
    format: PhantomData<F>,
}

fn setup<F: Format>(level: i32, options: &Options) -> Setup {
    let option = |name| options.get(name).and_then(|n| usize::try_from(n).ok());
    let unpinned = env::var_os(PINNED_VARIABLE).is_some_and(|v| v == "0");
    Setup {
        device: option("device").map_or(0, |n| n as i32),
        memory_bytes: option("max_memory_mib").filter(|n| *n > 0).map(|n| n << 20),
        pinned: option("pinned").map_or(!unpinned, |n| n != 0),
        family: F::FAMILY,
        opts: F::opts(level),
        piece_bytes: F::PIECE_BYTES,
    }
}

impl<F: Format> Codec for Nvcomp<F> {
    const DESCRIPTOR: Descriptor = F::DESCRIPTOR;
    const BATCH: usize = BATCH;

    fn probe() -> Result<String, Unavailable> {
        crate::probe::probe(&setup::<F>(F::DESCRIPTOR.levels.default, &Options::default()))
    }

    fn open(level: i32, options: &Options) -> Result<Self> {
        let engine = Engine::open(&setup::<F>(level, options))?;
        let min_size_bytes = options.get("min_size_bytes").map_or(0, |n| n.max(0) as usize);
        Ok(Self { engine, min_size_bytes, format: PhantomData })
    }

    fn compress_bound(&self, len: usize) -> usize {
        F::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut item = [BatchItem::new(src, dst)];
        self.compress_batch(&mut item)?;
        let [item] = item;
        item.result
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut item = [BatchItem::new(src, dst)];
        self.decompress_batch(&mut item)?;
        let [item] = item;
        item.result
    }

    /// The pieces of all items go to the device together.
    fn compress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        let least = self.min_size_bytes;
        let done_here = items.iter().filter(|item| item.src.len() >= least);
        let pieces = done_here.flat_map(|item| item.src.chunks(F::PIECE_BYTES));
        let pieces: Vec<_> =
            pieces.map(|body| Piece { head: &[], body, content_bytes: body.len() }).collect();
        let mut rounds = Rounds::new(&mut self.engine, Way::Compress, &pieces);
        let mut first = 0;
        for item in items {
            if item.src.len() < least {
                item.result = Err(too_small(item.src.len()));
                continue;
            }
            let mut packed = FromRounds { rounds: &mut rounds, next: first };
            item.result = F::wrap(item.src, item.dst, &mut packed);
            fatal(&item.result)?;
            first += item.src.len().div_ceil(F::PIECE_BYTES);
        }
        Ok(())
    }

    /// As [`compress_batch`](Self::compress_batch), the other way.
    fn decompress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        let sources: Vec<&[u8]> = items.iter().map(|item| item.src).collect();
        let found: Vec<Result<Found<'_>>> = sources.iter().map(|src| self.find(src)).collect();
        let mut pieces = Vec::new();
        let mut places = Vec::new();
        for (i, (item, found)) in items.iter_mut().zip(&found).enumerate() {
            item.result = begin(found, item.dst);
            let (Ok(found), Ok(_)) = (found, &item.result) else { continue };
            let mut at = 0;
            for block in &found.blocks {
                if !block.stored {
                    pieces.push(Piece { head: &block.head, body: block.body, content_bytes: block.len });
                    places.push((i, at));
                }
                at += block.len;
            }
        }
        let mut rounds = Rounds::new(&mut self.engine, Way::Decompress, &pieces);
        for (index, (piece, (i, at))) in pieces.iter().zip(&places).enumerate() {
            rounds.reach(index)?;
            let item = &mut items[*i];
            let content = &mut item.dst[*at..at + piece.content_bytes];
            if let Err(e) = rounds.output(index).and_then(|output| copy(output, content)) {
                item.result = Err(e);
            }
        }
        for (item, found) in items.iter_mut().zip(&found) {
            let Ok(found) = found else { continue };
            if let Ok(len) = item.result {
                item.result = verify(&found.checks, &item.dst[..len]).map(|()| len);
            }
            if found.guessed && item.result.as_ref().is_err_and(|e| e.kind == ErrorKind::Corrupt) {
                let text = "gzip members that do not tell their lengths, or a damaged one";
                item.result = Err(Error::new(ErrorKind::Unsupported, text));
            }
        }
        Ok(())
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        F::unwrap(src).ok().filter(|found| !found.guessed).map(|found| found.len as u64)
    }

    /// Staging buffers of all lanes; what the device holds is its own.
    fn scratch_bytes(_level: i32, len: usize) -> u64 {
        let len = len.saturating_mul(BATCH).min(LANES * MOST_BYTES);
        let pieces = len.div_ceil(F::PIECE_BYTES);
        (len + pieces * F::SLOT_BYTES) as u64
    }
}

impl<F: Format> Nvcomp<F> {
    fn find<'a>(&self, src: &'a [u8]) -> Result<Found<'a>> {
        let found = F::unwrap(src)?;
        if let Some(block) = found.blocks.iter().find(|b| !b.stored && b.len > MOST_PIECE_BYTES) {
            let text = format!("a block of {} bytes would leave the device idle", block.len);
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if found.len < self.min_size_bytes {
            return Err(too_small(found.len));
        }
        Ok(found)
    }
}

fn too_small(len: usize) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{len} bytes are fewer than min_size_bytes"))
}

/// Passes on what no item survives.
fn fatal(result: &Result<usize>) -> Result<()> {
    match result {
        Err(e) if matches!(e.kind, ErrorKind::DeviceLost | ErrorKind::OutOfMemory) => Err(e.clone()),
        _ => Ok(()),
    }
}

/// Checks the destination, and copies what is stored into it.
fn begin(found: &Result<Found<'_>>, dst: &mut [u8]) -> Result<usize> {
    let found = found.as_ref().map_err(Clone::clone)?;
    let dst = dst.get_mut(..found.len).ok_or(ErrorKind::DestinationTooSmall)?;
    let mut at = 0;
    for block in &found.blocks {
        if block.stored {
            copy(block.body, &mut dst[at..at + block.len])?;
        }
        at += block.len;
    }
    Ok(found.len)
}

fn copy(output: &[u8], content: &mut [u8]) -> Result<()> {
    if output.len() != content.len() {
        let (is, was) = (output.len(), content.len());
        // Of LZ4 blocks the lengths are not known, only that they are full as a rule.
        let text = format!("a piece decodes to {is} bytes instead of {was}");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    content.copy_from_slice(output);
    Ok(())
}

/// The compressed pieces of an item, from the rounds that all items share.
struct FromRounds<'r, 'e, 'p> {
    rounds: &'r mut Rounds<'e, 'p>,
    next: usize,
}

impl Packed for FromRounds<'_, '_, '_> {
    fn next(&mut self) -> Result<&[u8]> {
        let index = self.next;
        self.next += 1;
        self.rounds.reach(index)?;
        self.rounds.output(index)
    }
}
