#!/usr/bin/env python3
"""Runs the end-to-end workloads of bench/ and checks their scores, so that no run is fast and wrong.

    bench/run_workloads.py [PROGRAM] [--repeat N] [--update] [NAME ...]     default: build/release/qsweep, 3, all

A workload is a folder of bench/ with two files:
    workload.json   arguments of `qsweep score` (paths from the root of the tree), the tolerance of every KL, and how
                    many ops of each format must come out in the expected order
    expected.json   the summed KL of every op, by format and name, from a run with --precision strict
--update writes expected.json anew from such a run: do so only where a change of the scores is meant.
Prints the fastest of N runs; exit code 1 where a workload's scores are wrong.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"


def score(program, arguments, extra=()):
    """The parsed scores.json of one run."""
    with tempfile.TemporaryDirectory() as out:
        command = [program, "score", *arguments, *extra, "--out", out]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"run_workloads: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
        return json.loads((pathlib.Path(out) / "scores.json").read_text(encoding="utf-8"))


def kl_by_format(run):
    """format -> op name -> summed KL; None for an op without metrics. Most sensitive op first."""
    kl = {}
    for record in sorted(run["scores"], key=lambda r: r["rank"] or len(run["ops"]) + 1):
        metrics = record["metrics"]
        kl.setdefault(record["format"], {})[run["ops"][record["op"]]["name"]] = metrics and metrics["all"]["kl"]
    return kl


def failures(found, expected, tolerance, top):
    """(what is wrong, the largest relative error of a KL)."""
    if found.keys() != expected.keys():
        return [f"expected formats {', '.join(expected)}, found {', '.join(found)}"], float("inf")
    wrong, worst = [], 0.0
    for name, ops in expected.items():
        if found[name].keys() != ops.keys():
            wrong.append(f"{name}: other ops than expected: {', '.join(sorted(found[name].keys() ^ ops.keys()))}")
            continue
        for op, kl in ops.items():
            value = found[name][op]
            error = float("inf") if value is None else abs(value - kl) / kl
            if not error <= tolerance:
                shown = "none" if value is None else f"{value:.6g}"
                wrong.append(f"{name} {op}: expected KL {kl:.6g} within {tolerance:.1%}, found {shown}")
            worst = max(worst, error)
        order, expected_order = list(found[name])[:top], list(ops)[:top]
        if order != expected_order:
            wrong.append(f"{name}: expected the first {top} ops in the order {', '.join(expected_order)}, "
                         f"found {', '.join(order)}")  # fmt: skip
    return wrong, worst


def update(program, folder, workload):
    expected = kl_by_format(score(program, workload["arguments"], ["--precision", "strict"]))
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    print(f"{folder.name}: wrote expected.json")


def run(program, folder, workload, repeat):
    """Whether the scores of every run are right; prints the fastest."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    fastest, worst = None, 0.0
    for _ in range(repeat):
        result = score(program, workload["arguments"])
        wrong, error = failures(kl_by_format(result), expected, workload["kl_tolerance"], workload["top"])
        if wrong:
            print(f"{folder.name}: WRONG", *wrong, sep="\n  ")
            return False
        worst = max(worst, error)
        if fastest is None or result["provenance"]["wall_s"] < fastest["wall_s"]:
            fastest = result["provenance"]
    gemm = fastest["gemm"]
    print(f"{folder.name}: {fastest['wall_s']:.2f} s (sweep {fastest['phases_s']['sweep']:.2f} s) with "
          f"{fastest['threads']} threads on {fastest['isa']}, {gemm['gflop']:.0f} GFLOP at {gemm['gflops_per_s']:.0f} GFLOP/s, "
          f"GEMM share {gemm['share']:.1%}, peak memory {fastest['peak_rss_bytes'] / 2**20:.0f} MiB; "
          f"scores right, worst KL off by {worst:.2%}")  # fmt: skip
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=ROOT / "build/release/qsweep", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    program = options.program.resolve()
    if not program.exists():
        sys.exit(f"run_workloads: no {program}; run make first")
    names = options.names or sorted(path.parent.name for path in BENCH.glob("*/workload.json"))
    right = True
    for name in names:
        workload = json.loads((BENCH / name / "workload.json").read_text(encoding="utf-8"))
        if options.update:
            update(program, BENCH / name, workload)
        else:
            right = run(program, BENCH / name, workload, max(1, options.repeat)) and right
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
