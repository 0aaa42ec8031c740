"""What run.py and growth.py share: running commands and counting what they took, scratch folders, our command, tables."""

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
GIB = 1 << 30

# A child's peak memory is at least that of the process that made it, and Python is larger than some of the
# programs measured here. So a small program makes them, and its start costs no run any time.
LAUNCHER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

int main(int argc, char **argv) {
    int report = atoi(argv[1]), status = 0;
    struct rusage used;
    fcntl(report, F_SETFD, FD_CLOEXEC);
    double start = now();
    pid_t child = vfork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    close(0);
    close(1);
    if (child < 0 || wait4(child, &status, 0, &used) != child) return 125;
    dprintf(report, "%d %.9f %.6f %.6f %ld\n", status, now() - start, seconds(used.ru_utime),
            seconds(used.ru_stime), used.ru_maxrss);
    return 0;
}
"""


class Failed(Exception):
    """A command that cannot be run, or ended with an error."""


@dataclass
class Run:
    """What one run of a command took."""

    wall: float
    user: float
    system: float
    peak_mib: float

    @property
    def cpu(self):
        return self.user + self.system


class Scratch:
    """A private folder for files (in memory where there is room) and one for our command's cache, removed at the end."""

    def __init__(self, bytes_needed):
        parent = "/dev/shm" if free_bytes("/dev/shm") > bytes_needed + GIB else None
        self.files = Path(tempfile.mkdtemp(prefix="clipsmaster-peers-", dir=parent))
        # Plugins are loaded from the cache, and memory file systems are often mounted without leave to.
        self.private = Path(tempfile.mkdtemp(prefix="clipsmaster-peers-"))
        self.in_memory = parent is not None
        self.launcher = build_launcher(self.private)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.files, ignore_errors=True)
        shutil.rmtree(self.private, ignore_errors=True)

    def file(self, name):
        return self.files / name

    def folder(self, name):
        path = self.private / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def build_launcher(folder):
    """The small program; none without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    source, program = folder / "launcher.c", folder / "launcher"
    if compiler is None:
        return None
    source.write_text(LAUNCHER)
    built = subprocess.run([compiler, "-O1", "-o", program, source], stderr=subprocess.DEVNULL)
    return program if built.returncode == 0 else None


def free_bytes(folder):
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


class Runner:
    """Runs commands in an environment of their own, and counts."""

    def __init__(self, scratch, environment=None):
        self.scratch = scratch
        self.environment = {**os.environ, **(environment or {})}

    def run(self, command, stdout=None, feed=None, drain=None):
        """Runs a command. `feed` is called with its standard input, `drain` with its standard output."""
        command = [str(part) for part in command]
        with tempfile.TemporaryFile() as errors:
            out = subprocess.PIPE if drain else open(stdout or os.devnull, "wb")
            source = subprocess.PIPE if feed else subprocess.DEVNULL
            status, run = self._counted(command, source, out, errors, feed, drain)
            if not drain:
                out.close()
            if status != 0:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip()
                raise Failed(f"`{' '.join(command)}` failed ({status}): {said}")
        return run

    def _counted(self, command, source, out, errors, feed, drain):
        if self.scratch.launcher is None:
            return self._counted_by_python(command, source, out, errors, feed, drain)
        reader, writer = os.pipe()
        with os.fdopen(reader) as report:
            child = subprocess.Popen(
                [self.scratch.launcher, str(writer), *command], stdin=source, stdout=out, stderr=errors,
                pass_fds=[writer], env=self.environment,
            )
            os.close(writer)
            pump(child, feed, drain)
            fields = report.read().split()
            child.wait()
        if len(fields) != 5:
            return "it could not be started", None
        wall, user, system, kib = (float(f) for f in fields[1:])
        return os.waitstatus_to_exitcode(int(fields[0])), Run(wall, user, system, kib / 1024)

    def _counted_by_python(self, command, source, out, errors, feed, drain):
        import time

        start = time.perf_counter()
        try:
            child = subprocess.Popen(command, stdin=source, stdout=out, stderr=errors, env=self.environment)
        except OSError as e:
            return str(e), None
        pump(child, feed, drain)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, Run(wall, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024)


def pump(child, feed, drain):
    if feed:
        try:
            with child.stdin:
                feed(child.stdin)
        except BrokenPipeError:
            pass  # Its exit status tells.
    if drain:
        with child.stdout:
            drain(child.stdout)


class Host:
    """Our command."""

    def __init__(self, program, runner):
        self.program = Path(program).resolve()
        self.runner = runner

    def compress(self, algorithm, level, threads, source, output, *more):
        return [
            self.program, "compress", "-q", "--algorithm", algorithm, "--level", level, "--threads", threads, *more,
            "--force", source, "-o", output,
        ]

    def decompress(self, threads, source, output):
        return [self.program, "decompress", "-q", "--threads", threads, "--force", source, "-o", output]

    def warm(self, levels):
        """Proves and measures the plugins, and the levels that will be used."""
        note("measuring plugins, once: about a minute")
        self.runner.run([self.program, "list-plugins"])
        for algorithm, level in levels:
            note(f"measuring {algorithm} {level}")
            self.runner.run([self.program, "best-hardware", "--algorithm", algorithm, "--level", level])


def guarded(name, main):
    """Runs a script; what failed is told in a line."""
    try:
        main()
    except Failed as e:
        end_of_notes()
        sys.exit(f"{name}: {e}")


def find_host(given):
    program = Path(given) if given else ROOT / "target/release/clipsmaster-host"
    if not program.is_file():
        sys.exit(f"{program} is not there: `cargo build --release` makes it, --host PATH names another")
    return program


def fresh(path):
    """The path, with nothing there."""
    path.unlink(missing_ok=True)
    return path


def median(runs, what):
    return statistics.median(getattr(run, what) for run in runs)


def peak(runs):
    return max(run.peak_mib for run in runs)


def digest_of(stream):
    digest = hashlib.sha256()
    while block := stream.read(MIB):
        digest.update(block)
    return digest.hexdigest()


def note(text):
    """Progress, for a person who waits."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text} ... ", end="", file=sys.stderr, flush=True)


def end_of_notes():
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def table(head, rows):
    """A Markdown table with its columns in line; all but the first two are figures, to the right."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        sides = [str.ljust if i < 2 else str.rjust for i in range(len(head))]
        return "| " + " | ".join(side(str(c), w) for side, c, w in zip(sides, cells, widths)) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i < 2 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def binary_size(text):
    """Bytes from `1GB`, binary as everywhere in this project."""
    units = {"": 1, "K": 1 << 10, "M": MIB, "G": GIB}
    number = text.strip().upper().rstrip("B").rstrip("I")
    unit = number[-1:] if number[-1:].isalpha() else ""
    return int(float(number[: len(number) - len(unit)]) * units[unit])


def size_name(count):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:g} {name}"
    return f"{count} B"
