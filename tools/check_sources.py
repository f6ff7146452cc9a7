#!/usr/bin/env python3
"""Checks the rules of the source tree that neither the compiler nor clang-tidy knows.

    tools/check_sources.py [ROOT]        prints every violation, exit code 1 if there is one
    tools/check_sources.py --self-test   plants violations in a temporary tree and expects to find each
"""

import collections
import pathlib
import re
import runpy
import sys
import tempfile

MAX_README_LINES = 20
MAX_SOURCE_LINES = 500
MAX_TESTDATA_BYTES = 40 * 1024 * 1024
CPP = {".h", ".cc", ".cu", ".cuh", ".inc"}

# String and character literals and comments: what is in them is not code.
NOT_CODE = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
# A call, but not of a member, and not of a namesake in another namespace than std.
CALL = r"(?<![\w.>:])(?:std::|::)?"
RULES = [
    # (what must not be there, the module folders that may, what to say)
    (re.compile(rf"std::(cout|cerr|clog)\b|{CALL}(v?printf|puts|putchar|perror|fmt::print|std::print)\s*\("
                rf"|{CALL}v?fprintf\s*\(\s*std(out|err)\b"),
     {"cli"}, "only src/cli prints"),
    (re.compile(rf"{CALL}(exit|_exit|_Exit|quick_exit|abort|terminate)\s*\("), {"cli"}, "only src/cli ends the process"),
    (re.compile(r"^\s*#\s*pragma\s+omp\b", re.MULTILINE), {"base", "kernels"},
     "only src/base and src/kernels start threads: use parallel_for"),
]  # fmt: skip


# What every row kernel has exactly once: where it is, and how it looks.
KERNEL = {
    "export": ("*.cc", re.compile(r"^QSWEEP_EXPORT\((\w+)\)", re.MULTILINE)),
    "body": ("*-inl.h", re.compile(r"^QSWEEP_KERNEL\s+void\s+([A-Z]\w*)\(", re.MULTILINE)),
    "launcher": ("cuda/*.cu", re.compile(r"^QSWEEP_LAUNCH\((\w+)\)", re.MULTILINE)),
}


def blank_out_literals(text):
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def check_code(root, path, violations):
    where, module = path.relative_to(root), path.relative_to(root / "src").parts[0]
    code = blank_out_literals(path.read_text(encoding="utf-8"))
    for pattern, allowed, message in RULES:
        if module not in allowed:
            for match in pattern.finditer(code):
                violations.append(f"{where}:{code.count(chr(10), 0, match.end()) + 1}: {match[0].strip()}: {message}")


# A name that is brought into a .cc file's namespace.
USING = re.compile(r"^\s*using\s+[\w:]*::(\w+);", re.MULTILINE)


def check_using(root, path, violations):
    """Batches of files, as clang-tidy reads them, do not tell which of them uses a name."""
    code = blank_out_literals(path.read_text(encoding="utf-8"))
    words = collections.Counter(re.findall(r"\w+", code))
    for match in USING.finditer(code):
        if words[match[1]] == 1:
            where = f"{path.relative_to(root)}:{code.count(chr(10), 0, match.start(1)) + 1}"
            violations.append(f"{where}: nothing uses {match[1]}")


def check_temporary_files(root, path, violations):
    """Tests run side by side: a place that two of them share makes them fail now and then."""
    if path.name != "temporary_folder.h" and "TempDir()" in path.read_text(encoding="utf-8"):
        violations.append(f"{path.relative_to(root)}: TempDir(): use testing::TemporaryFolder")


def check_kernels(root, violations):
    found = {}
    for part, (where, pattern) in KERNEL.items():
        texts = [path.read_text(encoding="utf-8") for path in (root / "src" / "kernels").glob(where)]
        found[part] = collections.Counter(name for text in texts for name in pattern.findall(text))
    for name in sorted(set().union(*found.values())):
        violations += [f"src/kernels: {name} has {names[name]} times a {part}"
                       for part, names in found.items() if names[name] != 1]


def check_mutations(root, violations):
    """Every defect that tools/mutations.py plants has its place in the sources."""
    path = root / "tools" / "mutations.py"
    for name, (file, text, *_) in runpy.run_path(path)["MUTATIONS"].items() if path.exists() else ():
        if (times := (root / file).read_text(encoding="utf-8").count(text)) != 1:
            violations.append(f"tools/mutations.py: {name}: its text stands {times} times in {file}, not once")


def count_lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def check_readme(root, folder, violations):
    readme = folder / "README.md"
    if not readme.exists():
        violations.append(f"{readme.relative_to(root)}: missing; every module says what it holds")
    elif count_lines(readme) > MAX_README_LINES:
        violations.append(f"{readme.relative_to(root)}: {count_lines(readme)} lines, at most {MAX_README_LINES}")


def check(root):
    violations = []
    for folder in sorted(path for path in (root / "src").iterdir() if any(p.suffix in CPP for p in path.rglob("*"))):
        check_readme(root, folder, violations)
        for path in sorted(p for p in folder.rglob("*") if p.suffix in CPP):
            check_code(root, path, violations)
            if path.suffix == ".cc":
                check_using(root, path, violations)
    check_kernels(root, violations)
    check_mutations(root, violations)
    for top in ("src", "tests", "fuzz", "bench"):
        for path in sorted(p for p in (root / top).rglob("*") if p.suffix in CPP):
            if (lines := count_lines(path)) > MAX_SOURCE_LINES:
                violations.append(f"{path.relative_to(root)}:{lines}: {lines} lines, at most {MAX_SOURCE_LINES}")
            check_temporary_files(root, path, violations)
    size_bytes = sum(path.stat().st_size for path in (root / "testdata").rglob("*") if path.is_file())
    if size_bytes > MAX_TESTDATA_BYTES:
        violations.append(f"testdata: {size_bytes / 2**20:.1f} MiB, at most {MAX_TESTDATA_BYTES / 2**20:.0f}")
    return violations


SELF_TEST = {  # file -> (text, the violations it must cause, as the beginnings of their messages)
    "src/base/README.md": ("# base\n", []),
    "src/base/a.cc": ('// printf("x")\nauto s = "std::cout"; char c = \'"\';\n/* abort()\n */ snprintf(b, 1, s);\nfile.exit();\n'
                      "#pragma omp parallel\nmine::abort(); fprintf(file, s);\n", []),
    "src/base/u.cc": ("using io::Used;\n  using std::chrono::unused;  // unused\nusing Alias = int;\nUsed u;\n",
                      ["src/base/u.cc:2: nothing uses unused"]),
    "src/io/README.md": ("line\n" * 21, ["src/io/README.md: 21 lines"]),
    "src/io/b.cc": ('int i;\nstd::cerr << i;\nprintf("%d", i);\nstd::exit(1);\n::abort();\n  fprintf(stderr, "");\n'
                    "#pragma omp parallel\n",
                    ["src/io/b.cc:2: std::cerr", "src/io/b.cc:3: printf(", "src/io/b.cc:4: std::exit(",
                     "src/io/b.cc:5: ::abort(", "src/io/b.cc:6: fprintf(stderr", "src/io/b.cc:7: #pragma omp"]),
    "src/cli/c.cc": ("std::cout << 1; exit(0);\n", ["src/cli/README.md: missing"]),
    "src/kernels/README.md": ("# kernels\n", []),
    "src/kernels/k.cc": ("QSWEEP_EXPORT(Good);\nQSWEEP_EXPORT(Twice);\nQSWEEP_EXPORT(CpuOnly);\n", []),
    "src/kernels/k-inl.h": ("QSWEEP_KERNEL void Good(int n) {}\nQSWEEP_KERNEL void Twice(int n) {}\n"
                            "QSWEEP_KERNEL void CpuOnly(int n) {}\nQSWEEP_KERNEL void helper(int n) {}\n", []),
    "src/kernels/cuda/k.cu": ("QSWEEP_LAUNCH(Good);\nQSWEEP_LAUNCH(Twice);\nQSWEEP_KERNEL void Twice(int n) {}\n",
                              ["src/kernels: CpuOnly has 0 times a launcher"]),
    "src/kernels/l-inl.h": ("QSWEEP_KERNEL void Twice(int n) {}\n", ["src/kernels: Twice has 2 times a body"]),
    "tests/io/shared.cc": ("testing::TempDir() + name\n", ["tests/io/shared.cc: TempDir()"]),
    "tests/support/temporary_folder.h": ("testing::TempDir() + name\n", []),
    "tests/io/long.cc": ("\n" * 501, ["tests/io/long.cc:501"]),
    "tools/mutations.py": ('MUTATIONS = {"here": ("src/cli/c.cc", "exit(0)"), "gone": ("src/cli/c.cc", "abort()")}\n',
                           ["tools/mutations.py: gone: its text stands 0 times in src/cli/c.cc"]),
    "testdata/big": ("x" * (MAX_TESTDATA_BYTES + 1), ["testdata: 40.0 MiB"]),
}  # fmt: skip


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, (text, _) in SELF_TEST.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = check(root)
    expected = [part for _, parts in SELF_TEST.values() for part in parts]
    unmet = [part for part in expected if not any(violation.startswith(part) for violation in found)]
    if unmet or len(found) != len(expected):
        sys.exit("self-test: expected\n  " + "\n  ".join(expected) + "\nfound\n  " + "\n  ".join(found))
    print(f"check_sources self-test: found all {len(expected)} planted violations")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    violations = check(pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(violations) if violations else "check_sources: all source rules hold")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
