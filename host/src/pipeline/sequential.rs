//! Containers from pipes: front to back, in parallel, every record checked as it comes.

use super::{
    DecompressOptions, Event, Lanes, OnEvent, Summary,
    decode::{Bad, Decoders, Together},
    group::Group,
    memory::{self, Need},
    ordered,
};
use crate::{
    Error, Result, algorithm,
    buffer::Pool,
    container::{Carrier, Entry, FileInfo, Reader},
};
use std::{
    io::{Read, Write},
    mem,
};

/// Most memory for chunks beyond the necessary ones.
const SPARE_BYTES: u64 = 32 << 20;

/// One chunk on its way.
#[derive(Default)]
struct Item {
    entry: Option<Entry>,
    frame: Vec<u8>,
    raw: Vec<u8>,
    /// The implementation that made it of the frame.
    by: String,
    /// Bytes of the input up to here.
    position: u64,
}

/// Decompresses one container; the reader, at its end, tells what follows.
///
/// # Errors
/// [`Error::Container`] for anything that is not as it was written; what came before it has been written.
pub(crate) fn decompress<R: Read + Send>(
    decoders: &Decoders<'_>,
    reader: &mut Reader<R>,
    output: &mut impl Write,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
    summary: &mut Summary,
) -> Result<()> {
    let file = reader.file().clone();
    let (lanes, batch) = lanes(&file, None, decoders, options, summary)?;
    let pool = Pool::default();
    let fill = |group: &mut Group<Item>| {
        group.fill(batch, |item| {
            item.entry = reader.next(&mut item.frame)?;
            item.position = reader.position();
            Ok(item.entry.is_some())
        })
    };
    let work = |group: &mut Group<Item>| {
        let items = group.chunks();
        items.iter_mut().for_each(|item| item.raw = pool.take());
        let done = together(decoders, &file.algorithm, items);
        for (item, done) in items.iter_mut().zip(done) {
            let Some(entry) = &item.entry else { continue };
            let decode = || decoders.decode(entry, &item.frame, &mut item.raw);
            item.by = done.map_or_else(decode, Ok).map_err(|bad| match bad {
                Bad::Frame => damaged(entry, options),
                Bad::Decoder(e) => e,
            })?;
        }
        Ok(())
    };
    let take = |group: &mut Group<Item>| {
        for item in group.chunks() {
            output.write_all(&item.raw).map_err(Error::io("write", &options.output))?;
            summary.output_bytes += item.raw.len() as u64;
            pool.give(mem::take(&mut item.raw));
            summary.count(&item.by);
            on_event(Event::Done(item.position));
        }
        Ok(())
    };
    ordered(lanes, fill, work, take, &|| decoders.name(&file.algorithm), on_event)
}

/// Decodes `items` in one call, if there are several: by whom, for each that came out right.
fn together(decoders: &Decoders<'_>, algorithm: &str, items: &mut [Item]) -> Vec<Option<String>> {
    if items.len() < 2 {
        return vec![None; items.len()];
    }
    let chunks = items.iter_mut().filter_map(|item| {
        let entry = item.entry.as_ref()?;
        Some(Together { entry, frame: &item.frame, raw: &mut item.raw })
    });
    decoders.decode_together(algorithm, &mut chunks.collect::<Vec<_>>())
}

/// Threads, and chunks in one call, that memory allows for decompressing `chunks` of `file`, if it is known how many. There are no threads for one.
pub(super) fn lanes(
    file: &FileInfo,
    chunks: Option<usize>,
    decoders: &Decoders<'_>,
    options: &DecompressOptions,
    summary: &mut Summary,
) -> Result<(Lanes, usize)> {
    let is_one = chunks.is_some_and(|chunks| chunks < 2);
    let patience = |batch| memory::patience(batch * file.chunk_bytes as usize);
    if is_one && file.chunk_bytes <= memory::LITTLE_BYTES && options.memory_bytes.is_none() {
        return Ok((Lanes { workers: 0, items: 1, patience: patience(1) }, 1));
    }
    // Only our own files have filters, which take one more buffer.
    let filtered = if file.carrier == Carrier::Native { file.chunk_bytes } else { 0 };
    let need = Need {
        fixed: 0,
        item: 2 * file.chunk_bytes + (64 << 10),
        worker: algorithm::decoder_bytes(&file.algorithm, file.level, file.chunk_bytes) + filtered,
        spare: SPARE_BYTES,
    };
    let (threads, batch) = (memory::threads(options.threads), decoders.batch(&file.algorithm));
    let (fit, batch) = memory::fit_batches(threads, options.memory_bytes, &need, batch)
        .map_err(|short| Error::Usage(format!("{}: {short}", options.input.display())))?;
    summary.warnings.extend(fit.note);
    let workers = if is_one || fit.items < 2 { 0 } else { fit.workers };
    Ok((Lanes { workers, items: fit.items, patience: patience(batch) }, batch))
}

fn damaged(entry: &Entry, options: &DecompressOptions) -> Error {
    let chunk = &entry.chunk;
    let problem = format!(
        "chunk {} is damaged (bytes {}..{} of the original; its frame of {} bytes at byte {}); \
         save the input as a file: `clipsmaster-host repair` or `decompress --on-damage skip` may help",
        chunk.number,
        chunk.raw_offset,
        chunk.raw_end(),
        chunk.frame_bytes,
        entry.frame_offset
    );
    Error::Container { input: options.input.display().to_string(), problem }
}
