"""The command line: `python -m clipsmaster` is `clipsmaster-host`."""

import os
import pathlib
import sys


def main():
    program = pathlib.Path(__file__).parent.absolute() / "_host" / "clipsmaster-host"
    try:
        os.execv(program, ["clipsmaster-host", *sys.argv[1:]])
    except OSError as e:
        sys.exit(f"clipsmaster: cannot run {program}: {e.strerror}; reinstall the package")


if __name__ == "__main__":
    main()
