//! The command line: arguments in, calls on the host, text or JSON out. No logic of its own beyond names and manners
//! of files.

mod arguments;
mod commands;
mod progress;
mod table;

use arguments::{Arguments, Command, Common, PluginsCommand, PolicyCommand, QuarantineCommand};
use clap::Parser;
use clipsmaster_host::{Error, probe_entry};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Why the program ends unsuccessfully: what to say, and the exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

/// Exit codes; 0 is success.
mod code {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const DAMAGED: u8 = 3;
    pub(crate) const PARTIAL: u8 = 4;
    pub(crate) const NO_IMPLEMENTATION: u8 = 5;
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(code::USAGE, message)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        let code = match &e {
            Error::Usage(_) | Error::Config { .. } | Error::Policy { .. } => code::USAGE,
            Error::Damaged { .. }
            | Error::UnknownFormat { .. }
            | Error::Mismatch(_)
            | Error::Container { .. } => code::DAMAGED,
            Error::UnknownAlgorithm { .. } | Error::NoImplementation { .. } => code::NO_IMPLEMENTATION,
            _ => code::FAILED,
        };
        Self::new(code, e.to_string())
    }
}

type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    probe_entry();
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "clipsmaster-host: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let common = &arguments.common;
    match &arguments.command {
        Command::ListPlugins(a) => commands::list_plugins::run(common, a),
        Command::BestHardware(a) => commands::best_hardware::run(common, a),
        Command::Bench(a) => commands::bench::run(common, a),
        Command::Recommend(a) => commands::recommend::run(common, a),
        Command::Regret(a) => commands::regret::run(common, a),
        Command::StoreSim(a) => commands::store_sim::run(common, a),
        Command::Compress(a) => commands::compress::run(common, a),
        Command::Decompress(a) => commands::decompress::run(common, a),
        Command::Info(a) => commands::info::run(common, a),
        Command::Verify(a) => commands::verify::run(common, a),
        Command::Repair(a) => commands::repair::run(common, a),
        Command::Salvage(a) => commands::salvage::run(common, a),
        Command::Export(a) => commands::export::run(common, a),
        Command::Policy(command) => policy(common, command),
        Command::Validate(a) => commands::validate::run(common, a),
        Command::Doctor => commands::doctor::run(common),
        Command::Completions { shell } => commands::completions::run(*shell),
        Command::Man => commands::man::run(),
        Command::Plugins(PluginsCommand::Refresh) => commands::plugins::refresh(common),
        Command::Plugins(PluginsCommand::Quarantine(QuarantineCommand::List)) => {
            commands::plugins::quarantine_list(common)
        }
        Command::Plugins(PluginsCommand::Quarantine(QuarantineCommand::Clear { id })) => {
            commands::plugins::quarantine_clear(common, id)
        }
    }
}

fn policy(common: &Common, command: &PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::List(a) => commands::policy::list(common, a),
        PolicyCommand::Show(a) => commands::policy::show(common, a),
        PolicyCommand::Create(a) => commands::policy::create(common, a),
        PolicyCommand::Update(a) => commands::policy::update(common, a),
        PolicyCommand::Delete(a) => commands::policy::delete(common, a),
        PolicyCommand::Verify(a) => commands::policy::verify(common, a),
        PolicyCommand::Apply(a) => commands::policy::apply(common, a),
    }
}

/// Writes a whole answer to standard output; a reader that left early is no error.
fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(code::FAILED, format!("cannot write standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(code::FAILED, format!("cannot write JSON: {e}")))?;
    print(&(text + "\n"))
}
