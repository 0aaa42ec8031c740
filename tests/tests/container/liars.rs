//! Plugins that are proven good and lie later: what they do to a container is noticed.

use crate::*;
use clipsmaster_tests::FAIL_FILE_VARIABLE;

/// The command, with a plugin that lies from now on and comes first.
fn lying(s: &Scratch, implementation: &str, arguments: &[&str]) -> Command {
    let mut command = s.command(arguments);
    command.env("CLIPSMASTER_PIN", format!("zstd={implementation}"));
    command.env(FAIL_FILE_VARIABLE, s.file("lies", b""));
    command
}

fn with(library: &str) -> Scratch {
    let s = Scratch::new();
    s.plugins(&["zstd", library]);
    s
}

#[test]
fn a_lying_encoder_is_caught_where_frames_are_verified() {
    let s = with("lies_in_compress");
    const LIAR: &str = "zstd/npu/lying-encoder";
    let data = text(500_000);
    let input = s.file("input", &data);
    let dir = s.dir("out");
    let to = dir.join("x.zst");
    let compress = ["compress", "--chunk-size", "64KB", path_str(&input), "-o", path_str(&to)];
    for more in [&["--verify"][..], &["--verify", "--container", "plain"], &["--verify", "-T", "1"]] {
        let output = lying(&s, LIAR, &[&compress, more].concat()).output().expect("run");
        assert!(!output.status.success(), "{more:?}");
        let told = stderr(&output);
        assert!(told.contains(LIAR) && told.contains("does not decode to its input"), "{told}");
        assert_eq!(names(&dir), [""; 0], "{more:?}: nothing is published");
    }
    // Without it the file says what it should hold, and reading tells.
    succeeds(lying(&s, LIAR, &compress));
    let told = s.ends(3, &["decompress", "-c", path_str(&to)]);
    assert!(told.contains("chunk 0"), "{told}");
    s.ends(3, &["verify", "--deep", path_str(&to)]);
}

fn succeeds(mut command: Command) -> Output {
    let output = command.output().expect("run");
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

#[test]
fn the_next_implementation_takes_over_from_a_lying_decoder() {
    let s = with("lies_in_decompress");
    const LIAR: &str = "zstd/npu/lying-decoder";
    let data = text(500_000);
    let file = s.file("data.zst", &packed(&s, &data, &["--chunk-size", "64KB"]));
    let out = s.path("out");
    let decompress = ["decompress", "-f", "--json", path_str(&file), "-o", path_str(&out)];
    let output = succeeds(lying(&s, LIAR, &decompress));
    assert!(fs::read(&out).expect("output") == data);
    let told = stderr(&output);
    for part in ["warning", LIAR, "other bytes came out", "zstd/cpu/libzstd took over"] {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report[0]["warnings"][0].as_str().is_some_and(|w| w.contains(LIAR)), "{report}");
    // The same from a pipe.
    let piped = pipe(lying(&s, LIAR, &["decompress"]), &fs::read(&file).expect("container"));
    assert!(piped.status.success() && piped.stdout == data, "{}", stderr(&piped));
    assert!(stderr(&piped).contains("took over"), "{}", stderr(&piped));
    let verified = succeeds(lying(&s, LIAR, &["verify", "--deep", path_str(&file)]));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("intact"), "the file is not to blame");
    // With nobody to take over it is an error of the plugin, and nothing is written.
    let none = s.path("none");
    let alone = ["decompress", "--implementation", LIAR, path_str(&file), "-o", path_str(&none)];
    let output = lying(&s, LIAR, &alone).output().expect("run");
    assert!(!output.status.success() && !none.exists());
    assert!(stderr(&output).contains(LIAR), "{}", stderr(&output));
}
