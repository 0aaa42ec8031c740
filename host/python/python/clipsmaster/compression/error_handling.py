"""Compression that survives damage, and the exceptions of this package.

    CompressionError
      StoreFullError
      DecompressionError
        IntegrityError
        CompressionFormatError
          MagicHeaderError
"""

from .._native import (
    CompressionError,
    CompressionFormatError,
    DecompressionError,
    IntegrityError,
    MagicHeaderError,
    StoreFullError,
    safe_compress,
    safe_decompress,
)

__all__ = [
    "CompressionError",
    "CompressionFormatError",
    "DecompressionError",
    "IntegrityError",
    "MagicHeaderError",
    "StoreFullError",
    "safe_compress",
    "safe_decompress",
]
