"""Zarr's and numcodecs' own tests with the codecs of this package in place of theirs. No test of this package: a plugin for pytest.

In an unpacked source distribution of zarr, or of numcodecs (whose frames of earlier versions are in its folder `fixture`):

    PYTHONPATH=.../host/python/tests pytest -p in_place_of_theirs tests/test_codecs
    PYTHONPATH=.../host/python/tests pytest -p in_place_of_theirs --pyargs numcodecs.tests.test_zstd numcodecs.tests.test_gzip

With CLIPSMASTER_IN_PLACE=lzma (or another algorithm, or auto) the codec "clipsmaster" stands for Zarr's zstd and gzip, rather than the
standard codecs for themselves.
"""

import os
import sys

import numcodecs
import zarr
from zarr.registry import register_codec

import clipsmaster.numcodecs
import clipsmaster.zarr


def put(theirs, ours):
    """Puts `ours` wherever `theirs` was imported to."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("numcodecs", "zarr"):
            for attribute, value in list(vars(module).items()):
                if value is theirs:
                    setattr(module, attribute, ours)


algorithm = os.environ.get("CLIPSMASTER_IN_PLACE")
if algorithm:
    register_codec("clipsmaster", clipsmaster.zarr.ClipsMasterCodec)
    for theirs in (zarr.codecs.ZstdCodec, zarr.codecs.GzipCodec):
        put(theirs, lambda **_: clipsmaster.zarr.ClipsMasterCodec(algorithm))
else:
    for name in ("Zstd", "GZip"):
        numcodecs.register_codec(getattr(clipsmaster.numcodecs, name))
        put(getattr(numcodecs, name), getattr(clipsmaster.numcodecs, name))
    for name in ("ZstdCodec", "GzipCodec"):
        theirs, ours = getattr(zarr.codecs, name), getattr(clipsmaster.zarr, name)
        register_codec(name.removesuffix("Codec").lower(), ours, qualname=f"{theirs.__module__}.{name}")
        put(theirs, ours)
