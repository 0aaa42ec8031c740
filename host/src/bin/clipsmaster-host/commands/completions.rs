//! `completions`: the script for a shell.

use crate::{Outcome, arguments::Arguments, print};
use clap::CommandFactory;

pub(crate) fn run(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "clipsmaster-host", &mut script);
    print(&String::from_utf8_lossy(&script))
}
