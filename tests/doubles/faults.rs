//! What the tests want a double to do wrong.
//!
//! From variables `CLIPSMASTER_DOUBLE_<NAME>`; or, since probe children do not inherit those, from lines `NAME=value` in
//! the file `faults` in the folder that `LD_LIBRARY_PATH` names.

use std::{env, fs, path::Path, thread, time::Duration};

/// Value of a fault, if the tests want it.
pub(crate) fn fault(name: &str) -> Option<String> {
    env::var(format!("CLIPSMASTER_DOUBLE_{name}")).ok().or_else(|| from_file(name))
}

/// As [`fault`], a number.
pub(crate) fn number(name: &str) -> Option<usize> {
    fault(name)?.parse().ok()
}

fn from_file(name: &str) -> Option<String> {
    let folder = env::var_os("LD_LIBRARY_PATH")?;
    let text = fs::read_to_string(Path::new(&folder).join("faults")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

#[allow(dead_code, reason = "not every double hangs")]
/// Never returns.
pub(crate) fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
