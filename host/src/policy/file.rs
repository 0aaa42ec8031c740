//! Policy files on the disk: read with a limit, written whole or not at all.

use super::problem::{Place, Problem, with_lines};
use crate::{Error, Result, registry::cache::FileIdentity, size};
use rustix::fs::{Gid, OFlags, Uid, fchown};
use std::{
    collections::hash_map::RandomState,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    hash::BuildHasher,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Largest policy file, in bytes: a hundred times what is needed.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The text, or why it is none.
    pub text: Result<String, Problem>,
    /// Which file it was.
    pub identity: FileIdentity,
}

/// Reads the file `path`; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Contents>> {
    // Opening a pipe must not wait for a writer.
    let open = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = match open {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let meta = file.metadata().map_err(Error::io("read", path))?;
    if !meta.is_file() {
        return Err(Error::Usage(format!("{} is no regular file; a policy file is one", path.display())));
    }
    let identity = FileIdentity::of(&file).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    let text = if bytes.len() as u64 > MAX_FILE_BYTES {
        let (is, most) = (size::binary(meta.len().max(bytes.len() as u64)), size::binary(MAX_FILE_BYTES));
        Err(Problem::error(Place::START, format!("the file is {is} large; a policy file is {most} at most")))
    } else {
        decode(bytes)
    };
    Ok(Some(Contents { text, identity }))
}

/// The error of a file that must be there.
pub(super) fn missing(path: &Path) -> Error {
    Error::io("read", path)(rustix::io::Errno::NOENT.into())
}

fn decode(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(e.as_bytes());
        let before = String::from_utf8_lossy(&e.as_bytes()[..at]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let byte = e.as_bytes()[at];
        let message = format!("the byte {byte:#04x} is no UTF-8; save the file as UTF-8");
        let found = with_lines(vec![Problem::error(Place { line, column }, message)], &text).pop();
        found.unwrap_or_else(|| Problem::error(Place { line, column }, "no UTF-8"))
    })
}

/// Writes `text` to the file `path`, or the file that it links to: whole, or not at all. The folder is made where there is none, the
/// mode of a file that is there stays, and what others wrote since `before` was read is not lost.
pub(super) fn write(path: &Path, text: &str, before: Option<FileIdentity>) -> Result<()> {
    let target = target(path)?;
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    let like = fs::metadata(&target).ok();
    let failed = |e| Error::io("write", path)(e);
    let (temporary, file) = create_beside(&target).map_err(failed)?;
    let written = fill(file, text, like.as_ref()).and_then(|()| replace(&temporary, &target, folder, before));
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        failed(e)
    })
}

/// Whether `e` says that somebody else wrote the file in the meantime: then it can be read and changed again.
pub fn is_overtaken(e: &Error) -> bool {
    matches!(e, Error::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
}

/// Gives `temporary` the name `target`, if that is still the file `before`. Others of us who write there wait.
fn replace(temporary: &Path, target: &Path, folder: &Path, before: Option<FileIdentity>) -> io::Result<()> {
    let folder = File::open(folder)?;
    // Where the file system has no locks, what happens between the look and the rename goes unnoticed.
    let _ = folder.lock();
    if FileIdentity::at(target).ok() != before {
        let what = "it was changed by somebody else in the meantime; try again";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
    }
    fs::rename(temporary, target)?;
    // The new name survives a loss of power, where the file system can do that for folders.
    let _ = folder.sync_all();
    Ok(())
}

/// A new file in the folder of `target`, of a name that nobody else has: process numbers are not unique where namespaces share a folder.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    loop {
        let unique = RandomState::new().hash_one(std::process::id());
        let path = target.with_file_name(format!(".{name}.{unique:016x}.tmp"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
}

/// Writes `text` to `file`, which gets mode and owner of the one that it will be.
fn fill(mut file: File, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            let (uid, gid) = (Uid::from_raw(like.uid()), Gid::from_raw(like.gid()));
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.set_permissions(Permissions::from_mode(like.permissions().mode() & 0o7777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The file that is written when `path` is: links lead to it, also when it is not there yet.
fn target(path: &Path) -> Result<PathBuf> {
    /// As the kernel has it (path_resolution(7)).
    const MOST_LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Error::Usage(format!("{} is a link that leads in a circle", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::shape;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_with_a_place(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            match decode(bytes.clone()) {
                Ok(text) => drop(shape::read(&text)),
                Err(problem) => {
                    let line = bytes.split(|b| *b == b'\n').nth(problem.place.line - 1);
                    prop_assert!(line.is_some_and(|l| str::from_utf8(l).is_err()));
                }
            }
        }
    }

    #[test]
    fn links_in_a_circle_are_told() {
        let dir = std::env::temp_dir().join(format!("clipsmaster-policy-links-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("folder");
        let (a, b) = (dir.join("a"), dir.join("b"));
        std::os::unix::fs::symlink(&a, &b).expect("link");
        std::os::unix::fs::symlink(&b, &a).expect("link");
        assert!(target(&a).expect_err("a circle").to_string().contains("in a circle"));
        fs::remove_dir_all(dir).expect("clean up");
    }
}
