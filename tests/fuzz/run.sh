#!/bin/sh
# Runs each fuzz target under cargo-fuzz for so many seconds (300 by default). Needs a nightly toolchain and `cargo install cargo-fuzz`.
# What was found lies in `artifacts`; what was learnt, in `corpus`, where the next run goes on.
set -eu
cd "$(dirname "$0")"
seconds=${1:-300}
(cd ../.. && cargo build --release -q)
cargo run --release -q --example seeds -- corpus
for target in container salvage range decoder; do
    # abi_stable never unloads a library, and the sanitizer calls that a leak.
    ASAN_OPTIONS=detect_leaks=0 cargo +nightly fuzz run "$target" -- \
        -max_total_time="$seconds" -max_len=60000 -timeout=20 -rss_limit_mb=3000 -detect_leaks=0 -print_final_stats=1
done
