"""One library of Python on pieces of 1 MiB of a file; run by run.py, prints JSON.

    in_process.py LIBRARY ALGORITHM LEVEL THREADS FILE
"""

import json
import sys
import time

PIECE = 1 << 20
MOST_PIECES = {"xz": 8, "bzip2": 16}
USUAL_PIECES = 64


def pieces(path, count):
    """Pieces from all over the file, as slow codecs cannot have all of it."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        count = max(1, min(count, size // PIECE))
        found = []
        for number in range(count):
            file.seek((size // PIECE) * number // count * PIECE)
            found.append(file.read(PIECE))
    return found


def blosc2_calls(algorithm, level, threads):
    import blosc2

    # Its levels are its own: from these it makes zstd's 1, 3, 5, 9.
    own_level = {1: 1, 3: 2, 5: 3, 9: 5}[level]
    compression = {
        "codec": blosc2.Codec[algorithm.upper()], "clevel": own_level, "filters": [blosc2.Filter.NOFILTER],
        "filters_meta": [0], "nthreads": threads, "typesize": 1,
    }
    return (
        lambda data: blosc2.compress2(data, **compression),
        lambda data, _: blosc2.decompress2(data, nthreads=threads),
    )


def cramjam_calls(algorithm, level, _threads):
    import cramjam

    if algorithm == "xz" and not hasattr(cramjam, "xz"):
        sys.exit("this cramjam has no xz")
    module = getattr(cramjam, algorithm)
    if algorithm == "snappy":
        compress = module.compress
    elif algorithm == "xz":
        compress = lambda data: module.compress(data, preset=level)
    else:
        compress = lambda data: module.compress(data, level=level)
    return compress, lambda data, length: module.decompress(data, output_len=length)


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main():
    library, algorithm, level, threads, path = sys.argv[1:]
    calls = {"blosc2": blosc2_calls, "cramjam": cramjam_calls}[library]
    compress, decompress = calls(algorithm, int(level), int(threads))
    data = pieces(path, MOST_PIECES.get(algorithm, USUAL_PIECES))
    compress(data[0])
    compressing = decompressing = packed_bytes = 0
    for piece in data:
        seconds, packed = timed(lambda: compress(piece))
        compressing += seconds
        seconds, back = timed(lambda: decompress(packed, len(piece)))
        decompressing += seconds
        packed_bytes += len(packed)
        if bytes(back) != piece:
            sys.exit(f"{library} {algorithm}: not the original")
    total = sum(map(len, data))
    print(json.dumps({
        "compress_mb_s": total / 1e6 / compressing, "decompress_mb_s": total / 1e6 / decompressing,
        "ratio": total / packed_bytes,
    }))


if __name__ == "__main__":
    main()
