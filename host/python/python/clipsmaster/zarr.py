"""Codecs for arrays of Zarr format 3. Format 2 takes those of `clipsmaster.numcodecs`, with which these work.

`ClipsMasterCodec` is the codec "clipsmaster". `ZstdCodec` and `GzipCodec` are Zarr's own "zstd" and "gzip", by name and configuration, done by
the plugins: every Zarr reads such arrays, with this package or without. They serve arrays that are made with them; to have them read and
write all arrays of a process, import this module and

    zarr.config.set({"codecs.zstd": "clipsmaster.zarr.ZstdCodec", "codecs.gzip": "clipsmaster.zarr.GzipCodec"})
"""

import asyncio
from dataclasses import dataclass
from functools import cached_property

import zarr.codecs
from zarr.abc.codec import BytesBytesCodec
from zarr.registry import register_codec

from . import numcodecs

__all__ = ["ClipsMasterCodec", "GzipCodec", "ZstdCodec"]


class _Chunks:
    """Chunks through the numcodecs codec `_codec`."""

    is_fixed_size = False

    def _encode_sync(self, chunk_bytes, chunk_spec):
        return chunk_spec.prototype.buffer.from_bytes(self._codec.encode(chunk_bytes.as_numpy_array()))

    def _decode_sync(self, chunk_bytes, chunk_spec):
        return chunk_spec.prototype.buffer.from_bytes(self._codec.decode(chunk_bytes.as_numpy_array()))

    async def _encode_single(self, chunk_bytes, chunk_spec):
        return await asyncio.to_thread(self._encode_sync, chunk_bytes, chunk_spec)

    async def _decode_single(self, chunk_bytes, chunk_spec):
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)

    def compute_encoded_size(self, _input_byte_length, _chunk_spec):
        raise NotImplementedError("the size of what is compressed is not known before")


@dataclass(frozen=True)
class ClipsMasterCodec(_Chunks, BytesBytesCodec):
    """Compresses with any installed plugin; the arguments are those of `clipsmaster.numcodecs.ClipsMaster`."""

    algorithm: str | None = None
    level: int | None = None
    objective: str | None = None
    resource_type: str | None = None

    def __post_init__(self):
        # What was left out, and what does not go together, is for the codec to say.
        object.__setattr__(self, "algorithm", self._codec.algorithm)

    @cached_property
    def _codec(self):
        return numcodecs.ClipsMaster(
            self.algorithm, self.level, objective=self.objective, resource_type=self.resource_type
        )

    @classmethod
    def from_dict(cls, data):
        return cls(**data.get("configuration", {}))

    def to_dict(self):
        configuration = self._codec.get_config()
        return {"name": configuration.pop("id"), "configuration": configuration}


class _Standard(_Chunks):
    """What stands for a codec of Zarr's, and equals it."""

    def __eq__(self, other):
        return isinstance(other, BytesBytesCodec) and self.to_dict() == other.to_dict()

    def __hash__(self):
        return super().__hash__()


class ZstdCodec(_Standard, zarr.codecs.ZstdCodec):
    """Zarr's "zstd" with the plugins. Each frame has its checksum, whatever `checksum` says."""

    @cached_property
    def _codec(self):
        return numcodecs.Zstd(self.level, self.checksum)


class GzipCodec(_Standard, zarr.codecs.GzipCodec):
    """Zarr's "gzip" with the plugins."""

    @cached_property
    def _codec(self):
        return numcodecs.GZip(self.level)


# To be chosen in zarr.config; what is in force there stays.
register_codec("zstd", ZstdCodec)
register_codec("gzip", GzipCodec)
