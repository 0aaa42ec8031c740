"""The codecs for numcodecs, with numcodecs' own helpers for tests of codecs."""

import json
import pickle
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
numcodecs = pytest.importorskip("numcodecs")
common = pytest.importorskip("numcodecs.tests.common", reason="this numcodecs comes without its helpers for tests")

from clipsmaster.compression import CompressionError, DecompressionError, algorithms, register_compressor  # noqa: E402
from clipsmaster.numcodecs import ClipsMaster, GZip, Zstd  # noqa: E402

CODECS = [
    ClipsMaster(),
    *map(ClipsMaster, algorithms()),
    ClipsMaster("zstd", -7),
    ClipsMaster("gz", 9),
    ClipsMaster("auto"),
    ClipsMaster("auto", objective="ratio"),
    ClipsMaster(resource_type="model_weights"),
    ClipsMaster(resource_type="subtitle"),
    ClipsMaster(resource_type="nobody's"),
    Zstd(),
    Zstd(-100),
    Zstd(100, checksum=True),
    GZip(),
    GZip(-1),
    GZip(0),
]
RANDOM = np.random.default_rng(1)
ARRAYS = [
    np.arange(1000, dtype="i4"),
    np.linspace(1000, 1001, 1000, dtype="f8"),
    RANDOM.normal(1000, 1, (100, 10)),
    RANDOM.integers(0, 2, 1000, dtype=bool).reshape(100, 10, order="F"),
    RANDOM.choice([b"a", b"bb", b"ccc"], 1000).reshape(10, 10, 10),
    RANDOM.integers(0, 2**60, 1000, dtype="u8").view("M8[ns]"),
    RANDOM.integers(0, 2**60, 1000, dtype="u8").view("m8[m]"),
    np.frombuffer(RANDOM.bytes(100_000), "u1"),
    np.zeros(0, "i4"),
]


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_what_is_encoded_comes_back(codec):
    for array in ARRAYS:
        common.check_encode_decode(array, codec)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_configuration(codec):
    again = pickle.loads(pickle.dumps(codec))
    assert again == codec == type(codec).from_config({k: v for k, v in codec.get_config().items() if k != "id"})
    assert again != ClipsMaster("snappy", 7) and again != "foo"
    json.dumps(codec.get_config())


def test_representation(monkeypatch):
    monkeypatch.setattr(common, "ClipsMaster", ClipsMaster, raising=False)
    common.check_repr("ClipsMaster(algorithm='zstd', level=3)")
    common.check_repr("ClipsMaster(algorithm='auto', objective='ratio')")
    common.check_repr("ClipsMaster(resource_type='subtitle')")
    assert ClipsMaster().get_config() == {"id": "clipsmaster", "algorithm": "zstd"}


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_refuses_what_numcodecs_refuses(codec):
    common.check_err_encode_object_buffer(codec)
    common.check_err_decode_object_buffer(codec)
    with pytest.raises(TypeError):
        codec.encode(["foo", "bar"])
    with pytest.raises(ValueError):
        codec.encode(np.arange(1000)[::2])
    encoded = codec.encode(b"abc" * 10)
    with pytest.raises(ValueError):
        codec.decode(encoded, out=bytearray(29))
    for damaged in (b"", b"foo", bytes(encoded)[:-5]):
        with pytest.raises(DecompressionError):
            codec.decode(damaged)


def test_decoding_takes_any_frame_whatever_the_configuration():
    for codec in CODECS:
        encoded = codec.encode(b"some text " * 100)
        assert ClipsMaster("snappy").decode(encoded) == b"some text " * 100, codec
    encoded = numcodecs.Zstd(checksum=False).encode(b"some text")
    assert ClipsMaster().decode(encoded) == b"some text"
    assert ClipsMaster().decode(encoded + encoded) == b"some textsome text"
    # A frame without the size of its content (RFC 8878, 3.1.1): one raw block.
    assert ClipsMaster().decode(bytes.fromhex("28b52ffd 00 58 190000") + b"foo") == b"foo"


def test_any_algorithm_that_is_there():
    import zlib

    class Own:
        compress, decompress = staticmethod(zlib.compress), staticmethod(zlib.decompress)

    register_compressor("numcodecs-own", Own)
    encoded = ClipsMaster("numcodecs-own").encode(b"some text " * 100)
    assert ClipsMaster().decode(encoded) == b"some text " * 100


def test_numcodecs_reads_what_its_codecs_wrote_here():
    data = RANDOM.integers(0, 9, 300_000, dtype="u1")
    for ours, theirs in ((Zstd(3), numcodecs.Zstd(3)), (GZip(6), numcodecs.GZip(6))):
        assert ours == theirs
        assert theirs.decode(ours.encode(data)) == ours.decode(theirs.encode(data)) == data.tobytes()


def test_arguments_that_do_not_go_together():
    for wrong in (
        {"algorithm": "zstd", "resource_type": "subtitle"},
        {"level": 3, "resource_type": "subtitle"},
        {"algorithm": "zstd", "objective": "ratio"},
        {"objective": "ratio"},
        {"algorithm": "auto", "level": 3},
    ):
        with pytest.raises(ValueError, match="leave|either"):
            ClipsMaster(**wrong)
    with pytest.raises(CompressionError, match="unknown algorithm `nope`; installed: bzip2"):
        ClipsMaster("nope").encode(b"abc")


def test_it_is_found_by_name():
    from importlib.metadata import entry_points

    if not entry_points(group="numcodecs.codecs", name="clipsmaster"):
        pytest.skip("the package is not installed")
    program = "import numcodecs; print(numcodecs.get_codec({'id': 'clipsmaster', 'algorithm': 'lz4'}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "ClipsMaster(algorithm='lz4')\n"


def test_the_package_alone_imports_none_of_them():
    program = "import sys, clipsmaster.compression; print({'numpy', 'numcodecs', 'zarr'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
