"""The codecs for Zarr, used by Zarr itself, xarray and Dask, and arrays of theirs where the package is missing."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
zarr = pytest.importorskip("zarr", minversion="3.1")

import numcodecs  # noqa: E402
from zarr.storage import LocalStore, MemoryStore  # noqa: E402

from clipsmaster import numcodecs as codecs_v2  # noqa: E402
from clipsmaster.compression import algorithms, compress_chunked  # noqa: E402
from clipsmaster.zarr import ClipsMasterCodec, GzipCodec, ZstdCodec  # noqa: E402

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
# Other tests bring algorithms of their own.
ALGORITHMS = algorithms()
DATA = np.arange(120 * 90, dtype="i4").reshape(120, 90) // 7
CODECS = [
    ClipsMasterCodec(),
    *map(ClipsMasterCodec, ALGORITHMS),
    ClipsMasterCodec("gzip", 9),
    ClipsMasterCodec("auto", objective="ratio"),
    ClipsMasterCodec(resource_type="model_weights"),
    ZstdCodec(level=3),
    GzipCodec(level=6),
]
CODECS_V2 = [codecs_v2.ClipsMaster("lz4"), codecs_v2.ClipsMaster("store"), codecs_v2.Zstd(3), codecs_v2.GZip(6)]
VERSIONS = [(3, ClipsMasterCodec("lz4")), (2, codecs_v2.ClipsMaster("lz4"))]


@pytest.fixture(autouse=True)
def registered():
    # As the entry points do where the package is installed.
    zarr.registry.register_codec("clipsmaster", ClipsMasterCodec)
    numcodecs.register_codec(codecs_v2.ClipsMaster)


@pytest.fixture(params=["local", "memory", "object store"])
def store(request, tmp_path):
    if request.param == "local":
        return LocalStore(tmp_path / "array.zarr")
    if request.param == "memory":
        return MemoryStore()
    pytest.importorskip("fsspec", reason="needs fsspec")
    return zarr.storage.FsspecStore.from_url(f"memory://{tmp_path}")


def write(store, codec, **more):
    array = zarr.create_array(
        store, shape=DATA.shape, dtype=DATA.dtype, compressors=codec, **{"chunks": (50, 50), **more}
    )
    array[:] = DATA


def check(store):
    array = zarr.open_array(store, mode="r")
    assert (array[:] == DATA).all()
    assert (array[13:77, 5] == DATA[13:77, 5]).all()
    return array


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_arrays_come_back(store, codec):
    write(store, codec)
    assert check(store).metadata.codecs[-1].to_dict() == codec.to_dict()


@pytest.mark.parametrize("codec", CODECS_V2, ids=repr)
def test_arrays_of_format_2_come_back(store, codec):
    write(store, codec, zarr_format=2)
    assert check(store).metadata.compressor == codec


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_shards_come_back(codec):
    store = MemoryStore()
    write(store, codec, chunks=(10, 15), shards=(60, 45))
    check(store)


def test_batches_come_back():
    with zarr.config.set({"codec_pipeline.batch_size": 4}):
        store = MemoryStore()
        write(store, ClipsMasterCodec())
        check(store)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_codecs_are_values(codec):
    assert type(codec).from_dict(json.loads(json.dumps(codec.to_dict()))) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert len({codec, type(codec).from_dict(codec.to_dict())}) == 1


def test_what_metadata_says():
    assert ClipsMasterCodec(level=7).to_dict() == {
        "name": "clipsmaster",
        "configuration": {"algorithm": "zstd", "level": 7},
    }
    assert ClipsMasterCodec.from_dict({"name": "clipsmaster"}) == ClipsMasterCodec()
    assert {ZstdCodec(level=7), GzipCodec(level=7)} == {zarr.codecs.ZstdCodec(level=7), zarr.codecs.GzipCodec(level=7)}
    assert ZstdCodec(level=7) != zarr.codecs.ZstdCodec(level=8)
    with pytest.raises(ValueError, match="either"):
        ClipsMasterCodec("zstd", resource_type="subtitle")


def test_all_arrays_of_a_process(monkeypatch):
    calls = []
    compress = codecs_v2.compress_data
    monkeypatch.setattr(codecs_v2, "compress_data", lambda *a, **k: calls.append(a[1]) or compress(*a, **k))
    store = MemoryStore()
    with zarr.config.set({"codecs.zstd": "clipsmaster.zarr.ZstdCodec"}):
        write(store, {"name": "zstd", "configuration": {"level": 1}})
        assert isinstance(check(store).metadata.codecs[-1], ZstdCodec)
    assert calls == ["zstd"] * 6
    assert type(check(store).metadata.codecs[-1]) is zarr.codecs.ZstdCodec


@pytest.mark.parametrize(("version", "codec"), VERSIONS)
def test_xarray(tmp_path, version, codec):
    xarray = pytest.importorskip("xarray", reason="needs xarray")
    dataset = xarray.Dataset({"values": (("y", "x"), DATA)})
    dataset.to_zarr(
        tmp_path / "set.zarr", encoding={"values": {"compressors": [codec]}}, zarr_format=version, consolidated=False
    )
    with xarray.open_zarr(tmp_path / "set.zarr", consolidated=False) as again:
        assert again.equals(dataset)
        assert again["values"].encoding["compressors"] == (codec,)


@pytest.mark.parametrize(("version", "codec"), VERSIONS)
def test_dask(tmp_path, version, codec):
    dask_array = pytest.importorskip("dask.array", reason="needs dask")
    path = tmp_path / "array.zarr"
    target = zarr.create_array(
        path, shape=DATA.shape, chunks=(60, 45), dtype=DATA.dtype, compressors=codec, zarr_format=version
    )
    stored = dask_array.from_array(DATA, chunks=(60, 45)).to_zarr(target, compute=False)
    # These get array and codec pickled.
    stored.compute(scheduler="processes", num_workers=1)
    assert (dask_array.from_zarr(path).compute(scheduler="processes", num_workers=1) == DATA).all()


def python(program, *arguments, **environment):
    command = [sys.executable, *environment.pop("options", []), "-c", program, *map(str, arguments)]
    environment = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def without_the_package(tmp_path_factory):
    """What runs programs where everything is installed but the package, and its entry points."""
    folder = tmp_path_factory.mktemp("site-packages")
    for path in pathlib.Path(zarr.__file__).parent.parent.iterdir():
        if "clipsmaster" not in path.name:
            (folder / path.name).symlink_to(path)

    def run(program, *arguments):
        return python(program, *arguments, options=["-S"], PYTHONPATH=f"{folder}{os.pathsep}{EXAMPLES}")

    assert run("import importlib.util; print(importlib.util.find_spec('clipsmaster'))") == "None\n"
    return run


READ = """
import sys, numpy, zarr
data = numpy.load(sys.argv[1])
for path in sys.argv[2:]:
    assert (zarr.open_array(path, mode="r")[:] == data).all(), path
"""


@pytest.fixture
def saved(tmp_path):
    numpy_file = tmp_path / "data.npy"
    np.save(numpy_file, DATA)
    return numpy_file


def test_every_zarr_reads_the_standard_ones(tmp_path, saved, without_the_package):
    paths = [tmp_path / str(number) for number in range(5)]
    write(paths[0], ZstdCodec(level=3))
    write(paths[1], GzipCodec(level=6))
    write(paths[2], ZstdCodec(level=3), chunks=(10, 15), shards=(60, 45))
    write(paths[3], codecs_v2.Zstd(3), zarr_format=2)
    write(paths[4], codecs_v2.GZip(6), zarr_format=2)
    without_the_package(READ, saved, *paths)


def test_the_file_beside_reads_all_others(tmp_path, saved, without_the_package):
    pytest.importorskip("lz4.frame", reason="needs lz4")
    pytest.importorskip("cramjam")
    configurations = [codec.to_dict() for codec in CODECS if isinstance(codec, ClipsMasterCodec)]
    paths = []
    for number, codec in enumerate(configurations):
        paths += [tmp_path / f"{number}-{version}" for version in (3, 2)]
        write(paths[-2], codec)
        write(paths[-1], codecs_v2.ClipsMaster(**codec["configuration"]), zarr_format=2)
    without_the_package("import read_without_clipsmaster" + READ, saved, *paths)


def test_the_file_beside_reads_containers(tmp_path, without_the_package):
    pytest.importorskip("lz4.frame", reason="needs lz4")
    pytest.importorskip("cramjam")
    # The half of it that does not shrink is stored in containers that can.
    raw = DATA.tobytes() + np.random.default_rng(1).bytes(50_003)
    (tmp_path / "raw").write_bytes(raw)
    for algorithm in ALGORITHMS:
        for parity in (0, 10):
            container = compress_chunked(raw, algorithm, 16_384, parity=parity)
            (tmp_path / f"{algorithm}-{parity}").write_bytes(container)
    policy = tmp_path / "config" / "compression_layers.yaml"
    policy.parent.mkdir()
    shuffles = "".join(f"  shuffled{n}: {{algorithm: lzma, level: 1, chunk_size: 16KB, filter: shuffle{n}}}\n" for n in (2, 4, 8))
    policy.write_text(f"compression_policy:\n{shuffles}  chosen: {{algorithm: auto, objective: ratio}}\n")
    write_by_policy = """
import sys, pathlib
from clipsmaster.numcodecs import ClipsMaster
folder = pathlib.Path(sys.argv[1])
for kind in ("shuffled2", "shuffled4", "shuffled8", "chosen"):
    folder.joinpath(kind).write_bytes(ClipsMaster(resource_type=kind).encode(folder.joinpath("raw").read_bytes()))
"""
    python(write_by_policy, tmp_path, CLIPSMASTER_CONFIG_DIR=policy.parent)
    read = """
import sys, pathlib
from read_without_clipsmaster import decode
raw, *others = sorted(filter(pathlib.Path.is_file, pathlib.Path(sys.argv[1]).iterdir()), key=lambda path: path.name != "raw")
for path in others:
    assert decode(path.read_bytes()) == raw.read_bytes(), path
print(len(others))
"""
    assert without_the_package(read, tmp_path) == f"{2 * len(ALGORITHMS) + 4}\n"


def test_what_the_readme_says(tmp_path, monkeypatch):
    pytest.importorskip("xarray", reason="needs xarray")
    monkeypatch.chdir(tmp_path)
    readme = EXAMPLES.with_name("README.md").read_text()
    section = readme.partition("## Zarr")[2].partition("\n## ")[0]
    names, before = {}, zarr.config.get("codecs")
    for program in re.findall("```python\n(.*?)```", section, re.DOTALL):
        exec(program, names)
    assert zarr.config.get("codecs.zstd") == "clipsmaster.zarr.ZstdCodec"
    zarr.config.set({"codecs": before})
    assert zarr.open_group("set.zarr")["temperature"].compressors == (names["codec"],)


def test_it_is_found_by_name(tmp_path):
    from importlib.metadata import entry_points

    if not entry_points(group="zarr.codecs", name="clipsmaster"):
        pytest.skip("the package is not installed")
    program = """
import sys, zarr
compressors = [{"name": "clipsmaster", "configuration": {"algorithm": "lz4"}}]
array = zarr.create_array(sys.argv[1], shape=9, dtype="i4", compressors=compressors)
array[:] = 5
print(zarr.open_array(sys.argv[1])[3])
"""
    assert python(program, tmp_path / "array.zarr") == "5\n"
