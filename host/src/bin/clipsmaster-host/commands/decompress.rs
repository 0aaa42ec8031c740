//! `decompress`: any of the installed formats, whoever wrote them.

use super::{
    compress::{FileReport, TAR_EXTENSIONS, tell, tell_machines},
    files::{Input, Target, each, inputs},
    open,
};
use crate::{
    Failure, Outcome,
    arguments::{Common, DecompressArguments},
    code,
    progress::FileProgress,
};
use clipsmaster_host::{
    DETECT_BYTES, Error, Host, Request, algorithm,
    pipeline::{self, DecompressOptions},
};
use std::{
    io::{Cursor, Read},
    path::{Path, PathBuf},
};

pub(crate) fn run(common: &Common, arguments: &DecompressArguments) -> Outcome {
    let inputs = inputs(&arguments.input, &arguments.to)?;
    let host = open(common)?;
    let mut reports = Vec::new();
    let outcome = each(&inputs, |path| {
        reports.push(decompress(common, arguments, &host, path)?);
        Ok(())
    });
    tell_machines(common, &inputs, &arguments.to, &reports)?;
    outcome
}

fn decompress(
    common: &Common,
    arguments: &DecompressArguments,
    host: &Host,
    path: &Path,
) -> Result<FileReport, Failure> {
    let mut input = Input::open(path, "decompress")?;
    let (name, bytes, like) = (input.name.clone(), input.bytes(), input.file.clone());
    let target = Target::new(path, &arguments.to, || default_name(host, path))?;
    let mut head = Vec::new();
    let read = (&mut input.reader).take(DETECT_BYTES as u64).read_to_end(&mut head);
    read.map_err(|e| Failure::new(code::FAILED, format!("cannot read {}: {e}", name.display())))?;
    let algorithm = detect(host, arguments, &head, path, &name)?;
    let request = Request {
        implementation: arguments.implementation.clone(),
        stream: arguments.implementation.is_none(),
        ..Request::new(&algorithm)
    };
    // A codec that cannot stream is better than none.
    let decompressor = host.decompressor(&request).or_else(|e| match e {
        Error::NoImplementation { .. } if request.stream => {
            host.decompressor(&Request { stream: false, ..request.clone() })
        }
        other => Err(other),
    })?;
    let options =
        DecompressOptions { input: name.clone(), output: target.name(), ..DecompressOptions::default() };
    let summary = target.write(arguments.to.force, like.as_ref(), false, |out| {
        let progress = FileProgress::new(common, &name.display().to_string(), bytes);
        let all = Cursor::new(head).chain(input.reader);
        Ok(pipeline::decompress(&decompressor, all, out, &options, &|n| progress.at(n))?)
    })?;
    tell(common, &name, &summary);
    Ok(FileReport { input: name, output: target.name(), algorithm, summary })
}

fn detect(
    host: &Host,
    arguments: &DecompressArguments,
    head: &[u8],
    path: &Path,
    name: &Path,
) -> Result<String, Failure> {
    if let Some(asked) = &arguments.algorithm {
        return Ok(algorithm::canonical(asked));
    }
    if head.is_empty() {
        return Err(Failure::new(
            code::DAMAGED,
            format!("{} is empty: no format has empty files", name.display()),
        ));
    }
    let found = host.detect(head, Some(path));
    let unknown = || Error::UnknownFormat { input: name.display().to_string(), known: host.algorithms() };
    Ok(found.ok_or_else(unknown)?)
}

/// The input's name without the extension of its format; `.tgz` and the like become `.tar`.
fn default_name(host: &Host, path: &Path) -> Result<PathBuf, Failure> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if TAR_EXTENSIONS.iter().any(|(short, _)| *short == extension) {
        return Ok(path.with_extension("tar"));
    }
    let known = algorithm::KNOWN.iter().any(|k| k.extension == extension);
    if !extension.is_empty() && (known || host.extensions().contains(&extension)) {
        return Ok(path.with_extension(""));
    }
    Err(Failure::usage(format!(
        "{} has no extension of a known format to remove; name the output with -o, or use --stdout",
        path.display()
    )))
}
