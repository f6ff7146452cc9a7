#!/usr/bin/env python3
"""Prints the ten slowest units and the ten slowest tests of what build/*/ holds, by ninja's logs and ctest's JUnit files.
Usage: tools/slowest.py BUILD_FOLDER..."""
import sys
import xml.etree.ElementTree
from pathlib import Path

COUNT = 10


def units(folder):
    """Seconds that every output took when it was last made: columns begin, end (ms), mtime, output, hash."""
    log, seconds = folder / ".ninja_log", {}
    for line in log.read_text().splitlines()[1:] if log.exists() else ():
        begin, end, _, output, _ = line.split("\t")
        seconds[output] = (int(end) - int(begin)) / 1000
    return [(s, f"{folder.name}: {output}") for output, s in seconds.items()]


def tests(folder):
    cases = [case for file in sorted(folder.glob("ctest*.xml"))
             for case in xml.etree.ElementTree.parse(file).iter("testcase")]
    return [(float(case.get("time", 0)), f"{folder.name}: {case.get('name')}") for case in cases]


def main(folders):
    for what, found in (("units", units), ("tests", tests)):
        all_of_them = [entry for folder in folders for entry in found(Path(folder))]
        print(f"slowest of {len(all_of_them)} {what}, {sum(seconds for seconds, _ in all_of_them):.0f} s in all:")
        for seconds, name in sorted(all_of_them, reverse=True)[:COUNT]:
            print(f"{seconds:8.1f} s  {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
