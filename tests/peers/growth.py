#!/usr/bin/env python3
"""Time and memory of our command as its input, its threads and the number of installed plugins grow; a Markdown table
of each on standard output, and growth.svg.

    cargo build --release
    tests/peers/growth.py [--max-size 1GB] [--threads N] [--plugins 1,10,50,100,200] [--out DIR] [--host PATH]

Input is text made on the way, which repeats only where the codec cannot see it. It goes through a pipe, so that no size
lies on disk whole; up to 1 GiB it is measured as a file, too. Every output is decompressed and compared by its SHA-256.
`--max-size 8GB` takes some minutes more. Plugins beyond the first are copies of `store` under names of their own, each
proven and measured; the first such run takes a third of a second for each, once.
"""

import argparse
import hashlib
import os
import random
import shutil
import sys
from pathlib import Path

import common
from chart import Panel, drawing
from common import GIB, MIB, Failed, Host, Runner, Scratch, digest_of, fresh, median, note, peak, size_name, table

LEAST_BYTES = 4 << 10
STEP = 8
MOST_IN_A_FILE = GIB
SPARE_DISK = 20 * GIB
BLOCK_BYTES = 8 * MIB
STAMP_EVERY = 4096
THREADS = (1, 2, 4, 8, 16, 32)
THREADS_INPUT = 256 * MIB
ALGORITHM, LEVEL = "zstd", 1
SHORT_RUNS, LONG_RUNS, LONG_BYTES = 9, 3, 16 * MIB
PLUGIN_RUNS = 20


# Input --------------------------------------------------------------------------------------------------------------


def text_block():
    """Words, some of them often and most of them seldom; the same at each run."""
    chance = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, range(26, 0, -1), k=chance.randint(2, 9))) for _ in range(5000)]
    often = [1 / rank for rank in range(1, len(words) + 1)]
    text = " ".join(chance.choices(words, often, k=BLOCK_BYTES // 4)).encode()
    assert len(text) >= BLOCK_BYTES
    return text[:BLOCK_BYTES]


class Text:
    """Any length of it: the block again and again, each time with another number in each page."""

    def __init__(self):
        self.block = text_block()

    def blocks(self, length):
        number = 0
        while length > 0:
            block = bytearray(self.block)
            for at, digit in enumerate(f"{number:08}".encode()):
                block[at::STAMP_EVERY] = bytes([digit]) * len(range(at, len(block), STAMP_EVERY))
            yield memoryview(block)[: min(length, len(block))]
            length -= len(block)
            number += 1

    def write(self, length, out):
        for block in self.blocks(length):
            out.write(block)

    def digest(self, length):
        digest = hashlib.sha256()
        for block in self.blocks(length):
            digest.update(block)
        return digest.hexdigest()


class Work:
    def __init__(self, host, runner, scratch, text, threads):
        self.host, self.runner, self.scratch, self.text, self.threads = host, runner, scratch, text, threads
        self.packed = scratch.file("packed.zst")

    def compress(self, source, threads, feed=None):
        command = self.host.compress(ALGORITHM, LEVEL, threads, source, fresh(self.packed))
        return self.runner.run(command, feed=feed)

    def decompress(self, threads):
        return self.runner.run(self.host.decompress(threads, self.packed, "/dev/null"))

    def check(self, length, threads):
        """The output must decompress to the input."""
        found = []
        command = self.host.decompress(threads, self.packed, "-")
        self.runner.run(command, drain=lambda stream: found.append(digest_of(stream)))
        if found != [self.text.digest(length)]:
            raise Failed(f"{size_name(length)}, {threads} threads: what was decompressed is not the input")


def several(count, run):
    return [run() for _ in range(count)]


# Growing input ------------------------------------------------------------------------------------------------------


def sizes_to(most):
    sizes, size = [], LEAST_BYTES
    while size <= most:
        sizes.append(size)
        size *= STEP
    return sizes


def by_size(work, most):
    rows = []
    for size in sizes_to(most):
        note(f"input of {size_name(size)}")
        count = SHORT_RUNS if size < LONG_BYTES else LONG_RUNS if size <= THREADS_INPUT else 1
        row = {"size": size}
        if size <= MOST_IN_A_FILE:
            source = work.scratch.file("input")
            with open(source, "wb") as out:
                work.text.write(size, out)
            row["file"] = several(count, lambda: work.compress(source, work.threads))
            source.unlink()
        row["pipe"] = several(
            count, lambda: work.compress("-", work.threads, lambda out: work.text.write(size, out))
        )
        row["packed"] = work.packed.stat().st_size
        row["decompress"] = several(count, lambda: work.decompress(work.threads))
        work.check(size, work.threads)
        rows.append(row)
    work.packed.unlink(missing_ok=True)
    return rows


def size_table(rows):
    head = ["input", "runs", "file, s", "pipe, s", "decompress, s"]
    head += ["file, MiB", "pipe, MiB", "decompress, MiB", "ratio"]
    ways = ("file", "pipe", "decompress")
    return table(head, [
        [size_name(row["size"]), len(row["pipe"])]
        + [f"{median(row[way], 'wall'):.4f}" if way in row else "-" for way in ways]
        + [f"{peak(row[way]):.0f}" if way in row else "-" for way in ways]
        + [f"{row['size'] / row['packed']:.2f}"]
        for row in rows
    ])


# Growing threads ----------------------------------------------------------------------------------------------------


def by_threads(work, size):
    source = work.scratch.file("input")
    with open(source, "wb") as out:
        work.text.write(size, out)
    rows = []
    for threads in THREADS:
        note(f"{threads} threads")
        row = {"threads": threads, "compress": several(LONG_RUNS, lambda: work.compress(source, threads))}
        row["decompress"] = several(LONG_RUNS, lambda: work.decompress(threads))
        row["packed"] = work.packed.stat().st_size
        work.check(size, threads)
        rows.append(row)
    source.unlink()
    work.packed.unlink()
    return rows


def threads_table(rows, size):
    head = ["threads", "input", "compress, s", "decompress, s", "compress, MiB", "decompress, MiB", "ratio"]
    return table(head, [
        [row["threads"], size_name(size)]
        + [f"{median(row[way], 'wall'):.3f}" for way in ("compress", "decompress")]
        + [f"{peak(row[way]):.0f}" for way in ("compress", "decompress")]
        + [f"{size / row['packed']:.3f}"]
        for row in rows
    ])


# Growing number of plugins ------------------------------------------------------------------------------------------


def by_plugins(program, runner, scratch, text, counts):
    """In a folder of the program's own, as it finds the plugins beside it."""
    alone = scratch.folder("bin") / program.name
    shutil.copy2(program, alone)
    folder = scratch.folder("plugins")
    install(program.with_name(f"libclipsmaster_plugin_{ALGORITHM}.so").read_bytes(), folder / f"lib{ALGORITHM}.so")
    pattern = program.with_name("libclipsmaster_plugin_store.so").read_bytes()
    small = scratch.file("small")
    with open(small, "wb") as out:
        text.write(LEAST_BYTES, out)
    host, installed, rows = Host(alone, runner), 1, []
    plugins = [alone, "--plugins-dir", folder]
    for count in sorted(counts):
        note(f"{count} plugins")
        for number in range(installed, count):
            # Names of the same length, as nothing may move in the file.
            install(pattern.replace(b"store", b"s%04d" % number), folder / f"libs{number:04}.so")
        installed = max(installed, count)
        rows.append(plugins_row(plugins, host, runner, small, scratch.file("small.zst"), installed))
    return rows


def install(library, path):
    path.write_bytes(library)
    path.chmod(0o755)


def plugins_row(plugins, host, runner, small, packed, count):
    first = runner.run([*plugins, "list-plugins"])
    listing = [*plugins, "list-plugins", "-q"]
    usable = []
    runner.run([*listing, "--json"], drain=lambda stream: usable.append(stream.read().count(b'"state": "ok"')))
    command = host.compress(ALGORITHM, LEVEL, 2, small, packed)
    command = [*plugins, *command[1:]]
    runner.run(command)
    return {
        "count": count, "usable": usable[0], "first": first,
        "list": several(PLUGIN_RUNS, lambda: runner.run(listing)),
        "compress": several(PLUGIN_RUNS, lambda: runner.run(command)),
    }


def plugins_table(rows):
    head = ["plugins", "usable", "new ones proven, s", "list-plugins, ms", "compress 4 KiB, ms"]
    head += ["list-plugins, MiB", "compress, MiB"]
    return table(head, [
        [row["count"], row["usable"], f"{row['first'].wall:.1f}"]
        + [f"{median(row[way], 'wall') * 1e3:.2f}" for way in ("list", "compress")]
        + [f"{peak(row[way]):.1f}" for way in ("list", "compress")]
        for row in rows
    ])


# The whole ----------------------------------------------------------------------------------------------------------


def lines_of(rows, ways, figure):
    """For each way the figures of the rows that have it."""
    return [(name, [figure(row[way]) if way in row else None for row in rows]) for way, name in ways.items()]


def picture(size_rows, thread_rows, plugin_rows):
    both = {"compress": "compress", "decompress": "decompress"}
    ways = {"file": "from file", "pipe": "from pipe", "decompress": "decompress"}
    calls = {"list": "list-plugins", "compress": "compress 4 KiB"}
    columns = [
        (
            [row["size"] for row in size_rows], lambda size: size_name(size).replace("iB", ""), size_rows, ways,
            "input, bytes", True, True,
        ),
        ([row["threads"] for row in thread_rows], str, thread_rows, both, "threads", True, False),
        ([row["count"] for row in plugin_rows], str, plugin_rows, calls, "plugins installed", False, False),
    ]
    panels = []
    for xs, x_name, rows, named, what, log_x, log_time in columns:
        thousand = 1e3 if what.startswith("plugins") else 1
        seconds = lines_of(rows, named, lambda runs: median(runs, "wall") * thousand)
        unit = "ms" if thousand > 1 else "s"
        panels.append([
            Panel(f"time, {unit}", what, xs, x_name, seconds, log_x, log_time),
            Panel("peak memory, MiB", what, xs, x_name, lines_of(rows, named, peak), log_x, False),
        ])
    return drawing(panels)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-size", type=common.binary_size, default=GIB, metavar="SIZE")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--plugins", default="1,10,50,100,200", metavar="N,...")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR")
    parser.add_argument("--host", metavar="PATH")
    return parser.parse_args()


def section(title, text):
    common.end_of_notes()
    print(f"\n## {title}\n\n{text}", flush=True)


def measure(options, program, runner, scratch):
    host, text = Host(program, runner), Text()
    host.warm([(ALGORITHM, LEVEL)])
    work = Work(host, runner, scratch, text, options.threads)
    print(
        f"# Growth\n\n{ALGORITHM} {LEVEL}, {options.threads} threads of {os.cpu_count()} processors, files "
        f"{'in memory' if scratch.in_memory else 'on disk'}, decompressed to /dev/null; medians of time, peaks of memory.\n"
        "Every output was decompressed, and is the input by its SHA-256."
    )
    size_rows = by_size(work, options.max_size)
    section("Input", size_table(size_rows))
    size = min(THREADS_INPUT, options.max_size)
    thread_rows = by_threads(work, size)
    section("Threads", threads_table(thread_rows, size))
    counts = [int(count) for count in options.plugins.split(",")]
    plugin_rows = by_plugins(program, runner, scratch, text, counts)
    section("Plugins", plugins_table(plugin_rows))
    return picture(size_rows, thread_rows, plugin_rows)


def main():
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    program = common.find_host(options.host).resolve()
    # The largest input leaves its output, smaller ones lie there as well.
    needed = options.max_size + min(options.max_size, MOST_IN_A_FILE)
    with Scratch(needed) as scratch:
        if not scratch.in_memory and common.free_bytes(scratch.files) < needed + SPARE_DISK:
            sys.exit(f"growth.py: {size_name(options.max_size)} would leave less than 20 GiB of disk: a smaller --max-size")
        environment = {"HOME": str(scratch.folder("home"))}
        environment |= {f"CLIPSMASTER_{n.upper()}_DIR": str(scratch.folder(n)) for n in ("cache", "config")}
        environment |= {f"XDG_{n.upper()}_HOME": str(scratch.folder(f"xdg-{n}")) for n in ("data", "cache", "config")}
        svg = measure(options, program, Runner(scratch, environment), scratch)
    target = options.out / "growth.svg"
    target.write_text(svg)
    print(f"\nDrawn in {target}")


if __name__ == "__main__":
    common.guarded("growth.py", main)
