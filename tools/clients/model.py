"""What the probes share: the arguments, the model under test, and the answer that run.py reads.

A probe is `probe_NAME.py FOLDER MODEL`: it has a tool read the export in FOLDER for the checkpoint MODEL and prints, as
its last line, JSON {module: state} of what the tool made of each module, under the names of transformers. A state is a
string in words of the tool that run.py compares with those that it expects; modules that are left float may be missing.
"""

import json
import pathlib
import sys

FLOAT = "float"


def arguments():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FOLDER MODEL")
    return pathlib.Path(sys.argv[1]), sys.argv[2]


def answer(states):
    print()
    print(json.dumps(states), flush=True)
    sys.exit(0)


def load(path, dtype):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    kind = transformers.AutoModelForImageTextToText
    return kind.from_pretrained(path, dtype=getattr(torch, dtype)).eval()


def samples(count):
    """Rows of token ids: which module gets which format does not depend on them."""
    import torch

    return [torch.arange(24).mul(37 + i).remainder(900).unsqueeze(0) for i in range(count)]
