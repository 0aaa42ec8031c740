//! Progress on a terminal, and nowhere else.

use crate::arguments::Common;
use clipsmaster_host::{Progress, pipeline::Event};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

fn bar(common: &Common, len: u64, template: &str) -> ProgressBar {
    let visible = !common.quiet && io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(len), target).with_style(style)
}

/// Shows what [`clipsmaster_host::Host`] is doing while it opens or measures.
pub(crate) struct HostProgress(ProgressBar);

impl HostProgress {
    pub(crate) fn new(common: &Common) -> Self {
        let bar = bar(common, 0, "{prefix:>10} {wide_bar} {pos}/{len} {msg:<28}");
        Self(bar)
    }

    pub(crate) fn show(&self, progress: Progress) {
        let (what, done, total, name) = match progress {
            Progress::Proving { done, total, name } => ("proving", done, total, name),
            Progress::Measuring { done, total, name } => ("measuring", done, total, name),
            _ => return,
        };
        self.0.enable_steady_tick(Duration::from_millis(200));
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
        self.0.set_prefix(what);
        self.0.set_message(name);
    }
}

impl Drop for HostProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Shows how much of a file is done.
pub(crate) struct FileProgress(ProgressBar);

impl FileProgress {
    /// `bytes` is the size of the input, where it is known.
    pub(crate) fn new(common: &Common, name: &str, bytes: Option<u64>) -> Self {
        let template = if bytes.is_some() {
            "{msg} {wide_bar} {percent}% {binary_bytes_per_sec} {eta}"
        } else {
            "{msg} {binary_bytes} {binary_bytes_per_sec}"
        };
        let bar = bar(common, bytes.unwrap_or_default(), template);
        bar.set_message(name.to_owned());
        Self(bar)
    }

    pub(crate) fn show(&self, event: &Event) {
        match event {
            Event::Done(bytes) => self.0.set_position(*bytes),
            Event::Stalled { implementation, seconds } => self.0.suspend(|| {
                let hint = "it may hang: interrupt, and pin another with --implementation";
                let _ = writeln!(
                    io::stderr(),
                    "clipsmaster-host: warning: {implementation} has worked on one piece for {seconds} s; {hint}"
                );
            }),
            _ => {}
        }
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Shows how many steps of a longer piece of work are done.
pub(crate) struct StepProgress(ProgressBar);

impl StepProgress {
    pub(crate) fn new(common: &Common, what: &'static str, steps: usize) -> Self {
        let bar = bar(common, steps as u64, "{prefix:>10} {wide_bar} {pos}/{len}");
        bar.set_prefix(what);
        Self(bar)
    }

    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    pub(crate) fn set(&self, done: usize) {
        self.0.set_position(done as u64);
    }
}

impl Drop for StepProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
