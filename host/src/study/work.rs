//! One visit of one entrant to one cell: codecs are opened, warmed up, checked, timed, and closed again, so that however many take part, the memory of
//! one is in use.

use super::{MEMCPY, Row, Speed, plan::Entrant};
use crate::benchmark::{PLACE_BYTES, PeakMemory, placed};
use clipsmaster_plugin_api::{self as api, Options, abi::import};
use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

/// A run that takes longer, in seconds, is enough.
pub(super) const LONG_RUN_S: f64 = 0.5;
/// A run goes over the pieces as often as makes it take so long, in seconds: starting threads then does not count.
const RUN_S: f64 = 0.02;

type Answer<T> = Result<T, String>;

/// Data in pieces, and threads to work on them.
pub(super) struct Cell<'a> {
    /// [`Row::data`] and [`Row::piece_bytes`].
    pub data: &'a str,
    pub piece_bytes: u64,
    pub pieces: &'a [&'a [u8]],
    pub threads: usize,
}

/// What came of a visit.
pub(super) struct Visit {
    /// Without speeds.
    pub row: Row,
    pub compress: Timing,
    pub decompress: Timing,
}

/// How long runs over all pieces took.
#[derive(Clone, Default)]
pub(super) struct Timing {
    pub runs_s: Vec<f64>,
}

impl Timing {
    pub(super) fn add(&mut self, mut other: Self) {
        self.runs_s.append(&mut other.runs_s);
    }

    /// In seconds.
    pub(super) fn longest(&self) -> f64 {
        self.runs_s.iter().copied().fold(0.0, f64::max)
    }
}

/// What one thread works with.
struct Worker {
    instance: import::Instance,
    /// Destination, with room to move; see [`placed`].
    out: Vec<u8>,
}

impl Cell<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|p| p.len() as u64).sum()
    }

    fn longest(&self) -> usize {
        self.pieces.iter().map(|p| p.len()).max().unwrap_or_default()
    }

    /// The row of what only copies.
    pub(super) fn limit(&self) -> Row {
        self.row(MEMCPY, MEMCPY, "cpu", self.bytes())
    }

    fn row(&self, algorithm: &str, implementation: &str, hardware: &str, compressed_bytes: u64) -> Row {
        let none = Speed { mb_s: 0.0, deviation: 0.0, runs: 0 };
        Row {
            data: self.data.to_owned(),
            piece_bytes: self.piece_bytes,
            threads: self.threads as u32,
            algorithm: algorithm.into(),
            implementation: implementation.into(),
            hardware: hardware.into(),
            library_version: String::new(),
            level: 0,
            original_bytes: self.bytes(),
            compressed_bytes,
            ratio: self.bytes() as f64 / compressed_bytes.max(1) as f64,
            compress: none,
            decompress: none,
            peak_bytes: 0,
            scratch_bytes: 0,
        }
    }

    /// `budget_s` seconds in each direction, one run at least; the first visit checks what comes back, and looks at memory.
    pub(super) fn visit(&self, entrant: &Entrant, budget_s: f64, is_first: bool) -> Answer<Visit> {
        let codec = entrant.entry.codec(entrant.info.index)?;
        let info = &entrant.info;
        if self.longest() as u64 > info.max_chunk_bytes {
            return Err(format!("pieces of {} bytes are too large for it", self.longest()));
        }
        if self.threads > 1 && !info.concurrent {
            return Err("it works for one thread at a time".into());
        }
        let peak_bytes = if is_first { self.peak_bytes(&codec, entrant.level)? } else { 0 };
        let open = || codec.open(entrant.level, &Options::default()).map_err(told);
        let workers: Answer<Vec<Worker>> =
            (0..self.threads).map(|_| Worker::new(open()?, self.longest())).collect();
        let mut workers = workers?;
        let (frames, first_s) = self.frames(&mut workers[0].instance)?;
        if is_first {
            self.check(&mut workers[0], &frames)?;
        }
        // A long run is as good as a repeated one, and many would take minutes.
        let compress = if self.threads == 1 && first_s > LONG_RUN_S {
            Ok(Timing { runs_s: vec![first_s] })
        } else {
            self.times(&mut workers, budget_s, first_s, |worker, number| {
                worker.compress(self.pieces[number], number)
            })
        };
        let start = Instant::now();
        workers[0].decompress(&frames[0], self.pieces[0].len(), 0)?;
        let first_s = start.elapsed().as_secs_f64() * self.pieces.len() as f64;
        let decompress = self.times(&mut workers, budget_s, first_s, |worker, number| {
            worker.decompress(&frames[number], self.pieces[number].len(), number)
        });
        let compressed: usize = frames.iter().map(Vec::len).sum();
        let row = Row {
            library_version: info.library_version.clone(),
            level: entrant.level,
            peak_bytes,
            scratch_bytes: codec.scratch_bytes(entrant.level, self.longest()).unwrap_or_default(),
            ..self.row(&info.algorithm, &info.implementation(), &info.hardware, compressed as u64)
        };
        Ok(Visit { row, compress: compress?, decompress: decompress? })
    }

    /// What one codec takes for the longest piece, both ways; the buffers are there before.
    fn peak_bytes(&self, codec: &import::Codec, level: i32) -> Answer<u64> {
        let piece = self.pieces[0];
        let bound = codec.open(level, &Options::default()).and_then(|i| i.compress_bound(piece.len()));
        let mut out = vec![1; bound.map_err(told)?];
        let mut back = vec![1; piece.len()];
        let memory = PeakMemory::start();
        let mut instance = codec.open(level, &Options::default()).map_err(told)?;
        let len = instance.compress(piece, &mut out).map_err(told)?;
        instance.decompress(&out[..len], &mut back).map_err(told)?;
        Ok(memory.growth())
    }

    /// The frames of all pieces, by one thread, and how long they took.
    fn frames(&self, instance: &mut import::Instance) -> Answer<(Vec<Vec<u8>>, f64)> {
        let mut out = Vec::new();
        let start = Instant::now();
        let frame = |piece: &&[u8]| {
            out.resize(instance.compress_bound(piece.len())?, 0);
            let len = instance.compress(piece, &mut out)?;
            Ok(out[..len].to_vec())
        };
        let frames: api::Result<_> = self.pieces.iter().map(frame).collect();
        Ok((frames.map_err(told)?, start.elapsed().as_secs_f64()))
    }

    fn check(&self, worker: &mut Worker, frames: &[Vec<u8>]) -> Answer<()> {
        for (piece, frame) in self.pieces.iter().zip(frames) {
            let len = worker.instance.decompress(frame, &mut worker.out[..piece.len()]).map_err(told)?;
            if len != piece.len() || worker.out[..len] != **piece {
                return Err("other bytes came back: `clipsmaster-host plugins refresh` proves it anew".into());
            }
        }
        Ok(())
    }

    /// Times runs of `work`, called for each number of a piece by one of `workers`, until `budget_s` are spent. `first_s`: about what one run
    /// takes on one thread.
    fn times<W: Send>(
        &self,
        workers: &mut [W],
        budget_s: f64,
        first_s: f64,
        work: impl Fn(&mut W, usize) -> Answer<()> + Sync,
    ) -> Answer<Timing> {
        let alone_s = first_s / workers.len() as f64;
        let passes = (RUN_S / alone_s.max(1e-9)).ceil().clamp(1.0, 1e6) as usize;
        let mut timing = Timing::default();
        let mut spent_s = 0.0;
        while timing.runs_s.is_empty() || spent_s < budget_s {
            let start = Instant::now();
            self.pass(workers, passes, &work)?;
            let seconds = start.elapsed().as_secs_f64();
            spent_s += seconds;
            timing.runs_s.push(seconds / passes as f64);
        }
        Ok(timing)
    }

    /// All pieces, so many times, by all workers.
    fn pass<W: Send>(
        &self,
        workers: &mut [W],
        passes: usize,
        work: &(impl Fn(&mut W, usize) -> Answer<()> + Sync),
    ) -> Answer<()> {
        let next = AtomicUsize::new(0);
        let all = passes * self.pieces.len();
        let until_done = |worker: &mut W| -> Answer<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= all {
                    return Ok(());
                }
                work(worker, number % self.pieces.len())?;
            }
        };
        if let [only] = workers {
            return until_done(only);
        }
        thread::scope(|scope| {
            let started: Vec<_> = workers.iter_mut().map(|w| scope.spawn(|| until_done(w))).collect();
            let ended =
                started.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".into())));
            ended.collect::<Vec<_>>().into_iter().collect()
        })
    }
}

impl Worker {
    fn new(instance: import::Instance, longest: usize) -> Answer<Self> {
        let bound = instance.compress_bound(longest).map_err(told)?;
        Ok(Self { instance, out: vec![0; bound.max(longest) + PLACE_BYTES] })
    }

    fn compress(&mut self, piece: &[u8], number: usize) -> Answer<()> {
        let len = self.instance.compress(black_box(piece), placed(&mut self.out, number));
        black_box(len.map_err(told)?);
        Ok(())
    }

    fn decompress(&mut self, frame: &[u8], len: usize, number: usize) -> Answer<()> {
        let len = self.instance.decompress(black_box(frame), &mut placed(&mut self.out, number)[..len]);
        black_box(len.map_err(told)?);
        Ok(())
    }
}

/// What only copies.
pub(super) struct Copier(Vec<Vec<u8>>);

impl Copier {
    pub(super) fn new(cell: &Cell<'_>) -> Self {
        Self(vec![vec![1; cell.longest() + PLACE_BYTES]; cell.threads])
    }

    pub(super) fn times(&mut self, cell: &Cell<'_>, budget_s: f64) -> Timing {
        const BYTES_A_SECOND: f64 = 1e10;
        let first_s = cell.bytes() as f64 / BYTES_A_SECOND;
        let copied = cell.times(&mut self.0, budget_s, first_s, |out, number| {
            let piece = cell.pieces[number];
            placed(out, number)[..piece.len()].copy_from_slice(black_box(piece));
            black_box(out);
            Ok(())
        });
        copied.unwrap_or_default()
    }
}

fn told(e: api::Error) -> String {
    e.to_string()
}
