#!/usr/bin/env python3
"""Runs the examples of README.md: every ```sh block that has the line `<!-- test -->` before it.

    tools/check_readme.py [FOLDER_OF_QSWEEP]     default: build/release

The blocks run in order, in one copy of the tree, with qsweep in the PATH; each must end with exit code 0.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^<!-- test -->\n+```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
TIMEOUT_S = 600


def copy_tree(target):
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns("build", ".git", "__pycache__", "node_modules"))


def run_block(script, folder, environment):
    """None, or why the block failed."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not finished after {TIMEOUT_S} s"
    return None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}"


def main(arguments):
    binaries = pathlib.Path(arguments[0] if arguments else ROOT / "build/release").resolve()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(readme))
    if not blocks:
        sys.exit("check_readme: README.md has no ```sh block after a line <!-- test -->")
    if not (binaries / "qsweep").exists():
        sys.exit(f"check_readme: no {binaries / 'qsweep'}; run make first")
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "qsweep"
        copy_tree(copy)
        (copy / "build/release").mkdir(parents=True)
        (copy / "build/release/qsweep").symlink_to(binaries / "qsweep")
        for block in blocks:
            where, start = f"README.md:{readme.count(chr(10), 0, block.start(1)) + 1}", time.monotonic()
            if failure := run_block(block[1], copy, environment):
                sys.exit(f"{where}: {failure}")
            print(f"{where}: ok ({time.monotonic() - start:.1f} s)")


if __name__ == "__main__":
    main(sys.argv[1:])
