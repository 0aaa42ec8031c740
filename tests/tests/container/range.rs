//! `--range`: any part of the original, and no more of the file than it takes.

use crate::*;

const CHUNK: usize = 64 << 10;

fn range(s: &Scratch, file: &Path, range: &str) -> Vec<u8> {
    let output = s.output(&["decompress", "-c", "--range", range, path_str(file)]);
    assert!(output.status.success(), "{range}: {}", stderr(&output));
    output.stdout
}

#[test]
fn ranges_are_those_of_the_original() {
    let s = scratch();
    let data = mixed(4 * CHUNK + 777);
    let all = data.len();
    for (algorithm, extension, container) in CARRIERS.into_iter().filter(|(_, e, _)| is_container(e)) {
        let file = s.path(&format!("{algorithm}.{extension}"));
        let options = ["-a", algorithm, "--container", container, "--chunk-size", "64KB"];
        fs::write(&file, packed(&s, &data, &options)).expect("container");
        for (start, end) in [
            (0, 0),
            (0, 1),
            (10, 2000),
            (CHUNK - 1, CHUNK + 1),
            (CHUNK, 2 * CHUNK),
            (100, all - 100),
            (all - 1, all),
            (all, all),
        ] {
            let got = range(&s, &file, &format!("{start}..{end}"));
            assert!(got == data[start..end], "{algorithm} in .{extension}: {start}..{end}");
        }
    }
    let file = s.path("zstd.zst");
    assert!(range(&s, &file, "..") == data);
    assert!(range(&s, &file, "64KB..") == data[CHUNK..]);
    assert!(range(&s, &file, "..100") == data[..100]);
    assert!(range(&s, &file, &format!("{}..1GB", all - 5)) == data[all - 5..], "up to the end there is");
    let report =
        s.json(&["decompress", "--range", "5..105", path_str(&file), "-o", path_str(&s.path("part"))]);
    assert_eq!((&report[0]["output_bytes"], &report[0]["chunks"]), (&100.into(), &1.into()));
}

#[test]
fn what_cannot_be_had_by_range_is_told() {
    let s = scratch();
    let data = text(100_000);
    let file = s.file("data.zst", &packed(&s, &data, &["--chunk-size", "64KB"]));
    let ask = |code, range: &str, file: &Path| {
        s.ends(code, &["decompress", "-c", "--range", range, path_str(file)])
    };
    let told = ask(2, "100001..", &file);
    assert!(told.contains("100001.. is not within the original's 100000 bytes"), "{told}");
    for senseless in ["9..3", "a..b", "5", "-1..4"] {
        ask(2, senseless, &file);
    }
    let piped = pipe(s.command(&["decompress", "--range", "0..5"]), &fs::read(&file).expect("container"));
    assert_eq!(piped.status.code(), Some(2));
    assert!(stderr(&piped).contains("save the input first") && piped.stdout.is_empty());
    // Nothing to seek in: another tool's frames, with and without a container in them, and several containers.
    let plain = packed(&s, &data, &["--container", "plain"]);
    let within = packed(&s, &fs::read(&file).expect("container"), &["--container", "plain", "-a", "lz4"]);
    let two = [&fs::read(&file).expect("container")[..], &packed(&s, &data, &[])].concat();
    for (name, bytes) in [("plain.zst", &plain), ("within.lz4", &within), ("two.zst", &two)] {
        let told = ask(2, "0..5", &s.file(name, bytes));
        assert!(told.contains("container") && told.contains("only those can be read by range"), "{told}");
    }
}

#[test]
fn a_range_reads_no_more_than_it_needs() {
    let s = scratch();
    let data = noise(8 << 20, 5);
    let file = s.file("data.zst", &packed(&s, &data, &["--chunk-size", "256KB"]));
    // Damage elsewhere is not met.
    let places = places(&s, &file);
    let mut bytes = fs::read(&file).expect("container");
    spoil(&mut bytes, &places[3]);
    spoil(&mut bytes, &places[5]);
    let damaged = s.file("damaged.zst", &bytes);
    let (start, end) = (places[4].raw, places[4].raw + places[4].raw_len);
    assert!(range(&s, &damaged, &format!("{start}..{end}")) == data[start..end]);
    let told =
        s.ends(3, &["decompress", "-c", "--range", &format!("{}..{end}", start - 1), path_str(&damaged)]);
    assert!(told.contains("chunk 3 is lost"), "{told}");
    let Some(mut strace) = tool("strace") else { return };
    let command = s.command(&["decompress", "-c", "--range", "5000000..5000100", path_str(&file)]);
    strace.env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let trace = s.path("trace");
    strace.args(["-f", "-y", "-e", "trace=read,pread64", "-o"]).arg(&trace);
    let traced = strace.arg(command.get_program()).args(command.get_args()).output().expect("strace");
    if !traced.status.success() {
        println!("Skipped: no process may be traced here");
        return;
    }
    assert!(traced.stdout == data[5_000_000..5_000_100]);
    let trace = fs::read_to_string(&trace).expect("trace");
    let read: u64 = trace
        .lines()
        .filter(|l| l.contains("/data.zst>"))
        .filter_map(|l| l.rsplit(" = ").next()?.trim().parse::<u64>().ok())
        .sum();
    assert!((100..600_000).contains(&read), "{read} of {} bytes were read", bytes.len());
}
