//! Some of the data that a choice is for, from all over it.

use crate::{
    Likeness,
    selection::{
        auto::Objective,
        likeness::{PAGE_BYTES, Sample, middles, page_count},
    },
};
use std::{fs::File, io, ops::RangeInclusive, os::unix::fs::FileExt};

/// Pieces of a sample, spread over the data, are of about so many bytes, and so many.
const PIECE_BYTES: u64 = 32 << 10;
const PIECES: RangeInclusive<u64> = 3..=8;
/// The same for [`Objective::Speed`]. Fast levels do not look far, and what a sample of files of all kinds says of their speeds is half as much
/// chance when its pieces are as small.
const SPEED_PIECE_BYTES: u64 = 8 << 10;
const SPEED_PIECES: RangeInclusive<u64> = 3..=16;

/// Data to choose for: bytes in memory, a file, or the first bytes of a pipe.
#[derive(Clone, Copy, Debug)]
pub struct DataSample<'a> {
    source: Source<'a>,
    /// Bytes there are to sample, and of all data, where that is known.
    pub(crate) len: u64,
    pub(crate) total: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a File),
}

impl<'a> DataSample<'a> {
    /// Bytes of the beginning of a pipe that are worth reading before a choice for `objective`.
    pub fn head_bytes(objective: Objective) -> usize {
        longest(objective) as usize
    }

    /// Of all of `data`.
    pub fn of(data: &'a [u8]) -> Self {
        Self { source: Source::Bytes(data), len: data.len() as u64, total: Some(data.len() as u64) }
    }

    /// Of the first bytes of data whose length is unknown.
    pub fn of_head(head: &'a [u8]) -> Self {
        Self { total: None, ..Self::of(head) }
    }

    /// Of a regular file; its position stays.
    ///
    /// # Errors
    /// When its length cannot be had.
    pub fn of_file(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { source: Source::File(file), len, total: Some(len) })
    }

    /// Up to `len` bytes from `at` on: fewer where the data ends.
    pub(crate) fn read(&self, at: u64, len: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let len = len.min(self.len.saturating_sub(at)) as usize;
        match self.source {
            Source::Bytes(data) => out.extend_from_slice(&data[at as usize..][..len]),
            Source::File(file) => {
                let start = out.len();
                out.resize(start + len, 0);
                let mut done = 0;
                while done < len {
                    match file.read_at(&mut out[start + done..], at + done as u64) {
                        Ok(0) => break,
                        Ok(n) => done += n,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
                out.truncate(start + done);
            }
        }
        Ok(())
    }

    /// Pieces from all over the data for first trials, back to back; all of it, where there is no more.
    pub(crate) fn first(&self, objective: Objective) -> io::Result<Vec<u8>> {
        let (piece, most) = match objective {
            Objective::Speed => (SPEED_PIECE_BYTES, SPEED_PIECES),
            _ => (PIECE_BYTES, PIECES),
        };
        let bytes = self.first_bytes(objective);
        if self.len <= bytes {
            let mut out = Vec::new();
            self.read(0, self.len, &mut out)?;
            return Ok(out);
        }
        let pieces = (bytes / piece).clamp(*most.start(), *most.end());
        self.gather(pieces, (bytes / pieces).next_multiple_of(8))
    }

    /// So many pieces of `piece` bytes each, back to back, at [`middles`].
    fn gather(&self, pieces: u64, piece: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for at in middles(self.len, pieces, piece) {
            self.read(at, piece, &mut out)?;
        }
        Ok(out)
    }

    /// What it is like, by a few pages of it, with pieces for trials where there is much; `None` for less than a page.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn likeness(&self) -> io::Result<Option<Likeness>> {
        let like = match self.source {
            Source::Bytes(data) => Likeness::of(data),
            Source::File(_) => Likeness::of_pages(&self.gather(page_count(self.len), PAGE_BYTES as u64)?),
        };
        let Some(total) = self.total.filter(|total| *total >= Sample::LEAST_BYTES) else { return Ok(like) };
        let sample = Sample::new(&self.gather(Sample::PIECES, Sample::PIECE_BYTES)?, total);
        Ok(like.map(|like| like.with(sample)))
    }

    /// `bytes` in a row, from the middle.
    pub(crate) fn stretch(&self, bytes: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let at = self.len.saturating_sub(bytes) / 2 / 8 * 8;
        self.read(at, bytes, &mut out)?;
        Ok(out)
    }

    /// Bytes of the first trials: a share of the data, so that choosing takes a share of the time that compressing takes.
    fn first_bytes(&self, objective: Objective) -> u64 {
        const KIB: u64 = 1 << 10;
        let len = self.total.unwrap_or(u64::MAX);
        match objective {
            Objective::Speed => (len / 400).clamp(32 * KIB, 256 * KIB),
            Objective::Balanced => (len / 160).clamp(64 * KIB, 416 * KIB),
            Objective::Ratio => 512 * KIB,
        }
    }
}

/// Bytes of the longest trial there may be.
pub(crate) fn longest(objective: Objective) -> u64 {
    match objective {
        Objective::Speed | Objective::Balanced => 1 << 20,
        Objective::Ratio => 16 << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_of_it_on_boundaries_of_elements() {
        let data: Vec<u8> = (0..1_000_003_u32).map(|n| (n / 8 % 251) as u8).collect();
        let all = DataSample::of(&data);
        for (objective, bytes) in [(Objective::Speed, 32 << 10), (Objective::Balanced, 64 << 10)] {
            let pieces = all.first(objective).expect("in memory");
            assert!((bytes..bytes + 64).contains(&pieces.len()), "{}", pieces.len());
            assert!(pieces.as_chunks::<8>().0.iter().all(|e| e.iter().all(|b| *b == e[0])));
        }
        let little = &data[..10_000];
        assert_eq!(DataSample::of(little).first(Objective::Speed).expect("in memory"), little);
        assert_eq!(all.stretch(8000).expect("in memory").len(), 8000);
        assert!(DataSample::of(&[]).first(Objective::Ratio).expect("in memory").is_empty());
        assert!(all.likeness().expect("in memory").is_some_and(|l| l.sample().is_none()));
        let empty = File::open("/dev/null").expect("a file");
        assert!(DataSample::of_file(&empty).expect("a length").likeness().expect("a file").is_none());
        let data = data.repeat(9);
        let path = std::env::temp_dir().join(format!("clipsmaster-sample-{}", std::process::id()));
        std::fs::write(&path, &data).expect("a file");
        let file = File::open(&path).expect("a file");
        std::fs::remove_file(&path).expect("a file");
        let read = DataSample::of_file(&file).expect("a length").likeness().expect("a file");
        let told = DataSample::of(&data).likeness().expect("in memory");
        let sample = |like: &Option<Likeness>| like.as_ref().and_then(|l| l.sample().cloned()).expect("much");
        assert_eq!(sample(&read), sample(&told));
        let pieces = sample(&read);
        assert!(pieces.pieces().map(|p| p.len() as u64).eq([Sample::PIECE_BYTES; Sample::PIECES as usize]));
        let bytes = Sample::PIECES * Sample::PIECE_BYTES;
        assert!((pieces.share() - bytes as f64 / data.len() as f64).abs() < 1e-9);
    }
}
