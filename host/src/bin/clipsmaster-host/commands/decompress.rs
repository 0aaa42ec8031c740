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
    Host, algorithm,
    container::CONTAINER_EXTENSION,
    pipeline::{self, DecompressOptions},
};
use std::path::{Path, PathBuf};

pub(crate) fn run(common: &Common, arguments: &DecompressArguments) -> Outcome {
    let inputs = inputs(&arguments.input, &arguments.to)?;
    let host = open(common)?;
    let mut reports = Vec::new();
    let outcome = each(&inputs, |path| {
        reports.push(decompress(common, arguments, &host, path)?);
        Ok(())
    });
    tell_machines(common, &inputs, &arguments.to, &reports)?;
    outcome?;
    let lost: usize = reports.iter().map(|r| r.summary.lost.len()).sum();
    if lost > 0 {
        return Err(Failure::new(code::PARTIAL, format!("the output is partial: {lost} stretches are lost")));
    }
    Ok(())
}

fn decompress(
    common: &Common,
    arguments: &DecompressArguments,
    host: &Host,
    path: &Path,
) -> Result<FileReport, Failure> {
    let input = Input::open(path, "decompress")?;
    let (name, bytes, like) = (input.name.clone(), input.bytes(), input.file.clone());
    let target = Target::new(path, &arguments.to, || default_name(host, path))?;
    let options = DecompressOptions {
        algorithm: arguments.algorithm.clone(),
        implementation: arguments.implementation.clone(),
        range: arguments.range.clone(),
        on_damage: arguments.on_damage.into(),
        threads: arguments.limits.threads(),
        memory_bytes: arguments.limits.memory_limit,
        input: name.clone(),
        output: target.name(),
    };
    let summary = target.write(arguments.to.force, like.as_ref(), false, |out| {
        let progress = FileProgress::new(common, &name.display().to_string(), bytes);
        Ok(pipeline::decompress(host, input.source, out, &options, &|e| progress.show(&e))?)
    })?;
    tell(common, &name, &summary, None);
    Ok(FileReport { input: name, output: target.name(), algorithm: None, choice: None, summary })
}

/// The input's name without the extension of its format; `.tgz` and the like become `.tar`.
fn default_name(host: &Host, path: &Path) -> Result<PathBuf, Failure> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if TAR_EXTENSIONS.iter().any(|(short, _)| *short == extension) {
        return Ok(path.with_extension("tar"));
    }
    let known = extension == CONTAINER_EXTENSION || algorithm::KNOWN.iter().any(|k| k.extension == extension);
    if !extension.is_empty() && (known || host.extensions().contains(&extension)) {
        return Ok(path.with_extension(""));
    }
    Err(Failure::usage(format!(
        "{} has no extension of a known format to remove; name the output with -o, or use --stdout",
        path.display()
    )))
}
