//! Output files that appear whole or not at all.

use crate::{Error, Result};
use rustix::fs::{self as sys, AtFlags, CWD, Mode, OFlags, RenameFlags};
use std::{
    fs::{self, File, Metadata},
    io::{self, Seek, SeekFrom, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Where a result goes.
pub enum Output<'a> {
    /// A file under construction: workers write to their places in it themselves.
    File(&'a mut OutputFile),
    /// A pipe, a device, memory: front to back.
    Stream(&'a mut dyn Write),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Write for Output<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(data),
            Self::Stream(stream) => stream.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// What has been written of a file so far, to write behind that at any place.
#[derive(Debug)]
pub(super) struct Places {
    file: File,
    start: u64,
}

impl Places {
    /// `None` where the output has no places.
    pub(super) fn of(output: &Output<'_>) -> io::Result<Option<Self>> {
        let Output::File(out) = output else { return Ok(None) };
        let mut file = out.file.try_clone()?;
        let start = file.stream_position()?;
        Ok(Some(Self { file, start }))
    }

    /// Writes `data` at `at`; others may write elsewhere at the same time.
    pub(super) fn write(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(data, self.start + at)
    }

    /// What is written next comes behind the first `len` bytes.
    pub(super) fn close(mut self, len: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.start + len)).map(drop)
    }
}

/// A file under construction: without a name (`O_TMPFILE`), so that nothing is left behind even when the process is
/// killed; where the file system cannot do that, under a temporary name beside its destination.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    path: PathBuf,
    /// Name it has meanwhile, if it has one.
    temporary: Option<PathBuf>,
    overwrite: bool,
    /// Whether it must be on the disk before it gets its name.
    is_precious: bool,
}

impl OutputFile {
    /// Begins a file that is to appear at `path`. An existing one is refused unless `overwrite`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`] when the folder cannot be written.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let existing = fs::symlink_metadata(path);
        // What is replaced is gone: the new one must then survive a loss of power.
        let is_precious = existing.is_ok();
        match existing {
            Ok(meta) if meta.is_dir() => {
                return Err(Error::Usage(format!("{} is a directory; name a file with -o", path.display())));
            }
            Ok(_) if !overwrite => return Err(exists(path)),
            // A device would be replaced by a file.
            Ok(_) if fs::metadata(path).is_ok_and(|m| !m.is_file()) => {
                let path = path.display();
                return Err(Error::Usage(format!(
                    "{path} is no regular file, and would be replaced; name another"
                )));
            }
            _ => {}
        }
        let dir = folder(path);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(fd) = sys::open(&dir, flags, Mode::from_raw_mode(0o600)) {
            return Ok(Self {
                file: fd.into(),
                path: path.to_owned(),
                temporary: None,
                overwrite,
                is_precious,
            });
        }
        let temporary = temporary_name(path);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&temporary).map_err(Error::io("create a file in", dir))?;
        Ok(Self { file, path: path.to_owned(), temporary: Some(temporary), overwrite, is_precious })
    }

    /// Has the file written to the disk before it gets its name, not only when it replaces another. Without that a loss of power within
    /// seconds may leave a part of it, as with any other tool; a killed process never does.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.is_precious = true;
        self
    }

    /// Where it can be read before it has its name.
    pub(crate) fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Gives the file its name, with the mode and times of `like` if there is one.
    ///
    /// # Errors
    /// [`Error::Exists`] when a file of that name has appeared meanwhile, [`Error::Io`] otherwise.
    pub fn publish(mut self, like: Option<&Metadata>) -> Result<()> {
        self.copy_attributes(like);
        if self.is_precious {
            self.file.sync_all().map_err(Error::io("write", &self.path))?;
        }
        let named = match self.temporary.take() {
            Some(name) => name,
            None if !self.overwrite => return self.link(&self.path),
            None => {
                let name = temporary_name(&self.path);
                self.link(&name)?;
                name
            }
        };
        let flags = if self.overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let mut renamed = sys::renameat_with(CWD, &named, CWD, &self.path, flags).map_err(io::Error::from);
        if renamed.as_ref().is_err_and(|e| e.raw_os_error() == Some(22)) && !self.path.exists() {
            // A file system without RENAME_NOREPLACE.
            renamed = fs::rename(&named, &self.path);
        }
        renamed.map_err(|e| {
            let _ = fs::remove_file(&named);
            if e.kind() == io::ErrorKind::AlreadyExists {
                exists(&self.path)
            } else {
                Error::io("create", &self.path)(e)
            }
        })
    }

    /// Gives a nameless file a name that must be free (open(2), `O_TMPFILE`).
    fn link(&self, name: &Path) -> Result<()> {
        let linked =
            sys::linkat(CWD, self.own_path(), CWD, name, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
        linked.map_err(|e| {
            if e.kind() == io::ErrorKind::AlreadyExists { exists(name) } else { Error::io("create", name)(e) }
        })
    }

    /// As gzip and zstd do: mode and times of the input; what the file system refuses is left.
    fn copy_attributes(&self, like: Option<&Metadata>) {
        let mode = like.map_or_else(default_mode, |m| m.mode() & 0o777);
        let _ = self.file.set_permissions(fs::Permissions::from_mode(mode));
        if let Some(modified) = like.and_then(|m| m.modified().ok()) {
            let _ = self.file.set_modified(modified);
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            let _ = fs::remove_file(name);
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::Exists(path.to_owned())
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    folder(path).join(format!(".{name}.{}-{nanos:x}.part", std::process::id()))
}

/// Mode of a new file: all may read and write, less the umask, which /proc tells without changing it.
fn default_mode() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|l| l.strip_prefix("Umask:"));
    let umask = umask.and_then(|u| u32::from_str_radix(u.trim(), 8).ok());
    0o666 & !umask.unwrap_or(0o022)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("cm-output-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("scratch folder");
        dir
    }

    #[test]
    fn a_file_appears_only_when_published() {
        let dir = scratch("publish");
        let path = dir.join("out");
        let mut out = OutputFile::create(&path, false).expect("create");
        out.write_all(b"hello").expect("write");
        drop(out);
        assert_eq!(fs::read_dir(&dir).expect("list").count(), 0, "nothing is left of a dropped file");
        let mut out = OutputFile::create(&path, false).expect("create");
        out.write_all(b"hello").expect("write");
        out.publish(None).expect("publish");
        assert_eq!(fs::read(&path).expect("read"), b"hello");
        assert!(OutputFile::create(&path, false).is_err(), "an existing file is refused");
        let mut out = OutputFile::create(&path, true).expect("create");
        out.write_all(b"new").expect("write");
        out.publish(None).expect("publish");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::read_dir(&dir).expect("list").count(), 1);
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_replaced() {
        let dir = scratch("race");
        let path = dir.join("out");
        let out = OutputFile::create(&path, false).expect("create");
        fs::write(&path, b"theirs").expect("another program");
        assert!(matches!(out.publish(None), Err(Error::Exists(_))));
        assert_eq!(fs::read(&path).expect("read"), b"theirs");
        fs::remove_dir_all(dir).expect("clean up");
    }
}
