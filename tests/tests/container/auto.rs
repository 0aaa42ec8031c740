//! `--algorithm auto`: what is chosen, that it is told, how the output is named, and what is refused.

use crate::*;
use clipsmaster_host::{
    DataSample, Filter, Floors, Host, Objective, Policy, Request, Wanted, selection::auto::Trial,
};

/// Numbers whose every other byte is noise.
fn numbers(len: usize) -> Vec<u8> {
    noise(len / 2, 3).chunks_exact(2).flat_map(|pair| [pair[0], 0x40, pair[1], 0x3f]).collect()
}

fn chosen(host: &Host, data: &[u8], objective: Objective) -> (String, Filter) {
    let choice = host.choose(&DataSample::of(data), objective).expect("a choice");
    assert!(!choice.why.is_empty());
    (choice.algorithm, choice.filter)
}

#[test]
fn each_objective_chooses_what_it_says() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let text = text(600_000);
    for objective in [Objective::Speed, Objective::Balanced, Objective::Ratio] {
        assert_eq!(chosen(&host, &noise(600_000, 1), objective), ("store".into(), Filter::None));
        let (algorithm, filter) = chosen(&host, &text, objective);
        assert!(algorithm != "store" && filter == Filter::None, "{objective}: {algorithm}");
        let (algorithm, filter) = chosen(&host, &numbers(600_000), objective);
        assert!(algorithm != "store", "{objective}");
        // What is also to be fast may do without, where the machine is slow or the build not optimised.
        assert!(objective != Objective::Ratio || filter != Filter::None, "{objective}: {algorithm}");
    }
}

#[test]
fn a_filter_that_hides_repetitions_is_not_chosen_for_its_speed() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    // Counters among text look typed.
    let record = |(n, line): (u64, &[u8])| [&(n << 20).to_le_bytes(), line].concat();
    let lines = text(600_000);
    let data: Vec<u8> = (0..).zip(lines.chunks_exact(24)).flat_map(record).collect();
    let choice = host.choose(&DataSample::of(&data), Objective::Speed).expect("a choice");
    let left = |t: &Trial| t.compressed_bytes;
    let filtered: Vec<&Trial> = choice.trials.iter().filter(|t| t.filter != Filter::None).collect();
    assert!(!filtered.is_empty(), "{choice}");
    for trial in filtered {
        let is_plain = |t: &&Trial| t.filter == Filter::None && t.algorithm == trial.algorithm;
        let plain =
            choice.trials.iter().find(|t| is_plain(t) && t.level == trial.level).expect("it was tried");
        assert!(left(trial) <= left(plain) || choice.filter == Filter::None, "{choice}");
    }
}

#[test]
fn floors_hold_or_nothing_is_chosen() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let text = text(600_000);
    let small = Wanted {
        objective: Objective::Ratio,
        floors: Floors { max_memory_bytes: Some(16 << 20), ..Floors::default() },
        ..Wanted::default()
    };
    let choice = host.choose_for(&DataSample::of(&text), &small).expect("a choice");
    let trial = choice.trials.iter().find(|t| (&t.algorithm, t.level) == (&choice.algorithm, choice.level));
    assert!(trial.is_some_and(|t| t.memory_bytes <= 16 << 20), "{choice}");
    let little = Wanted { floors: Floors { max_memory_bytes: Some(1400 << 10), ..small.floors }, ..small };
    for objective in [Objective::Speed, Objective::Balanced, Objective::Ratio] {
        let wanted = Wanted { objective, may_store: false, ..little.clone() };
        let choice = host.choose_for(&DataSample::of(&text), &wanted).expect("a choice");
        let trial =
            choice.trials.iter().find(|t| (&t.algorithm, t.level) == (&choice.algorithm, choice.level));
        let trial = trial.expect("it was tried");
        assert!(trial.memory_bytes <= 1400 << 10 && choice.chunk_bytes == trial.chunk_bytes, "{choice}");
        let chunk_bytes = choice.chunk_bytes.expect("fewer bytes than usual");
        assert!(
            (64 << 10..400_000).contains(&chunk_bytes) && choice.why.contains(" KiB to take"),
            "{choice}"
        );
    }
    let none = Wanted { floors: Floors { max_memory_bytes: Some(1000), ..little.floors }, ..little };
    let choice = host.choose_for(&DataSample::of(&text), &none).expect("it may be stored");
    assert!(choice.algorithm == "store" && choice.why.starts_with("nothing reaches"), "{choice}");
    let impossible = Wanted {
        floors: Floors { min_decompress_mb_s: Some(1e9), ..Floors::default() },
        algorithm: Some("zst".into()),
        may_store: false,
        ..Wanted::default()
    };
    let told = host.choose_for(&DataSample::of(&text), &impossible).expect_err("impossible").to_string();
    assert!(told.contains("nothing reaches what was asked") && told.contains("zstd"), "{told}");
    let unknown = Wanted { algorithm: Some("nonsense".into()), ..Wanted::default() };
    let told = host.choose_for(&DataSample::of(&text), &unknown).expect_err("unknown").to_string();
    assert!(told.contains("unknown algorithm"), "{told}");
}

#[test]
fn what_repeats_itself_from_afar_is_given_to_what_sees_that_far() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    // Each byte tells five bits of six of the next: to bzip2, not to those that look for repetitions.
    let next = |at: &mut u8, n: &u8| {
        *at = (*at + n % 32) % 64;
        Some(b'0' + *at)
    };
    let once: Vec<u8> = noise(1_500_000, 7).iter().scan(0, |at, n| next(at, n)).collect();
    assert_eq!(chosen(&host, &once, Objective::Ratio).0, "bzip2");
    assert_eq!(chosen(&host, &once.repeat(2), Objective::Ratio).0, "lzma");
}

#[test]
fn mixed_data_is_judged_by_all_of_it() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let (noise, text) = (noise(400_000, 5), text(400_000));
    let alternating = || noise.chunks(100_000).zip(text.chunks(100_000)).flat_map(|(a, b)| [a, b]);
    for data in [
        [&noise[..], &text].concat(),
        [&text[..], &noise].concat(),
        alternating().collect::<Vec<_>>().concat(),
    ] {
        assert_ne!(chosen(&host, &data, Objective::Speed).0, "store");
    }
    assert_eq!(chosen(&host, &[&noise[..], &text[..20_000]].concat(), Objective::Speed).0, "store");
}

#[test]
fn codecs_kept_for_trials_serve_trials_only() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let text = text(400_000);
    let speed = Wanted { algorithm: Some("zstd".into()), may_store: false, ..Wanted::default() };
    let speed = Wanted { objective: Objective::Speed, ..speed };
    for data in [&text[..], &text[..100_000], &text[..]] {
        let choice = host.choose_for(&DataSample::of(data), &speed).expect("a choice");
        assert!(
            choice.trials.iter().all(|t| t.decompress_s.is_none() && t.compressed_bytes > 0),
            "{choice:?}"
        );
        let request = Request::new("zstd").level(choice.level);
        let compressor = host.shared_compressor(request, data).expect("a compressor");
        let (compressed, _) = compressor.compress(data).expect("compressed");
        assert_eq!(compressor.decompress(&compressed, None).expect("decompressed"), data);
    }
}

#[test]
fn pieces_that_look_alike_share_a_choice_and_others_do_not() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let default = host.get_resource_policy("default").expect("a policy");
    let policy =
        Policy { algorithm: "auto".into(), level: None, implementation: None, filter: None, ..default };
    let first_of = |data: &[u8]| {
        let (compressed, metadata) = host.compress_by(data, &policy).expect("compressed");
        assert_eq!(host.decompress_data(&compressed, Some(&metadata)).expect("decompressed"), data);
        (metadata.algorithm, metadata.compressed_size)
    };
    // In turns, so that a choice for one would be taken for the next if it could.
    for round in 0..3 {
        let noise = noise(200_000, round);
        assert!(first_of(&noise).1 >= 200_000);
        assert!(first_of(&text(200_000)).1 < 100_000);
        assert!(first_of(&numbers(200_000)).1 < 150_000);
    }
}

#[test]
fn little_and_odd_data_is_no_trouble() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    for data in [&b""[..], b"x", &[0; 511], &[7; 512], &noise(700, 2), &noise(5000, 2), &numbers(4096)] {
        for objective in [Objective::Speed, Objective::Balanced, Objective::Ratio] {
            chosen(&host, data, objective);
        }
    }
}

#[test]
fn the_name_follows_the_choice_and_the_choice_is_told() {
    let s = scratch();
    for (name, data, algorithm) in [
        ("notes", text(300_000), None),
        ("noise", noise(300_000, 4), Some("store")),
        ("numbers", numbers(300_000), None),
        ("empty", Vec::new(), Some("zstd")),
        ("byte", vec![1], Some("zstd")),
    ] {
        let input = s.file(name, &data);
        let report = s.json(&["compress", "-a", "auto", path_str(&input)]);
        let choice = &report[0]["choice"];
        assert!(choice["why"].as_str().is_some_and(|w| !w.is_empty()), "{report}");
        assert_eq!(report[0]["algorithm"], choice["algorithm"]);
        assert!(algorithm.is_none_or(|a| choice["algorithm"] == a), "{name}: {choice}");
        let output = PathBuf::from(report[0]["output"].as_str().expect("a path"));
        let is_own = choice["algorithm"] == "store" || choice["filter"] != "none";
        assert_eq!(output.extension().is_some_and(|e| e == "cmc"), is_own, "{}", output.display());
        assert!(unpacked(&s, &output) == data, "{name}");
    }
}

#[test]
fn pipes_are_sampled_at_their_beginning() {
    let s = scratch();
    for data in [text(3_000_000), noise(1_500_000, 6), numbers(2_500_000), b"a".to_vec(), Vec::new()] {
        for objective in ["speed", "balanced"] {
            let whole = packed(&s, &data, &["-a", "auto", "--objective", objective]);
            assert!(through(&s, &["decompress"], &whole) == data, "{objective}, {} bytes", data.len());
        }
    }
}

#[test]
fn a_name_leaves_only_the_level_to_choose() {
    let s = scratch();
    let input = s.file("numbers", &numbers(300_000));
    for (name, algorithm) in [("x.zst", "zstd"), ("x.gz", "gzip"), ("x.xz", "lzma"), ("x.bz2", "bzip2")] {
        let out = s.path(name);
        let options =
            ["compress", "-a", "auto", "--objective", "speed", path_str(&input), "-o", path_str(&out)];
        let report = s.json(&options);
        assert_eq!(
            (&report[0]["choice"]["algorithm"], &report[0]["choice"]["filter"]),
            (&algorithm.into(), &"none".into())
        );
        assert!(unpacked(&s, &out) == fs::read(&input).expect("input"));
    }
    let plain = ["compress", "-a", "auto", "--container", "plain", "-f", path_str(&input)];
    let report = s.json(&plain);
    assert!(
        report[0]["choice"]["algorithm"] != "store" && report[0]["choice"]["filter"] == "none",
        "{report}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let s = scratch();
    let input = s.file("input", &text(10_000));
    let dir = s.dir("out");
    for (arguments, part) in [
        (&["-a", "auto", "--level", "3"][..], "leave --level out"),
        (&["-a", "auto", "--implementation", "zstd/cpu/libzstd"], "leave --implementation out"),
        (&["--objective", "speed"], "--objective says what to choose by; it needs --algorithm auto"),
        (&["-a", "zstd", "--max-memory", "64MB"], "it needs --algorithm auto"),
        (&["--min-decompress-speed", "200MB/s"], "it needs --algorithm auto"),
        (&["-a", "auto", "--min-decompress-speed", "soon"], "is no speed"),
        (&["-a", "auto", "--max-memory", "much"], "is no size"),
        (&["-a", "auto", "--objective", "best"], "balanced"),
    ] {
        let to = dir.join("x");
        let all = [&["compress", path_str(&input), "-o", path_str(&to)], arguments].concat();
        let told = s.ends(2, &all);
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert_eq!(names(&dir), [""; 0], "{told}");
    }
    let told = s.ends(1, &["compress", "-a", "auto", path_str(&s.path("missing"))]);
    assert!(told.contains("missing"), "{told}");
    let told = s.ends(2, &["compress", "-a", "auto", path_str(&s.dir("folder"))]);
    assert!(told.contains("directory"), "{told}");
}
