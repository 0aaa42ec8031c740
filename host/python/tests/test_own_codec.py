"""Codecs written in Python."""

import bz2
import concurrent.futures
import multiprocessing
import zlib

import pytest

from clipsmaster import compression
from clipsmaster.compression import CompressionError, DecompressionError, compress_data, decompress_data


class Zlib:
    def __init__(self, level=6):
        self.level = level

    def compress(self, data):
        return zlib.compress(data, self.level)

    def decompress(self, data):
        return zlib.decompress(data)


@pytest.fixture(scope="module")
def own():
    compression.register_compressor("py-zlib", Zlib, levels=(1, 9, 6))
    return "py-zlib"


def in_child(data):
    return decompress_data(*compress_data(data, "py-zlib")) == data


def test_it_is_used_like_any_other(own, text):
    compressed, metadata = compress_data(text, own)
    assert metadata["implementation"] == "py-zlib/cpu/python" and metadata["level"] == 6
    assert decompress_data(compressed, metadata) == text and decompress_data(compressed) == text
    assert own in compression.algorithms()
    chunks = compression.compress_chunked(text, own, chunk_size=50_000)
    assert compression.decompress_chunked(chunks) == text
    best = compression.get_best_hardware(own, 9)
    assert best.decompress(*best.compress(text)) == text
    with pytest.raises(DecompressionError):
        decompress_data(compressed[:-3], metadata)
    with pytest.raises(DecompressionError):
        decompress_data(compressed[:40] + b"xyz" + compressed[43:], metadata)


def test_it_is_used_by_threads_and_forked_children(own, text):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(in_child, [text] * 16))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.map(in_child, [text] * 4))


def test_a_name_that_is_taken(own):
    for name in (own, "zstd"):
        with pytest.raises(ValueError, match="already"):
            compression.register_compressor(name, Zlib)
    with pytest.raises(ValueError, match="name"):
        compression.register_compressor("Ünsinn", Zlib)
    with pytest.raises(TypeError, match="class"):
        compression.register_compressor("nothing", object())


class Lies(Zlib):
    def decompress(self, data):
        return zlib.decompress(data)[::-1]


class Raises(Zlib):
    def compress(self, data):
        raise RuntimeError("out of ink")


class AnswersNothing(Zlib):
    def compress(self, data):
        return None


class TakesNoArguments:
    def __init__(self):
        raise ValueError("never")


@pytest.mark.parametrize("wrong", [Lies, Raises, AnswersNothing, TakesNoArguments, dict])
def test_what_does_not_keep_its_promise_is_refused(wrong, text):
    name = f"wrong-{wrong.__name__.lower()}"
    with pytest.raises(ValueError, match="does not keep the contract"):
        compression.register_compressor(name, wrong)
    with pytest.raises(CompressionError, match="unknown algorithm"):
        compress_data(text, name)


class Moody:
    mood = "good"

    def compress(self, data):
        if self.mood == "bad":
            raise RuntimeError("out of ink")
        if self.mood == "interrupted":
            raise KeyboardInterrupt
        return bz2.compress(data)

    def decompress(self, data):
        if self.mood == "bad":
            raise RuntimeError("out of paper")
        return bz2.decompress(data)


def test_an_exception_in_mid_call_is_an_exception_of_the_call(text):
    compression.register_compressor("moody", Moody)
    compressed, metadata = compress_data(text, "moody")
    Moody.mood = "bad"
    with pytest.raises(CompressionError, match="out of ink"):
        compress_data(text, "moody")
    with pytest.raises(DecompressionError, match="out of paper"):
        decompress_data(compressed, metadata)
    Moody.mood = "interrupted"
    with pytest.raises(KeyboardInterrupt):
        compress_data(text, "moody")
    Moody.mood = "good"
    assert decompress_data(*compress_data(text, "moody")) == text


def test_classes_that_are_refused_take_no_place():
    for _ in range(20):
        with pytest.raises(ValueError, match="contract"):
            compression.register_compressor("raises", Raises)
