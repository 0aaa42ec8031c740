"""Compressing and decompressing, by algorithm or by policy.

>>> from clipsmaster.compression import compress_data, decompress_data
>>> compressed, metadata = compress_data(b"hello " * 1000)
>>> decompress_data(compressed, metadata) == b"hello " * 1000
True
"""

import os as _os
import threading as _threading

from .._native import (
    ResourceStore,
    algorithms,
    chunked_header_info,
    compress_by_type,
    compress_chunked,
    compress_data,
    compress_file,
    decompress_chunked,
    decompress_data,
    decompress_file,
    decompress_into,
    get_recommended_algorithm,
    get_resource_policy,
    list_plugins,
    refresh,
    register_compressor,
)
from . import error_handling, hardware_accel
from .error_handling import *  # noqa: F403
from .hardware_accel import *  # noqa: F403

__all__ = [
    "ResourceStore",
    "algorithms",
    "chunked_header_info",
    "compress_by_type",
    "compress_chunked",
    "compress_data",
    "compress_file",
    "compress_with_policy",
    "decompress_chunked",
    "decompress_data",
    "decompress_file",
    "decompress_into",
    "get_recommended_algorithm",
    "get_resource_policy",
    "get_store",
    "list_plugins",
    "refresh",
    "register_compressor",
    "set_store",
]
__all__ += error_handling.__all__
__all__ += hardware_accel.__all__

# The store of compress_with_policy(), made when it is first asked for.
_DEFAULT_BUDGET = 640 << 20
_store = None
_store_lock = _threading.Lock()


def get_store():
    """The store that compress_with_policy() works on: the one given to set_store(), or one with a budget of 640 MiB."""
    global _store
    with _store_lock:
        if _store is None:
            _store = ResourceStore(_DEFAULT_BUDGET)
        return _store


def set_store(store):
    """Makes `store` the one that compress_with_policy() works on. Answers the one before, or None."""
    global _store
    with _store_lock:
        _store, before = store, _store
        return before


def compress_with_policy(resource_id, resource_type):
    """Compresses a resource of get_store() now, as the policy of `resource_type` says.

    Answers a dictionary: how many `resources` were compressed (0 if it stays as it is: `skipped`), their `original_size` and the
    `held_bytes` that they take now. Raises KeyError if there is no resource of that id: put it there with get_store().insert().
    """
    return get_store().compress_with_policy(resource_id, resource_type)


def _after_fork():
    # Locks and the store's thread are the parent's.
    global _store, _store_lock
    _store, _store_lock = None, _threading.Lock()


_os.register_at_fork(after_in_child=_after_fork)
