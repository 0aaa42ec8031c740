"""Compresses all files of a folder over a Dask cluster, one task for each: compress_folder.py SRC DST [--scheduler ADDR]

Both folders must be visible to all workers under the same name, and workers need `clipsmaster`. Files appear whole or not at all, with the
time of their original, so that a run after one that was cut short goes on where that ended: what is there and unchanged is left alone. A
task whose worker dies is done by another worker. A file that cannot be compressed is reported at the end, and does not keep the others.
One run at a time may write to a folder.
"""

import argparse
import pathlib
import re
import sys
import time

from dask.distributed import Client, as_completed

from clipsmaster.compression import compress_file

SUFFIXES = {"zstd": ".zst", "lz4": ".lz4", "gzip": ".gz", "bzip2": ".bz2", "lzma": ".xz", "snappy": ".sz"}
# What a killed process leaves where the file system knows no nameless files (O_TMPFILE).
LEFT_OVER = re.compile(r"\..+\.\d+-[0-9a-f]+\.part")


def is_done(source, target):
    return target.is_file() and target.stat().st_mtime_ns == source.stat().st_mtime_ns


def compress(source, target, algorithm, level):
    """The task of one file. Answers the bytes that were read and written, which are none if it is done already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # One thread: there are as many tasks at a time as the cluster has threads.
        done = compress_file(source, target, algorithm, level=level, threads=1, overwrite=target.exists())
    except FileExistsError:
        # Dask does a task again whose worker it lost sight of; that one has come to an end meanwhile.
        if not is_done(source, target):
            raise
        return 0, 0
    return done["input_bytes"], done["output_bytes"]


def pairs(source_dir, target_dir, suffix):
    for source in source_dir.rglob("*"):
        if source.is_file() and target_dir not in source.parents:
            target = target_dir / source.relative_to(source_dir)
            yield source, target.with_name(target.name + suffix)


def remove_left_overs(target_dir):
    for path in target_dir.rglob(".*.part"):
        if LEFT_OVER.fullmatch(path.name):
            path.unlink()


def run(client, source_dir, target_dir, algorithm, level):
    remove_left_overs(target_dir)
    todo, unchanged = [], 0
    for source, target in pairs(source_dir, target_dir, SUFFIXES.get(algorithm, ".cmc")):
        if is_done(source, target):
            unchanged += 1
        else:
            todo.append((source, target))
    # The largest first, so that none of them is left for the end.
    todo.sort(key=lambda pair: pair[0].stat().st_size, reverse=True)
    tasks = {client.submit(compress, *pair, algorithm, level, pure=False): pair[0] for pair in todo}
    failed, read, written = [], 0, 0
    for task in as_completed(tasks):
        # Not by the task's status: a worker that dies now takes its results along, and these are waited for again.
        error = task.exception()
        if error is not None:
            failed.append((tasks[task], error))
            continue
        sizes = task.result()
        read, written = read + sizes[0], written + sizes[1]
    return len(tasks) - len(failed), unchanged, failed, read, written


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path, metavar="SRC")
    parser.add_argument("target", type=pathlib.Path, metavar="DST")
    parser.add_argument("--scheduler", metavar="ADDR", help="of a running cluster; by default one is started on this machine")
    parser.add_argument("--workers", type=int, default=2, help="processes of the cluster that is started (default: %(default)s)")
    parser.add_argument("--algorithm", default="zstd")
    parser.add_argument("--level", type=int)
    arguments = parser.parse_args()
    source_dir, target_dir = arguments.source.resolve(), arguments.target.resolve()
    if not source_dir.is_dir():
        parser.error(f"{source_dir} is no folder")
    began = time.monotonic()
    if arguments.scheduler:
        cluster = {"address": arguments.scheduler}
    else:
        cluster = {"n_workers": arguments.workers, "threads_per_worker": 1, "dashboard_address": None}
    with Client(**cluster) as client:
        compressed, unchanged, failed, read, written = run(
            client, source_dir, target_dir, arguments.algorithm, arguments.level
        )
    seconds = time.monotonic() - began
    print("compressed  unchanged  failed      read MiB   written MiB   ratio  seconds")
    ratio = f"{read / written:.2f}" if written else "-"
    print(
        f"{compressed:10}  {unchanged:9}  {len(failed):6}  {read / 2**20:12.1f}  {written / 2**20:12.1f}  {ratio:>6}  {seconds:7.1f}"
    )
    for source, error in sorted(failed, key=lambda one: one[0]):
        print(f"{source}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
