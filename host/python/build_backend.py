"""Builds the wheel: the host program and the plugins of the repository first, then the package around them with maturin."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import maturin

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PROGRAM_DIR = HERE / "python" / "clipsmaster" / "_host"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _bundle()
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _bundle()
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit("no source distribution: the package is built in the repository, beside the plugins it carries")


prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable


def _bundle():
    """Puts the program and the plugins, as cargo says it built them, into the package."""
    if not (REPOSITORY / "plugins").is_dir():
        raise SystemExit(f"no plugins beside {HERE}: build the package in a clone of the repository")
    # One folder for both builds: most of what they depend on is the same.
    os.environ.setdefault("CARGO_TARGET_DIR", str(REPOSITORY / "target"))
    command = ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"]
    try:
        built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    except FileNotFoundError:
        raise SystemExit("cargo is missing: install Rust (https://rustup.rs) and try again") from None
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
    shutil.rmtree(PROGRAM_DIR, ignore_errors=True)
    PROGRAM_DIR.mkdir()
    for line in built.stdout.splitlines():
        artifact = json.loads(line)
        if artifact.get("reason") != "compiler-artifact":
            continue
        for name in map(pathlib.Path, artifact["filenames"] if "cdylib" in artifact["target"]["kind"] else []):
            if name.name.startswith("libclipsmaster_plugin_"):
                shutil.copy2(name, PROGRAM_DIR)
        if artifact.get("executable"):
            shutil.copy2(artifact["executable"], PROGRAM_DIR)
