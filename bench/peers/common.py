"""What the measurements share: the model, the tokens, a stopwatch of processor time, and the result as one line of JSON."""

import argparse
import importlib.metadata
import json
import os
import resource
import time

import torch


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model")
    parser.add_argument("--data", required=True, help="JSON lines with input_ids, all of one length")
    parser.add_argument("--ops", type=int, default=1000000, help="measure so many, spread evenly over the model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def load_model(options):
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).eval()


def load_batch(options):
    """Three keys, as Neural Compressor would unpack two as a pair."""
    with open(options.data, encoding="utf-8") as lines:
        ids = torch.tensor([json.loads(line)["input_ids"] for line in lines])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}


def spread(items, count):
    """`count` items, evenly from the first to the last."""
    items = list(items)
    if count >= len(items):
        return items
    return [items[round(i * (len(items) - 1) / max(count - 1, 1))] for i in range(count)]


class Stopwatch:
    """Seconds of processor time, of all threads, per lap."""

    def __init__(self):
        self.laps = {}

    def time(self, name, function, *arguments, **keywords):
        start = time.process_time()
        try:
            return function(*arguments, **keywords)
        finally:
            self.laps[name] = time.process_time() - start


def print_result(cpu_s_per_op, **more):
    """`cpu_s_per_op`: a list; the driver takes the median."""
    packages = ["torch", "transformers", "neural-compressor", "nvidia-modelopt"]
    print(json.dumps({
        "cpu_s_per_op": cpu_s_per_op,
        "load_average": os.getloadavg()[0],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        **more,
    }))  # fmt: skip
