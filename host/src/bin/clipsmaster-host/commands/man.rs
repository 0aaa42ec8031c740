//! `man`: the manual page, of the same arguments that are read: all verbs on one page.

use crate::{Outcome, arguments::Arguments, print};
use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::io;

/// Places that the options do not name, each with what is there.
const FILES: [(&str, &str); 5] = [
    (
        "/etc/clipsmaster/compression_layers.yaml",
        "policies of the machine; ../etc/clipsmaster from the program, too",
    ),
    ("~/.config/clipsmaster/compression_layers.yaml", "your policies"),
    ("~/.config/clipsmaster/config.yaml", "your settings"),
    (
        "~/.local/share/clipsmaster/plugins",
        "your plugins; those installed are in ../lib/clipsmaster/plugins from the program",
    ),
    ("~/.cache/clipsmaster", "private copies of plugins, verdicts, measurements"),
];

pub(crate) fn run() -> Outcome {
    let mut command = Arguments::command().disable_help_subcommand(true).subcommand_value_name("verb");
    command.build();
    let mut page = Vec::new();
    // A vector takes all that is written.
    let _ = write(&command, &mut page);
    print(&String::from_utf8_lossy(&page))
}

fn write(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    heading("SH", "VERBS").to_writer(page)?;
    write_verbs(command, page)?;
    files().to_writer(page)?;
    heading("SH", "NOTES").to_writer(page)?;
    notes(command).to_writer(page)
}

/// All verbs below `command`, each with its options but for those that all verbs have.
fn write_verbs(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
        if verb.has_subcommands() {
            write_verbs(verb, page)?;
            continue;
        }
        let usage = verb.clone().render_usage().to_string();
        let mut about = heading("SS", usage.trim_start_matches("Usage: "));
        about.text([roman(verb.get_about().map(ToString::to_string).unwrap_or_default())]);
        about.to_writer(page)?;
        let own = verb.clone().mut_args(|a| {
            let is_of_all = a.is_global_set() || a.get_id() == "help";
            a.hide(is_of_all)
        });
        let mut options = Vec::new();
        Man::new(own).render_options_section(&mut options)?;
        page.extend(String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "").into_bytes());
        notes(verb).to_writer(page)?;
    }
    Ok(())
}

fn heading(kind: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control(kind, [text]);
    roff
}

fn files() -> Roff {
    let mut roff = heading("SH", "FILES");
    for (path, what) in FILES {
        roff.control("TP", []).text([bold(path)]).text([roman(what)]);
    }
    roff
}

/// What stands below the options in the help.
fn notes(command: &Command) -> Roff {
    let mut roff = Roff::new();
    for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
        roff.control("PP", []).text([roman(line)]);
    }
    roff
}
