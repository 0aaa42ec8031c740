#!/usr/bin/env python3
"""Our command beside other programs and libraries that do the same, on your files; Markdown on standard output.

    cargo build --release
    tests/peers/run.py CORPUS_DIR [--rounds N] [--threads N] [--only zstd,gzip,...] [--per-file]
                       [--json FILE] [--host PATH]

All files of CORPUS_DIR are compared as one (with --per-file each of them, too), in memory where there is room. Runs of
ours and theirs take turns, with equal threads; medians are shown. A comparison that has taken two minutes ends after
three rounds. What is not installed is named, with what to install. `--only` takes names of programs, `blosc2` and
`cramjam`; the two come from PyPI, into target/peers-python. On 170 MiB everything takes most of an hour, half of it xz.
"""

import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import common
from common import MIB, Failed, Host, Runner, Scratch, fresh, median, note, peak, table

SLOW_S = 120
SLOW_ROUNDS = 3
SMALL_BYTES = 4096
BUSY_LOAD = 0.7
SMALL_RUNS = 200
PYTHON = common.ROOT / "target/peers-python"


@dataclass
class Peer:
    """A program, and what it is compared with. In arguments, `{n}` is the number of threads."""

    tool: str
    package: str
    algorithm: str
    level: int
    compress: str
    decompress: tuple
    suffix: str
    # Whether our files are of its format and its files of ours.
    common_format: bool = True


PEERS = [
    Peer("zstd", "zstd", "zstd", 1, "-q -1 -T{n} -c", ("-q -dc",), ".zst"),
    Peer("zstd", "zstd", "zstd", 3, "-q -3 -T{n} -c", ("-q -dc",), ".zst"),
    Peer("zstd", "zstd", "zstd", 9, "-q -9 -T{n} -c", ("-q -dc",), ".zst"),
    Peer("lz4", "lz4", "lz4", 1, "-q -1 -c", ("-q -dc",), ".lz4"),
    Peer("gzip", "gzip", "gzip", 6, "-6 -c", ("-dc",), ".gz"),
    Peer("pigz", "pigz", "gzip", 6, "-6 -p{n} -c", ("-dc -p{n}",), ".gz"),
    Peer("libdeflate-gzip", "libdeflate-tools", "gzip", 6, "-6 -c", ("-dc",), ".gz"),
    Peer("igzip", "isal", "gzip", 1, "-1 -T{n} -c", ("-dc -T{n}",), ".gz"),
    Peer("lbzip2", "lbzip2", "bzip2", 9, "-9 -n{n} -c", ("-dc -n{n}",), ".bz2"),
    Peer("pbzip2", "pbzip2", "bzip2", 9, "-9 -p{n} -k -c", ("-dc -p{n}",), ".bz2"),
    Peer("xz", "xz-utils", "xz", 6, "-6 -T{n} -c", ("-dc -T{n}", "-dc"), ".xz"),
    Peer("plzip", "plzip", "xz", 6, "-6 -n{n} -c", ("-dc -n{n}",), ".lz", common_format=False),
]

# Algorithm, level as our command takes it, and threads of what in_process.py calls.
LIBRARIES = [
    ("blosc2", "zstd", 1, 2),
    ("blosc2", "zstd", 3, 2),
    ("cramjam", "zstd", 3, 1),
    ("cramjam", "lz4", 1, 1),
    ("cramjam", "gzip", 6, 1),
    ("cramjam", "snappy", 1, 1),
    ("cramjam", "bzip2", 9, 1),
    ("cramjam", "xz", 6, 1),
]

# What is compared, with which peer, at least so many times as fast; or a ratio of sizes or times, at most so much.
TARGETS = [
    ("compress", "zstd", 1, "zstd", "as fast", 1.0),
    ("compress", "zstd", 3, "zstd", "as fast", 1.0),
    ("compress", "zstd", 9, "zstd", "as fast", 1.0),
    ("compress", "zstd", 1, "zstd", "size", 1.01),
    ("compress", "zstd", 3, "zstd", "size", 1.01),
    ("compress", "zstd", 9, "zstd", "size", 1.01),
    ("decompress", "zstd", 1, "zstd", "as fast", 1.7),
    ("decompress", "zstd", 3, "zstd", "as fast", 1.7),
    ("decompress", "zstd", 9, "zstd", "as fast", 1.7),
    ("compress", "lz4", 1, "lz4", "as fast", 1.7),
    ("decompress", "lz4", 1, "lz4", "as fast", 1.7),
    ("compress", "gzip", 6, "pigz", "as fast", 2.5),
    ("decompress", "gzip", 6, "pigz", "as fast", 2.5),
    ("compress", "bzip2", 9, "lbzip2", "as fast", 0.65),
    ("decompress", "bzip2", 9, "lbzip2", "as fast", 1.0),
    ("compress", "xz", 6, "xz", "as fast", 1.0),
    ("decompress", "xz", 6, "xz", "as fast", 1.8),
    ("compress 4 KiB", "zstd", 3, "zstd", "time", 1.5),
    ("decompress 4 KiB", "zstd", 3, "zstd", "time", 1.5),
]


@dataclass
class Side:
    """One side of a comparison: medians of its runs, the most memory and the least time of any."""

    wall_s: float
    user_s: float
    cpu_s: float
    peak_mib: float
    least_wall_s: float
    size: int = 0

    @classmethod
    def of(cls, runs, size=0):
        least = min(run.wall for run in runs)
        return cls(median(runs, "wall"), median(runs, "user"), median(runs, "cpu"), peak(runs), least, size)


@dataclass
class Comparison:
    what: str
    input: str
    algorithm: str
    level: int
    tool: str
    command: str
    rounds: int
    ours: Side
    theirs: Side
    # Decompressing our file with the peer: seconds, where it reads it.
    theirs_of_ours_s: float = None

    @property
    def faster(self):
        return self.theirs.wall_s / self.ours.wall_s

    @property
    def faster_at_best(self):
        return self.theirs.least_wall_s / self.ours.least_wall_s

    @property
    def cpu(self):
        # Where clocks are too coarse for a short run there is nothing to compare.
        return self.ours.cpu_s / self.theirs.cpu_s if self.theirs.cpu_s else float("nan")

    @property
    def size(self):
        return self.ours.size / self.theirs.size

    def figure(self, kind):
        return {"as fast": lambda: self.faster, "time": lambda: 1 / self.faster, "size": lambda: self.size}[kind]()


class Work:
    def __init__(self, host, runner, scratch, rounds, threads, load):
        self.host, self.runner, self.scratch = host, runner, scratch
        self.rounds, self.threads = rounds, threads
        self.load = load

    def in_turns(self, *commands):
        """Runs of each of some functions, in turns."""
        all_runs = [[] for _ in commands]
        start = time.monotonic()
        for number in range(self.rounds):
            if number >= SLOW_ROUNDS and time.monotonic() - start > SLOW_S:
                break
            for runs, command in zip(all_runs, commands):
                runs.append(command())
        return all_runs

    def arguments(self, peer, text):
        return [peer.tool, *text.format(n=self.threads).split()]

    def compare(self, peer, source):
        """Both directions, and whether each reads what the other wrote."""
        note(f"{source.name}: {peer.tool} {peer.compress.format(n=self.threads)}")
        ours = self.scratch.file("ours" + (peer.suffix if peer.common_format else ".xz"))
        theirs = self.scratch.file("theirs" + peer.suffix)
        results = [self.compression(peer, source, ours, theirs)]
        for text in peer.decompress:
            results.append(self.decompression(peer, text, source, ours, theirs))
        self.check(peer, source, ours, theirs)
        for file in (ours, theirs):
            file.unlink()
        return results

    def compression(self, peer, source, ours, theirs):
        command = self.host.compress(peer.algorithm, peer.level, self.threads, source, ours)
        other = self.arguments(peer, peer.compress)
        return self.comparison("compress", peer, source, other, *self.to_files(command, other, source, ours, theirs))

    def to_files(self, command, other, source, ours, theirs):
        """Both sides of compressing to new files, and the rounds."""
        own_runs, other_runs = self.in_turns(
            lambda: fresh(ours) and self.runner.run(command),
            lambda: fresh(theirs) and self.runner.run([*other, source], stdout=theirs),
        )
        return Side.of(own_runs, ours.stat().st_size), Side.of(other_runs, theirs.stat().st_size), len(own_runs)

    def decompression(self, peer, text, source, ours, theirs):
        other = self.arguments(peer, text)
        commands = [
            lambda: self.runner.run(self.host.decompress(self.threads, ours, "/dev/null")),
            lambda: self.runner.run([*other, theirs]),
        ]
        if peer.common_format:
            commands.append(lambda: self.runner.run([*other, ours]))
        runs = self.in_turns(*commands)
        done = self.comparison(
            "decompress", peer, source, other, Side.of(runs[0]), Side.of(runs[1]), len(runs[0])
        )
        if peer.common_format:
            done.theirs_of_ours_s = median(runs[2], "wall")
        return done

    def check(self, peer, source, ours, theirs):
        """What each side makes of the files must be the original."""
        out = self.scratch.file("decoded")
        read = self.arguments(peer, peer.decompress[0])
        ways = {"ours of ours": lambda: self.runner.run(self.host.decompress(self.threads, ours, out))}
        ways["theirs of theirs"] = lambda: self.runner.run([*read, theirs], stdout=out)
        if peer.common_format:
            ways["theirs of ours"] = lambda: self.runner.run([*read, ours], stdout=out)
            ways["ours of theirs"] = lambda: self.runner.run(self.host.decompress(self.threads, theirs, out))
        for way, decode in ways.items():
            fresh(out)
            decode()
            if not filecmp.cmp(source, out, shallow=False):
                raise Failed(f"{peer.tool}, {peer.algorithm} {peer.level}: {way} is not the original")
        out.unlink()

    @staticmethod
    def comparison(what, peer, source, command, ours, theirs, rounds):
        return Comparison(
            what, source.name, peer.algorithm, peer.level, peer.tool, " ".join(command), rounds, ours, theirs
        )

    def small(self, source):
        """Process start to finish of a file of 4 KiB, each program by its defaults: both directions, many runs."""
        note(f"{SMALL_RUNS} files of 4 KiB")
        small, ours, theirs, back = (self.scratch.file(n) for n in ("small", "ours.zst", "theirs.zst", "back"))
        with open(source, "rb") as whole:
            whole.seek(min(MIB, max(0, source.stat().st_size - SMALL_BYTES)))
            small.write_bytes(whole.read(SMALL_BYTES))
        program = self.host.program
        pairs = {
            "compress 4 KiB": (
                [program, "compress", "-q", "--algorithm", "zstd", "--level", "3", "-f", small, "-o", ours],
                ["zstd", "-q", "-3", "-f", small, "-o", theirs],
            ),
            "decompress 4 KiB": (
                [program, "decompress", "-q", "-f", ours, "-o", back],
                ["zstd", "-q", "-d", "-f", theirs, "-o", back],
            ),
        }
        results = []
        for what, commands in pairs.items():
            runs = [[], []]
            for _ in range(SMALL_RUNS):
                for side, command in zip(runs, commands):
                    fresh(Path(command[-1]))
                    side.append(self.runner.run(command))
            done = Comparison(
                what, "4 KiB", "zstd", 3, "zstd", " ".join(map(str, commands[1][:3])), SMALL_RUNS,
                *(Side.of(side) for side in runs),
            )
            results.append(done)
        for file in (small, ours, theirs, back):
            file.unlink()
        return results

    def codec_alone(self, source):
        """What one thread costs beside the codec's own program."""
        ours, theirs = self.scratch.file("ours.zst"), self.scratch.file("theirs.zst")
        results = []
        for level in (1, 3):
            for how in ("--single-thread", "-T1"):
                note(f"one thread, zstd {level} {how}")
                command = self.host.compress("zstd", level, 1, source, ours, "--container", "plain")
                other = ["zstd", "-q", f"-{level}", how, "-c"]
                own, their, rounds = self.to_files(command, other, source, ours, theirs)
                results.append(
                    Comparison("one thread", source.name, "zstd", level, "zstd", " ".join(other), rounds, own, their)
                )
        for file in (ours, theirs):
            file.unlink()
        return results


# In process ---------------------------------------------------------------------------------------------------------


def python_with(libraries):
    """A Python that has them; what cannot be had is told."""
    program = PYTHON / "bin/python"
    if not program.is_file():
        subprocess.run([sys.executable, "-m", "venv", PYTHON], check=True, stdout=subprocess.DEVNULL)
    for library in libraries:
        if subprocess.run([program, "-c", f"import {library}"], stderr=subprocess.DEVNULL).returncode != 0:
            note(f"installing {library}")
            subprocess.run([program, "-m", "pip", "install", "-q", library], check=True, capture_output=True)
    return program


def their_library(python, library, algorithm, level, threads, source):
    command = [python, Path(__file__).with_name("in_process.py"), library, algorithm, str(level), str(threads), source]
    return json.loads(checked_output(command))


def our_library(work, algorithm, level, threads, source):
    command = [
        work.host.program, "bench", source, "--algorithm", algorithm, "--level", str(level), "--size", "1MB",
        "--threads", str(threads), "--sample", str(os.path.getsize(source)), "--json",
    ]
    rows = json.loads(checked_output(command, work.runner.environment))["rows"]
    rows = [row for row in rows if row["algorithm"] != "memcpy"]
    best = max(rows, key=lambda row: row["compress"]["mb_s"])
    return {
        "compress_mb_s": best["compress"]["mb_s"], "decompress_mb_s": best["decompress"]["mb_s"],
        "ratio": best["ratio"],
    }


def checked_output(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Failed(said[-1 if "Traceback" in said[0] else 0] if said else f"exit code {done.returncode}")
    return done.stdout


def in_process(work, libraries, source, skipped):
    """Rows of both libraries' speeds; turns as elsewhere."""
    try:
        python = python_with(libraries)
    except (OSError, subprocess.CalledProcessError) as e:
        skipped.append(f"{', '.join(libraries)}: cannot be had from PyPI: {e}")
        return []
    rows, told = [], set()
    for library, algorithm, level, threads in LIBRARIES:
        if library not in libraries:
            continue
        note(f"{library} {algorithm} {level}")
        ours, theirs = [], []
        try:
            for _ in range(min(work.rounds, SLOW_ROUNDS)):
                theirs.append(their_library(python, library, algorithm, level, threads, source))
                if not told:
                    try:
                        ours.append(our_library(work, algorithm, level, threads, source))
                    except (Failed, ValueError, KeyError) as e:
                        told.add(str(e))
        except Failed as e:
            skipped.append(f"{library} {algorithm}: {e}")
            continue
        rows.append({
            "library": library, "algorithm": algorithm, "level": level, "threads": threads,
            "ours": medians(ours), "theirs": medians(theirs),
        })
    if told:
        skipped.append(f"our library, in process: `bench FILE --algorithm ...` gave no figures: {told.pop()}")
    return rows


def medians(rows):
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]} if rows else None


# What is printed ----------------------------------------------------------------------------------------------------


def times(ratio):
    return f"{ratio:.2f}x"


def pair(ours, theirs, form):
    return f"{ours:{form}} / {theirs:{form}}"


def compression_table(results):
    head = ["algorithm", "peer", "as fast", "best runs", "seconds", "CPU", "peak MiB", "size"]
    rows = [
        [
            f"{r.algorithm} {r.level}", f"`{r.command}`", times(r.faster), times(r.faster_at_best),
            pair(r.ours.wall_s, r.theirs.wall_s, ".3f"), times(r.cpu),
            pair(r.ours.peak_mib, r.theirs.peak_mib, ".0f"), f"{r.size:.4f}",
        ]
        for r in results
        if r.what == "compress"
    ]
    return table(head, rows)


def decompression_table(results):
    head = ["algorithm", "peer", "as fast", "best runs", "both of our file", "seconds", "CPU", "peak MiB"]
    rows = [
        [
            f"{r.algorithm} {r.level}", f"`{r.command}`", times(r.faster), times(r.faster_at_best),
            times(r.theirs_of_ours_s / r.ours.wall_s) if r.theirs_of_ours_s else "other format",
            pair(r.ours.wall_s, r.theirs.wall_s, ".3f"), times(r.cpu),
            pair(r.ours.peak_mib, r.theirs.peak_mib, ".0f"),
        ]
        for r in results
        if r.what == "decompress"
    ]
    return table(head, rows)


def small_table(small):
    head = ["direction", "peer", "time, median", "time, least", "ms, median", "ms, least", "peak MiB"]
    return table(head, [
        [
            r.what.split()[0], f"`{r.command}`", times(1 / r.faster), times(1 / r.faster_at_best),
            pair(r.ours.wall_s * 1e3, r.theirs.wall_s * 1e3, ".2f"),
            pair(r.ours.least_wall_s * 1e3, r.theirs.least_wall_s * 1e3, ".2f"),
            pair(r.ours.peak_mib, r.theirs.peak_mib, ".1f"),
        ]
        for r in small
    ])


def one_thread_table(results):
    head = ["algorithm", "peer", "user CPU", "user and system", "as fast", "peak MiB", "size"]
    return table(head, [
        [
            f"{r.algorithm} {r.level}", f"`{r.command}`", times(r.ours.user_s / max(r.theirs.user_s, 1e-6)),
            times(r.cpu), times(r.faster), pair(r.ours.peak_mib, r.theirs.peak_mib, ".0f"), f"{r.size:.4f}",
        ]
        for r in results
    ])


def library_table(rows):
    head = ["algorithm", "library", "threads", "compress MB/s", "decompress MB/s", "ratio"]

    def cell(row, key, form):
        ours = f"{row['ours'][key]:{form}}" if row["ours"] else "?"
        return f"{ours} / {row['theirs'][key]:{form}}"

    return table(head, [
        [
            f"{r['algorithm']} {r['level']}", r["library"], r["threads"], cell(r, "compress_mb_s", ".0f"),
            cell(r, "decompress_mb_s", ".0f"), cell(r, "ratio", ".2f"),
        ]
        for r in rows
    ])


def judged(results):
    """The targets: text, limit, figure (none where it was not measured), whether met."""
    # The last command of a peer is its plain one: `xz -d` without a number of threads.
    found = {(r.what, r.algorithm, r.level, r.tool): r for r in results}
    rows = []
    for what, algorithm, level, tool, kind, limit in TARGETS:
        result = found.get((what, algorithm, level, tool))
        figure = result.figure(kind) if result else None
        met = None if figure is None else (figure >= limit if kind == "as fast" else figure <= limit)
        rows.append({
            "what": f"{algorithm} {level}, {what}, {kind}", "peer": result.command if result else tool,
            "sense": ">=" if kind == "as fast" else "<=", "limit": limit, "figure": figure, "met": met,
        })
    return rows


def target_table(targets):
    words = {True: "met", False: "**missed**", None: "not measured"}
    return table(["target", "peer", "asked", "reached", ""], [
        [
            t["what"], f"`{t['peer']}`", f"{t['sense']} {t['limit']:g}x",
            "-" if t["figure"] is None else f"{t['figure']:.3f}x", words[t["met"]],
        ]
        for t in targets
    ])


def version_of(tool):
    for option in ("--version", "-V"):
        done = subprocess.run(
            [tool, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )
        if done.returncode == 0 and done.stdout.strip():
            line = " ".join(done.stdout.strip().splitlines()[0].strip("* ").split())
            name = os.path.basename(tool)
            return line if name in line else f"{name}: {line}"
    return os.path.basename(tool)


def section(title, text):
    print(f"\n## {title}\n\n{text}", flush=True)


# The whole ----------------------------------------------------------------------------------------------------------


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, metavar="CORPUS_DIR")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--only", default="", metavar="NAME,...")
    parser.add_argument("--per-file", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--host", metavar="PATH")
    return parser.parse_args()


def chosen(only, skipped):
    """Peers that are wanted and installed, and libraries that are wanted."""
    names = {name.strip() for name in only.split(",") if name.strip()}
    libraries = sorted({row[0] for row in LIBRARIES})
    unknown = names - {peer.tool for peer in PEERS} - set(libraries)
    if unknown:
        sys.exit(f"--only: unknown: {', '.join(sorted(unknown))}")
    peers = []
    for peer in PEERS:
        if names and peer.tool not in names:
            continue
        if shutil.which(peer.tool):
            peers.append(peer)
        else:
            missing = f"{peer.tool}: not installed: `apt-get install {peer.package}`"
            if missing not in skipped:
                skipped.append(missing)
    return peers, [library for library in libraries if not names or library in names]


def files_of(corpus):
    files = sorted(path for path in corpus.iterdir() if path.is_file() and path.stat().st_size)
    if not files:
        sys.exit(f"{corpus} has no files")
    return files


def joined(files, into):
    with open(into, "wb") as out:
        for file in files:
            with open(file, "rb") as source:
                shutil.copyfileobj(source, out, MIB)
    return into


def compared(work, peers, source, skipped):
    results = []
    for peer in peers:
        try:
            results += work.compare(peer, source)
        except Failed as e:
            skipped.append(f"{source.name}: {e}")
    common.end_of_notes()
    return results


def measure(options, work, peers, libraries, files, skipped):
    whole = joined(files, work.scratch.file("corpus"))
    print(
        f"# Beside others\n\n{len(files)} files in one, {whole.stat().st_size / MIB:.0f} MiB, "
        f"{'in memory' if work.scratch.in_memory else 'on disk'}; {options.threads} threads of {os.cpu_count()} processors; "
        f"medians of up to {options.rounds} runs in turns.\n"
        "Pairs are ours / theirs; CPU, time and size are ours over theirs. "
        "Every file was read back by both sides, and compared."
    )
    if work.load > BUSY_LOAD:
        print(f"Others use this machine (load {work.load:.1f} at the start): times say little, best runs and CPU more.")
    if work.scratch.launcher is None:
        print("Without a C compiler the least peak memory that can be seen is that of Python, about 10 MiB.")
    tools = sorted({peer.tool for peer in peers})
    print("\n" + "\n".join(f"- {version_of(tool)}" for tool in [str(work.host.program), *tools]))
    record = {"rounds": options.rounds, "threads": options.threads, "load": work.load, "bytes": whole.stat().st_size}
    results = compared(work, peers, whole, skipped)
    if results:
        section("Compress", compression_table(results))
        section("Decompress to /dev/null, each its own file", decompression_table(results))
    small, alone = [], []
    if "zstd" in tools:
        small, alone = work.small(whole), work.codec_alone(whole)
        common.end_of_notes()
        section(f"Files of 4 KiB, process start to finish, {SMALL_RUNS} runs each", small_table(small))
        section("One thread, `--container plain`, beside the codec's own program", one_thread_table(alone))
    inside = in_process(work, libraries, whole, skipped) if libraries else []
    common.end_of_notes()
    if inside:
        section("Libraries, pieces of 1 MiB in memory", library_table(inside))
    targets = [t for t in judged(results + small) if t["met"] is not None or not options.only]
    if targets:
        section("Targets", target_table(targets))
    per_file = per_file_sections(work, peers, files, skipped) if options.per_file else []
    if skipped:
        section("Skipped", "\n".join(f"- {line}" for line in skipped))
    record["comparisons"] = [asdict(r) for r in results + small + alone + per_file]
    return {**record, "libraries": inside, "targets": targets, "skipped": skipped}


def per_file_sections(work, peers, files, skipped):
    every = []
    for file in files:
        source = joined([file], work.scratch.file(file.name))
        results = compared(work, peers, source, skipped)
        source.unlink()
        section(
            f"{file.name}, {common.size_name(file.stat().st_size)}",
            f"Compress\n\n{compression_table(results)}\n\nDecompress\n\n{decompression_table(results)}",
        )
        every += results
    return every


def main():
    options = parsed()
    # Before we make any ourselves.
    load = os.getloadavg()[0]
    skipped = []
    peers, libraries = chosen(options.only, skipped)
    files = files_of(options.corpus)
    program = common.find_host(options.host)
    with Scratch(6 * sum(file.stat().st_size for file in files)) as scratch:
        environment = {
            "CLIPSMASTER_CACHE_DIR": str(scratch.folder("cache")),
            "CLIPSMASTER_CONFIG_DIR": str(scratch.folder("config")),
        }
        runner = Runner(scratch, environment)
        host = Host(program, runner)
        levels = {(p.algorithm, p.level) for p in peers} | {row[1:3] for row in LIBRARIES if row[0] in libraries}
        host.warm(sorted(levels))
        work = Work(host, runner, scratch, max(1, options.rounds), options.threads, load)
        record = measure(options, work, peers, libraries, files, skipped)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    common.guarded("run.py", main)
