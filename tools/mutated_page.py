"""The page of report.html with one of its sources changed, for the tests of its modules: a copy that has the packages of
the sources themselves, which are left alone."""
import shutil
from pathlib import Path

from mutated_program import Failed

WEB = "src/report/web"


def mutated_page(root, file, content, folder):
    """The folder of the copy."""
    copy = folder / "web"
    for name in ("src", "test"):
        shutil.copytree(root / WEB / name, copy / name)
    shutil.copy(root / WEB / "test.mjs", copy)
    (copy / "node_modules").symlink_to(root / WEB / "node_modules")
    (copy / Path(file).relative_to(WEB)).write_text(content)
    return copy


def test_page(processes, folder, tests, limit_s):
    """Exit status of the modules' tests whose names match; None where they do not end."""
    status, output = processes.run(["node", "test.mjs", "unit", tests], limit_s, cwd=folder)
    lines = output.splitlines()
    if "# pass 0" in lines and "# fail 0" in lines:
        raise Failed(f"no test of the page's modules matches {tests}")
    return status
