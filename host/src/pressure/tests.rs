//! What is read from trees of files as different systems have them.

use super::*;
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

const MIB: u64 = 1 << 20;
const V2: &str =
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw\n";
/// 4000 MiB, of which half are available.
const MEMINFO: &str =
    "MemTotal:        4096000 kB\nMemFree:          100000 kB\nMemAvailable:    2048000 kB\n";

/// A folder of files that goes when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("cm-pressure-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let tree = Self(std::env::temp_dir().join(unique));
        fs::create_dir_all(&tree.0).expect("a writable temporary folder");
        files.iter().fold(tree, |tree, (path, text)| tree.with(path, text))
    }

    /// One with a machine half used and a version 2 hierarchy, where this process is in the group `own`.
    fn v2(own: &str) -> Self {
        let own = format!("0::{own}\n");
        Self::new(&[
            ("proc/meminfo", MEMINFO),
            ("proc/pressure/memory", &psi("1.25")),
            ("proc/self/mountinfo", V2),
            ("proc/self/cgroup", &own),
        ])
    }

    fn with(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a writable temporary folder");
        fs::write(path, text).expect("a writable temporary folder");
        self
    }

    /// A group with 10 MiB of file cache beyond what it uses.
    fn group(self, path: &str, used_mib: u64, high: &str, max: &str) -> Self {
        let base = format!("sys/fs/cgroup{path}");
        let stat = format!(
            "anon 1\nfile 2\nkernel 3\nzswap 0\ninactive_anon 4\nactive_anon 5\ninactive_file {}\nactive_file 7\n",
            10 * MIB
        );
        self.with(&format!("{base}/memory.current"), format!("{}\n", (used_mib + 10) * MIB))
            .with(&format!("{base}/memory.high"), format!("{high}\n"))
            .with(&format!("{base}/memory.max"), format!("{max}\n"))
            .with(&format!("{base}/memory.stat"), stat)
            .with(&format!("{base}/memory.pressure"), psi("12.50"))
    }

    fn sources(&self) -> Sources {
        Sources::under(&self.0)
    }

    fn read(&self) -> Option<Reading> {
        self.sources().read()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn psi(some_avg10: &str) -> String {
    format!(
        "some avg10={some_avg10} avg60=0.50 avg300=0.25 total=1905445\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=13\n"
    )
}

fn mib(mib: u64) -> String {
    (mib * MIB).to_string()
}

fn reading(used_mib: u64, limit_mib: u64, stalled_percent: Option<f64>, source: &'static str) -> Reading {
    Reading { used_bytes: used_mib * MIB, limit_bytes: limit_mib * MIB, stalled_percent, source }
}

fn machine() -> Reading {
    reading(2000, 4000, Some(1.25), "/proc/meminfo")
}

#[test]
fn a_container_that_sees_its_group_as_the_root() {
    let tree = Tree::v2("/").group("", 300, "max", &mib(400));
    assert_eq!(tree.read(), Some(reading(300, 400, Some(12.5), "cgroup memory.max")));
    assert_eq!(tree.sources().free_bytes(), Some(100 * MIB));
}

#[test]
fn a_container_with_its_part_of_the_hosts_hierarchy() {
    let mounts = V2.replace("0:30 / ", "0:30 /docker/0a1b ");
    for own in
        ["/docker/0a1b", "/docker/0a1b/sub", "/../elsewhere", "/system.slice/other.service", "nonsense"]
    {
        let tree = Tree::v2(own).with("proc/self/mountinfo", &mounts).group("", 300, "max", &mib(400));
        assert_eq!(tree.read().map(|r| r.limit_bytes), Some(400 * MIB), "{own}");
    }
    let tree =
        Tree::v2("/docker/0a1b/sub").with("proc/self/mountinfo", &mounts).group("/sub", 9, "max", &mib(10));
    assert_eq!(tree.read().map(|r| r.limit_bytes), Some(10 * MIB));
}

#[test]
fn a_slice_whose_parent_has_the_limit() {
    let tree = Tree::v2("/app.slice/app-store.slice/store.service")
        .group("/app.slice/app-store.slice/store.service", 50, "max", "max")
        .group("/app.slice/app-store.slice", 700, "max", &mib(1000))
        .group("/app.slice", 800, "max", &mib(2000));
    assert_eq!(tree.read(), Some(reading(700, 1000, Some(12.5), "cgroup memory.max")));
    assert_eq!(tree.sources().free_bytes(), Some(300 * MIB));
    // A sibling fills the slice above.
    let tree = tree.group("/app.slice", 1900, "max", &mib(2000));
    assert_eq!(tree.read(), Some(reading(1900, 2000, Some(12.5), "cgroup memory.max")));
}

#[test]
fn file_cache_does_not_make_a_limit_the_tightest() {
    // 209 of 210 MiB above, but most of that is cache.
    let stat = format!("inactive_file {}\n", 130 * MIB);
    let tree = Tree::v2("/a/b")
        .group("/a/b", 60, "max", &mib(100))
        .group("/a", 199, "max", &mib(210))
        .with("sys/fs/cgroup/a/memory.stat", stat);
    assert_eq!(tree.read(), Some(reading(60, 100, Some(12.5), "cgroup memory.max")));
    assert_eq!(tree.sources().free_bytes(), Some(40 * MIB));
}

#[test]
fn groups_outside_the_own_branch_do_not_count() {
    let tree = Tree::v2("/a/b").group("/c", 99, "max", &mib(100)).group("/a/b/d", 99, "max", &mib(100));
    // Nor do files above the hierarchy.
    let tree = tree.with("sys/fs/memory.max", "1").with("sys/fs/memory.current", "1");
    assert_eq!(tree.read(), Some(machine()));
}

#[test]
fn the_lower_of_high_and_max_counts() {
    let tree = Tree::v2("/s").group("/s", 300, &mib(320), &mib(400));
    assert_eq!(tree.read(), Some(reading(300, 320, Some(12.5), "cgroup memory.high")));
    let tree = Tree::v2("/s").group("/s", 300, &mib(800), &mib(400));
    assert_eq!(tree.read(), Some(reading(300, 400, Some(12.5), "cgroup memory.max")));
    let tree = Tree::v2("/s").group("/s", 300, &mib(320), "max");
    assert_eq!(tree.read(), Some(reading(300, 320, Some(12.5), "cgroup memory.high")));
    // As after `memory.high` was lowered.
    let beyond = Tree::v2("/s").group("/s", 300, &mib(200), "max");
    assert_eq!(beyond.read().map(|r| r.used_share()), Some(1.5));
    assert_eq!(beyond.sources().free_bytes(), Some(0));
}

#[test]
fn the_machine_counts_where_it_is_tighter() {
    let tree = Tree::v2("/s").group("/s", 100, "max", &mib(400));
    assert_eq!(tree.read(), Some(machine()));
    // The share decides on the pressure, the bytes on what is free.
    assert_eq!(tree.sources().free_bytes(), Some(300 * MIB));
    let unlimited = Tree::v2("/s").group("/s", 100, "max", "max");
    assert_eq!(unlimited.read(), Some(machine()));
    assert_eq!(unlimited.sources().free_bytes(), Some(2000 * MIB));
}

#[test]
fn without_version_2_there_is_the_machine() {
    let bare = Tree::new(&[("proc/meminfo", MEMINFO)]);
    assert_eq!(bare.read(), Some(Reading { stalled_percent: None, ..machine() }));
    let v1 = bare
        .with("proc/pressure/memory", psi("1.25"))
        .with("proc/self/cgroup", "4:memory:/docker/0a1b\n1:name=systemd:/\n")
        .with("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
        .with("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
    assert_eq!(v1.read(), Some(machine()));
}

#[test]
fn in_a_hybrid_the_memory_controller_is_elsewhere() {
    let hybrid = Tree::new(&[
        ("proc/meminfo", MEMINFO),
        ("proc/pressure/memory", &psi("1.25")),
        ("proc/self/cgroup", "4:memory:/user.slice\n1:name=systemd:/user.slice\n0::/user.slice/s.scope\n"),
        (
            "proc/self/mountinfo",
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/fs/cgroup/unified/user.slice/memory.pressure", &psi("50.00")),
    ]);
    assert_eq!(hybrid.read(), Some(machine()));
    // And where it is here after all, it is found.
    let hybrid = hybrid.group("/unified/user.slice", 300, "max", &mib(400));
    assert_eq!(hybrid.read().map(|r| r.source), Some("cgroup memory.max"));
}

#[test]
fn a_hierarchy_that_is_not_listed_is_looked_for_at_its_usual_place() {
    let tree = Tree::v2("/s").with("proc/self/mountinfo", "").group("/s", 300, "max", &mib(400));
    assert_eq!(tree.read().map(|r| r.source), Some("cgroup memory.max"));
}

#[test]
fn stalls_that_are_not_told_are_none() {
    for text in [
        "",
        "some\n",
        "full avg10=1.00\n",
        "some avg10=\n",
        "some avg10=NaN\n",
        "some avg10=-1\n",
        "some avg10=101\n",
    ] {
        let tree = Tree::v2("/").group("", 300, "max", &mib(400)).with("sys/fs/cgroup/memory.pressure", text);
        assert_eq!(tree.read(), Some(reading(300, 400, None, "cgroup memory.max")), "{text}");
    }
}

#[test]
fn nonsense_is_no_limit() {
    let beyond_u64 = "99999999999999999999999999";
    for bad in ["", "\n", "max max", "-1", "1.5", "0x10", "12 MB", beyond_u64, "\0\0\0"] {
        let limits = Tree::v2("/s").group("/s", 1, bad, bad);
        assert_eq!(limits.read(), Some(machine()), "{bad}");
        let current = Tree::v2("/s").group("/s", 1, "2", "2").with("sys/fs/cgroup/s/memory.current", bad);
        assert_eq!(current.read(), Some(machine()), "{bad}");
        let own = Tree::v2("/s").with("proc/self/cgroup", bad).group("/s", 1, "2", "2");
        assert_eq!(own.read(), Some(machine()), "{bad}");
        let stat = Tree::v2("/s").group("/s", 1, "max", &mib(11)).with("sys/fs/cgroup/s/memory.stat", bad);
        assert_eq!(stat.read(), Some(reading(11, 11, Some(12.5), "cgroup memory.max")), "{bad}: no cache");
        for meminfo in [
            format!("MemTotal: {bad} kB\nMemAvailable: 1 kB\n"),
            format!("MemTotal: 9 kB\nMemAvailable: {bad}\n"),
        ] {
            let machine = Tree::new(&[("proc/meminfo", &meminfo)]).read();
            // `1.5` and the like are no numbers; `12 MB` starts with one, as all do there.
            assert!(machine.is_none() || bad.starts_with("12"), "{meminfo}");
        }
    }
    let binary = Tree::v2("/s").group("/s", 1, "2", "2").with("sys/fs/cgroup/s/memory.current", [0xff, 0xfe]);
    assert_eq!(binary.read(), Some(machine()));
    let folder = Tree::v2("/s").group("/s", 1, "max", "max").with("sys/fs/cgroup/s/memory.events/x", "");
    assert_eq!(folder.read(), Some(machine()));
}

#[test]
fn nothing_at_all_is_none() {
    let empty = Tree::new(&[]);
    assert_eq!((empty.read(), empty.sources().free_bytes()), (None, None));
    let folders =
        Tree::new(&[("proc/meminfo/x", ""), ("proc/self/cgroup/x", ""), ("proc/self/mountinfo/x", "")]);
    assert_eq!(folders.read(), None);
    for meminfo in
        ["MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n"]
    {
        assert_eq!(Tree::new(&[("proc/meminfo", meminfo)]).read(), None, "{meminfo}");
    }
}

#[test]
fn more_available_than_there_is_uses_nothing() {
    let tree = Tree::new(&[("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 200 kB\n")]);
    assert_eq!(tree.read().map(|r| r.used_bytes), Some(0));
}

#[test]
fn a_limit_of_nothing_is_used_up() {
    let tree = Tree::v2("/s").group("/s", 1, "0", "max");
    assert_eq!(tree.read().map(|r| (r.used_share(), r.limit_bytes)), Some((1.0, 0)));
}

#[test]
fn a_long_file_is_not_cut_within_a_number() {
    let filler = "x 1\n".repeat(2046);
    assert_eq!(filler.len(), 8184);
    let stat = format!("{filler}inactive_file {MIB}\n");
    let tree = Tree::v2("/s").group("/s", 1, "max", &mib(11)).with("sys/fs/cgroup/s/memory.stat", stat);
    assert_eq!(tree.read().map(|r| r.used_bytes), Some(11 * MIB));
}

#[test]
fn this_system_is_read() {
    let sources = Sources::of_system();
    if std::path::Path::new("/proc/meminfo").exists() {
        let reading = sources.read().expect("what /proc/meminfo says");
        assert!(reading.limit_bytes > 0);
        assert!(sources.free_bytes().is_some());
    }
}

#[test]
fn levels_are_written_in_lower_case() {
    let levels = [Pressure::Low, Pressure::Medium, Pressure::High, Pressure::Critical];
    assert!(levels.is_sorted());
    for level in levels {
        let json = serde_json::to_string(&level).expect("a name");
        assert_eq!(json, format!("\"{level}\""));
    }
    assert_eq!(format!("{:>8}|", Pressure::High), "    high|");
}
