"""The example that compresses a folder over a Dask cluster, with a worker killed in mid-job."""

import importlib.util
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
psutil = pytest.importorskip("psutil")

from clipsmaster.compression import decompress_file  # noqa: E402

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "compress_folder.py"


def start(source, target, *options):
    command = [sys.executable, EXAMPLE, source, target, "--workers", "2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Exit status, the numbers of files compressed, unchanged and failed, and what was said of failures."""
    out, err = process.communicate(timeout=120)
    assert out.startswith("compressed"), err
    return process.returncode, [int(number) for number in out.splitlines()[1].split()[:3]], err


@pytest.fixture
def source(tmp_path):
    """Files that take a while: words in random order."""
    words = [random.Random(1).randbytes(4).hex().encode() for _ in range(2000)]
    folder = tmp_path / "source"
    for number in range(14):
        path = folder / f"{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b" ".join(random.Random(number).choices(words, k=80_000)))
    (folder / "empty").touch()
    return folder


def files(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}


def busy_worker(process, folder):
    """A worker that has a file of `folder` open, as soon as one has. Workers are children of `process`; what they start is not meant."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children():
            try:
                descriptors = list(pathlib.Path(f"/proc/{child.pid}/fd").iterdir())
                if any(os.readlink(one).startswith(f"{folder}/") for one in descriptors):
                    return child
            except OSError:
                continue
        time.sleep(0.005)
    raise AssertionError(f"it ended too early: {process.communicate()}")


def test_a_killed_worker_costs_nothing(source, tmp_path):
    target = tmp_path / "target"
    process = start(source, target, "--algorithm", "lzma")
    while not (target.exists() and files(target)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    busy_worker(process, target).send_signal(signal.SIGKILL)
    assert len(files(target)) < len(files(source)), "it was killed in mid-job"
    status, counts, err = finish(process)
    assert (status, counts) == (0, [15, 0, 0]), err

    wanted = {name.with_name(name.name + ".xz"): path for name, path in files(source).items()}
    assert files(target).keys() == wanted.keys(), "all are there, and nothing else"
    for name, path in wanted.items():
        decompress_file(target / name, tmp_path / "again", overwrite=True)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_result_lost_before_it_is_looked_at_is_no_failure(source, tmp_path, monkeypatch):
    # Not among `sys.modules`, so that workers get its functions by value.
    spec = importlib.util.spec_from_file_location("compress_folder", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    lost = []
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:

        def losing_the_first(tasks):
            for task in distributed.as_completed(tasks):
                if not lost:
                    (worker,) = client.who_has([task])[task.key]
                    os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
                    while task.status == "finished":
                        time.sleep(0.005)
                    lost.append(task)
                yield task

        monkeypatch.setattr(example, "as_completed", losing_the_first)
        done, unchanged, failed, read, written = example.run(client, source, tmp_path / "target", "zstd", 1)
    assert lost and (done, unchanged, failed) == (15, 0, [])
    assert read == sum(path.stat().st_size for path in files(source).values())
    assert written == sum(path.stat().st_size for path in files(tmp_path / "target").values())


def test_it_goes_on_where_it_was_and_past_failures(source, tmp_path):
    target = tmp_path / "target"
    (target / "1").mkdir(parents=True)
    (target / "1" / ".1.txt.zst.4242-1f.part").touch()
    (target / "empty.zst").mkdir()
    status, counts, err = finish(start(source, target))
    assert (status, counts) == (1, [14, 0, 1])
    assert f"{source / 'empty'}: " in err
    assert not list(target.rglob(".*")), "what a killed process left is gone"

    (target / "empty.zst").rmdir()
    (source / "2" / "2.txt").write_bytes(b"changed")
    assert finish(start(source, target))[:2] == (0, [2, 13, 0])
    decompress_file(target / "2" / "2.txt.zst", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b"changed"
