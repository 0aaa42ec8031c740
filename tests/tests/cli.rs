//! `compress` and `decompress` as a user meets them: files, pipes, the formats' own tools, bad input, exit codes.

mod support;

use serde_json::Value;
use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use support::{Scratch, stderr, text};

const ALL: [&str; 9] =
    ["store", "zstd", "lz4", "lz4_liblz4", "gzip", "gzip_libdeflate", "bzip2", "lzma", "snappy"];

/// Algorithm, extension, and the command of the format's own tool.
const FORMATS: [(&str, &str, &str); 5] = [
    ("zstd", "zst", "zstd"),
    ("lz4", "lz4", "lz4"),
    ("gzip", "gz", "gzip"),
    ("bzip2", "bz2", "bzip2"),
    ("lzma", "xz", "xz"),
];

fn scratch() -> Scratch {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&ALL);
    scratch
}

/// Sends `input` through a command.
fn pipe(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("output");
    writer.join().expect("writer");
    output
}

/// The tool, if it is installed; the skip is told.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return Some(Command::new(name));
    }
    println!("Skipped: `{name}` is not installed");
    None
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").file_name());
    let mut names: Vec<String> = entries.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn each_format_is_exchanged_with_its_own_tool() {
    let s = scratch();
    let data = [text(700_000), (0..=255).cycle().take(70_000).collect()].concat();
    let input = s.file("data.bin", &data);
    for (algorithm, extension, program) in FORMATS {
        let ours = s.path(&format!("data.bin.{extension}"));
        s.run(&["compress", "-a", algorithm, "--chunk-size", "200KB", path_str(&input)]);
        let frames = fs::read(&ours).expect("the default name");
        let Some(mut stock) = tool(program) else { continue };
        stock.args(["-d", "-c"]).arg(&ours);
        assert_eq!(stock.output().expect("tool").stdout, data, "{program} reads {algorithm}");
        // Two members, as `cat a b` makes them.
        let mut members = Vec::new();
        for part in [&data[..300_000], &data[300_000..]] {
            let mut stock = tool(program).expect("found before");
            stock.arg("-c");
            members.extend(pipe(stock, part).stdout);
        }
        let theirs = s.file(&format!("theirs.{extension}"), &members);
        s.run(&["decompress", path_str(&theirs)]);
        assert_eq!(fs::read(s.path("theirs")).expect("the default name"), data, "{program}'s {algorithm}");
        fs::remove_file(s.path("theirs")).expect("clean up");
        // A pipe has no name: the first bytes tell.
        assert_eq!(pipe(s.command(&["decompress"]), &frames).stdout, data, "{algorithm} through pipes");
    }
}

#[test]
fn snappy_is_exchanged_with_another_reader() {
    let s = scratch();
    let data = text(300_000);
    let input = s.file("input", &data);
    s.run(&["compress", "-a", "snappy", "--chunk-size", "100KB", path_str(&input)]);
    s.run(&["decompress", "-o", path_str(&s.path("back")), path_str(&s.path("input.sz"))]);
    assert_eq!(fs::read(s.path("back")).expect("output"), data);
    let python = std::env::var("CLIPSMASTER_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import cramjam, sys; d = open(sys.argv[1], 'rb').read(); \
                  sys.stdout.buffer.write(bytes(getattr(cramjam.snappy, sys.argv[2])(d)))";
    let run = |what: &str, file: &Path| {
        Command::new(&python)
            .args(["-c", script])
            .arg(file)
            .arg(what)
            .output()
            .ok()
            .filter(|o| o.status.success())
    };
    let Some(theirs) = run("compress", &input) else {
        println!("Skipped: no Python with cramjam (CLIPSMASTER_TEST_PYTHON)");
        return;
    };
    assert_eq!(pipe(s.command(&["decompress"]), &theirs.stdout).stdout, data);
    assert_eq!(run("decompress", &s.path("input.sz")).expect("cramjam reads it").stdout, data);
}

#[test]
fn threads_and_chunks_change_nothing_but_speed() {
    let s = scratch();
    let data = text(3_000_001);
    let input = s.file("input", &data);
    let mut first = None;
    for threads in ["1", "2", "8"] {
        let out = s.path(&format!("out-{threads}.zst"));
        let (input, to) = (path_str(&input), path_str(&out));
        let report = s.json(&["compress", "-T", threads, "--chunk-size", "64KB", input, "-o", to]);
        assert_eq!(report[0]["chunks"], 46, "{report}");
        assert_eq!(report[0]["input_bytes"], 3_000_001);
        assert_eq!(report[0]["implementations"]["zstd/cpu/libzstd"], 46);
        let bytes = fs::read(&out).expect("output");
        assert_eq!(*first.get_or_insert_with(|| bytes.clone()), bytes, "{threads} threads");
    }
    // An input that ends with a chunk, and one that is empty, still make whole frames.
    for len in [0, 65_536, 131_072] {
        let frames = pipe(s.command(&["compress", "--chunk-size", "64KB"]), &data[..len]);
        assert!(frames.status.success() && !frames.stdout.is_empty());
        assert_eq!(pipe(s.command(&["decompress"]), &frames.stdout).stdout, data[..len]);
    }
}

#[test]
fn names_are_made_and_removed_as_gzip_does_and_nothing_is_overwritten() {
    let s = scratch();
    let dir = s.dir("files");
    let (a, b) = (s.file("files/a", b"alpha"), s.file("files/b.txt", b"beta"));
    fs::set_permissions(&a, fs::Permissions::from_mode(0o640)).expect("mode");
    s.run(&["compress", path_str(&a), path_str(&b)]);
    assert_eq!(names(&dir), ["a", "a.zst", "b.txt", "b.txt.zst"], "inputs stay");
    let (before, after) = (fs::metadata(&a).expect("a"), fs::metadata(s.path("files/a.zst")).expect("a.zst"));
    assert_eq!(
        (after.mode() & 0o777, after.mtime()),
        (0o640, before.mtime()),
        "mode and time are the input's"
    );

    let told = s.ends(1, &["compress", path_str(&a)]);
    assert!(told.contains("exists") && told.contains("--force"), "{told}");
    s.run(&["compress", "--force", "-k", path_str(&a)]);
    let told = s.ends(1, &["decompress", path_str(&s.path("files/a.zst"))]);
    assert!(told.contains("files/a exists"), "{told}");
    fs::remove_file(&a).expect("remove");
    s.run(&["decompress", "--keep", path_str(&s.path("files/a.zst"))]);
    assert_eq!(fs::read(&a).expect("restored"), b"alpha");
    assert!(s.path("files/a.zst").exists());

    // One bad input among good ones: the others are done, the code tells.
    s.ends(1, &["compress", "-a", "gzip", path_str(&s.path("nowhere")), path_str(&b)]);
    assert!(s.path("files/b.txt.gz").exists());
    fs::rename(s.path("files/b.txt.gz"), s.path("files/b.tgz")).expect("rename");
    s.run(&["decompress", path_str(&s.path("files/b.tgz"))]);
    assert_eq!(fs::read(s.path("files/b.tar")).expect("tgz becomes tar"), b"beta");
}

#[test]
fn what_a_name_says_is_what_the_file_is() {
    let s = scratch();
    let input = s.file("input", &text(10_000));
    let to = s.path("data.xz");
    s.run(&["compress", path_str(&input), "-o", path_str(&to)]);
    assert!(fs::read(&to).expect("output").starts_with(b"\xfd7zXZ\0"));
    let to = s.path("other.gz");
    let told = s.ends(2, &["compress", "-a", "zstd", path_str(&input), "-o", path_str(&to)]);
    assert!(told.contains("gzip") && told.contains("zstd"), "{told}");
    assert!(!to.exists());
}

#[test]
fn misuse_is_told_with_what_to_do() {
    let s = scratch();
    let dir = s.dir("folder");
    let told = s.ends(2, &["compress", path_str(&dir)]);
    assert!(told.contains("tar -c"), "{told}");
    let plain = s.file("plain.txt", b"not compressed");
    assert!(s.ends(2, &["decompress", path_str(&plain)]).contains("--stdout"));
    assert!(s.ends(3, &["decompress", "-c", path_str(&plain)]).contains("zstd"), "formats are listed");
    let told = s.ends(5, &["compress", "-a", "zpaq", path_str(&plain)]);
    assert!(told.contains("bzip2, gzip, lz4, lzma, snappy, store, zstd"), "{told}");
    assert!(told.contains(path_str(&s.path("plugins"))), "folders are listed: {told}");
    let told = s.ends(5, &["compress", "-l", "99", path_str(&plain)]);
    assert!(told.contains("level 99") && told.contains("-7..=22"), "{told}");
    s.ends(5, &["compress", "--hardware", "cuda", path_str(&plain)]);
    s.ends(5, &["compress", "-a", "gzip", "--implementation", "gzip/cpu/nothing", path_str(&plain)]);
    for arguments in [
        &["compress", "--threads", "0"][..],
        &["compress", "--chunk-size", "4XB"],
        &["compress", "--chunk-size", "1"],
        &["frobnicate"],
        &["list-plugins", "--trust", "everyone"],
    ] {
        s.ends(2, arguments);
    }
    assert_eq!(names(&s.path("folder")), [""; 0]);
}

#[test]
fn damaged_input_is_refused_and_leaves_nothing() {
    let s = scratch();
    let data = text(20_000);
    for (algorithm, extension, _) in FORMATS {
        // Bare frames: containers are mended.
        let mut command = s.command(&["compress", "-a", algorithm, "--container", "plain"]);
        command.stderr(Stdio::null());
        let frames = pipe(command, &data).stdout;
        let dir = s.dir(&format!("damage-{algorithm}"));
        let file = dir.join(format!("x.{extension}"));
        let refused = |bytes: &[u8], what: &str| {
            fs::write(&file, bytes).expect("write");
            let told = s.ends(3, &["decompress", path_str(&file)]);
            assert!(told.contains(path_str(&file)) || what == "empty", "{algorithm} {what}: {told}");
            assert_eq!(names(&dir).len(), 1, "{algorithm} {what}: only the input is there");
        };
        refused(b"", "empty");
        for cut in [1, 5, frames.len() / 2, frames.len() - 5, frames.len() - 1] {
            refused(&frames[..cut], "cut");
        }
        for at in [0, frames.len() / 3, frames.len() / 2, frames.len() - 2] {
            let mut damaged = frames.clone();
            damaged[at] ^= 0x10;
            refused(&damaged, "flipped");
        }
        // What follows is ignored, and told, where the format's own tool does the same.
        if !["gzip", "bzip2"].contains(&algorithm) {
            refused(&[&frames[..], b"no frame at all"].concat(), "trailing");
        }
    }
}

#[test]
fn failing_outputs_are_told() {
    let s = scratch();
    let input = s.file("input", &(0..2_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let told = s.ends(1, &["compress", path_str(&input), "-o", "/dev/full"]);
    assert!(told.contains("/dev/full") && told.contains("No space left"), "{told}");
    let told = s.ends(1, &["compress", path_str(&input), "-o", "/proc/nothing-here.zst"]);
    assert!(told.contains("/proc"), "{told}");
    let told = s.ends(1, &["compress", path_str(&input), "-o", path_str(&s.path("no/such/folder.zst"))]);
    assert!(told.contains("no/such"), "{told}");
    // A reader that leaves.
    let mut child = s
        .command(&["compress", "-c", "-a", "store", path_str(&input)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("output");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
}

#[test]
fn a_killed_job_leaves_nothing() {
    let s = scratch();
    let dir = s.dir("job");
    let mut child = s
        .command(&["compress", "-", "-o", path_str(&dir.join("out.zst"))])
        .stdin(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&text(9 << 20)).expect("input");
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(names(&dir), [""; 0]);
}

#[test]
fn one_long_frame_is_decoded_in_bounded_memory() {
    let s = scratch();
    let Some(mut zstd) = tool("zstd") else { return };
    let big = s.path("zeros.zst");
    let zeros = fs::File::create(s.path("zeros")).expect("create");
    zeros.set_len(1 << 30).expect("a sparse GiB");
    zstd.args(["-q", "-1", "--long=27", path_str(&s.path("zeros")), "-o"]).arg(&big);
    assert!(zstd.status().expect("zstd").success());
    s.run(&["doctor"]);
    let plain = s.command(&["decompress", "-c", path_str(&big)]);
    let words: Vec<String> = std::iter::once(plain.get_program())
        .chain(plain.get_args())
        .map(|w| format!("'{}'", w.to_string_lossy()))
        .collect();
    let mut limited = Command::new("sh");
    limited.env_clear().envs(plain.get_envs().filter_map(|(k, v)| Some((k, v?))));
    // Address space: program, stacks, a window of 128 MiB, pieces on the way. A GiB does not fit.
    limited.arg("-c").arg(format!("ulimit -v 700000; {} | wc -c", words.join(" ")));
    let out = limited.output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), (1_u64 << 30).to_string(), "{}", stderr(&out));
}

#[test]
fn files_may_begin_with_skippable_frames() {
    let s = scratch();
    let frames = pipe(s.command(&["compress"]), b"after the skippable frame").stdout;
    let file = [b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip", &frames[..]].concat();
    assert_eq!(pipe(s.command(&["decompress"]), &file).stdout, b"after the skippable frame");
}

#[test]
fn an_implementation_asked_for_by_name_does_the_work() {
    let s = scratch();
    let input = s.file("input", &text(100_000));
    for (id, level) in [("gzip/cpu/libdeflate", "12"), ("gzip/cpu/zlib-rs", "1"), ("lz4/cpu/lz4_flex", "1")] {
        let to: PathBuf = s.path("named");
        let report = s.json(&[
            "compress",
            "--force",
            "--implementation",
            id,
            "--level",
            level,
            path_str(&input),
            "-o",
            path_str(&to),
        ]);
        assert_eq!(report[0]["implementations"][id], 1, "{report}");
        let back = s.json(&["decompress", "--force", path_str(&to), "-o", path_str(&s.path("back"))]);
        assert_eq!(back[0]["output_bytes"], 100_000);
        assert_eq!(fs::read(s.path("back")).expect("output"), text(100_000));
    }
}

#[test]
fn machine_readable_output_has_the_fields_people_rely_on() {
    let s = scratch();
    let list = s.json(&["doctor"]);
    assert_eq!(
        list["algorithms"],
        serde_json::json!(["bzip2", "gzip", "lz4", "lzma", "snappy", "store", "zstd"])
    );
    assert_eq!(list["troubles"], serde_json::json!([]));
    let input = s.file("input", b"hello");
    let report = s.json(&["compress", path_str(&input)]);
    for field in [
        "input",
        "output",
        "algorithm",
        "input_bytes",
        "output_bytes",
        "chunks",
        "implementations",
        "warnings",
        "seconds",
    ] {
        assert_ne!(report[0][field], Value::Null, "{field}: {report}");
    }
    assert!(s.run(&["completions", "bash"]).contains("clipsmaster-host"));
    assert!(s.run(&["--help"]).contains("Exit codes"));
    // Verbs that share arguments say what they do themselves, and the manual has all of them.
    assert!(s.run(&["compress", "--help"]).starts_with("Compress files or standard input\n"));
    let page = s.run(&["man"]);
    for said in
        ["clipsmaster-host policy apply", "Compress files or standard input", "chunk\\-size", "Exit codes"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn measuring_ranks_and_explains() {
    // One quick codec twice is enough to see measuring, ranking and explaining work together.
    let s = Scratch::new();
    s.plugins(&["lz4", "lz4_liblz4"]);
    let list = s.json(&["list-plugins"]);
    let lines = list.as_array().expect("a list");
    assert_eq!(lines.len(), 2);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["rank"], i + 1, "{line}");
        assert!(line["compress_mb_s"].as_f64().is_some_and(|v| v > 0.0), "{line}");
        assert!(line["ratio"].as_f64().is_some_and(|v| v > 1.0), "{line}");
    }
    let best = s.json(&["best-hardware", "-a", "lz4", "-l", "9"]);
    assert_eq!(best["ranked"][0]["implementation"], "lz4/cpu/liblz4");
    assert_eq!(best["ranked"][0]["level"], 9);
    assert!(best["rejected"][0]["reason"].as_str().is_some_and(|r| r.contains("asked")), "{best}");
    let explained = s.run(&["best-hardware", "-a", "lz4", "--explain"]);
    assert!(explained.contains("WHY") && explained.contains("defines the level"), "{explained}");
    assert!(s.ends(5, &["best-hardware", "-a", "lz4", "--hardware", "cuda"]).contains("runs on cpu"));
}

#[test]
fn regret_measures_choices_on_other_data_and_says_what_it_leaves_out() {
    let s = scratch();
    s.plugins(&["lz4", "lz4_liblz4", "snappy"]);
    let data: Vec<u8> = text(9000).into_iter().rev().collect();
    let (small, empty) = (s.file("small", &data), s.file("empty", b""));
    let arguments = ["regret", "-a", "lz4", "-a", "snappy", path_str(&small), path_str(&empty)];
    let report = s.json(&arguments);
    let cells = report["cells"].as_array().expect("cells");
    assert!(!cells.is_empty(), "{report}");
    for cell in cells {
        assert_eq!((&cell["algorithm"], &cell["bytes"]), (&"lz4".into(), &4096.into()), "{cell}");
        assert!(cell["regret"].as_f64().is_some_and(|r| r >= 1.0), "{cell}");
        assert!(cell["best"]["seconds"].as_f64() <= cell["choice"]["seconds"].as_f64(), "{cell}");
    }
    for summary in ["median", "percentile_95", "worst"] {
        assert!(report[summary].as_f64().is_some_and(|r| r >= 1.0), "{summary}");
    }
    let skipped = report["skipped"].to_string();
    let parts =
        ["too few for pieces of 64 KiB", "pieces of 16 MiB", "empty: empty", "snappy: nothing to choose"];
    assert!(parts.iter().all(|p| skipped.contains(p)), "{skipped}");

    assert!(s.ends(1, &["regret", "-a", "lz4", path_str(&empty)]).contains("empty"));
    assert!(s.ends(1, &["regret", "-a", "snappy", path_str(&small)]).contains("nothing to choose"));
    assert!(s.ends(1, &["regret", path_str(&s.path("nowhere"))]).contains("nowhere"));
    s.ends(2, &["regret", path_str(&s.dir("folder"))]);
    s.ends(5, &["regret", "-a", "nonesuch", path_str(&small)]);
    s.ends(2, &["bench", "--hardware", "--iterations", "0"]);
    s.ends(2, &["bench", "--hardware", "--size", "1000000GB"]);
}

#[test]
fn a_report_never_gets_into_the_data() {
    let s = scratch();
    let data = text(50_000);
    for to in [&[][..], &["-o", "-"], &["--stdout"]] {
        let compressed = pipe(s.command(&[&["compress", "--json"], to].concat()), &data);
        assert!(stderr(&compressed).contains("\"input_bytes\": 50000"), "{}", stderr(&compressed));
        let back = pipe(s.command(&[&["decompress", "--json"], to].concat()), &compressed.stdout);
        assert!(back.status.success() && back.stdout == data, "{to:?}");
    }
}

#[test]
fn what_store_keeps_is_not_unpacked_further() {
    let s = scratch();
    let input = s.file("photo", &text(10_000));
    s.run(&["compress", "-a", "gzip", path_str(&input)]);
    let packed = s.path("photo.gz");
    let before = fs::read(&packed).expect("gzip");
    s.run(&["compress", "-a", "store", path_str(&packed)]);
    fs::remove_file(&packed).expect("remove");
    s.run(&["decompress", path_str(&s.path("photo.gz.store"))]);
    assert_eq!(fs::read(&packed).expect("restored"), before);
}

#[test]
fn the_input_is_never_the_output_and_tgz_is_gzip() {
    let s = scratch();
    let input = s.file("input", &text(10_000));
    let told = s.ends(2, &["compress", "--force", path_str(&input), "-o", path_str(&input)]);
    assert!(told.contains("is the input itself"), "{told}");
    assert_eq!(fs::read(&input).expect("input"), text(10_000));
    let to = s.path("INPUT.TGZ");
    s.run(&["compress", path_str(&input), "-o", path_str(&to)]);
    assert!(fs::read(&to).expect("output").starts_with(&[0x1f, 0x8b]));
}

/// The decoder is ahead of a slow reader, and waits for it, when the reader leaves.
#[test]
fn a_reader_that_leaves_does_not_hang_decompression() {
    let s = scratch();
    let input = s.file("input", &vec![7; 64 << 20]);
    s.run(&["compress", path_str(&input)]);
    let mut child = s
        .command(&["decompress", "-c", path_str(&s.path("input.zst"))])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    std::thread::sleep(std::time::Duration::from_millis(500));
    drop(child.stdout.take());
    let start = std::time::Instant::now();
    while child.try_wait().expect("wait").is_none() {
        if start.elapsed() > std::time::Duration::from_secs(20) {
            child.kill().expect("kill");
            panic!("decompression hangs after its reader left");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(child.wait().expect("wait").code(), Some(1));
}
