//! Runs foreign code in a child process with deadlines, so that a crash becomes a value.
//!
//! [`Helper`] is the program that serves as the child; [`run`] executes one job and returns what the child said and
//! how it ended. What that means for a plugin is decided in [`crate::registry`].

mod child;
pub(crate) mod protocol;

pub use child::probe_entry;

use crate::{Error, Result, config::raised_privileges};
use protocol::{CHILD_ARGUMENT, Event, Job};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Lines of a plugin's standard error that are kept.
const STDERR_LINES: usize = 8;
/// Longest event line accepted from a child, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Most events accepted from a child.
const MAX_EVENTS: usize = 100_000;

/// Variables a probe child inherits: what finding and using vendor libraries needs.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CLIPSMASTER_NVCOMP",
    "CLIPSMASTER_NVCOMP_PATH",
    "CLIPSMASTER_ISAL",
    "CLIPSMASTER_QATZIP",
    "QAT_SECTION_NAME",
    "QAT_POLICY",
];
/// What test doubles of vendor libraries are told.
const INHERITED_PREFIX: &str = "CLIPSMASTER_DOUBLE_";

/// The program that is executed to probe plugins.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    program: PathBuf,
    /// Longest silence of a child, where a job's own is longer.
    patience: Duration,
}

impl Helper {
    fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), patience: Duration::MAX }
    }

    /// Sets the longest silence of a child, where a job's own is longer.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Looks for it: the path given, this program if it called [`probe_entry`], `clipsmaster-host` beside this
    /// program, beside a plugins folder, in PATH.
    pub(crate) fn find(given: Option<&Path>, plugin_dirs: &[PathBuf]) -> Result<Self> {
        if let Some(program) = given {
            if is_program(program) {
                return Ok(Self::new(program));
            }
            return Err(Error::NoProbeHelper(format!("{} is no executable file", program.display())));
        }
        if child::is_offered() {
            // Through /proc, so that a program that was replaced since it started still finds itself.
            return Ok(Self::new("/proc/self/exe"));
        }
        let exe = env::current_exe().unwrap_or_default();
        let beside = exe.parent().into_iter().chain(plugin_dirs.iter().map(PathBuf::as_path));
        let path = env::var_os("PATH").filter(|_| !raised_privileges()).unwrap_or_default();
        let folders: Vec<PathBuf> = beside.map(Path::to_owned).chain(env::split_paths(&path)).collect();
        let found = folders.iter().map(|d| d.join("clipsmaster-host")).find(|p| is_program(p));
        found.map(Self::new).ok_or_else(|| {
            Error::NoProbeHelper("this program did not offer itself, and clipsmaster-host is neither beside it, beside a plugins folder, nor in PATH".into())
        })
    }
}

fn is_program(path: &Path) -> bool {
    path.is_absolute() && path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Deadlines of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Longest time between two events.
    pub silence: Duration,
    /// Longest time in all.
    pub total: Duration,
}

/// How a child ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// With its end mark and exit code 0.
    Complete,
    /// By a signal, or by leaving without the end mark.
    Crashed(String),
    /// It was killed at a deadline, or from outside.
    TimedOut(String),
}

/// What a child said and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub events: Vec<Event>,
    pub ending: Ending,
    pub stderr: Vec<String>,
}

impl Answer {
    /// What the child was doing last.
    fn last_step(&self) -> &str {
        let step = self.events.iter().rev().find_map(|e| match e {
            Event::Step(step) => Some(step.as_str()),
            _ => None,
        });
        step.unwrap_or("starting")
    }
}

/// Executes `job` in a child. `silence_after` may change the allowed silence as events arrive (a device may take
/// longer to answer than a CPU).
pub(crate) fn run(
    helper: &Helper,
    job: &Job,
    deadlines: Deadlines,
    mut silence_after: impl FnMut(&Event) -> Option<Duration>,
) -> Result<Answer> {
    let mut child = spawn(helper)?;
    let mut stdin = child.stdin.take().expect("standard input was piped");
    let mut text = serde_json::to_vec(job).expect("jobs are plain data");
    text.push(b'\n');
    // A child that dies before it reads its job is told by its ending.
    let _ = stdin.write_all(&text);
    drop(stdin);
    let stdout = child.stdout.take().expect("standard output was piped");
    let stderr = child.stderr.take().expect("standard error was piped");
    let (stderr_sender, stderr_lines) = mpsc::channel();
    thread::spawn(move || stderr_sender.send(last_lines(stderr)));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            // What does not parse was written by the plugin to a descriptor that is not its own.
            if let Ok(event) = serde_json::from_slice::<Event>(&line)
                && sender.send(event).is_err()
            {
                return;
            }
            line.clear();
        }
    });

    let start = Instant::now();
    let mut answer = Answer { events: Vec::new(), ending: Ending::Complete, stderr: Vec::new() };
    let mut silence = deadlines.silence;
    let timed_out = loop {
        let left = deadlines.total.saturating_sub(start.elapsed());
        match receiver.recv_timeout(silence.min(helper.patience).min(left)) {
            Ok(event) => {
                silence = silence_after(&event).unwrap_or(deadlines.silence);
                let end = matches!(event, Event::End);
                answer.events.push(event);
                if end || answer.events.len() > MAX_EVENTS {
                    break false;
                }
            }
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    let status = if timed_out { None } else { wait(&mut child, Duration::from_secs(2)) };
    kill(&mut child);
    // A process that left the group may hold the pipe open for ever: then there are no lines.
    answer.stderr = stderr_lines.recv_timeout(Duration::from_millis(500)).unwrap_or_default();
    answer.ending = ending(&answer, status, start.elapsed());
    Ok(answer)
}

fn spawn(helper: &Helper) -> Result<Child> {
    let mut command = Command::new(&helper.program);
    command.arg(CHILD_ARGUMENT).env_clear().process_group(0);
    if !raised_privileges() {
        command.envs(env::vars_os().filter(|(name, _)| is_inherited(name)));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir("/");
    command.spawn().map_err(Error::io("execute the probe helper", &helper.program))
}

fn is_inherited(name: &OsStr) -> bool {
    let for_doubles = name.as_encoded_bytes().starts_with(INHERITED_PREFIX.as_bytes());
    for_doubles || INHERITED.iter().any(|i| name == OsStr::new(i))
}

/// Waits for the child to leave by itself; `None` when it does not within `patience`.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(100);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if start.elapsed() > patience {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Ends the child and whatever it started in its process group.
fn kill(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn ending(answer: &Answer, status: Option<ExitStatus>, elapsed: Duration) -> Ending {
    let step = answer.last_step();
    let complete = matches!(answer.events.last(), Some(Event::End));
    let Some(status) = status else {
        let seconds = elapsed.as_secs_f64();
        return Ending::TimedOut(format!("no progress, killed after {seconds:.0} s while {step}"));
    };
    if let Some(signal) = status.signal() {
        // A service that is stopped, a machine without memory: not the plugin's doing, as far as anyone can tell.
        if [1, 2, 9, 15].contains(&signal) {
            return Ending::TimedOut(format!("was ended with {} while {step}", signal_name(signal)));
        }
        return Ending::Crashed(format!("crashed with {} while {step}", signal_name(signal)));
    }
    if complete && status.success() {
        return Ending::Complete;
    }
    let code = status.code().unwrap_or_default();
    Ending::Crashed(format!("left the process with exit code {code} while {step}"))
}

fn signal_name(signal: i32) -> String {
    let known = [
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
    ];
    let name = known.iter().find(|(n, _)| *n == signal).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("signal {signal}"))
}

/// Reads to the end, keeping the last lines, each cut to a screen's width.
fn last_lines(stderr: ChildStderr) -> Vec<String> {
    let mut kept = std::collections::VecDeque::new();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while (&mut reader).take(4096).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim_end().chars().filter(|c| !c.is_control()).take(200).collect();
        if !text.is_empty() {
            kept.push_back(text);
        }
        if kept.len() > STDERR_LINES {
            kept.pop_front();
        }
        line.clear();
    }
    kept.into()
}
