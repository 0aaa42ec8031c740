"""Reads arrays of the codec "clipsmaster" where the package cannot be installed: copy this file beside your program and import it.

It registers a decoder with numcodecs, and with Zarr where that is installed. Needs numcodecs >= 0.16; for chunks of lz4 the package `lz4`,
for snappy `cramjam`. Checksums are those of the frames; what repairs damage is in the package only.
"""

import asyncio
import bz2
import gzip
import lzma
import struct
import zlib

import numcodecs
import numpy as np
from numcodecs.compat import ensure_bytes, ndarray_copy


def lz4_frames(data):
    import lz4.frame

    whole = []
    while data:
        if is_skippable(data):
            data = data[8 + struct.unpack_from("<I", data, 4)[0] :]
        else:
            frame = lz4.frame.LZ4FrameDecompressor()
            whole.append(frame.decompress(data))
            if not frame.eof:
                raise ValueError("an LZ4 frame ends too early")
            data = frame.unused_data or b""
    return b"".join(whole)


def snappy_frames(data):
    import cramjam

    return bytes(cramjam.snappy.decompress(data))


# By the first bytes. What the host writes beside the frames of zstd, lz4, gzip and snappy is what their decoders skip.
STANDARD = {
    "zstd": (b"\x28\xb5\x2f\xfd", numcodecs.Zstd().decode),
    "lz4": (b"\x04\x22\x4d\x18", lz4_frames),
    "gzip": (b"\x1f\x8b", gzip.decompress),
    "bzip2": (b"BZh", bz2.decompress),
    "lzma": (b"\xfd7zXZ\x00", lzma.decompress),
    "snappy": (b"\xff\x06\x00\x00sNaPpY", snappy_frames),
}


def is_skippable(data):
    return data[1:4] == b"\x2a\x4d\x18" and data[0] >> 4 == 5


def decode(data):
    if is_skippable(data):
        return b"".join(native_container(data))
    for magic, decoder in STANDARD.values():
        if data.startswith(magic):
            return decoder(data)
    raise ValueError(f"no frame of a known format: it begins with {data[:8].hex()}")


def native_container(data):
    """Records, in skippable frames; one of type 2 describes the frame behind it (host/src/container/format.md)."""
    at = 0
    while at < len(data):
        record = data[at + 8 :][: struct.unpack_from("<I", data, at + 4)[0]]
        at += 8 + len(record)
        if record[:8] == b"\x89CMC\r\n\x1a\n" and record[10] == 2:
            chunk = record[64:]
            (frame_bytes,) = struct.unpack_from("<I", chunk, 20)
            yield native_chunk(chunk, data[at : at + frame_bytes])
            at += frame_bytes


def native_chunk(chunk, frame):
    algorithm = chunk[56:72].rstrip(b"\0").decode()
    if algorithm == "store":
        raw = frame
    elif algorithm in STANDARD:
        raw = STANDARD[algorithm][1](frame)
    else:
        raise ValueError(f"compressed with {algorithm}: install `clipsmaster` and the plugin that has it")
    raw = unshuffled(raw, chunk[54])
    if zlib.crc32(raw) != struct.unpack_from("<I", chunk, 28)[0]:
        raise ValueError("damaged: the checksum differs")
    return raw


def unshuffled(data, element_bytes):
    """Undoes the filter: the first bytes of all elements come first, then all second ones, and so on."""
    if element_bytes == 0:
        return data
    whole = len(data) // element_bytes * element_bytes
    planes = np.frombuffer(data[:whole], "u1").reshape(element_bytes, -1)
    return planes.T.tobytes() + data[whole:]


class ReadOnly(numcodecs.abc.Codec):
    codec_id = "clipsmaster"

    def __init__(self, **configuration):
        vars(self).update(configuration)

    def encode(self, buf):
        raise NotImplementedError("this codec only reads; install `clipsmaster` to write")

    def decode(self, buf, out=None):
        return ndarray_copy(decode(ensure_bytes(buf)), out)


numcodecs.register_codec(ReadOnly)

try:
    from zarr.abc.codec import BytesBytesCodec
    from zarr.registry import register_codec
except ImportError:
    pass
else:

    class ReadOnlyV3(BytesBytesCodec):
        is_fixed_size = False

        def __init__(self, configuration):
            self.configuration = configuration

        @classmethod
        def from_dict(cls, data):
            return cls(data.get("configuration", {}))

        def to_dict(self):
            return {"name": "clipsmaster", "configuration": self.configuration}

        async def _decode_single(self, chunk_bytes, chunk_spec):
            raw = await asyncio.to_thread(decode, chunk_bytes.to_bytes())
            return chunk_spec.prototype.buffer.from_bytes(raw)

        async def _encode_single(self, chunk_bytes, chunk_spec):
            raise NotImplementedError("this codec only reads; install `clipsmaster` to write")

        def compute_encoded_size(self, _input_byte_length, _chunk_spec):
            raise NotImplementedError

    register_codec("clipsmaster", ReadOnlyV3)
