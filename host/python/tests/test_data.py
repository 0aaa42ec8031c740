"""What goes in and what comes out."""

import array
import ctypes
import mmap
import random

import pytest

from clipsmaster import compression
from clipsmaster.compression import (
    CompressionError,
    DecompressionError,
    IntegrityError,
    MagicHeaderError,
    compress_chunked,
    compress_data,
    decompress_chunked,
    decompress_data,
    decompress_into,
    get_best_hardware,
    safe_compress,
    safe_decompress,
)


@pytest.mark.parametrize("algorithm", compression.algorithms())
@pytest.mark.parametrize("size", [0, 1, 63, 64 << 10, (1 << 20) + 3])
def test_what_goes_in_comes_out(algorithm, size, text):
    data = (text * 4)[:size]
    compressed, metadata = compress_data(data, algorithm)
    assert decompress_data(compressed, metadata) == data
    assert decompress_data(compressed, {"algorithm": algorithm}) == data
    if algorithm != "store":
        assert decompress_data(compressed) == data
    assert decompress_chunked(compress_chunked(data, algorithm, chunk_size=100_000)) == data


@pytest.mark.parametrize("size", [0, 1, 100_000, 9 << 20])
@pytest.mark.parametrize("make", [compress_data, safe_compress, lambda d: compress_data(d, "auto")])
def test_into_a_buffer(make, size, text):
    data = (text * (size // len(text) + 1))[:size]
    compressed, metadata = make(data)
    for known in None, metadata, {"algorithm": metadata["algorithm"]} if make is compress_data else None:
        out = bytearray(b"\x55" * (size + 3))
        assert decompress_into(compressed, out, known) == size
        assert out[:size] == data and out[size:] == b"\x55" * 3
        if size > 0:
            with pytest.raises(ValueError, match="fit into a buffer of"):
                decompress_into(compressed, memoryview(out)[: size - 1], known)
    # Nothing is lent any more.
    out.append(0)


def test_into_what_can_be_written_to(text):
    compressed, metadata = compress_data(text)
    out = array.array("d", bytes((len(text) + 7) // 8 * 8))
    assert decompress_into(compressed, out, metadata) == len(text) and out.tobytes()[: len(text)] == text
    with mmap.mmap(-1, len(text)) as out:
        assert decompress_into(compressed, out) == len(text) and out[:] == text
    for wrong in bytes(len(text)), memoryview(bytearray(2 * len(text)))[::2], "text", None:
        with pytest.raises((BufferError, TypeError)):
            decompress_into(compressed, wrong)
    both = bytearray(compressed + bytes(len(text)))
    with pytest.raises(ValueError, match="shares memory"):
        decompress_into(memoryview(both)[: len(compressed)], both)
    assert decompress_into(memoryview(both)[: len(compressed)], memoryview(both)[len(compressed) :]) == len(text)
    with pytest.raises(IntegrityError):
        decompress_into(compressed, bytearray(len(text)), {**metadata, "crc32": metadata["crc32"] ^ 1})
    with pytest.raises(DecompressionError):
        decompress_into(compressed[:-9], bytearray(len(text)))
    with pytest.raises(MagicHeaderError):
        decompress_into(b"no frame at all", bytearray(99))


@pytest.mark.parametrize("algorithm", compression.algorithms())
def test_a_container_is_data_like_any_other(algorithm, text):
    container = compress_chunked(text)
    compressed, metadata = compress_data(container, algorithm)
    assert decompress_data(compressed, metadata) == container


def test_a_compressor_reads_what_other_calls_wrote(text):
    compressor = compression.hardware_accel.get_best_hardware("zstd")
    for compressed, metadata in safe_compress(text), compress_data(text, "auto"), compress_data(text, level=9):
        assert compressor.decompress(compressed, {**metadata, "algorithm": "zstd"}) == text
    with pytest.raises(IntegrityError):
        compressor.decompress(safe_compress(text)[0], compress_data(text[1:])[1])


@pytest.mark.parametrize("objective", ["speed", "balanced", "ratio"])
def test_auto_chooses(objective, text):
    compressed, metadata = compress_data(text, "auto", objective=objective)
    assert decompress_data(compressed) == text and decompress_data(compressed, metadata) == text
    noise = random.Random(7).randbytes(300_000)
    compressed, _ = compress_data(noise, "auto", objective=objective)
    assert decompress_data(compressed) == noise and len(compressed) < len(noise) * 1.01


def buffers(data):
    anonymous = mmap.mmap(-1, len(data))
    anonymous.write(data)
    yield "bytes", data
    yield "bytearray", bytearray(data)
    yield "memoryview", memoryview(data)
    yield "a part of a memoryview", memoryview(b"x" + data)[1:]
    yield "array", array.array("H", data)
    yield "ctypes", (ctypes.c_ubyte * len(data)).from_buffer_copy(data)
    yield "mmap", anonymous
    yield "memoryview of another shape", memoryview(data).cast("B", (len(data) // 4, 4))


def test_any_buffer(text):
    for name, buffer in buffers(text[:200_000]):
        compressed, metadata = compress_data(buffer)
        assert decompress_data(compressed, metadata) == text[:200_000], name
        assert decompress_data(bytearray(compressed), metadata) == text[:200_000], name
        assert decompress_chunked(memoryview(compress_chunked(buffer))) == text[:200_000], name


def test_numpy(text):
    numpy = pytest.importorskip("numpy")
    values = numpy.arange(100_000, dtype="<f4").reshape(100, 1000)
    compressed, metadata = compress_data(values)
    back = numpy.frombuffer(decompress_data(compressed, metadata), "<f4").reshape(values.shape)
    assert (back == values).all()
    for in_pieces in (values[:, ::2], values.T, memoryview(values)[::2]):
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            compress_data(in_pieces)
    assert decompress_data(*compress_data(values[:0])) == b""


@pytest.mark.parametrize("wrong", ["text", 5, None, 1.5, [1, 2], object()])
def test_what_is_no_buffer_is_a_type_error(wrong):
    for call in (compress_data, decompress_data, compress_chunked, decompress_chunked, safe_compress, safe_decompress):
        with pytest.raises(TypeError):
            call(wrong)


def test_a_released_buffer_is_a_value_error(text):
    view = memoryview(text)
    view.release()
    with pytest.raises(ValueError, match="released"):
        compress_data(view)
    with pytest.raises(ValueError, match="closed"):
        compress_data(closed_mmap())


def closed_mmap():
    gone = mmap.mmap(-1, 4096)
    gone.close()
    return gone


def test_a_buffer_is_given_back(text):
    buffer = bytearray(text)
    compressed = bytearray(compress_data(buffer)[0])
    decompress_data(compressed)
    compress_chunked(buffer)
    # Both would raise BufferError with an export left.
    buffer.append(0)
    compressed.append(0)


def test_unknown_names_say_what_there_is(text):
    with pytest.raises(CompressionError, match="unknown algorithm `nope`; installed: .*zstd"):
        compress_data(text, "nope")
    with pytest.raises(CompressionError, match="level 77"):
        compress_data(text, "zstd", level=77)
    with pytest.raises(CompressionError, match="no usable implementation"):
        compress_data(text, "zstd", hardware="abacus")
    with pytest.raises(ValueError, match="objective"):
        compress_data(text, "auto", objective="cheap")
    with pytest.raises(ValueError, match="objective"):
        compress_data(text, "zstd", objective="speed")
    with pytest.raises(OverflowError):
        compress_data(text, level=1 << 40)


def test_a_checksum_may_be_left_out(text):
    for algorithm, saved in {"zstd": 4, "lz4": 4, "gzip": 0, "snappy": 0}.items():
        whole, _ = compress_data(text, algorithm, hardware="cpu")
        compressed, metadata = compress_data(text, algorithm, hardware="cpu", checksum=False)
        assert len(whole) - len(compressed) == saved
        assert decompress_data(compressed, metadata) == decompress_data(compressed) == text
        best = get_best_hardware(algorithm)
        assert algorithm != "snappy" or best.level == 1
        assert best.decompress(*best.compress(text, checksum=False)) == text
        for at in range(0, len(compressed), len(compressed) // 50):
            broken = bytearray(compressed)
            broken[at] ^= 0x10
            try:
                assert decompress_data(broken, metadata) == text
            except DecompressionError:
                pass
    with pytest.raises(ValueError, match="leave them out"):
        compress_data(text, "auto", checksum=False)


def test_damage_is_told():
    with pytest.raises(MagicHeaderError):
        decompress_data(b"no format begins like this")
    data = random.Random(1).randbytes(50_000)
    compressed, metadata = compress_data(data)
    for broken in (compressed[:-5], compressed[:100], compressed[:-9] + bytes(9), compressed + b"more"):
        with pytest.raises(DecompressionError):
            decompress_data(broken, metadata)
        with pytest.raises(DecompressionError):
            decompress_data(broken)
    for change in ({"crc32": 1}, {"original_size": 49_999}, {"original_size": 50_001}, {"original_size": 0}):
        with pytest.raises(IntegrityError):
            decompress_data(compressed, {**metadata, **change})
    with pytest.raises(MemoryError):
        decompress_data(compressed, {**metadata, "original_size": 1 << 50})
    with pytest.raises(CompressionError):
        decompress_data(compressed, {**metadata, "algorithm": "nope"})
    for wrong in (5, "zstd", [("algorithm", "zstd")]):
        with pytest.raises(TypeError):
            decompress_data(compressed, wrong)
    for wrong in ({}, {"original_size": 3}):
        with pytest.raises(ValueError):
            decompress_data(compressed, wrong)
    for wrong in ({**metadata, "crc32": "x"}, {**metadata, "original_size": -1}, {**metadata, "crc32": 1 << 40}):
        with pytest.raises((TypeError, OverflowError)):
            decompress_data(compressed, wrong)


def test_damage_is_repaired(text):
    compressed, _ = safe_compress(text)
    broken = bytearray(compressed)
    broken[len(broken) // 2] ^= 0x55
    with pytest.warns(UserWarning, match="repaired"):
        assert safe_decompress(broken) == text
    with pytest.raises(IntegrityError):
        decompress_data(broken)
    ruined = bytearray(compress_chunked(text, chunk_size=50_000))
    ruined[len(ruined) // 2 : len(ruined) // 2 + 300] = bytes(300)
    with pytest.raises(IntegrityError):
        safe_decompress(ruined)
    with pytest.warns(UserWarning, match="lost"):
        rest = safe_decompress(ruined, on_damage="zero")
    assert len(rest) == len(text) and rest[:50_000] == text[:50_000] and rest != text
    with pytest.warns(UserWarning, match="lost"):
        assert 0 < len(safe_decompress(ruined, on_damage="skip")) < len(text)
    with pytest.raises(ValueError, match="on_damage"):
        safe_decompress(ruined, on_damage="ignore")


def test_a_header_is_read_without_decoding(text):
    info = compression.chunked_header_info(compress_chunked(text, "zstd", chunk_size=100_000))
    assert info["raw_bytes"] == len(text) and len(info["chunks"]) == -(-len(text) // 100_000)
    with pytest.raises(IntegrityError):
        compression.chunked_header_info(b"nothing")


def test_containers_back_to_back(text):
    both = compress_chunked(text, "zstd") + compress_chunked(b"second", "zstd")
    assert decompress_chunked(both) == text + b"second"


def test_files(tmp_path, text):
    source, packed, back = tmp_path / "a.log", tmp_path / "a.log.zst", tmp_path / "b.log"
    source.write_bytes(text)
    summary = compression.compress_file(source, packed, level=5)
    assert summary["input_bytes"] == len(text)
    with pytest.raises(FileExistsError):
        compression.compress_file(source, packed)
    compression.compress_file(source, packed, overwrite=True)
    compression.decompress_file(packed, back)
    assert back.read_bytes() == text
    with pytest.raises(FileNotFoundError) as missing:
        compression.compress_file(tmp_path / "none", tmp_path / "none.zst")
    assert missing.value.filename == str(tmp_path / "none")
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-100])
    with pytest.warns(UserWarning):
        compression.decompress_file(packed, tmp_path / "c.log")
    assert (tmp_path / "c.log").read_bytes() == text
    (tmp_path / "c.log").unlink()
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        compression.decompress_file(packed, tmp_path / "c.log")
    assert not (tmp_path / "c.log").exists()


def test_recommendation(text):
    best = compression.get_recommended_algorithm(text[:20_000], "ratio")
    assert best["algorithm"] in compression.algorithms()
    with pytest.raises(ValueError):
        compression.get_recommended_algorithm(text, "best")


def test_levels_and_implementations(text):
    sizes = [len(compress_data(text, "zstd", level=level)[0]) for level in (1, 19)]
    assert sizes[1] < sizes[0]
    _, metadata = compress_data(text, "gzip", implementation="gzip/cpu/zlib-rs", level=6)
    assert metadata["implementation"] == "gzip/cpu/zlib-rs" and metadata["level"] == 6


def test_plugins_are_listed():
    listed = {plugin["implementation"]: plugin for plugin in compression.list_plugins()}
    assert "zstd/cpu/libzstd" in listed
