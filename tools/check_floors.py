#!/usr/bin/env python3
"""Checks that every module of src/ includes only modules on lower floors, and that its CMake DEPS say the same.

    tools/check_floors.py [ROOT]        prints every violation as file:line, exit code 1 if there is one
    tools/check_floors.py --self-test   plants violations in a temporary tree and expects to find each
"""

import pathlib
import re
import sys
import tempfile

FLOORS = {
    "base": 0,
    "tensor": 1,
    "io": 2, "kernels": 2,
    "ops": 3, "quant": 3, "text": 3, "image": 3, "scores": 3,
    "graph": 4,
    "models": 5, "compare": 5, "choose": 5,
    "pass": 6, "inc": 6, "synth": 6, "recipe": 6, "report": 6, "stacks": 6,
    "schedule": 7,
    "sweep": 8,
    "cli": 9,
}  # fmt: skip
# Pure readers of score files: they never see the engine, though it lies below them.
ENGINE = {"sweep", "schedule", "pass", "inc", "models", "graph", "ops", "kernels"}
READERS = {"recipe", "report", "compare", "choose", "stacks"}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]')
MODULE_CALL = re.compile(r"^\s*qsweep_module\(\s*(\w+)([^)]*)\)", re.MULTILINE)


def may_use(user, used):
    """None if module `user` may use module `used`, else why not."""
    if user in READERS and used in ENGINE:
        return f"{user} reads score files only and must not know {used}"
    if used != user and FLOORS[used] >= FLOORS[user]:
        return f"{user} (floor {FLOORS[user]}) must not know {used} (floor {FLOORS[used]})"
    return None


def includes(path):
    """(line number, opening bracket, included path) of every include in a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1], match[2]


def check_include(user, bracket, included):
    """(the module included, if any; the violation, if any)."""
    parts = included.split("/")
    used = parts[0] if len(parts) > 1 and parts[0] in FLOORS else None
    if ".." in parts:
        return None, f'"{included}": write "module/file.h", not a path upwards'
    if used is None:
        return None, f'"{included}" names no module: "module/file.h" or <library.h>' if bracket == '"' else None
    if bracket == "<":
        return used, f'<{included}> is ours: write "{included}"'
    return used, may_use(user, used)


def cmake_deps(root, violations):
    """module -> the modules in its DEPS; violations of the floors are added."""
    deps = {}
    for path in sorted(root.glob("src/**/CMakeLists.txt")):
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        for call in MODULE_CALL.finditer(text):
            where = f"{path.relative_to(root)}:{text.count(chr(10), 0, call.start(1)) + 1}"
            module, words = call[1], call[2].split()
            start = words.index("DEPS") + 1 if "DEPS" in words else len(words)
            end = words.index("LIBS") if "LIBS" in words[start:] else len(words)
            deps[module] = (where, words[start:end])
            for used in deps[module][1]:
                if module not in FLOORS or used not in FLOORS:
                    violations.append(f"{where}: no floor is known for {module} or {used}")
                elif used == module or may_use(module, used):
                    violations.append(f"{where}: DEPS: {may_use(module, used) or 'a module that depends on itself'}")
    return deps


def reachable(module, deps, seen=None):
    """The modules that linking `module` brings."""
    seen = set() if seen is None else seen
    for used in deps.get(module, ("", []))[1]:
        if used not in seen:
            seen.add(used)
            reachable(used, deps, seen)
    return seen


def check(root):
    violations = []
    deps = cmake_deps(root, violations)
    for folder in sorted(path for path in (root / "src").iterdir() if path.is_dir()):
        module, used_here = folder.name, set()
        if module not in FLOORS:
            violations.append(f"src/{module}: no floor is known for this module")
            continue
        linked = reachable(module, deps)
        for path in sorted(p for p in folder.rglob("*") if p.suffix in {".h", ".cc", ".cu", ".cuh", ".inc"}):
            for number, bracket, included in includes(path):
                used, violation = check_include(module, bracket, included)
                where = f"{path.relative_to(root)}:{number}"
                if violation:
                    violations.append(f"{where}: {violation}")
                elif used not in {None, module} | linked and module in deps:
                    violations.append(f"{where}: {used} is not reached by the DEPS of {module}")
                used_here.add(used)
        if module in deps:
            where, listed = deps[module]
            violations += [f"{where}: DEPS lists {d}, which no file includes" for d in listed if d not in used_here]
    return violations


SELF_TEST = {  # file -> (text, the violations it must cause, as parts of their messages)
    "src/base/a.h": ('#include "tensor/t.h"\n', ["base (floor 0) must not know tensor"]),
    "src/base/b.h": ("#include <vector>\n", []),
    "src/tensor/CMakeLists.txt": ("qsweep_module(tensor DEPS base)\n", []),
    "src/tensor/t.h": ('#include "base/b.h"\n#include "../base/b.h"\n', ["t.h:2: \"../base/b.h\""]),
    "src/io/CMakeLists.txt": ("# DEPS cli\nqsweep_module(io DEPS tensor\n  LIBS x::x)\n", []),
    "src/io/i.cc": ('#include "base/b.h"\n#include "tensor/t.h"\n#include <x/x.h>\n', []),
    "src/kernels/CMakeLists.txt": ("\nqsweep_module(kernels DEPS io base)\n",
                                   ["CMakeLists.txt:2: DEPS: kernels (floor 2) must not know io"]),
    "src/kernels/k.cc": ('\n  #  include "io/i.h"\n#include "base/b.h"\n',
                         ["k.cc:2: kernels (floor 2) must not know io (floor 2)"]),
    "src/quant/CMakeLists.txt": ("qsweep_module(quant DEPS base tensor)\n", ["DEPS lists tensor, which no file includes"]),
    "src/quant/q.cc": ('#include "kernels/k.h"\n#include "base/b.h"\n',
                       ["q.cc:1: kernels is not reached by the DEPS of quant"]),
    "src/report/r.cc": ('#include "graph/g.h"\n', ["must not know graph"]),
    "src/sweep/s.cc": ('#include "graph/g.h"\n#include <graph/g.h>\n#include "s.h"\n',
                       ["s.cc:2: <graph/g.h> is ours", "s.cc:3: \"s.h\" names no module"]),
    "src/extra/e.cc": ("", ["src/extra: no floor is known"]),
}  # fmt: skip


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, (text, _) in SELF_TEST.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = check(root)
    expected = [part for _, parts in SELF_TEST.values() for part in parts]
    for part in expected:
        if not any(part in violation for violation in found):
            sys.exit(f"self-test: not found: {part}\n" + "\n".join(found))
    if len(found) != len(expected):
        sys.exit(f"self-test: expected {len(expected)} violations, found:\n" + "\n".join(found))
    print(f"check_floors self-test: found all {len(expected)} planted violations")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    violations = check(pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(violations) if violations else "check_floors: every module includes lower floors only")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
