//! Whether a file may be loaded at all, decided before any of its code runs.
//!
//! The file and every folder above it must belong to root or the user and be writable by nobody else;
//! the user's own primary group does not count (umask 002 is a common default). A root-owned folder with the sticky bit
//! (`/tmp`) may stand above, but not hold plugins itself.

use super::report::{State, Verdict};
use crate::config::Trust;
use rustix::fs::{self as sys, Mode, OFlags};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The rule in force, and what is already known about folders.
#[derive(Debug)]
pub(crate) struct TrustCheck {
    policy: Trust,
    user: u32,
    group: u32,
    folders: BTreeMap<PathBuf, Result<(), String>>,
}

impl TrustCheck {
    /// The rule for the user running this process.
    pub(crate) fn new(policy: Trust) -> Self {
        Self {
            policy,
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            folders: BTreeMap::new(),
        }
    }

    /// Opens `path` without following a link, and checks it and, by the policy, its owner and folders.
    ///
    /// # Errors
    /// A verdict of `Refused` that names the rule and the option that would accept the file.
    pub(crate) fn open(&mut self, path: &Path) -> Result<File, Verdict> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = sys::open(path, flags, Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::LOOP => {
                refused("is a symbolic link", "copy the file itself into the plugins folder")
            }
            _ => refused(&format!("cannot be opened: {e}"), "make it readable for this user"),
        })?;
        let file = File::from(file);
        let meta = file.metadata().map_err(|e| refused(&format!("cannot be examined: {e}"), ""))?;
        if !meta.is_file() {
            return Err(refused("is not a regular file", "put the shared library itself there"));
        }
        if self.policy == Trust::Any {
            return Ok(file);
        }
        self.owner_and_mode(&meta).map_err(|why| self.refuse(&why))?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        self.folder(dir).map_err(|why| self.refuse(&why))?;
        Ok(file)
    }

    /// Whether `dir` may hold plugins: it and all folders above it follow the rule.
    ///
    /// # Errors
    /// What breaks the rule.
    pub(crate) fn folder(&mut self, dir: &Path) -> Result<(), String> {
        if let Some(known) = self.folders.get(dir) {
            return known.clone();
        }
        let answer = self.examine_folder(dir);
        self.folders.insert(dir.to_owned(), answer.clone());
        answer
    }

    fn examine_folder(&self, dir: &Path) -> Result<(), String> {
        let real = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
        for (depth, above) in real.ancestors().enumerate() {
            let meta = fs::metadata(above).map_err(|e| format!("{}: {e}", above.display()))?;
            let sticky_root = meta.uid() == 0 && meta.mode() & STICKY != 0;
            if depth > 0 && sticky_root {
                continue;
            }
            self.owner_and_mode(&meta).map_err(|why| format!("its folder {} {why}", above.display()))?;
        }
        Ok(())
    }

    fn owner_and_mode(&self, meta: &fs::Metadata) -> Result<(), String> {
        if meta.uid() != 0 && meta.uid() != self.user {
            return Err(format!(
                "belongs to user {}, neither root nor the current user {}",
                meta.uid(),
                self.user
            ));
        }
        if meta.mode() & OTHER_WRITE != 0 {
            return Err(format!("is writable by everyone (mode {:04o})", meta.mode() & 0o7777));
        }
        if meta.mode() & GROUP_WRITE != 0 && meta.gid() != self.group {
            return Err(format!("is writable by group {} (mode {:04o})", meta.gid(), meta.mode() & 0o7777));
        }
        Ok(())
    }

    fn refuse(&self, why: &str) -> Verdict {
        refused(
            why,
            "chown it to the current user and `chmod go-w` it, or accept every file with --trust any",
        )
    }
}

fn refused(why: &str, remedy: &str) -> Verdict {
    Verdict::new(State::Refused, why, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("cm-trust-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("scratch folder");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("mode");
        dir
    }

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, b"x").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        path
    }

    #[test]
    fn the_owner_rule_refuses_what_others_can_write() {
        let dir = scratch("owner");
        let mut check = TrustCheck::new(Trust::Owner);
        assert!(check.open(&file(&dir, "good.so", 0o644)).is_ok());
        let refusal = check.open(&file(&dir, "bad.so", 0o666)).expect_err("others can write");
        assert_eq!(refusal.state, State::Refused);
        assert!(refusal.reason.contains("writable by everyone"), "{}", refusal.reason);
        assert!(TrustCheck::new(Trust::Any).open(&dir.join("bad.so")).is_ok());
        symlink(dir.join("good.so"), dir.join("link.so")).expect("symlink");
        let refusal = TrustCheck::new(Trust::Any).open(&dir.join("link.so")).expect_err("a link");
        assert!(refusal.reason.contains("symbolic link"));
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn the_private_group_may_write_and_an_open_folder_may_not_hold_plugins() {
        let dir = scratch("group");
        let path = file(&dir, "group.so", 0o664);
        assert!(TrustCheck::new(Trust::Owner).open(&path).is_ok(), "own primary group");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).expect("mode");
        let refusal = TrustCheck::new(Trust::Owner).open(&path).expect_err("open folder");
        assert!(refusal.reason.contains("its folder"), "{}", refusal.reason);
        fs::remove_dir_all(dir).expect("clean up");
    }
}
