//! The conformance case of extension `batch/1`.

use super::{
    CANARY, Finding, Outcome, Subject,
    cases::{SIZES, passed, skipped},
    expect, failed, unexpected,
};
use crate::benchmark::data::Kind;
use clipsmaster_plugin_api::{self as api, BatchItem, ErrorKind};

/// Several chunks in one call come out as they would one by one, and the failure of one is no other's.
pub(super) fn batches(s: &Subject) -> Finding {
    let Some(batch) = s.codec.batch() else { return skipped("the codec takes one chunk at a time") };
    let most = s.codec.descriptor().max_chunk_bytes;
    let mut instance = s.open()?;
    for count in [1, 2, 5, batch.chunks().min(64)] {
        let size = |n: usize| SIZES[n % SIZES.len()].min(usize::try_from(most).unwrap_or(usize::MAX));
        let raws: Vec<Vec<u8>> = (0..count).map(|n| Kind::Text.generate(size(n + 3))).collect();
        let compressed =
            together(&raws, |raw| instance.compress_bound(raw.len()).map_err(unexpected("bound")))?;
        let frames = in_batch(compressed, |items| instance.compress_batch(&batch, items))?;
        for (frame, raw) in frames.iter().zip(&raws) {
            let frame = frame.as_ref().map_err(|e| failed(format!("a batch of {count}: {e}")))?;
            expect(&mut instance, frame, raw, "a frame of a batch")?;
        }
        let frames: Vec<Vec<u8>> = frames.into_iter().flatten().collect();
        // The last destination is too small, where there is anything to be too small for.
        let room = |n: usize| raws[n].len() - usize::from(n + 1 == count && !raws[n].is_empty());
        let mut next = 0..;
        let decoded = together(&frames, |_| Ok(room(next.next().unwrap_or_default())))?;
        let decoded = in_batch(decoded, |items| instance.decompress_batch(&batch, items))?;
        for (n, (decoded, raw)) in decoded.iter().zip(&raws).enumerate() {
            match decoded {
                Ok(decoded) if decoded == raw && room(n) == raw.len() => {}
                Err(e) if room(n) < raw.len() && e.kind == ErrorKind::DestinationTooSmall => {}
                Ok(_) => return Err(Outcome::WrongBytes(format!("chunk {n} of a batch of {count}"))),
                Err(e) => return Err(failed(format!("chunk {n} of a batch of {count}: {e}"))),
            }
        }
    }
    passed()
}

type Together<'a> = Vec<(&'a [u8], Vec<u8>)>;

/// Each of `sources` with a destination of as many bytes as `room` says, and a canary behind it.
fn together<'a>(
    sources: &'a [Vec<u8>],
    mut room: impl FnMut(&[u8]) -> Result<usize, Outcome>,
) -> Result<Together<'a>, Outcome> {
    let with_canary = |source: &'a Vec<u8>| {
        let mut dst = vec![0; room(source)?];
        dst.extend_from_slice(&CANARY);
        Ok((&source[..], dst))
    };
    sources.iter().map(with_canary).collect()
}

/// What `call` makes of all of `items` at once.
fn in_batch(
    mut items: Together<'_>,
    call: impl FnOnce(&mut [BatchItem<'_>]) -> api::Result<()>,
) -> Result<Vec<api::Result<Vec<u8>>>, Outcome> {
    let mut batch: Vec<BatchItem<'_>> = items
        .iter_mut()
        .map(|(src, dst)| {
            let room = dst.len() - CANARY.len();
            BatchItem::new(src, &mut dst[..room])
        })
        .collect();
    call(&mut batch).map_err(unexpected("a batch"))?;
    let results: Vec<_> = batch.into_iter().map(|item| item.result).collect();
    if items.iter().any(|(_, dst)| !dst.ends_with(&CANARY)) {
        return Err(failed("wrote past the end of a destination in a batch"));
    }
    let bytes = |((_, dst), result): ((_, Vec<u8>), api::Result<usize>)| result.map(|n| dst[..n].to_vec());
    Ok(items.into_iter().zip(results).map(bytes).collect())
}
