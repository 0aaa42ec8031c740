//! `export`: frames alone, for tools that know nothing of containers.

use crate::*;

/// Extension, and the tool that reads it.
const TARGETS: [(&str, Option<&str>); 6] = [
    ("zst", Some("zstd")),
    ("lz4", Some("lz4")),
    ("gz", Some("gzip")),
    ("bz2", Some("bzip2")),
    ("xz", Some("xz")),
    ("sz", None),
];

#[test]
fn every_container_becomes_every_plain_format() {
    let s = scratch();
    // Chunks of text and of noise: in our own files the latter are stored.
    let data = mixed(6 * (32 << 10));
    for (algorithm, extension, wrap) in CARRIERS.into_iter().filter(|(_, e, _)| is_container(e)) {
        let options = ["-a", algorithm, "--container", wrap, "--chunk-size", "32KB", "--parity", "10"];
        let file = s.file(&format!("{algorithm}.{extension}"), &packed(&s, &data, &options));
        for (to, name) in TARGETS {
            let out = s.path(&format!("out.{to}"));
            s.run(&["export", "-q", "-f", path_str(&file), "-o", path_str(&out)]);
            let what = format!("{algorithm} in .{extension} to .{to}");
            assert!(unpacked(&s, &out) == data, "{what}");
            if to == extension || wrap == "cmc" {
                assert_eq!(s.json(&["verify", path_str(&out)])[0]["condition"], "intact", "{what}");
            }
            assert_eq!(
                s.json(&["info", path_str(&out)])["container"],
                false,
                "{what}: nothing of ours is left"
            );
            let Some(mut stock) = name.and_then(tool) else { continue };
            let decoded = stock.args(["-d", "-c"]).arg(&out).output().expect("tool");
            assert!(decoded.status.success() && decoded.stdout == data, "{what}: {}", stderr(&decoded));
        }
    }
}

#[test]
fn frames_of_the_same_format_are_taken_as_they_are() {
    let s = scratch();
    let data = text(200_000);
    for (algorithm, extension, _) in &CARRIERS[..6] {
        let options = ["-a", algorithm, "--chunk-size", "64KB"];
        let plain = packed(&s, &data, &[&options[..], &["--container", "plain"]].concat());
        let file = s.file("data.cmc", &packed(&s, &data, &[&options[..], &["--container", "cmc"]].concat()));
        let out = s.path(&format!("out.{extension}"));
        let report = s.json(&["export", path_str(&file), "-o", path_str(&out)]);
        assert_eq!(report["warnings"], serde_json::json!([]), "{algorithm}: nothing is compressed anew");
        let (out, plain) = (fs::read(&out).expect("output"), plain);
        let same = out.len() == plain.len()
            && out.iter().zip(&plain).enumerate().all(|(at, (a, b))| {
                // Which system a gzip member was written on is not known any more (RFC 1952: 255).
                a == b
                    || *a == 255
                        && *algorithm == "gzip"
                        && at >= 9
                        && plain[at - 9..].starts_with(&[0x1f, 0x8b, 8])
            });
        assert!(same, "{algorithm}: as `--container plain` writes them");
    }
}

#[test]
fn what_does_not_shrink_is_stored_and_mixed_files_are_read() {
    let s = scratch();
    let noise = noise(300_000, 21);
    for algorithm in ["bzip2", "lzma", "lz4", "zstd"] {
        let options = ["-a", algorithm, "--container", "cmc", "--chunk-size", "64KB"];
        let file = s.file("noise.cmc", &packed(&s, &noise, &options));
        assert!(fs::metadata(&file).expect("file").len() < 302_000, "{algorithm}: records are all it costs");
        assert!(unpacked(&s, &file) == noise, "{algorithm}");
        let data = mixed(6 * (64 << 10));
        let file = s.file("mixed.cmc", &packed(&s, &data, &options));
        let info = s.run(&["info", path_str(&file)]);
        for count in [format!("4 {algorithm}"), "2 store".to_owned()] {
            assert!(info.contains(&count), "{info}");
        }
        assert!(unpacked(&s, &file) == data, "{algorithm}");
        let report = s.json(&["decompress", "-f", path_str(&file), "-o", path_str(&s.path("back"))]);
        assert_eq!(report[0]["chunks"], 6, "{report}");
        let export = s.json(&["export", "-f", path_str(&file), "-o", path_str(&s.path("plain"))]);
        let told = export["warnings"].as_array().expect("a list");
        assert_eq!(told.len(), 2, "{algorithm}: the stored ones are compressed anew: {export}");
    }
}

#[test]
fn what_cannot_be_exported_is_told() {
    let s = scratch();
    let data = text(300_000);
    let whole = packed(&s, &data, &["--chunk-size", "64KB"]);
    let file = s.file("data.zst", &whole);
    let dir = s.dir("out");
    let export = |code, from: &Path, to: &str| {
        let told = s.ends(code, &["export", path_str(from), "-o", path_str(&dir.join(to))]);
        assert_eq!(names(&dir), [""; 0], "{told}");
        told
    };
    assert!(export(2, &file, "x.cmc").contains("would not be what its name says"));
    let plain = s.file("plain.zst", &packed(&s, &data, &["--container", "plain"]));
    assert!(export(3, &plain, "x.zst").contains("plain already"));
    let mut damaged = whole.clone();
    let place = places(&s, &file)[1];
    // One byte is mended; more are lost, and a plain file could not say so.
    damaged[place.frame + 100] ^= 1;
    let light = s.file("light.zst", &damaged);
    s.run(&["export", path_str(&light), "-o", path_str(&s.path("light.out.zst"))]);
    assert!(unpacked(&s, &s.path("light.out.zst")) == data);
    spoil(&mut damaged, &place);
    let told = export(3, &s.file("heavy.zst", &damaged), "x.zst");
    assert!(told.contains("damaged") || told.contains("lost"), "{told}");
    let two = s.file("two.zst", &[&whole[..], &whole].concat());
    let told = export(3, &two, "x.zst");
    assert!(told.contains("other content"), "{told}");
}
