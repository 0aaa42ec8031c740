//! One policy file under change: read, changed in memory, looked at, written.

use super::{
    Change, Installed, Key, Layer, PolicySet, Setting,
    edit::edit,
    file::{self, Contents},
    problem::Problem,
};
use crate::{Error, Result, registry::cache::FileIdentity};
use std::path::{Path, PathBuf};

/// A policy file and its text. Nothing is written before [`save`](Self::save).
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    text: String,
    /// The file as it was read; `None` where there was none.
    before: Option<FileIdentity>,
}

impl PolicyFile {
    /// Reads the file `path`, or begins an empty one where there is none.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Policy`] for a file that is no text, or far too large.
    pub fn open(path: &Path) -> Result<Self> {
        let (text, before) = match file::read(path)? {
            None => (String::new(), None),
            Some(Contents { text, identity }) => {
                let refused = |problem| Error::Policy { path: path.to_owned(), problems: vec![problem] };
                (text.map_err(refused)?, Some(identity))
            }
        };
        Ok(Self { path: path.to_owned(), text, before })
    }

    /// Everything wrong with the file `path`: what shows in it, and what shows by what is installed, where that is given.
    ///
    /// # Errors
    /// [`Error::Io`], also where there is no such file.
    pub fn verify(path: &Path, installed: Option<&Installed>) -> Result<Vec<Problem>> {
        Ok(match file::read(path)?.ok_or_else(|| file::missing(path))?.text {
            Ok(text) => PolicySet::problems(&text, path, installed),
            Err(problem) => vec![problem],
        })
    }

    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text as it would be written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Makes `change` in the text and leaves all else as it is: comments, order, blank lines.
    ///
    /// # Errors
    /// [`Error::Config`] where that cannot be done safely; the text is as before.
    pub fn change(&mut self, change: &Change) -> Result<()> {
        let failed = |problem| Error::Config { path: self.path.clone(), problem };
        self.text = edit(&self.text, change).map_err(failed)?;
        Ok(())
    }

    /// Everything wrong with the text as it would be written; nothing where it is empty.
    pub fn problems(&self, installed: Option<&Installed>) -> Vec<Problem> {
        if self.text.is_empty() {
            return Vec::new();
        }
        PolicySet::problems(&self.text, &self.path, installed)
    }

    /// Writes the text: whole, or not at all. A link is followed, the mode of the file stays, its folder is made where there is none.
    ///
    /// # Errors
    /// [`Error::Io`], also when somebody else has changed the file since it was read; [`Error::Policy`] for a text with mistakes.
    pub fn save(self) -> Result<()> {
        let mut problems = self.problems(None);
        problems.retain(Problem::is_error);
        if !problems.is_empty() {
            return Err(Error::Policy { path: self.path, problems });
        }
        if self.text.len() as u64 > file::MAX_FILE_BYTES {
            let problem = format!(
                "it would grow beyond {} bytes, which is the most a policy file may have",
                file::MAX_FILE_BYTES
            );
            return Err(Error::Config { path: self.path, problem });
        }
        file::write(&self.path, &self.text, self.before)
    }
}

impl PolicySet {
    /// Writes all policies of this set, complete, to the file `path`. What is there and says something else is changed, in its
    /// place; comments stay.
    ///
    /// # Errors
    /// As [`PolicyFile::change`] and [`PolicyFile::save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = PolicyFile::open(path)?;
        let (there, _) = Self::parse(&file.text, Layer::Project, path);
        let is_ours = |name: &str| there.layers_of(name).any(|(layer, _)| layer == Layer::Project);
        for name in there.types().filter(|name| is_ours(name) && !self.contains(name)) {
            file.change(&Change::Remove(name.to_owned()))?;
        }
        for name in self.types() {
            file.change(&Change::Replace(name.to_owned(), self.settings(name)))?;
        }
        file.save()
    }

    /// Everything a type's policy says.
    fn settings(&self, resource_type: &str) -> Vec<Setting> {
        let policy = self.get(resource_type);
        let is_said = |key: &Key| !(policy.is_auto() && *key == Key::Level);
        Key::ALL.into_iter().filter(is_said).filter_map(|key| Setting::of(policy, key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("clipsmaster-policy-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("folder");
        dir
    }

    fn level(n: i32) -> Change {
        Change::Set("log_data".into(), vec![Setting::Level(Some(n))])
    }

    #[test]
    fn links_and_modes_stay_and_nothing_is_left_over() {
        let dir = scratch("write");
        let (file, link) = (dir.join("real.yaml"), dir.join("link.yaml"));
        fs::write(&file, "# mine\ncompression_policy:\n  log_data:\n    level: 1\n").expect("write");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("mode");
        symlink("real.yaml", &link).expect("link");
        let mut open = PolicyFile::open(&link).expect("open");
        open.change(&level(2)).expect("a change");
        open.save().expect("save");
        let text = fs::read_to_string(&file).expect("read");
        assert_eq!(text, "# mine\ncompression_policy:\n  log_data:\n    level: 2\n");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(&dir).expect("folder").count(), 2);
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn what_others_wrote_in_the_meantime_is_not_lost() {
        let dir = scratch("race");
        let path = dir.join("sub/p.yaml");
        let mut first = PolicyFile::open(&path).expect("open");
        let mut second = PolicyFile::open(&path).expect("open");
        first.change(&level(1)).expect("a change");
        second.change(&level(2)).expect("a change");
        first.save().expect("the first one");
        let e = second.save().expect_err("the second one").to_string();
        assert!(e.contains("changed by somebody else"), "{e}");
        assert_eq!(
            fs::read_to_string(&path).expect("read"),
            "compression_policy:\n  log_data:\n    level: 1\n"
        );
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = scratch("threads");
        let path = dir.join("p.yaml");
        let write = |n: usize| {
            let change = Change::Set(format!("t{n}"), vec![Setting::Parity(1)]);
            let once = || {
                let mut file = PolicyFile::open(&path)?;
                file.change(&change)?;
                file.save()
            };
            while let Err(e) = once() {
                assert!(e.to_string().contains("try again"), "{e}");
            }
        };
        std::thread::scope(|scope| {
            let write = &write;
            for n in 0..8 {
                scope.spawn(move || write(n));
            }
        });
        let set = PolicySet::load(&path).expect("whole");
        assert!((0..8).all(|n| set.contains(&format!("t{n}"))), "{:?}", fs::read_to_string(&path));
        assert_eq!(fs::read_dir(&dir).expect("folder").count(), 1);
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn a_saved_set_loads_as_it_was() {
        let dir = scratch("save");
        let path = dir.join("p.yaml");
        fs::write(
            &path,
            "# mine\ncompression_policy:\n  old:\n    level: 1\n  subtitle:  # small\n    level: 1\n",
        )
        .expect("write");
        let settings = vec![Setting::Algorithm("auto".into()), Setting::Parity(5)];
        let set = PolicySet::builtin().with("images", settings).expect("a type");
        set.save(&path).expect("save");
        let back = PolicySet::load(&path).expect("load");
        for name in set.types().chain(["old"]) {
            assert_eq!(back.get(name), set.get(name), "{name}");
        }
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("# mine\n") && text.contains("  subtitle:  # small\n"), "{text}");
        assert!(!back.contains("old"));
        fs::remove_dir_all(dir).expect("clean up");
    }

    #[test]
    fn a_text_with_mistakes_is_not_written() {
        let dir = scratch("mistakes");
        let path = dir.join("p.yaml");
        let mut file = PolicyFile::open(&path).expect("open");
        let settings = vec![Setting::Algorithm("auto".into()), Setting::Level(Some(3))];
        file.change(&Change::Set("images".into(), settings)).expect("a change");
        assert!(file.save().expect_err("contradiction").to_string().contains("leave it out"));
        assert!(!path.exists());
        fs::remove_dir_all(dir).expect("clean up");
    }
}
