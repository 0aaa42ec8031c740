"""Compressors by hardware."""

from .._native import Compressor, benchmark_hardware

__all__ = [
    "CPUCompressor",
    "CUDACompressor",
    "Compressor",
    "QATCompressor",
    "TorchCUDACompressor",
    "benchmark_hardware",
    "get_best_hardware",
]


def get_best_hardware(algorithm="zstd", level=3):
    """The best implementation of `algorithm` on this machine, at the ratio of `level` of its reference implementation.

    What it answers has `compress(data) -> (bytes, metadata)` and `decompress(compressed, metadata=None) -> bytes`.
    """
    return Compressor(algorithm, level)


class CPUCompressor(Compressor):
    """The best implementation on the processor."""

    def __new__(cls, algo="zstd", level=3):
        return super().__new__(cls, algo, level, hardware="cpu")


class CUDACompressor(Compressor):
    """The best implementation on an NVIDIA GPU. Raises CompressionError, with what is missing, where there is none."""

    def __new__(cls, algorithm="zstd", level=3):
        return super().__new__(cls, algorithm, level, hardware="cuda")


class QATCompressor(Compressor):
    """The best implementation on Intel QuickAssist. Raises CompressionError, with what is missing, where there is none."""

    def __new__(cls, algorithm="gzip", level=1):
        return super().__new__(cls, algorithm, level, hardware="qat")


#: The documented name. PyTorch is not needed.
TorchCUDACompressor = CUDACompressor
