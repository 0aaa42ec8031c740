//! What the targets share: a host with the plugins of the folder that `CLIPSMASTER_FUZZ_PLUGINS` names.

use clipsmaster_host::{Benchmarks, Config, Host};
use clipsmaster_tests::fuzz::Bench;
use std::{env, path::PathBuf, sync::LazyLock};

static HOST: LazyLock<(Host, PathBuf)> = LazyLock::new(|| {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release");
    let plugins = env::var_os("CLIPSMASTER_FUZZ_PLUGINS").map_or_else(|| built.into(), PathBuf::from);
    let cache = env::temp_dir().join("clipsmaster-fuzz-cache");
    // The folder of the plugins has the command in it, which proves them.
    let config = Config { benchmarks: Benchmarks::Never, ..Config::isolated(&plugins, cache) };
    (Host::open(config).expect("build the plugins and the command first"), plugins)
});

/// The host, and the codecs.
pub static BENCH: LazyLock<Bench<'static>> =
    LazyLock::new(|| Bench::new(&HOST.0, &HOST.1).expect("a folder of plugins"));

/// A target that calls the function of this name in `clipsmaster_tests::fuzz`.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            clipsmaster_tests::fuzz::$target(&clipsmaster_fuzz::BENCH, bytes)
        });
    };
}
