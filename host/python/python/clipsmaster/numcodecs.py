"""Codecs for numcodecs, and so for arrays of Zarr format 2; `clipsmaster.zarr` has those of format 3.

What they write tells by itself how it is read: standard frames, or a container of the host. `decode` therefore reads what any of them wrote
whatever its configuration says, and frames of other tools.
"""

from numcodecs import gzip as _gzip
from numcodecs import zstd as _zstd
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray

from ._native import compress_by_type, compress_chunked, compress_data, decompress_data, decompress_into

__all__ = ["ClipsMaster", "GZip", "Zstd"]

# Their frames begin with a magic number. Those of others come in a container, which names the algorithm.
_TOLD_BY_MAGIC = frozenset(["bzip2", "gzip", "lz4", "lzma", "snappy", "zstd"])


class _Decodes:
    def decode(self, buf, out=None):
        buf = ensure_contiguous_ndarray(buf)
        if out is None:
            return decompress_data(buf)
        target = ensure_contiguous_ndarray(out)
        done = decompress_into(buf, target)
        if done != target.nbytes:
            raise ValueError(f"{done} bytes for a buffer of {target.nbytes}")
        return out


class ClipsMaster(_Decodes, Codec):
    """Compresses with any installed plugin, on the best hardware there is.

    `algorithm` is a name of clipsmaster.compression.algorithms(), at `level` of its reference implementation; or "auto", which chooses for
    each chunk by trials on a sample of it, for `objective` speed, balanced (the default) or ratio. With `resource_type` instead of these, the
    policy of that type says how, as it is on the machine that compresses.
    """

    codec_id = "clipsmaster"

    def __init__(self, algorithm=None, level=None, *, objective=None, resource_type=None):
        if resource_type is not None and (algorithm, level, objective) != (None, None, None):
            raise ValueError("the policy of `resource_type` says algorithm, level and objective; give either it or them")
        if objective is not None and algorithm != "auto":
            raise ValueError('`objective` is what algorithm "auto" chooses by; leave one of them out')
        if level is not None and algorithm == "auto":
            raise ValueError('algorithm "auto" chooses the level; leave it out')
        self.algorithm = "zstd" if algorithm is None and resource_type is None else algorithm
        self.level = level
        self.objective = objective
        self.resource_type = resource_type

    def encode(self, buf):
        buf = ensure_contiguous_ndarray(buf)
        if self.resource_type is not None:
            return compress_by_type(buf, self.resource_type)[0]
        if self.algorithm == "auto":
            return compress_data(buf, "auto", objective=self.objective or "balanced")[0]
        if self.algorithm in _TOLD_BY_MAGIC:
            return compress_data(buf, self.algorithm, level=self.level)[0]
        # Engines that call a codec have threads of their own.
        return compress_chunked(buf, self.algorithm, level=self.level, threads=1)

    def get_config(self):
        return {"id": self.codec_id, **self._given()}

    def __repr__(self):
        return f"ClipsMaster({', '.join(f'{name}={value!r}' for name, value in self._given().items())})"

    def _given(self):
        return {name: value for name, value in vars(self).items() if value is not None}


class Zstd(_Decodes, _zstd.Zstd):
    """numcodecs' own codec "zstd", by name and configuration, that works with the plugins: numcodecs alone reads what it wrote.

    Each frame has its checksum, whatever `checksum` says. Levels beyond the host's, -7 to 22, are brought to the nearest.
    """

    def encode(self, buf):
        return compress_data(ensure_contiguous_ndarray(buf), "zstd", level=min(max(self.level, -7), 22))[0]


class GZip(_Decodes, _gzip.GZip):
    """numcodecs' own codec "gzip", by name and configuration, that works with the plugins: numcodecs alone reads what it wrote."""

    def encode(self, buf):
        # -1 is zlib's default.
        level = None if self.level == -1 else self.level
        return compress_data(ensure_contiguous_ndarray(buf), "gzip", level=level)[0]
