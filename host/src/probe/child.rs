//! The child's side: runs one job on one library and reports on a private pipe.
//!
//! Everything foreign runs here first. The process gives up core dumps and, unless a device needs it, most of
//! the address space; the parent ends it by its process group.

use super::protocol::{CHILD_ARGUMENT, DeviceOutcome, Event, Job, Peer, Task};
use crate::{
    benchmark,
    registry::{load::load, report::CodecInfo},
    validate::{self, Told},
};
use clipsmaster_plugin_api::abi::import::{Codec, Plugin};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    fs::File,
    io::{self, BufRead, Write},
    os::fd::{AsFd, OwnedFd},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether this program called [`probe_entry`], so that it may be executed as a probe child.
static OFFERED: AtomicBool = AtomicBool::new(false);

/// To be called first thing in `main`: makes this program its own probe helper.
///
/// When the host started the program as a probe child, this runs the probe and ends the process. Otherwise
/// it returns at once, and the host may execute the program again to probe plugins.
pub fn probe_entry() {
    OFFERED.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).is_some_and(|a| a == CHILD_ARGUMENT) {
        process::exit(run());
    }
}

/// Whether [`probe_entry`] was called in this process.
pub(crate) fn is_offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

fn run() -> i32 {
    let Ok(mut report) = private_report() else { return 1 };
    let mut line = String::new();
    let job = io::stdin().lock().read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
    let Some(job) = job else {
        eprintln!("no job on standard input: this is the host's probe helper, not for direct use");
        return 2;
    };
    limit(&job);
    perform(&job, &mut |event| report.send(&event));
    report.send(&Event::End);
    0
}

/// The pipe to the parent, on a descriptor of its own: what a plugin prints to standard output goes to
/// standard error instead.
fn private_report() -> io::Result<Report> {
    let pipe: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(Report { pipe: File::from(pipe) })
}

struct Report {
    pipe: File,
}

impl Report {
    fn send(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("events are plain data");
        line.push(b'\n');
        if self.pipe.write_all(&line).is_err() {
            // The parent is gone: nobody is left to work for.
            process::exit(3);
        }
    }
}

fn limit(job: &Job) {
    let at_most = |n| Rlimit { current: Some(n), maximum: Some(n) };
    let _ = setrlimit(Resource::Core, at_most(0));
    // Where memory ends all the same, this process goes first, not the application that asked for it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    if let Some(bytes) = job.memory_bytes {
        let _ = setrlimit(Resource::As, at_most(bytes));
    }
    // The host ends: so does what it asked for.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

fn perform(job: &Job, send: &mut dyn FnMut(Event)) {
    send(Event::Step("loading".into()));
    let plugin = match load(&job.library) {
        Ok(plugin) => plugin,
        Err(why) => return send(Event::Incompatible(why)),
    };
    match &job.task {
        Task::Describe => describe(plugin, send),
        Task::Conform { codec, peers } => {
            let Some(codec) = plugin.codec(*codec) else { return };
            let mut open_peers = Vec::new();
            for peer in peers {
                send(Event::Step(format!("loading peer {}", peer.implementation)));
                open_peers.extend(load_peer(peer).map(|codec| (peer.implementation.clone(), codec)));
            }
            validate::conform(codec, &open_peers, &mut |told| match told {
                Told::Begins(name) => send(Event::Step(format!("conformance case: {name}"))),
                Told::Ended(case) => send(Event::Case(case)),
            });
        }
        Task::Measure { contenders, plan } => {
            let _ = rustix::process::nice(5);
            let mut open = Vec::new();
            for (number, contender) in contenders.iter().enumerate() {
                send(Event::Turn(number));
                send(Event::Step(format!("loading {}", contender.peer.implementation)));
                open.extend(load_peer(&contender.peer).map(|codec| benchmark::Contender {
                    number,
                    codec,
                    levels: contender.levels.clone(),
                }));
            }
            let frames_by: Vec<Codec> = plan.frames_by.iter().filter_map(load_peer).collect();
            benchmark::measure(&open, &frames_by, &plan.sizes, send);
        }
    }
}

fn load_peer(peer: &Peer) -> Option<Codec> {
    load(&peer.library).ok()?.codec(peer.codec)
}

fn describe(plugin: Plugin, send: &mut dyn FnMut(Event)) {
    let codecs: Vec<Codec> = plugin.codecs().collect();
    send(Event::Described {
        info: plugin.manifest().into(),
        codecs: codecs.iter().map(CodecInfo::new).collect(),
    });
    for codec in codecs {
        send(Event::Step(format!("probing {}", codec.descriptor().implementation())));
        let outcome = match codec.probe() {
            Ok(Ok(device)) => DeviceOutcome::Found(device),
            Ok(Err(missing)) => DeviceOutcome::Missing { reason: missing.reason, remedy: missing.remedy },
            Err(e) => DeviceOutcome::Failed(e.to_string()),
        };
        send(Event::Device { codec: codec.index(), outcome });
    }
}
