"""Compression with whatever is best on this machine.

The calls are in `clipsmaster.compression`; `python -m clipsmaster` is the command line. Plugins are found in the package, in
`CLIPSMASTER_PLUGIN_PATH`, and in the user's plugins folder. Nothing is searched or opened before the first call.

Threads may share everything here; the interpreter's lock is released while bytes are compressed. After `os.fork()` (which is what
`multiprocessing` does with start method "fork") a child opens a host of its own at its first call; only a `ResourceStore` stays with the
process that made it.
"""

import os as _os
import pathlib as _pathlib

from . import _native

_native.set_program_dir(_os.fspath(_pathlib.Path(__file__).parent.absolute() / "_host"))
_os.register_at_fork(after_in_child=_native.after_fork_in_child)

__version__ = _native.__version__
