"""A cache of its own for each run, so that tests neither see nor change what is known of the user's plugins."""

import os
import pathlib
import tempfile

import pytest

# Before anything opens a host. Children of the tests inherit it.
if "CLIPSMASTER_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="clipsmaster-tests-")
    os.environ["CLIPSMASTER_CACHE_DIR"] = _cache.name


@pytest.fixture(scope="session")
def text():
    """Some 300 KB that compress well, but not to nothing."""
    lines = (f"{i:06} level={'info' if i % 7 else 'warn'} took={i * 7919 % 1000} ms for user {i * 31 % 977}\n" for i in range(6000))
    return "".join(lines).encode()


@pytest.fixture(scope="session")
def repository():
    """The repository that the tests lie in."""
    return pathlib.Path(__file__).resolve().parents[3]
