#!/bin/sh
# For whoever has an NVIDIA GPU: proves and measures the plugin `cuda` on it.
#
#   tests/gpu/check.sh [WORK_FOLDER]
#
# Builds in release mode, runs list-plugins and validate, lets stock tools and processors read what the device wrote (and the
# device what they wrote), and prints throughput by size against the CPU, with pinned and with unpinned staging buffers.
# Exit code: 0 all is well, 1 something is not, 2 no GPU or no nvCOMP.
set -eu

cd "$(dirname "$0")/../.."
work=${1:-$(mktemp -d)}
mkdir -p "$work"
chmod 700 "$work"

stop() {
    echo "check.sh: $*" >&2
    exit 2
}

command -v nvidia-smi >/dev/null || stop "no GPU here: nvidia-smi is not installed (NVIDIA's driver brings it)"
devices=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null) ||
    stop "no GPU here: nvidia-smi finds none: $(nvidia-smi 2>&1 | head -1)"
[ -n "$devices" ] || stop "no GPU here: nvidia-smi lists none"
echo "GPU: $devices"

cargo build --release
host=$PWD/target/release/clipsmaster-host
plugin=$PWD/target/release/libclipsmaster_plugin_cuda.so
CLIPSMASTER_CACHE_DIR=$work/cache
export CLIPSMASTER_CACHE_DIR
mkdir -p "$CLIPSMASTER_CACHE_DIR"
chmod 700 "$CLIPSMASTER_CACHE_DIR"

echo
echo "== doctor"
"$host" doctor
if "$host" doctor --json | grep -q 'nvCOMP 6 is not found'; then
    stop "nvCOMP is not found: pip install nvidia-libnvcomp-cu12 (or -cu13 for a driver for CUDA 13), or set CLIPSMASTER_NVCOMP"
fi

echo
echo "== list-plugins"
"$host" list-plugins

failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}

echo
echo "== validate"
"$host" validate "$plugin" || fail "validate"

echo
echo "== cross-decoding"
data=$work/data
if [ ! -s "$data" ]; then
    # Text, machine code, noise, zeros.
    cat README.md host/src/*.rs "$host" >"$data"
    head -c 20000000 /dev/urandom >>"$data"
    head -c 20000000 /dev/zero >>"$data"
fi
for pair in lz4:lz4 zstd:zst gzip:gz snappy:sz; do
    algorithm=${pair%:*}
    file=$work/data.${pair#*:}
    for chunk in 64KB 1MB 8MB; do
        what="$algorithm, chunks of $chunk"
        "$host" compress -f -q -a "$algorithm" --implementation "$algorithm/cuda/nvcomp" --level 1 --chunk-size $chunk --verify \
            -o "$file" "$data" || { fail "$what: compress on the device"; continue; }
        "$host" decompress -q -c "$file" | cmp -s - "$data" || fail "$what: our reader"
        if [ "$algorithm" != snappy ] && command -v "$algorithm" >/dev/null; then
            "$algorithm" -dc "$file" | cmp -s - "$data" || fail "$what: the stock tool"
        fi
        echo "ok: $what: $(wc -c <"$file") of $(wc -c <"$data") bytes"
    done
    if [ "$algorithm" != snappy ] && command -v "$algorithm" >/dev/null; then
        "$algorithm" -c "$data" >"$file"
        CLIPSMASTER_PIN=$algorithm=$algorithm/cuda/nvcomp "$host" decompress -q -c "$file" | cmp -s - "$data" ||
            fail "$algorithm: the stock tool's file"
    fi
done

echo
echo "== throughput by size, copies included"
for staging in 1 0; do
    echo
    [ $staging = 1 ] && echo "-- staging buffers pinned" || echo "-- staging buffers not pinned"
    for size in 64KB 1MB 16MB 256MB 1GB; do
        echo "$size"
        CLIPSMASTER_CUDA_PINNED=$staging "$host" bench --hardware --size $size --iterations 5 |
            grep -E '/cuda/|(lz4|snappy|zstd|gzip)/cpu/|IMPLEMENTATION' || fail "bench of $size"
    done
done

echo
[ $failed = 0 ] && echo "all is well" || echo "something FAILED, see above"
exit $failed
