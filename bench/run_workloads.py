#!/usr/bin/env python3
"""Runs the end-to-end workloads of bench/ and checks their scores, so that no run is fast and wrong.

    bench/run_workloads.py [PROGRAM] [--repeat N] [--update] [NAME ...]     default: build/release/qsweep, 3
    bench/run_workloads.py [PROGRAM] --dry-run      only plans all of them, for models without weights

A workload is a folder of bench/ with two files:
    workload.json   arguments of `qsweep score` (paths from the root of the tree; {model} stands for the synthetic
                    checkpoint named under "model", made where it is missing), the tolerance of every KL, how many
                    ops of each format must come out in the expected order, and "on_request" where it takes long
                    (it then runs once, and only if named)
    expected.json   the summed KL of every op, by format and name, from a run with --precision strict; where
                    "expected_ops" lists patterns, only of the ops they match: a smaller run for models of real size.
                    Without this file every op must have a score
The peak of a run with --memory must be within its plan, and the plan within --memory.
--update writes expected.json anew from such a run: do so only where a change of the scores is meant.
Prints the fastest of N runs; exit code 1 where a workload's scores are wrong.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import models

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
        kl.setdefault(record["format"], {})[record["op"]] = metrics and metrics["all"]["kl"]
    return kl


def failures(found, expected, workload):
    """(what is wrong, the largest relative error of a KL)."""
    tolerance, top = workload["kl_tolerance"], workload["top"]
    if "expected_ops" in workload:
        found = {name: {op: kl for op, kl in ops.items() if op in expected.get(name, {})} for name, ops in found.items()}
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


def arguments_of(program, workload, sparse=False):
    if "model" not in workload:
        return workload["arguments"]
    model = models.ensure(workload["model"], program.parent / "qsweep-synth", sparse)
    return [argument.replace("{model}", str(model)) for argument in workload["arguments"]]


def unscored(run):
    """What is wrong with scores of which no others are known."""
    return [f"{record['format']} {record['op']}: {record['status']}"
            for record in run["scores"] if record["status"] != "ok"]  # fmt: skip


def beyond_memory(arguments, provenance):
    """What is wrong with the peak of a run that was given a limit: it must not be above the plan, nor that above it."""
    if "--memory" not in arguments:
        return []
    units = {"M": 2**20, "G": 2**30}
    limit = arguments[arguments.index("--memory") + 1]
    planned, peak = provenance["planned_bytes"], provenance["peak_rss_bytes"]
    if peak <= planned <= int(limit[:-1]) * units[limit[-1]]:
        return []
    return [f"a peak of {peak / 2**20:.0f} MiB, planned {planned / 2**20:.0f} within {limit}"]


def plan(program, folder, workload):
    """Whether the workload's model, data and arguments are accepted; prints the refusal where not."""
    with tempfile.TemporaryDirectory() as out:
        command = [program, "score", *arguments_of(program, workload, sparse=True), "--dry-run", "--out", out]
        done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(f"{folder.name}: {'planned' if done.returncode == 0 else done.stdout}")
    return done.returncode == 0


def update(program, folder, workload):
    arguments, expected = arguments_of(program, workload), {}
    for pattern in workload.get("expected_ops", ["*"]):
        run = score(program, arguments, ["--precision", "strict", "--ops", pattern])
        for name, ops in kl_by_format(run).items():
            expected.setdefault(name, {}).update((op, kl) for op, kl in ops.items() if kl is not None)
    expected = {name: dict(sorted(ops.items(), key=lambda item: -item[1])) for name, ops in expected.items()}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    print(f"{folder.name}: wrote expected.json")


def run(program, folder, workload, repeat):
    """Whether the scores of every run are right; prints the fastest."""
    file = folder / "expected.json"
    expected = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    fastest, worst = None, 0.0
    for _ in range(repeat):
        arguments = arguments_of(program, workload)
        result = score(program, arguments)
        if expected is None:
            wrong, error = unscored(result), float("nan")
        else:
            wrong, error = failures(kl_by_format(result), expected, workload)
        wrong += beyond_memory(arguments, result["provenance"])
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
          f"{f'scores right, worst KL off by {worst:.2%}' if expected else 'every op has a score, none is expected'}")  # fmt: skip
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=ROOT / "build/release/qsweep", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_intermixed_args()
    program = options.program.resolve()
    if not program.exists():
        sys.exit(f"run_workloads: no {program}; run make first")
    workloads = {path.parent.name: json.loads(path.read_text(encoding="utf-8"))
                 for path in sorted(BENCH.glob("*/workload.json"))}  # fmt: skip
    if unknown := set(options.names) - set(workloads):
        parser.error(f"expected workloads of {', '.join(workloads)}, found {', '.join(sorted(unknown))}")
    if options.dry_run:
        sys.exit(0 if all([plan(program, BENCH / name, workload) for name, workload in workloads.items()]) else 1)
    right = True
    for name in options.names or [name for name, workload in workloads.items() if "on_request" not in workload]:
        workload = workloads[name]
        if options.update:
            update(program, BENCH / name, workload)
        else:
            repeat = 1 if "on_request" in workload else max(1, options.repeat)
            right = run(program, BENCH / name, workload, repeat) and right
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
