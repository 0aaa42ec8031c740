//! The set of policies in force, which follows its files.

use super::{
    PolicySet,
    file::{self, Contents},
    problem::{Problem, with_lines},
    set::Layer,
};
use crate::{Error, Result, registry::cache::FileIdentity, sync::lock};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The name of a policy file.
pub const FILE_NAME: &str = "compression_layers.yaml";

/// Where policies come from. What is not there says nothing; a later file wins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyFiles {
    /// The machine's files.
    pub system: Vec<PathBuf>,
    /// The user's file.
    pub user: Option<PathBuf>,
    /// The project's file.
    pub project: Option<PathBuf>,
}

impl PolicyFiles {
    /// The project's file where a working directory of `folder` has it: `configs/compression_layers.yaml`.
    pub fn project_file_in(folder: &Path) -> PathBuf {
        folder.join("configs").join(FILE_NAME)
    }

    /// The files with their layers, the lowest first.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, &Path)> {
        let system = self.system.iter().map(|path| (Layer::System, path.as_path()));
        let user = self.user.as_deref().map(|path| (Layer::User, path));
        let project = self.project.as_deref().map(|path| (Layer::Project, path));
        system.chain(user).chain(project)
    }

    fn identities(&self) -> Vec<Option<FileIdentity>> {
        self.layers().map(|(_, path)| FileIdentity::at(path).ok()).collect()
    }
}

impl PolicySet {
    /// The built-in defaults with the files' layers over them.
    ///
    /// # Errors
    /// [`Error::Policy`] for a file with mistakes, [`Error::Io`] for one that cannot be read.
    pub fn open(files: &PolicyFiles) -> Result<Self> {
        let mut set = Self::builtin();
        for (layer, path) in files.layers() {
            if let Some(contents) = file::read(path)? {
                set = set.with_file(contents, layer, path)?;
            }
        }
        Ok(set)
    }

    /// The built-in defaults with the layer of one file over them.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`Error::Io`] where there is no such file.
    pub fn load(path: &Path) -> Result<Self> {
        let contents = file::read(path)?.ok_or_else(|| file::missing(path))?;
        Self::builtin().with_file(contents, Layer::Project, path)
    }

    fn with_file(self, contents: Contents, layer: Layer, path: &Path) -> Result<Self> {
        let refused = |problems: Vec<Problem>| Error::Policy { path: path.to_owned(), problems };
        let text = contents.text.map_err(|problem| refused(vec![problem]))?;
        let (set, mut problems) = self.over(&text, layer, path);
        problems.extend(set.problems_of(layer, None));
        let mut problems = with_lines(problems, &text);
        problems.retain(Problem::is_error);
        if problems.is_empty() { Ok(set) } else { Err(refused(problems)) }
    }
}

/// The policies in force. `Send + Sync`; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Policies {
    files: PolicyFiles,
    current: RwLock<Arc<PolicySet>>,
    generation: AtomicU64,
    /// The files as they were when they were last looked at, in good order or not.
    seen: Mutex<Vec<Option<FileIdentity>>>,
}

impl Policies {
    /// Always `set`.
    pub fn fixed(set: PolicySet) -> Self {
        Self::new(PolicyFiles::default(), set, Vec::new())
    }

    /// What `files` say, over the built-in defaults. A file that is not there may come later.
    ///
    /// # Errors
    /// As [`PolicySet::open`].
    pub fn open(files: PolicyFiles) -> Result<Self> {
        // Looked at before they are read: what changes in between is seen as changed the next time.
        let seen = files.identities();
        let set = PolicySet::open(&files)?;
        Ok(Self::new(files, set, seen))
    }

    fn new(files: PolicyFiles, set: PolicySet, seen: Vec<Option<FileIdentity>>) -> Self {
        Self {
            files,
            current: RwLock::new(Arc::new(set)),
            generation: AtomicU64::new(0),
            seen: Mutex::new(seen),
        }
    }

    /// Where they come from.
    pub fn files(&self) -> &PolicyFiles {
        &self.files
    }

    /// The set in force. It stays as it is; who wants to follow changes asks again.
    pub fn current(&self) -> Arc<PolicySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes with each new set: who has worked something out by an older one must do it again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks whether the files have changed, and if so reads them; whether there is a new set. Costs a system call a file
    /// where nothing has changed.
    ///
    /// # Errors
    /// As [`PolicySet::open`]. The set in force stays, and the error is told once for each change.
    pub fn reload_if_changed(&self) -> Result<bool> {
        let mut seen = lock(&self.seen);
        let now = self.files.identities();
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.replace(PolicySet::open(&self.files)?);
        Ok(true)
    }

    fn replace(&self, set: PolicySet) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(set);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("clipsmaster-policy-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("folder");
        dir
    }

    fn level(policies: &Policies) -> Option<i32> {
        policies.current().get("log_data").level
    }

    #[test]
    fn a_changed_file_is_followed_and_a_wrong_one_told_once() {
        let dir = scratch("live");
        let path = dir.join(FILE_NAME);
        let write = |text: &str| fs::write(&path, text).expect("write");
        let policies = Policies::open(PolicyFiles { project: Some(path.clone()), ..PolicyFiles::default() })
            .expect("none yet");
        assert_eq!((level(&policies), policies.generation()), (Some(6), 0));
        assert!(!policies.reload_if_changed().expect("nothing new"));

        write("compression_policy:\n  log_data:\n    level: 9\n");
        assert!(policies.reload_if_changed().expect("a new file"));
        assert_eq!((level(&policies), policies.generation()), (Some(9), 1));

        write("compression_policy:\n  log_data:\n    level: fast\n");
        let error = policies.reload_if_changed().expect_err("no level").to_string();
        assert!(error.contains(":3:12: "), "{error}");
        assert!(!policies.reload_if_changed().expect("told already"));
        assert_eq!((level(&policies), policies.generation()), (Some(9), 1), "the old set is in force");

        fs::remove_file(&path).expect("remove");
        assert!(policies.reload_if_changed().expect("gone"));
        assert_eq!((level(&policies), policies.generation()), (Some(6), 2));
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn the_users_file_wins_over_the_machines() {
        let dir = scratch("system");
        let file = |name: &str, settings: &str| {
            let path = dir.join(name);
            fs::write(&path, format!("compression_policy:\n  log_data: {{{settings}}}\n")).expect("write");
            path
        };
        let system = vec![dir.join("none"), file("system.yaml", "level: 2, parity: 3")];
        let files = PolicyFiles { system, user: Some(file("user.yaml", "level: 8")), project: None };
        let policy = PolicySet::open(&files).expect("valid").get("log_data").clone();
        assert_eq!((policy.level, policy.parity_percent), (Some(8), 3));
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn files_that_are_none_are_refused_with_a_place() {
        let dir = scratch("bytes");
        let path = dir.join("p.yaml");
        let load = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("write");
            PolicySet::load(&path).expect_err("refused").to_string()
        };
        assert!(load(b"compression_policy:\n  a\xff: 1\n").contains(":2:4: error: the byte 0xff"));
        assert!(load(&vec![b'#'; 10 << 20]).contains(":1:1: error: the file is 10 MiB large"));
        fs::write(&path, "# all commented out").expect("write");
        assert_eq!(PolicySet::load(&path).expect("says nothing").types().count(), 8);
        assert!(PolicySet::load(&dir).expect_err("folder").to_string().contains("no regular file"));
        assert!(PolicySet::load(&dir.join("none")).is_err());
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn it_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Policies>();
        assert_eq!(Policies::fixed(PolicySet::builtin()).current().get("log_data").algorithm, "gzip");
    }
}
