//! Memory limits of control groups, version 2 (Documentation/admin-guide/cgroup-v2.rst).
//!
//! A group is bound by its own limit and by that of each group above, so all are looked at. Groups without a limit, and
//! files that are missing or make no sense, count as no limit: the root has none of these files, and neither has a
//! hierarchy whose memory controller belongs to version 1.

use super::{Reading, files};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// Where groups are found.
#[derive(Clone, Debug)]
pub(super) struct Hierarchy {
    /// Tells which group this process is in.
    own_file: PathBuf,
    /// Folder of the topmost group in sight.
    mount: PathBuf,
    /// Its path as the kernel names it, which the names of the groups below start with.
    top: PathBuf,
}

impl Hierarchy {
    /// The one that is mounted, by `proc/self/mountinfo` below `root`; else the usual place.
    pub(super) fn under(root: &Path) -> Self {
        let mounts = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        let usual = || (PathBuf::from("/"), PathBuf::from("/sys/fs/cgroup"));
        let (top, mount) = mounts.split(|b| *b == b'\n').find_map(mounted).unwrap_or_else(usual);
        let mount = root.join(mount.strip_prefix("/").unwrap_or(&mount));
        Self { own_file: root.join("proc/self/cgroup"), mount, top }
    }

    /// Shows `visit` the folders of this process's group and of those above, from the bottom to the top in sight.
    pub(super) fn each_group(&self, mut visit: impl FnMut(&mut PathBuf)) {
        let Some(mut group) = files::parse(&self.own_file, |text| self.folder(text)) else { return };
        loop {
            visit(&mut group);
            if group == self.mount || !group.pop() {
                return;
            }
        }
    }

    /// Folder of the group that proc/self/cgroup names. A group out of sight, as in a container that sees only its own part
    /// of the hierarchy, is taken for the topmost in sight.
    fn folder(&self, own: &str) -> Option<PathBuf> {
        let name = Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?);
        let below = name.strip_prefix(&self.top).ok();
        let below = below.filter(|b| b.components().all(|c| matches!(c, Component::Normal(_))));
        Some(below.map_or_else(|| self.mount.clone(), |below| self.mount.join(below)))
    }
}

/// Stalls under a group's limit, in percent.
pub(super) fn stalled_percent(group: &Path) -> Option<f64> {
    files::stalled_percent(&group.join("memory.pressure"))
}

/// What a group uses of its own limit, without its stalls, where there is one and `wanted` holds. `wanted` must not hold for
/// less use where it does not for more.
///
/// `memory.high` counts like `memory.max`: beyond it the kernel slows the group's tasks down until they give way. File cache
/// that was not used for a while goes without loss, so it does not count as used.
pub(super) fn limited(group: &mut PathBuf, wanted: impl Fn(&Reading) -> bool) -> Option<Reading> {
    // One path for all files, as this runs for each group on the way up.
    let mut number = |name: &str| {
        group.push(name);
        let number = files::number(group);
        group.pop();
        number
    };
    let high = number("memory.high").map(|bytes| (bytes, "cgroup memory.high"));
    let max = number("memory.max").map(|bytes| (bytes, "cgroup memory.max"));
    let (limit_bytes, source) = high.into_iter().chain(max).min_by_key(|(bytes, _)| *bytes)?;
    let reading =
        Reading { used_bytes: number("memory.current")?, limit_bytes, stalled_percent: None, source };
    // The dearest of the files: for it the kernel sums up counters of all processors and all groups below.
    if !wanted(&reading) {
        return None;
    }
    group.push("memory.stat");
    let cache = files::parse(group, |text| files::field(text, "inactive_file")).unwrap_or(0);
    group.pop();
    let reading = Reading { used_bytes: reading.used_bytes.saturating_sub(cache), ..reading };
    wanted(&reading).then_some(reading)
}

/// Root and mount point of a line of mountinfo, where it is of a version 2 hierarchy: `36 35 0:30 ROOT MOUNT_POINT OPTIONS
/// [TAG]... - cgroup2 SOURCE OPTIONS` (proc_pid_mountinfo(5)).
fn mounted(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let mut words = line.split(|b| *b == b' ');
    let (root, mount) = (words.nth(3)?, words.next()?);
    let kind = words.skip_while(|word| *word != b"-").nth(1)?;
    (kind == b"cgroup2").then(|| (unescaped(root), unescaped(mount)))
}

/// Space, tab, line feed and backslash are written as `\` and three octal digits there.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        let code = match rest {
            [b'\\', digits @ ..] => digits.get(..3).and_then(octal),
            _ => None,
        };
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsStr::from_bytes(&out))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let of = |line: &str| mounted(line.as_bytes()).map(|(top, at)| (top.display().to_string(), at));
        let found = |top: &str, at: &str| Some((top.to_owned(), PathBuf::from(at)));
        let plain = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(of(plain), found("/", "/sys/fs/cgroup"));
        let untagged = r"35 24 0:30 /a\040b /mnt/c\134d\0 rw - cgroup2 none rw";
        assert_eq!(of(untagged), found("/a b", r"/mnt/c\d\0"));
        assert_eq!(of("32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"), None);
        for bad in ["", " ", "-", "35 24 0:30 / /sys/fs/cgroup rw - ", "1 2 3 4 5 cgroup2", r"1 2 3 \ \4 - x"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
