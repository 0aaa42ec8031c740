//! Reads how much memory is used of what may be used: by control group and by machine.

use super::{
    Reading,
    cgroup::{self, Hierarchy},
    files,
};
use std::path::{Path, PathBuf};

/// Where the kernel tells about memory: the version 2 control groups of this process, `/proc/meminfo` and
/// `/proc/pressure/memory`. Which hierarchy is mounted is found out once; the rest is read anew each time.
#[derive(Clone, Debug)]
pub struct Sources {
    groups: Hierarchy,
    meminfo: PathBuf,
    pressure: PathBuf,
}

impl Sources {
    /// Those of the running system.
    pub fn of_system() -> Self {
        Self::under(Path::new("/"))
    }

    /// Those below `root`, which holds `proc` and `sys` as the file system's root does: for tests.
    pub fn under(root: &Path) -> Self {
        let groups = Hierarchy::under(root);
        Self { groups, meminfo: root.join("proc/meminfo"), pressure: root.join("proc/pressure/memory") }
    }

    /// How it stands now at the limit of which the largest share is used: that of this process's control group, of one
    /// above, or the machine's memory. The stalls are of the same place. `None` where nothing can be read.
    ///
    /// Opens a few files for the machine, two for each group on the way up, and one to three more for one with a limit.
    pub fn read(&self) -> Option<Reading> {
        let (reading, group) = self.tightest(|one, other| one.used_share() > other.used_share())?;
        let stalled_percent = match group {
            Some(group) => cgroup::stalled_percent(&group),
            None => files::stalled_percent(&self.pressure),
        };
        Some(Reading { stalled_percent, ..reading })
    }

    /// What may be used before the first limit is reached, in bytes. `None` where nothing can be read.
    pub fn free_bytes(&self) -> Option<u64> {
        let (reading, _) = self.tightest(|one, other| one.free_bytes() < other.free_bytes())?;
        Some(reading.free_bytes())
    }

    /// The limit that is tighter than all others, without its stalls, and the folder of the control group that it is of. Less use
    /// of the same limit must not be `tighter`.
    fn tightest(&self, tighter: impl Fn(&Reading, &Reading) -> bool) -> Option<(Reading, Option<PathBuf>)> {
        let mut tightest = self.machine().map(|reading| (reading, None));
        self.groups.each_group(|group| {
            let wanted =
                |reading: &Reading| tightest.as_ref().is_none_or(|(other, _)| tighter(reading, other));
            if let Some(reading) = cgroup::limited(group, wanted) {
                tightest = Some((reading, Some(group.clone())));
            }
        });
        tightest
    }

    /// The machine's memory: what is used is what could not be had without swapping (proc_meminfo(5), `MemAvailable`).
    fn machine(&self) -> Option<Reading> {
        let kib = |text: &str, key| files::field(text, key)?.checked_mul(1024);
        files::parse(&self.meminfo, |text| {
            let limit_bytes = kib(text, "MemTotal:").filter(|bytes| *bytes > 0)?;
            let used_bytes = limit_bytes.saturating_sub(kib(text, "MemAvailable:")?);
            Some(Reading { used_bytes, limit_bytes, stalled_percent: None, source: "/proc/meminfo" })
        })
    }
}
