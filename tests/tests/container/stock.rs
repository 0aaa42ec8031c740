//! The formats' own tools and libraries read what we write: the only judges of that.

use crate::*;

const CHUNK: usize = 64 << 10;

/// Extension, and the tools that decode it to standard output.
const TOOLS: [(&str, &str, &[&str]); 6] = [
    ("zstd", "zst", &["zstd"]),
    ("lz4", "lz4", &["lz4"]),
    ("gzip", "gz", &["gzip", "pigz", "igzip"]),
    ("lzma", "xz", &["xz"]),
    ("bzip2", "bz2", &["bzip2", "lbzip2", "pbzip2"]),
    ("snappy", "sz", &[]),
];

#[test]
fn the_formats_own_tools_decode_all_of_it() {
    let s = scratch();
    let data = mixed(3 * CHUNK + 99);
    for (algorithm, extension, tools) in TOOLS {
        for (len, parity) in [(0, "0"), (1, "0"), (CHUNK, "0"), (data.len(), "0"), (data.len(), "25")] {
            if parity != "0" && !is_container(extension) {
                continue;
            }
            let options = ["-a", algorithm, "--chunk-size", "64KB", "--parity", parity];
            let file = s.file(&format!("data.{extension}"), &packed(&s, &data[..len], &options));
            for name in tools {
                let Some(mut stock) = tool(name) else { continue };
                let output = stock.args(["-d", "-c"]).arg(&file).output().expect("tool");
                let what = format!("{name} on {len} bytes with {parity} % of parity");
                assert!(output.status.success(), "{what}: {}", stderr(&output));
                assert!(output.stdout == data[..len], "{what}");
                let tested = tool(name).expect("found before").arg("-t").arg(&file).output().expect("tool");
                assert!(tested.status.success(), "{what}: -t: {}", stderr(&tested));
            }
        }
    }
}

/// Decodes `one.*`, of one chunk, with the call that decodes one frame, and `many.*` with readers of whole files. Prints a line
/// for each: `ok`, `FAIL` or `skip`.
const SCRIPT: &str = r#"
import importlib, os, sys, zlib, gzip
os.chdir(sys.argv[1])
def load(name):
    try: return importlib.import_module(name)
    except ImportError: return None
def read(name): return open(name, 'rb').read()
def check(module, what, decode, kind):
    if module is None: return print('skip', what)
    try: good = bytes(decode()) == read(kind + '.raw'); print('ok' if good else 'FAIL', what, kind)
    except Exception as e: print('FAIL', what, kind, repr(e)[:200])
zstandard, lz4, snappy, cramjam = load('zstandard'), load('lz4.frame'), load('snappy'), load('cramjam')
for kind in ['one', 'many']:
    f = {e: kind + '.' + e for e in ['zst', 'lz4', 'gz', 'sz']}
    if kind == 'one':
        check(zstandard, 'zstandard.decompress', lambda: zstandard.decompress(read(f['zst'])), kind)
        check(lz4, 'lz4.frame.decompress', lambda: lz4.decompress(read(f['lz4'])), kind)
        check(zlib, 'zlib.decompressobj', lambda: zlib.decompressobj(31).decompress(read(f['gz'])), kind)
        check(zlib, 'zlib.decompress', lambda: zlib.decompress(read(f['gz']), 31), kind)
    check(zstandard, 'zstandard reader', lambda: zstandard.ZstdDecompressor().stream_reader(
        open(f['zst'], 'rb'), read_across_frames=True).read(), kind)
    check(lz4, 'lz4.frame.open', lambda: lz4.open(f['lz4']).read(), kind)
    check(gzip, 'gzip.open', lambda: gzip.open(f['gz']).read(), kind)
    check(gzip, 'gzip.decompress', lambda: gzip.decompress(read(f['gz'])), kind)
    check(snappy, 'snappy', lambda: snappy.StreamDecompressor().decompress(read(f['sz'])), kind)
    check(cramjam, 'cramjam.zstd', lambda: cramjam.zstd.decompress(read(f['zst'])), kind)
    check(cramjam, 'cramjam.gzip', lambda: cramjam.gzip.decompress(read(f['gz'])), kind)
    check(cramjam, 'cramjam.snappy', lambda: cramjam.snappy.decompress(read(f['sz'])), kind)
check(cramjam, 'cramjam.lz4', lambda: cramjam.lz4.decompress(read('one.lz4')), 'one')
"#;

#[test]
fn decoders_of_one_frame_get_all_of_one_chunk() {
    let s = scratch();
    let dir = s.dir("python");
    for (kind, data) in [("one", mixed(CHUNK)), ("many", mixed(4 * CHUNK + 5))] {
        file_in(&dir, &format!("{kind}.raw"), &data);
        for (algorithm, extension, _) in TOOLS.into_iter().filter(|(_, e, _)| is_container(e)) {
            let file = packed(&s, &data, &["-a", algorithm, "--chunk-size", "64KB"]);
            file_in(&dir, &format!("{kind}.{extension}"), &file);
        }
    }
    let python = std::env::var("CLIPSMASTER_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let Ok(output) = Command::new(&python).args(["-c", SCRIPT]).arg(&dir).output() else {
        println!("Skipped: no Python (CLIPSMASTER_TEST_PYTHON)");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", stderr(&output));
    told.lines().filter(|l| l.starts_with("skip")).for_each(|l| println!("Skipped: no Python module: {l}"));
    let failed: Vec<&str> = told.lines().filter(|l| l.starts_with("FAIL")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(told.contains("ok zlib.decompressobj one"), "the standard library at least: {told}");
}
