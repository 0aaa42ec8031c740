//! The last tier: resources in files of the container format, in a folder of this store alone.

use super::{
    budget::{ALLOCATION_BYTES, For, Grant},
    codecs::Codecs,
    packed::{NotPacked, Reader, no_memory},
    table::Content,
};
use crate::{
    Error, Result,
    pipeline::{self, CompressOptions, Container, DecompressOptions, Input, Output, OutputFile},
    policy::Policy,
};
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::BuildHasher,
    io::{self, Cursor, Read},
    ops::Range,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// How names of such folders begin.
const PREFIX: &str = "clipsmaster-spill-";
/// Held for as long as the store lives, so that others can tell what a crash has left behind.
const LOCK: &str = "lock";

/// A folder for spilled resources. It is removed with the store.
#[derive(Debug)]
pub(super) struct SpillDir {
    path: PathBuf,
    _lock: File,
    next: AtomicU64,
    bytes: Arc<AtomicU64>,
}

/// A resource in a file, which is removed with this.
#[derive(Debug)]
pub(super) struct Spilled {
    pub path: PathBuf,
    pub len: usize,
    pub file_bytes: u64,
    total: Arc<AtomicU64>,
    _record: Grant,
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.total.fetch_sub(self.file_bytes, Ordering::Relaxed);
        // What cannot be removed goes with the folder, or with the next store there.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl SpillDir {
    /// Makes a folder of its own in `parent`, and removes those whose stores are gone.
    pub(super) fn create(parent: &Path) -> Result<Self> {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        sweep(parent);
        // Others must find it locked, or not at all: it gets its name last. Process numbers are not unique where namespaces share a folder.
        let unique = RandomState::new().hash_one(process::id());
        let new = parent.join(format!(".new-{unique:016x}"));
        private_dir(&new).map_err(Error::io("create", &new))?;
        let lock = File::create(new.join(LOCK)).map_err(Error::io("create", new.join(LOCK)))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| Error::io("lock", &new)(e.into()))?;
        let path = parent.join(format!("{PREFIX}{}-{unique:016x}", process::id()));
        fs::rename(&new, &path).map_err(Error::io("create", &path))?;
        Ok(Self { path, _lock: lock, next: AtomicU64::new(0), bytes: Arc::default() })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes `content` of `len` bytes into a new file, as `policy` says.
    pub(super) fn write(
        &self,
        content: &Content,
        len: usize,
        policy: &Policy,
        codecs: &Codecs,
    ) -> Result<Spilled, NotPacked> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{number}.cmc"));
        let (input, chosen): (Box<dyn Read + Send + '_>, _) = match content {
            Content::Raw(raw) => (Box::new(Cursor::new(&raw.blob[..])), codecs.choose(policy, &raw.blob)?),
            Content::Packed(packed) => (Box::new(Reader::new(packed)), packed.codec_for(policy, codecs)?),
            Content::Same(_) | Content::Spilled(_) => return Err(NotPacked::Stopped),
        };
        let record_bytes = (size_of::<Spilled>() + path.as_os_str().len()) as u64 + 2 * ALLOCATION_BYTES;
        let record = codecs.budget().take(record_bytes, For::Work).ok_or(NotPacked::NoRoom)?;
        let _context = chosen.codec.work(codecs.budget()).ok_or(NotPacked::NoRoom)?;
        let options = CompressOptions {
            threads: Some(1),
            container: Container::Native,
            filter: chosen.filter,
            verify: true,
            input_bytes: Some(len as u64),
            input: "a resource".into(),
            output: path.clone(),
            ..policy.options()
        };
        let write = || {
            let mut out = OutputFile::create(&path, true)?;
            let compressor = &chosen.codec.compressor;
            let summary = pipeline::compress(compressor, input, &mut out, &options, &|_| {})?;
            out.publish(None)?;
            Ok(summary.output_bytes)
        };
        let file_bytes = write().map_err(NotPacked::Failed)?;
        self.bytes.fetch_add(file_bytes, Ordering::Relaxed);
        let total = Arc::clone(&self.bytes);
        Ok(Spilled { path, len, file_bytes, total, _record: record })
    }
}

impl Spilled {
    /// Bytes `range` of the resource, and what was damaged and mended on the way.
    pub(super) fn read(&self, range: Range<usize>, codecs: &Codecs) -> Result<(Vec<u8>, Vec<String>)> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let mut out = Vec::new();
        let len = range.len();
        out.try_reserve_exact(len).map_err(|_| no_memory(len))?;
        let is_whole = range == (0..self.len);
        let options = DecompressOptions {
            range: (!is_whole).then_some(range.start as u64..range.end as u64),
            threads: Some(1),
            input: self.path.clone(),
            output: "memory".into(),
            ..DecompressOptions::default()
        };
        let summary = pipeline::decompress(
            codecs.host(),
            Input::File(file),
            Output::Stream(&mut out),
            &options,
            &|_| {},
        )?;
        if out.len() != len {
            return Err(Error::Mismatch(format!("{} bytes instead of {len}", out.len())));
        }
        Ok((out, summary.warnings))
    }
}

/// Removes folders of stores that no longer live.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !is_one || !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let lock = File::open(entry.path().join(LOCK));
        // One without a lock may be about to get it.
        if let Ok(lock) = lock
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder for nobody else: what was in memory stays the application's.
fn private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}
