//! `compress`: files and pipes, chunked and parallel.

use super::{
    files::{Input, Target, each, inputs, uses_standard_output},
    open,
};
use crate::{
    Failure, Outcome,
    arguments::{Common, CompressArguments, OutputArguments, Wrapping},
    print_json,
    progress::FileProgress,
};
use clipsmaster_host::{
    Compressor, Host, Request, algorithm,
    container::{CONTAINER_EXTENSION, MAX_CHUNK_BYTES},
    pipeline::{self, CompressOptions, Container, Filtering, Summary},
    size,
};
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

/// Short extensions of compressed tar files, and their algorithms.
pub(super) const TAR_EXTENSIONS: [(&str, &str); 6] = [
    ("tgz", "gzip"),
    ("tzst", "zstd"),
    ("txz", "lzma"),
    ("tbz2", "bzip2"),
    ("tbz", "bzip2"),
    ("tlz4", "lz4"),
];

/// What `--json` prints for each file.
#[derive(Serialize)]
pub(super) struct FileReport {
    pub input: PathBuf,
    pub output: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    #[serde(flatten)]
    pub summary: Summary,
}

pub(crate) fn run(common: &Common, arguments: &CompressArguments) -> Outcome {
    let inputs = inputs(&arguments.input, &arguments.to)?;
    let chunk_bytes = arguments.chunk_size.map(checked_chunk).transpose()?;
    let host = open(common)?;
    let algorithm = algorithm_for(&host, arguments)?;
    let request = Request {
        level: arguments.level,
        hardware: Some(arguments.hardware.clone()).filter(|h| h != "auto"),
        implementation: arguments.implementation.clone(),
        bytes: chunk_bytes.map(|b| b as u64),
        ..Request::new(&algorithm)
    };
    let compressor = host.compressor(&request)?;
    let options = CompressOptions {
        chunk_bytes,
        threads: arguments.limits.threads(),
        memory_bytes: arguments.limits.memory_limit,
        container: container(&host, &algorithm, arguments)?,
        filter: arguments.filter.unwrap_or_default(),
        parity_percent: arguments.parity,
        verify: arguments.verify,
        ..CompressOptions::default()
    };
    let mut reports = Vec::new();
    let outcome = each(&inputs, |path| {
        reports.push(compress(common, arguments, &host, &compressor, &options, path)?);
        Ok(())
    });
    tell_machines(common, &inputs, &arguments.to, &reports)?;
    outcome
}

fn checked_chunk(bytes: u64) -> Result<usize, Failure> {
    let range = (4 << 10)..=MAX_CHUNK_BYTES as u64;
    let fits = range.contains(&bytes).then(|| usize::try_from(bytes).ok()).flatten();
    fits.ok_or_else(|| Failure::usage(format!("--chunk-size {bytes} is outside 4KB to 64MB")))
}

/// What goes around the frames. A file is what its name says: records go where the format has a place for them.
fn container(host: &Host, algorithm: &str, arguments: &CompressArguments) -> Result<Container, Failure> {
    let named = arguments.to.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str());
    let named = named.unwrap_or_default().to_ascii_lowercase();
    let is_own = named == CONTAINER_EXTENSION;
    let has_place = Container::has_place_in(algorithm);
    let is_plain_name =
        !has_place && arguments.to.output.as_deref().is_some_and(|p| by_extension(host, p).is_some());
    let is_other_name = is_plain_name || (has_place && !named.is_empty() && !is_own);
    let is_filtered = arguments.filter.unwrap_or_default() != Filtering::default();
    let output = arguments.to.output.as_deref().unwrap_or(Path::new("-")).display();
    match arguments.container {
        Wrapping::Plain if is_filtered => {
            Err(Failure::usage("--filter needs our own container; other tools could not undo it"))
        }
        Wrapping::Auto | Wrapping::Cmc if is_filtered && is_other_name => Err(Failure::usage(format!(
            "{output} would not be what its name says: no other tool could undo the filter; end it in .cmc"
        ))),
        Wrapping::Auto if is_filtered => Ok(Container::Native),
        Wrapping::Plain if arguments.parity > 0 => {
            Err(Failure::usage("--parity needs a container; plain frames have no place for it"))
        }
        Wrapping::Plain if is_own => {
            Err(Failure::usage("a .cmc file is a container; name the output otherwise"))
        }
        Wrapping::Plain => Ok(Container::Plain),
        Wrapping::Cmc if is_other_name => {
            Err(Failure::usage(format!("{output} would not be what its name says; end it in .cmc")))
        }
        Wrapping::Cmc => Ok(Container::Native),
        Wrapping::Auto if is_own => Ok(Container::Native),
        Wrapping::Auto if has_place => Ok(Container::Standard),
        Wrapping::Auto if arguments.parity == 0 => Ok(Container::Plain),
        Wrapping::Auto if is_plain_name => Err(Failure::usage(format!(
            ".{named} files have no place for parity; name the output with .cmc, or leave --parity out"
        ))),
        Wrapping::Auto => Ok(Container::Native),
    }
}

/// What the arguments say, or what the output's name says, or the default. They must not contradict each other: what a
/// name says is what the file is.
fn algorithm_for(host: &Host, arguments: &CompressArguments) -> Result<String, Failure> {
    let output = arguments.to.output.as_deref();
    let by_name = output.and_then(|path| by_extension(host, path));
    let of_implementation = arguments.implementation.as_ref().and_then(|id| id.split('/').next());
    let Some(asked) = arguments.algorithm.as_deref().or(of_implementation) else {
        return Ok(by_name.unwrap_or_else(|| algorithm::DEFAULT.to_owned()));
    };
    let asked = algorithm::canonical(asked);
    if asked == "auto" {
        let known = host.algorithms().join(", ");
        return Err(Failure::usage(format!(
            "choosing the algorithm by sampling is not built yet; name one of {known}"
        )));
    }
    match by_name {
        Some(named) if named != asked => Err(Failure::usage(format!(
            "{} is named like {named}, but {asked} was asked for; change one of them",
            output.unwrap_or(Path::new("-")).display()
        ))),
        _ => Ok(asked),
    }
}

pub(super) fn by_extension(host: &Host, path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    if let Some((_, algorithm)) = TAR_EXTENSIONS.iter().find(|(short, _)| *short == extension) {
        return Some((*algorithm).to_owned());
    }
    let algorithms = host.algorithms();
    let installed = algorithms.into_iter().find(|a| host.extension(a).as_ref() == Some(&extension));
    let known = || algorithm::KNOWN.iter().find(|k| k.extension == extension).map(|k| k.name.to_owned());
    installed.or_else(known)
}

fn compress(
    common: &Common,
    arguments: &CompressArguments,
    host: &Host,
    compressor: &Compressor,
    options: &CompressOptions,
    path: &Path,
) -> Result<FileReport, Failure> {
    let input = Input::open(path, "compress")?;
    let target =
        Target::new(path, &arguments.to, || default_name(host, compressor.algorithm(), options, path))?;
    let (name, bytes, like) = (input.name.clone(), input.bytes(), input.file.clone());
    let options =
        CompressOptions { input_bytes: bytes, input: name.clone(), output: target.name(), ..options.clone() };
    let summary = target.write(arguments.to.force, like.as_ref(), true, |out| {
        let progress = FileProgress::new(common, &name.display().to_string(), bytes);
        Ok(pipeline::compress(compressor, input.reader(), out, &options, &|e| progress.show(&e))?)
    })?;
    tell(common, &name, &summary);
    Ok(FileReport {
        input: name,
        output: target.name(),
        algorithm: Some(compressor.algorithm().to_owned()),
        summary,
    })
}

fn default_name(
    host: &Host,
    algorithm: &str,
    options: &CompressOptions,
    path: &Path,
) -> Result<PathBuf, Failure> {
    let own = (options.container == Container::Native).then(|| CONTAINER_EXTENSION.to_owned());
    let extension = own.or_else(|| host.extension(algorithm)).ok_or_else(|| {
        Failure::usage(format!("files of {algorithm} have no usual extension; name the output with -o"))
    })?;
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    Ok(name.into())
}

/// The reports as JSON: on standard output, or on standard error where standard output carries the data.
pub(super) fn tell_machines(
    common: &Common,
    inputs: &[PathBuf],
    to: &OutputArguments,
    reports: &[FileReport],
) -> Outcome {
    if !common.json {
        return Ok(());
    }
    if !uses_standard_output(inputs, to) {
        return print_json(&reports);
    }
    let text = serde_json::to_string_pretty(reports).unwrap_or_default();
    let _ = writeln!(io::stderr(), "{text}");
    Ok(())
}

/// One line a file, for people at a terminal; what failed on the way, always.
pub(super) fn tell(common: &Common, name: &Path, summary: &Summary) {
    let mut stderr = io::stderr();
    for warning in &summary.warnings {
        let _ = writeln!(stderr, "clipsmaster-host: warning: {warning}");
    }
    if common.quiet || !stderr.is_terminal() {
        return;
    }
    let names: Vec<&str> = summary.implementations.keys().map(String::as_str).collect();
    let speed = summary.input_bytes.max(summary.output_bytes) as f64 / 1e6 / summary.seconds.max(1e-9);
    let (before, after) = (size::binary(summary.input_bytes), size::binary(summary.output_bytes));
    let _ =
        writeln!(stderr, "{}: {before} -> {after}, {speed:.0} MB/s, {}", name.display(), names.join(" + "));
}
