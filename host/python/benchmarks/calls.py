"""Calls of the package against those of cramjam, zstandard, lz4 and numcodecs; chunks on two threads against Blosc2.

    python benchmarks/calls.py FILE [--rounds 15]

Same algorithm and level, pieces of FILE of 1 KiB, 64 KiB and 1 MiB, in turns; the table has the median of the rounds' ratios
(the fastest peer's time over ours: above 1 we are faster), and who that peer is. Every result is read back and compared.
Same work: zstandard, cramjam, numcodecs and lz4 leave the checksum of zstd and lz4 out unless told, and so does the package then
(`checksum=False`; its metadata has a CRC-32 all the same); the rows "with a checksum", the package's default, are beside those that
can be told. Each call is one of a function in Python that calls the library.
"""

import argparse
import statistics
import time

import blosc2
import cramjam
import lz4.frame
import numcodecs
import zstandard

from clipsmaster import compression

SIZES = {"1 KiB": 1 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20}
SECONDS_PER_TURN = 0.01


def peers():
    """Name, ours, and theirs: pairs of compress and decompress, contexts kept where the library can."""

    def ours(algorithm, level, checksum=True):
        def compress(data):
            return compression.compress_data(data, algorithm, level=level, checksum=checksum)

        def decompress(compressed):
            return compression.decompress_data(*compressed)

        return compress, decompress

    def zstd(level):
        compressor, decompressor = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
        codec = numcodecs.Zstd(level=level)
        return {
            "zstandard": (lambda d: compressor.compress(d), lambda d: decompressor.decompress(d)),
            "cramjam": (lambda d: bytes(cramjam.zstd.compress(d, level)), lambda d: bytes(cramjam.zstd.decompress(d))),
            "numcodecs": (lambda d: codec.encode(d), lambda d: codec.decode(d)),
        }

    for level in (1, 3, 9):
        yield f"zstd {level}", ours("zstd", level, checksum=False), zstd(level)
    yield "lz4", ours("lz4", 0, checksum=False), {
        "lz4": (lambda d: lz4.frame.compress(d), lambda d: lz4.frame.decompress(d)),
        "cramjam": (lambda d: bytes(cramjam.lz4.compress(d)), lambda d: bytes(cramjam.lz4.decompress(d))),
    }
    checked, decompressor = zstandard.ZstdCompressor(level=3, write_checksum=True), zstandard.ZstdDecompressor()
    yield "zstd 3, with a checksum", ours("zstd", 3), {
        "zstandard": (lambda d: checked.compress(d), lambda d: decompressor.decompress(d)),
    }
    yield "lz4, with a checksum", ours("lz4", 0), {
        "lz4": (lambda d: lz4.frame.compress(d, content_checksum=True), lambda d: lz4.frame.decompress(d)),
    }
    gzip = numcodecs.GZip(level=6)
    yield "gzip 6", ours("gzip", 6), {
        "cramjam": (lambda d: bytes(cramjam.gzip.compress(d, 6)), lambda d: bytes(cramjam.gzip.decompress(d))),
        "numcodecs": (lambda d: gzip.encode(d), lambda d: gzip.decode(d)),
    }
    yield "snappy", ours("snappy", None), {
        "cramjam": (lambda d: bytes(cramjam.snappy.compress(d)), lambda d: bytes(cramjam.snappy.decompress(d))),
    }
    bz2 = numcodecs.BZ2(level=9)
    yield "bzip2 9", ours("bzip2", 9), {
        "cramjam": (lambda d: bytes(cramjam.bzip2.compress(d, 9)), lambda d: bytes(cramjam.bzip2.decompress(d))),
        "numcodecs": (lambda d: bz2.encode(d), lambda d: bz2.decode(d)),
    }
    lzma = numcodecs.LZMA(preset=6)
    yield "xz 6", ours("lzma", 6), {
        "cramjam": (lambda d: bytes(cramjam.xz.compress(d, 6)), lambda d: bytes(cramjam.xz.decompress(d))),
        "numcodecs": (lambda d: lzma.encode(d), lambda d: lzma.decode(d)),
    }


def seconds(call, argument, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        call(argument)
    return (time.perf_counter() - start) / repeats


def compare(ours, theirs, arguments, rounds):
    """Ratio to the fastest of `theirs`, its name, and our time: medians over rounds in which each has its turn."""
    calls = {"": ours, **theirs}
    repeats = {
        name: max(1, int(SECONDS_PER_TURN / max(seconds(call, arguments[name], 2), 1e-9))) for name, call in calls.items()
    }
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call, arguments[name], repeats[name]))
    fastest = min(theirs, key=lambda name: statistics.median(times[name]))
    ratio = statistics.median(theirs_s / ours_s for theirs_s, ours_s in zip(times[fastest], times[""]))
    return ratio, fastest, statistics.median(times[""])


def calls(data, rounds):
    print("| algorithm | piece | compress | fastest peer | µs | decompress | fastest peer | µs |")
    print("|---|---|--:|---|--:|--:|---|--:|")
    for name, (compress, decompress), theirs in peers():
        for size_name, size in SIZES.items():
            middle = len(data) // 2
            piece = data[middle : middle + size]
            compressed = {"": compress(piece), **{peer: c(piece) for peer, (c, _) in theirs.items()}}
            for peer, d in {"": decompress, **{peer: d for peer, (_, d) in theirs.items()}}.items():
                assert bytes(d(compressed[peer])) == piece, (name, peer)
            sides = [
                compare(compress, {p: c for p, (c, _) in theirs.items()}, dict.fromkeys(compressed, piece), rounds),
                compare(decompress, {p: d for p, (_, d) in theirs.items()}, compressed, rounds),
            ]
            cells = " | ".join(f"{ratio:.2f} | {peer} | {s * 1e6:,.1f}" for ratio, peer, s in sides)
            print(f"| {name} | {size_name} | {cells} |", flush=True)


def chunked(data, rounds):
    print()
    print("| chunks on 2 threads | size, theirs over ours | compress | decompress |")
    print("|---|--:|--:|--:|")
    blosc2.set_nthreads(2)
    for level in (1, 3, 9):
        # Blosc2's levels choose size of block and level of codec together, so the sizes tell what compares.
        def theirs(d, level=level):
            return blosc2.compress2(
                d, codec=blosc2.Codec.ZSTD, clevel=level, filters=[blosc2.Filter.NOFILTER], typesize=1, nthreads=2
            )

        def ours(d, level=level):
            return compression.compress_chunked(d, level=level, threads=2)

        a, b = ours(data), theirs(data)
        assert compression.decompress_chunked(a) == data and bytes(blosc2.decompress2(b)) == data
        compress = compare(ours, {"blosc2": theirs}, {"": data, "blosc2": data}, rounds)
        decompress = compare(compression.decompress_chunked, {"blosc2": blosc2.decompress2}, {"": a, "blosc2": b}, rounds)
        print(f"| zstd {level} / Blosc2 {level} | {len(b) / len(a):.3f} | {compress[0]:.2f} | {decompress[0]:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with open(arguments.file, "rb") as file:
        content = file.read(24 << 20)
    compression.list_plugins()
    calls(content, arguments.rounds)
    chunked(content, max(3, arguments.rounds // 3))
