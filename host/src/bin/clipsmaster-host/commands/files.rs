//! Manners of files that both directions share: standard streams, refusals, where output goes.

use crate::{Failure, Outcome, arguments::OutputArguments, code};
use clipsmaster_host::pipeline::{self, Output, OutputFile};
use std::{
    fs::{self, File, Metadata},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// An opened input.
pub(super) struct Input {
    /// As the user named it.
    pub name: PathBuf,
    /// What to read from.
    pub source: pipeline::Input,
    /// Metadata of a regular file.
    pub file: Option<Metadata>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path, verb: &str) -> Result<Self, Failure> {
        if is_standard(path) {
            let name = PathBuf::from("standard input");
            return Ok(Self { name, source: pipeline::Input::Stream(Box::new(io::stdin())), file: None });
        }
        let fail = |e: io::Error| Failure::new(code::FAILED, format!("cannot read {}: {e}", path.display()));
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if meta.is_dir() {
            let dir = path.display();
            let hint = if verb == "compress" {
                format!("pack it first: tar -c {dir} | clipsmaster-host compress -o {dir}.tar.zst")
            } else {
                "name a file".into()
            };
            return Err(Failure::usage(format!("{dir} is a directory; {hint}")));
        }
        let regular = meta.is_file().then_some(meta);
        let source = match &regular {
            Some(_) => pipeline::Input::File(file),
            None => pipeline::Input::Stream(Box::new(file)),
        };
        Ok(Self { name: path.to_owned(), source, file: regular })
    }

    /// Reads it from front to back.
    pub(super) fn reader(self) -> Box<dyn Read + Send> {
        match self.source {
            pipeline::Input::File(file) => Box::new(file),
            pipeline::Input::Stream(stream) => stream,
        }
    }

    /// Size of a regular file, in bytes.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.file.as_ref().map(Metadata::len)
    }
}

/// Whether `path` stands for a standard stream.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The inputs named, or standard input. Several with one output file make no sense.
pub(super) fn inputs(named: &[PathBuf], to: &OutputArguments) -> Result<Vec<PathBuf>, Failure> {
    if named.len() > 1 && to.output.is_some() {
        return Err(Failure::usage("several inputs cannot share one -o FILE; leave it out, or use --stdout"));
    }
    Ok(if named.is_empty() { vec![PathBuf::from("-")] } else { named.to_vec() })
}

/// Whether some result goes to standard output.
pub(super) fn uses_standard_output(inputs: &[PathBuf], to: &OutputArguments) -> bool {
    let named = to.output.as_deref();
    to.stdout || named.is_some_and(is_standard) || named.is_none() && inputs.iter().any(|i| is_standard(i))
}

/// Where the result of one input goes.
pub(super) enum Target {
    Standard,
    File(PathBuf),
}

impl Target {
    /// What the arguments say, or `default_name` beside the input. Standard input goes to standard output.
    pub(super) fn new(
        input: &Path,
        to: &OutputArguments,
        default_name: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<Self, Failure> {
        match &to.output {
            Some(path) if is_standard(path) => Ok(Self::Standard),
            Some(path) => Ok(Self::File(path.clone())),
            None if to.stdout || is_standard(input) => Ok(Self::Standard),
            None => default_name().map(Self::File),
        }
    }

    /// As the user would name it.
    pub(super) fn name(&self) -> PathBuf {
        match self {
            Self::Standard => PathBuf::from("standard output"),
            Self::File(path) => path.clone(),
        }
    }

    /// Runs `work` with an output; a file appears only if it succeeds.
    pub(super) fn write<T>(
        &self,
        force: bool,
        like: Option<&Metadata>,
        is_binary: bool,
        work: impl FnOnce(Output<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Self::Standard => {
                if is_binary && !force && io::stdout().is_terminal() {
                    return Err(Failure::usage(
                        "compressed data is not written to a terminal; redirect it, use -o FILE, or --force",
                    ));
                }
                work(Output::Stream(&mut io::stdout().lock()))
            }
            // A device or a pipe is written as it is: there is nothing to replace.
            Self::File(path) if is_special(path) => {
                let open = fs::OpenOptions::new().write(true).open(path);
                let mut file = open.map_err(|e| {
                    Failure::new(code::FAILED, format!("cannot write {}: {e}", path.display()))
                })?;
                work(Output::Stream(&mut file))
            }
            Self::File(path) => {
                let same = |a: &Metadata, b: Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
                if like.is_some_and(|like| fs::metadata(path).is_ok_and(|m| same(like, m))) {
                    let path = path.display();
                    return Err(Failure::usage(format!("{path} is the input itself; name another output")));
                }
                let mut file = OutputFile::create(path, force)?;
                let value = work(Output::File(&mut file))?;
                file.publish(like)?;
                Ok(value)
            }
        }
    }
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Does `work` on every input; goes on after a failure, as gzip does. The first failure is the outcome, later ones are told
/// at once.
pub(super) fn each(inputs: &[PathBuf], mut work: impl FnMut(&Path) -> Outcome) -> Outcome {
    let mut failures = inputs.iter().filter_map(|input| work(input).err());
    let Some(first) = failures.next() else { return Ok(()) };
    for later in failures {
        let _ = writeln!(io::stderr(), "clipsmaster-host: {}", later.message);
    }
    Err(first)
}
