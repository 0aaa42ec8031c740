"""Threads, forks, signals, ends of the interpreter, and a second interpreter."""

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from clipsmaster import compression
from clipsmaster.compression import compress_data, decompress_data


def run(code, **options):
    """Another interpreter with `code`: exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, **options
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_threads_share_everything(text):
    best = compression.get_best_hardware("zstd", 3)

    def work(number):
        data = text[number * 100 : number * 100 + 50_000]
        for algorithm in ("zstd", "lz4", "gzip"):
            assert decompress_data(*compress_data(data, algorithm)) == data
        assert best.decompress(*best.compress(data)) == data
        return number

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(64))) == list(range(64))


def test_the_lock_is_released(text):
    """A call of some time leaves others their turns: counting goes on beside it."""
    data, counted, stop = text * 10, 0, threading.Event()

    def count():
        nonlocal counted
        while not stop.wait(0.001):
            counted += 1

    counter = threading.Thread(target=count)
    counter.start()
    start = time.perf_counter()
    compress_data(data, "lzma", level=6)
    took = time.perf_counter() - start
    stop.set()
    counter.join()
    assert took < 0.02 or counted > 5


def in_child(data):
    compressed, metadata = compress_data(data, "zstd")
    return decompress_data(compressed, metadata) == data and os.getpid()


BEST = None


def with_inherited(data):
    return BEST.decompress(*BEST.compress(data)) == data


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, text):
    global BEST
    assert in_child(text)
    BEST = compression.get_best_hardware("zstd", 3)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        pids = pool.map(in_child, [text[i:] for i in range(8)])
        assert all(pids) and os.getpid() not in pids
        if method == "fork":
            assert all(pool.map(with_inherited, [text] * 4))


def test_a_fork_in_the_middle_of_other_threads_work(text):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            compress_data(text, "zstd")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(0 if in_child(text) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_store_stays_with_its_process(tmp_path, text):
    store = compression.ResourceStore(64 << 20, spill_dir=tmp_path)
    store.insert("a", text)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.get("a")
        except RuntimeError as e:
            code = 0 if "fork" in str(e) else 2
        del store
        own = compression.ResourceStore(64 << 20)
        own.insert("b", text)
        os._exit(code if own["b"] == text else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert store["a"] == text
    store.close()


def test_ctrl_c_ends_a_long_call(text):
    data = text * 200
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        compress_data(data, "lzma", level=9)
    assert time.perf_counter() - start < 5
    assert decompress_data(*compress_data(text)) == text


def test_ctrl_c_at_the_end():
    code, out, errors = run("""
        import os, signal, threading
        from clipsmaster.compression import compress_data
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        compress_data(bytes(range(256)) * 400_000, "lzma", level=9)
    """)
    assert code == -signal.SIGINT and "KeyboardInterrupt" in errors


@pytest.mark.parametrize("close", ["", "store.close()", "del store"])
def test_the_interpreter_ends_with_a_store_at_work(close, tmp_path):
    code, out, errors = run(f"""
        import clipsmaster.compression as c
        store = c.ResourceStore(16 << 20, idle=0.0, cpu_share=1.0, spill_dir={str(tmp_path)!r})
        for i in range(400):
            store.insert(f"r{{i}}", bytes([i % 251]) * 70_000 + str(i).encode() * 20_000, "log_data")
        view = store["r3"]
        {close}
        print("end")
    """)
    assert (code, out, errors) == (0, "end", "")
    assert list(tmp_path.iterdir()) == [], "files of the store are gone"


def test_the_interpreter_ends_in_a_thread_s_call():
    code, out, errors = run("""
        import threading
        from clipsmaster.compression import compress_data
        work = lambda: [compress_data(bytes(range(256)) * 8000, "lzma") for _ in range(100)]
        threading.Thread(target=work, daemon=True).start()
        compress_data(b"x")
        print("end")
    """)
    assert (code, out) == (0, "end"), errors


def test_a_second_interpreter_is_refused_or_works():
    code, out, errors = run("""
        import clipsmaster.compression as c
        c.compress_data(b"x")
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        try:
            failed = interpreters.run_string(other, "import clipsmaster.compression as c; c.compress_data(b'x')")
            said = str(failed)
        except Exception as e:
            said = str(e)
        print("ImportError" in said or said == "None", said)
        interpreters.destroy(other)
        print(c.decompress_data(*c.compress_data(b"x")))
    """)
    assert code == 0 and out.startswith("True") and out.endswith("b'x'"), (out, errors)


def test_the_command_line(tmp_path, text):
    file = tmp_path / "a.log"
    file.write_bytes(text)
    done = subprocess.run([sys.executable, "-m", "clipsmaster", "compress", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert decompress_data((tmp_path / "a.log.zst").read_bytes()) == text
    assert subprocess.run([sys.executable, "-m", "clipsmaster", "nonsense"], capture_output=True).returncode == 2


def test_importing_opens_nothing(tmp_path):
    environment = {**os.environ, "CLIPSMASTER_CACHE_DIR": str(tmp_path / "cache")}
    code, out, _ = run(
        """
        import sys, clipsmaster.compression
        print([m for m in ("numpy", "zarr", "numcodecs") if m in sys.modules])
        """,
        env=environment,
    )
    assert (code, out) == (0, "[]") and not (tmp_path / "cache").exists()


def test_plugins_of_the_environment(tmp_path):
    """A folder of CLIPSMASTER_PLUGIN_PATH is searched before the package's own."""
    import pathlib
    import shutil

    own = pathlib.Path(compression.__file__).parents[1] / "_host"
    (tmp_path / "plugins").mkdir()
    shutil.copy(own / "libclipsmaster_plugin_store.so", tmp_path / "plugins" / "mine.so")
    environment = {**os.environ, "CLIPSMASTER_PLUGIN_PATH": str(tmp_path / "plugins")}
    code, out, errors = run(
        """
        from clipsmaster import compression
        print([p["path"] for p in compression.list_plugins() if p["implementation"] == "store/cpu/copy"][0])
        """,
        env=environment,
    )
    assert code == 0 and out.endswith("mine.so"), (out, errors)
