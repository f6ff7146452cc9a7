#!/usr/bin/env python3
"""Processor time per op of qsweep and of other tools, on the same synthetic checkpoint and token ids.

    bench/peers.py [PROGRAM] [--only NAME ...] [--ops N] [--depth L] [--threads T] [--out FILE]
                                                    default: build/release/qsweep, all, 2, 36, 1, build/peers.json

Tools run in a virtual environment, build/peers-venv, made from PyPI on first use (bench/peers/requirements.txt, 7 GB).
Whole models take them hours, so each is measured at four layers of Qwen2.5-VL-3B's widths, on N ops spread over the
layers, and carried on to L layers along a line. Its slope comes from two and four layers with a small vocabulary, as
the time for the true vocabulary varies more than a layer takes. qsweep scores every op and is measured from start to
end, weights read and products timed; of the others only the loop over the ops counts, not loading or setting up.
Processor time is that of all threads. It suffers less than wall time from what else the machine does, but does suffer:
the load average is printed. Results are kept in FILE, and names that are not asked for keep theirs.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import typing

import models

ROOT = models.ROOT
VENV = ROOT / "build/peers-venv"
REQUIREMENTS = ROOT / "bench/peers/requirements.txt"
CAPTIONS = ROOT / "bench/data/captions.jsonl"
BASE = ("qwen2.5-vl-3b-4-layers", 4)
SLOPE = (("small-vocabulary-2-layers", 2), ("small-vocabulary-4-layers", 4))


class Tool(typing.NamedTuple):
    what: str  # a script of bench/peers, or qsweep
    arguments: list
    ours: str  # the run of qsweep that answers the same question
    one_walk: bool = False  # takes all ops together


TOOLS = {
    "qsweep exact": Tool("qsweep", ["--format", "w8a8_dynamic"], "qsweep exact"),
    "PyTorch loop, f32": Tool("measure_torch.py", ["--dtype", "float32"], "qsweep exact"),
    "PyTorch loop, bf16": Tool("measure_torch.py", ["--dtype", "bfloat16"], "qsweep exact"),
    "Neural Compressor mse_v2": Tool("measure_inc.py", [], "qsweep exact"),
    "qsweep fisher": Tool("qsweep", ["--format", "w8a8", "--method", "fisher"], "qsweep fisher", True),
    "ModelOpt gradient": Tool("measure_modelopt.py", ["--dtype", "bfloat16"], "qsweep fisher", True),
}


def python():
    """The interpreter of the virtual environment."""
    path = VENV / "bin/python"
    if not path.exists():
        print(f"making {VENV.relative_to(ROOT)}", flush=True)
        subprocess.run(["python3.11", "-m", "venv", VENV], check=True)
        subprocess.run([path, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
    return path


def captions_for(model, folder):
    """A file in `folder` with the captions, their ids wrapped into the model's vocabulary, before its special tokens."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    file = pathlib.Path(folder) / "captions.jsonl"
    with open(file, "w", encoding="utf-8") as out:
        for line in CAPTIONS.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            sample["input_ids"] = [id % config["bos_token_id"] for id in sample["input_ids"]]
            print(json.dumps(sample), file=out)
    return file


def call(command, threads):
    """What the program prints; ends the script where it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"peers: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-4000:]}")
    return done.stdout


def run_qsweep(program, arguments, model, options):
    with tempfile.TemporaryDirectory() as place:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        call([program, "score", model, "--data", captions_for(model, place), "--threads", str(options.threads), *arguments,
              "--out", place], options.threads)  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = json.loads((pathlib.Path(place) / "scores.json").read_text(encoding="utf-8"))
    ops = sum(record["status"] == "ok" for record in run["scores"])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s_per_op": [seconds / ops], "load_average": os.getloadavg()[0], "ops": ops,
            "peak_rss_bytes": run["provenance"]["peak_rss_bytes"], "isa": run["provenance"]["isa"]}  # fmt: skip


def run_tool(script, arguments, model, options):
    with tempfile.TemporaryDirectory() as place:
        printed = call([python(), ROOT / "bench/peers" / script, model, "--data", captions_for(model, place), "--ops",
                        str(options.ops), "--threads", str(options.threads), *arguments], options.threads)  # fmt: skip
    return json.loads(printed.splitlines()[-1])


def measure(name, options):
    """Model name -> result."""
    tool = TOOLS[name]
    results = {}
    for model, _ in (BASE, *SLOPE):
        folder = models.ensure(model, options.program.parent / "qsweep-synth")
        if tool.what == "qsweep":
            results[model] = run_qsweep(options.program, tool.arguments, folder, options)
        else:
            results[model] = run_tool(tool.what, tool.arguments, folder, options)
        print(f"{name}, {model}: {seconds_per_op(results[model]):.3g} s per op, load {results[model]['load_average']:.1f}",
              flush=True)  # fmt: skip
    return results


def seconds_per_op(result):
    return statistics.median(result["cpu_s_per_op"])


def at_depth(name, results, depth):
    """Seconds per op of a model of so many layers. Along the line goes the time per op, or, of what takes all ops in one
    walk, the time of the walk."""
    (shallow, n_shallow), (deep, n_deep) = SLOPE

    def carry_on(cost):
        slope = (cost(results[deep]) - cost(results[shallow])) / (n_deep - n_shallow)
        return cost(results[BASE[0]]) + slope * (depth - BASE[1])

    if not TOOLS[name].one_walk:
        return carry_on(seconds_per_op)
    return carry_on(lambda r: seconds_per_op(r) * r["ops"]) / carry_on(lambda r: r["ops"])


def print_table(all_results, options):
    print(f"\nProcessor seconds per op, three captions of 30 tokens, {options.threads} thread(s)\n")
    print(f"| | at {BASE[1]} layers | times qsweep's | at {options.depth} layers | times qsweep's |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, tool in TOOLS.items():
        if name not in all_results:
            continue
        cells = []
        for cost in (lambda n: seconds_per_op(all_results[n][BASE[0]]),
                     lambda n: at_depth(n, all_results[n], options.depth)):  # fmt: skip
            ratio = f"{cost(name) / cost(tool.ours):.1f}" if tool.ours in all_results else ""
            cells += [f"{cost(name):.3g}", ratio]
        print(f"| {name} | {' | '.join(cells)} |")


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=ROOT / "build/release/qsweep", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", choices=TOOLS, metavar="NAME", default=list(TOOLS))
    parser.add_argument("--ops", type=int, default=2, metavar="N")
    parser.add_argument("--depth", type=int, default=36, metavar="L")
    parser.add_argument("--threads", type=int, default=1, metavar="T")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/peers.json", metavar="FILE")
    options = parser.parse_args()
    options.program = options.program.resolve()
    if not options.program.exists():
        sys.exit(f"peers: no {options.program}; run make first")
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    for name in options.only:
        kept[name] = {"date": datetime.date.today().isoformat(), "processor": processor(), **measure(name, options)}
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print_table(kept, options)


if __name__ == "__main__":
    main()
