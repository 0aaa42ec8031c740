//! Containers from pipes: front to back, in parallel, every record checked as it comes.

use super::{
    DecompressOptions, Event, Lanes, OnEvent, Summary,
    decode::{Bad, Decoders},
    memory::{self, Need},
    ordered,
};
use crate::{
    Error, Result, algorithm,
    buffer::Pool,
    container::{Carrier, Entry, FileInfo, Reader},
};
use std::io::{Read, Write};

/// Most memory for chunks beyond the necessary ones.
const SPARE_BYTES: u64 = 32 << 20;

/// One chunk on its way.
#[derive(Default)]
struct Item {
    entry: Option<Entry>,
    frame: Vec<u8>,
    raw: Vec<u8>,
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
    let lanes = lanes(&file, options, summary)?;
    let pool = Pool::default();
    let fill = |item: &mut Item| {
        item.entry = reader.next(&mut item.frame)?;
        item.position = reader.position();
        Ok(item.entry.is_some())
    };
    let work = |item: &mut Item| {
        let Some(entry) = &item.entry else { return Ok(()) };
        item.raw = pool.take();
        decoders.decode(entry, &item.frame, &mut item.raw).map_err(|bad| match bad {
            Bad::Frame => damaged(entry, options),
            Bad::Decoder(e) => e,
        })
    };
    let take = |item: &mut Item| {
        output.write_all(&item.raw).map_err(Error::io("write", &options.output))?;
        summary.output_bytes += item.raw.len() as u64;
        pool.give(std::mem::take(&mut item.raw));
        summary.count(&decoders.name(item.entry.as_ref().map_or("", |e| &e.chunk.algorithm)));
        on_event(Event::Done(item.position));
        Ok(())
    };
    ordered(lanes, fill, work, take, &|| decoders.name(&file.algorithm), on_event)
}

/// Threads and chunks that memory allows for decompressing `file`.
pub(super) fn lanes(file: &FileInfo, options: &DecompressOptions, summary: &mut Summary) -> Result<Lanes> {
    // Only our own files have filters, which take one more buffer.
    let filtered = if file.carrier == Carrier::Native { file.chunk_bytes } else { 0 };
    let need = Need {
        fixed: 0,
        item: 2 * file.chunk_bytes + (64 << 10),
        worker: algorithm::decoder_bytes(&file.algorithm, file.level) + filtered,
        spare: SPARE_BYTES,
    };
    let fit = memory::fit(memory::threads(options.threads), options.memory_bytes, &need)
        .map_err(|short| Error::Usage(format!("{}: {short}", options.input.display())))?;
    summary.warnings.extend(fit.note);
    let workers = if fit.items < 2 { 0 } else { fit.workers };
    Ok(Lanes { workers, items: fit.items, patience: memory::patience(file.chunk_bytes as usize) })
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
