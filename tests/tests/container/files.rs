//! Files and pipes of any size in every format, names, limits of memory, and the same bytes every time.

use crate::*;
use std::time::Duration;

const CHUNK: usize = 64 << 10;

#[test]
fn every_format_gives_back_what_it_was_given() {
    let s = scratch();
    let data = mixed(3 * CHUNK + 4321);
    for (algorithm, extension, container) in CARRIERS {
        let options = ["-a", algorithm, "--container", container, "--chunk-size", "64KB"];
        for len in [0, 1, CHUNK, CHUNK + 1, data.len()] {
            let what = format!("{algorithm} in .{extension}, {len} bytes");
            let input = s.file("input", &data[..len]);
            let file = s.path(&format!("input.{extension}"));
            s.run(&[&["compress", "--force"], &options[..], &[path_str(&input)]].concat());
            let bytes = fs::read(&file).expect("the default name");
            assert!(unpacked(&s, &file) == data[..len], "{what}: file to pipe");
            fs::remove_file(&input).expect("remove");
            s.run(&["decompress", path_str(&file)]);
            assert!(fs::read(&input).expect("restored") == data[..len], "{what}: file to file");
            assert!(through(&s, &["decompress"], &bytes) == data[..len], "{what}: pipe to pipe");
            // Of unknown size, it is compressed another way.
            let piped = packed(&s, &data[..len], &options);
            assert!(
                piped == bytes || through(&s, &["decompress"], &piped) == data[..len],
                "{what}: all pipes"
            );
            if is_container(extension) {
                let chunks = len.div_ceil(CHUNK).max(1);
                let info = s.json(&["info", path_str(&file)]);
                assert_eq!(info["chunks"].as_array().map(Vec::len), Some(chunks), "{what}: {info}");
                assert_eq!(
                    (&info["raw_bytes"], &info["bytes"]),
                    (&len.into(), &bytes.len().into()),
                    "{what}"
                );
            }
        }
    }
}

/// Arguments and output name; what the file begins with, and whether it is a container.
const NAMED: [(&[&str], &str, &[u8], bool); 12] = [
    (&[], "a.zst", &[0x28, 0xb5, 0x2f, 0xfd], true),
    (&["--container", "plain"], "b.zst", &[0x28, 0xb5, 0x2f, 0xfd], false),
    (&[], "c.cmc", &[0x5c, 0x2a, 0x4d, 0x18], true),
    (&["-a", "xz", "--parity", "5"], "d.cmc", &[0x5c, 0x2a, 0x4d, 0x18], true),
    (&[], "e.xz", b"\xfd7zXZ", false),
    (&[], "f.bz2", b"BZh", false),
    (&[], "g.tgz", &[0x1f, 0x8b], true),
    (&[], "h.lz4", &[0x04, 0x22, 0x4d, 0x18], true),
    (&[], "i.sz", b"\xff\x06\x00\x00sNaPpY", true),
    (&["--parity", "20"], "j.gz", &[0x1f, 0x8b], true),
    (&["-a", "gzip", "--container", "cmc"], "k.cmc", &[0x5c, 0x2a, 0x4d, 0x18], true),
    (&["-a", "xz", "--container", "plain"], "l", b"\xfd7zXZ", false),
];

#[test]
fn a_file_is_what_its_name_says() {
    let s = scratch();
    let data = text(50_000);
    let input = s.file("input", &data);
    for (options, name, magic, is_container) in NAMED {
        let to = s.path(name);
        s.run(&[&["compress", path_str(&input), "-o", path_str(&to)], options].concat());
        assert!(fs::read(&to).expect("output").starts_with(magic), "{name}");
        assert!(unpacked(&s, &to) == data, "{name}");
        let info = s.json(&["info", path_str(&to)]);
        assert_eq!(info["container"] != false, is_container, "{name}: {info}");
    }
    for (options, name, remedy) in [
        (&["--parity", "10"][..], "x.xz", ".cmc"),
        (&["--parity", "10"], "x.bz2", ".cmc"),
        (&["--container", "cmc"], "x.xz", ".cmc"),
        (&["--container", "cmc"], "x.zst", ".cmc"),
        (&["--container", "plain", "--parity", "10"], "x.zst", "container"),
        (&["--container", "plain"], "x.cmc", "name the output otherwise"),
    ] {
        let to = s.path(name);
        let told = s.ends(2, &[&["compress", path_str(&input), "-o", path_str(&to)], options].concat());
        assert!(told.contains(remedy), "{name} {options:?}: {told}");
        assert!(!to.exists(), "{name} {options:?}");
    }
    // Without a name there is a place for everything.
    s.run(&["compress", "-a", "xz", "--parity", "10", path_str(&input)]);
    assert!(unpacked(&s, &s.path("input.cmc")) == data);
    // Bytes as they are stay as they are, whatever they hold.
    s.run(&["compress", "-a", "store", path_str(&s.path("a.zst"))]);
    assert!(unpacked(&s, &s.path("a.zst.store")) == fs::read(s.path("a.zst")).expect("container"));
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    let s = scratch();
    let data = mixed(400_000);
    for (algorithm, extension, container) in CARRIERS {
        let parity = if is_container(extension) { "10" } else { "0" };
        let options = ["-a", algorithm, "--container", container, "--chunk-size", "64KB", "--parity", parity];
        let make = |threads| packed(&s, &data, &[&options[..], &["-T", threads]].concat());
        let first = make("1");
        assert!(make("1") == first, "{algorithm} in .{extension}");
        assert!(make("3") == first, "{algorithm} in .{extension}, with more threads");
    }
}

#[test]
fn a_memory_limit_costs_threads_and_then_the_size_of_chunks() {
    let s = scratch();
    let input = s.file("input", &text(9 << 20));
    let out = s.path("out.zst");
    let compress = ["compress", "-f", "--chunk-size", "1MB", path_str(&input), "-o", path_str(&out)];
    let report = s.json(&[&compress[..], &["-T", "8", "--memory-limit", "16MB"]].concat());
    let warning = report[0]["warnings"][0].as_str().expect("a note").to_owned();
    assert!(warning.contains("of 8 threads") && warning.contains("16 MiB"), "{warning}");
    let free = s.json(&[&compress[..], &["-T", "8", "--memory-limit", "2GB"]].concat());
    assert_eq!(free[0]["warnings"], serde_json::json!([]), "what fits is not spoken of");
    let best = ["compress", "-f", "-a", "zstd", "-l", "16", "--memory-limit", "24MB", path_str(&input), "-o"];
    let report = s.json(&[&best[..], &[path_str(&out)]].concat());
    let warning = report[0]["warnings"][0].as_str().expect("a note").to_owned();
    assert!(warning.contains("chunks of 1 MiB instead of") && warning.contains("24 MiB"), "{warning}");
    // What was asked for is not changed.
    let other = s.path("other.zst");
    let told = s.ends(2, &[&best[..], &[path_str(&other), "--chunk-size", "8MB"]].concat());
    assert!(told.contains("24 MiB are allowed") && told.contains("--chunk-size 1024KB would fit"), "{told}");
    assert!(!other.exists());
    let again = [&best[..], &[path_str(&other), "--chunk-size", "1024KB"]].concat();
    assert!(s.output(&again).status.success(), "it does fit");
    assert!(fs::read(&other).expect("output") == fs::read(&out).expect("output"));
    let told = s.ends(2, &[&best[..7], &["1MB", path_str(&input), "-c"]].concat());
    assert!(told.contains("a lower level needs less"), "{told}");
    let told = s.ends(2, &["decompress", "-c", "--memory-limit", "1MB", path_str(&out)]);
    assert!(told.contains("1 MiB are allowed"), "{told}");
    // A few bytes need little, whatever the level would take for many.
    let small = packed(&s, b"a few bytes", &["-a", "xz", "-l", "6", "--container", "cmc"]);
    assert_eq!(through(&s, &["decompress", "--memory-limit", "32MB"], &small), b"a few bytes");
}

/// Most memory the command had, in KiB (proc_pid_status(5), `VmHWM`).
fn peak_kib(mut command: Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let now = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(code) = child.try_wait().expect("wait") {
            break code;
        }
        thread::sleep(Duration::from_millis(2));
    };
    assert!(code.success());
    peak
}

#[test]
fn a_memory_limit_holds() {
    let s = scratch();
    let block = noise(64 << 10, 3);
    let data: Vec<u8> = (0..400_u32).flat_map(|n| [&n.to_le_bytes()[..], &block].concat()).collect();
    let input = s.file("input", &data);
    // The program itself takes some, too.
    const PROGRAM_MIB: u64 = 16;
    for (options, limit) in [
        (&["-a", "zstd", "-l", "15", "--container", "cmc"][..], 256),
        (&["-a", "zstd", "-l", "15", "--container", "cmc"], 24),
        (&["-a", "zstd", "-l", "1", "--parity", "10"], 128),
        (&["-a", "lz4", "--chunk-size", "4MB", "-T", "4"], 48),
    ] {
        let out = s.path("out");
        let text = format!("{limit}MB");
        let common = ["--memory-limit", &text, "-f", path_str(&input), "-o", path_str(&out)];
        let peak = peak_kib(s.command(&[&["compress"], options, &common].concat())) >> 10;
        assert!((8..limit + PROGRAM_MIB).contains(&peak), "{options:?}: {peak} of {limit} MiB");
        let back = s.path("back");
        let common = ["--memory-limit", &text, "-f", path_str(&out), "-o", path_str(&back)];
        let peak = peak_kib(s.command(&[&["decompress"], &common[..]].concat())) >> 10;
        assert!((8..limit + PROGRAM_MIB).contains(&peak), "{options:?}, back: {peak} of {limit} MiB");
        assert!(fs::read(&back).expect("output") == data);
    }
}
