//! `compress`: files and pipes, chunked and parallel.

use super::{
    by_policy,
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
    Choice, Compressor, DataSample, Filter, Floors, Host, Likeness, Request, Wanted, algorithm,
    container::{CONTAINER_EXTENSION, MAX_CHUNK_BYTES},
    pipeline::{self, CompressOptions, Container, Filtering, Summary},
    size,
};
use serde::Serialize;
use std::{
    collections::HashMap,
    io::{self, Cursor, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    rc::Rc,
};

/// What `--algorithm` says to have it chosen.
const AUTO: &str = "auto";

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    #[serde(flatten)]
    pub summary: Summary,
}

pub(crate) fn run(common: &Common, arguments: &CompressArguments) -> Outcome {
    let inputs = inputs(&arguments.input, &arguments.to)?;
    arguments.chunk_size.map(checked_chunk).transpose()?;
    let host = open(common)?;
    let arguments = &by_policy::filled(common, &host, arguments)?;
    let chunk_bytes = arguments.chunk_size.map(checked_chunk).transpose()?;
    let asked = asked(&host, arguments)?;
    let job = |plan: &Plan, likeness: Option<Likeness>| -> Result<(Request, CompressOptions), Failure> {
        let chunk_bytes = chunk_bytes.or(plan.chunk_bytes);
        let request = Request {
            level: plan.level,
            hardware: hardware(arguments),
            implementation: arguments.implementation.clone(),
            bytes: chunk_bytes.map(|b| b as u64),
            likeness,
            ..Request::new(&plan.algorithm)
        };
        let options = CompressOptions {
            chunk_bytes,
            threads: arguments.limits.threads(),
            memory_bytes: arguments.limits.memory_limit,
            container: container(&host, plan, arguments)?,
            filter: plan.filter,
            parity_percent: parity(arguments),
            verify: arguments.verify,
            ..CompressOptions::default()
        };
        Ok((request, options))
    };
    if let Asked::Plan(plan) = &asked {
        // What cannot be done to any input is told once, before one is opened.
        host.compressor(&job(plan, None)?.0)?;
    }
    let mut compressors = Compressors::default();
    let mut reports = Vec::new();
    let outcome = each(&inputs, |path| {
        let mut input = Input::open(path, "compress")?;
        let (chosen, choice);
        let plan = match &asked {
            Asked::Plan(plan) => {
                choice = None;
                plan
            }
            Asked::Auto(wanted) => {
                let head_bytes = DataSample::head_bytes(wanted.objective);
                let best = sampled(&mut input, head_bytes, |sample| host.choose_for(&sample, wanted))?;
                chosen = Plan::of(&best);
                choice = Some(best);
                &chosen
            }
        };
        let likeness = sampled(&mut input, Likeness::HEAD_BYTES, |sample| {
            sample.likeness().map_err(clipsmaster_host::Error::io("read", path))
        })?;
        let (request, options) = job(plan, likeness)?;
        let compressor = compressors.get(&host, &request)?;
        reports.push(compress(common, arguments, &host, (&compressor, options), path, input, choice)?);
        Ok(())
    });
    tell_machines(common, &inputs, &arguments.to, &reports)?;
    outcome
}

fn hardware(arguments: &CompressArguments) -> Option<String> {
    arguments.hardware.clone().filter(|h| h != "auto")
}

fn parity(arguments: &CompressArguments) -> u8 {
    arguments.parity.unwrap_or_default()
}

/// What to compress with.
struct Plan {
    algorithm: String,
    level: Option<i32>,
    filter: Filtering,
    chunk_bytes: Option<usize>,
}

impl Plan {
    fn of(choice: &Choice) -> Self {
        let (level, filter) = (Some(choice.level), Filtering::Always(choice.filter));
        Self { algorithm: choice.algorithm.clone(), level, filter, chunk_bytes: choice.chunk_bytes }
    }
}

/// What the arguments ask for.
enum Asked {
    Plan(Plan),
    /// Choose for each input.
    Auto(Wanted),
}

fn asked(host: &Host, arguments: &CompressArguments) -> Result<Asked, Failure> {
    if !arguments.algorithm.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(AUTO)) {
        if let Some(option) = arguments.auto.given() {
            return Err(Failure::usage(format!(
                "{option} says what to choose by; it needs --algorithm auto"
            )));
        }
        let (level, filter) = (arguments.level, arguments.filter.unwrap_or_default());
        let algorithm = algorithm_for(host, arguments)?;
        return Ok(Asked::Plan(Plan { algorithm, level, filter, chunk_bytes: None }));
    }
    for (is_given, option) in
        [(arguments.level.is_some(), "--level"), (arguments.implementation.is_some(), "--implementation")]
    {
        if is_given {
            return Err(Failure::usage(format!("--algorithm auto chooses by itself; leave {option} out")));
        }
    }
    let output = arguments.to.output.as_deref();
    let named = output.and_then(|path| by_extension(host, path));
    let is_bare = named.is_some() || arguments.container == Wrapping::Plain;
    let filter = match arguments.filter {
        Some(Filtering::Always(filter)) => Some(filter),
        // What a name says is what the file is.
        _ if is_bare => Some(Filter::None),
        _ => None,
    };
    let limits = [arguments.auto.floors.max_memory, arguments.limits.memory_limit];
    Ok(Asked::Auto(Wanted {
        objective: arguments.auto.objective.map(Into::into).unwrap_or_default(),
        floors: Floors {
            max_memory_bytes: limits.into_iter().flatten().min(),
            ..arguments.auto.floors.into()
        },
        may_store: !is_bare || named.as_deref() == Some(algorithm::STORE),
        algorithm: named,
        filter,
        hardware: hardware(arguments),
    }))
}

/// What `look` makes of a sample of `input`; of a pipe, up to `head_bytes` are read for that and put back.
fn sampled<T>(
    input: &mut Input,
    head_bytes: usize,
    look: impl FnOnce(DataSample<'_>) -> clipsmaster_host::Result<T>,
) -> Result<T, Failure> {
    let fail = clipsmaster_host::Error::io("read", input.name.clone());
    if let pipeline::Input::File(file) = &input.source {
        return Ok(look(DataSample::of_file(file).map_err(fail)?)?);
    }
    let nothing = pipeline::Input::Stream(Box::new(io::empty()));
    let pipeline::Input::Stream(mut stream) = std::mem::replace(&mut input.source, nothing) else {
        return Err(Failure::usage("an input that is neither file nor stream"));
    };
    let mut head = Vec::new();
    (&mut stream).take(head_bytes as u64).read_to_end(&mut head).map_err(fail)?;
    let seen = look(DataSample::of_head(&head))?;
    input.source = pipeline::Input::Stream(Box::new(Cursor::new(head).chain(stream)));
    Ok(seen)
}

/// The compressors in use: what one has set up serves the next file, too.
#[derive(Default)]
struct Compressors(HashMap<(String, i32), Rc<Compressor>>);

impl Compressors {
    fn get(&mut self, host: &Host, request: &Request) -> Result<Rc<Compressor>, Failure> {
        let new = host.compressor(request)?;
        let key = (new.implementation().to_owned(), new.level());
        Ok(Rc::clone(self.0.entry(key).or_insert_with(|| Rc::new(new))))
    }
}

fn checked_chunk(bytes: u64) -> Result<usize, Failure> {
    let range = (4 << 10)..=MAX_CHUNK_BYTES as u64;
    let fits = range.contains(&bytes).then(|| usize::try_from(bytes).ok()).flatten();
    fits.ok_or_else(|| Failure::usage(format!("--chunk-size {bytes} is outside 4KB to 64MB")))
}

/// What goes around the frames. A file is what its name says: records go where the format has a place for them.
fn container(host: &Host, plan: &Plan, arguments: &CompressArguments) -> Result<Container, Failure> {
    let algorithm = plan.algorithm.as_str();
    let named = arguments.to.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str());
    let named = named.unwrap_or_default().to_ascii_lowercase();
    let is_own = named == CONTAINER_EXTENSION;
    let has_place = Container::has_place_in(algorithm);
    let is_plain_name =
        !has_place && arguments.to.output.as_deref().is_some_and(|p| by_extension(host, p).is_some());
    let is_other_name = is_plain_name || (has_place && !named.is_empty() && !is_own);
    let is_filtered = plan.filter != Filtering::default();
    // Bare frames of it are no file of any format.
    let is_stored_by_choice = algorithm == algorithm::STORE
        && !is_plain_name
        && arguments.algorithm.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(AUTO));
    let output = arguments.to.output.as_deref().unwrap_or(Path::new("-")).display();
    match arguments.container {
        Wrapping::Plain if is_filtered => {
            Err(Failure::usage("--filter needs our own container; other tools could not undo it"))
        }
        Wrapping::Auto | Wrapping::Cmc if is_filtered && is_other_name => Err(Failure::usage(format!(
            "{output} would not be what its name says: no other tool could undo the filter; end it in .cmc"
        ))),
        Wrapping::Auto if is_filtered || is_stored_by_choice => Ok(Container::Native),
        Wrapping::Plain if parity(arguments) > 0 => {
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
        Wrapping::Auto if parity(arguments) == 0 => Ok(Container::Plain),
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
    (compressor, options): (&Compressor, CompressOptions),
    path: &Path,
    input: Input,
    choice: Option<Choice>,
) -> Result<FileReport, Failure> {
    let target =
        Target::new(path, &arguments.to, || default_name(host, compressor.algorithm(), &options, path))?;
    let (name, bytes, like) = (input.name.clone(), input.bytes(), input.file.clone());
    let options =
        CompressOptions { input_bytes: bytes, input: name.clone(), output: target.name(), ..options };
    let summary = target.write(arguments.to.force, like.as_ref(), true, |out| {
        let progress = FileProgress::new(common, &name.display().to_string(), bytes);
        Ok(pipeline::compress(compressor, input.reader(), out, &options, &|e| progress.show(&e))?)
    })?;
    tell(common, &name, &summary, choice.as_ref());
    Ok(FileReport {
        input: name,
        output: target.name(),
        algorithm: Some(compressor.algorithm().to_owned()),
        choice,
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
pub(super) fn tell(common: &Common, name: &Path, summary: &Summary, choice: Option<&Choice>) {
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
    let why = choice.map(|choice| format!("; chose {choice}")).unwrap_or_default();
    let by = names.join(" + ");
    let _ = writeln!(stderr, "{}: {before} -> {after}, {speed:.0} MB/s, {by}{why}", name.display());
}
