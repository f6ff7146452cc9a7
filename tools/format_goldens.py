#!/usr/bin/env python3
"""Adds to testdata/quant the tensors of formats that came after the first goldens, computed by PyTorch in float32 as
docs/formats.md defines them: small floats by its own float8 type. Needs torch and safetensors; not part of CI.
Usage: tools/format_goldens.py"""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).resolve().parent.parent / "testdata" / "quant"


def largest_of(low, high):
    return torch.tensor(max(-low, high), dtype=torch.float32)


def scaled(x, largest, top, codes):
    """codes(x / scale) * scale with scale = largest / top; a scale of 0 gives zeros."""
    scale = largest / top
    return torch.where(scale == 0, torch.zeros_like(x), codes(x / scale) * scale)


def int8(x, largest):
    return scaled(x, largest, 127, lambda q: torch.round(q).clamp(-127, 127))


def e4m3(x, largest):
    return scaled(x, largest, 448, lambda q: q.clamp(-448, 448).to(torch.float8_e4m3fn).to(torch.float32))


def main():
    tensors = load_file(FOLDER / "goldens.safetensors")
    for case, r in json.loads((FOLDER / "ranges.json").read_text()).items():
        x, inputs = tensors[f"{case}/x"], largest_of(r["min"], r["max"])
        made = {
            "w8a8_static/w": int8(x, x.abs().amax(dim=1, keepdim=True)),
            "w8a8_static/a": int8(x, inputs),
            "fp8_tensor/w": e4m3(x, x.abs().amax()),
            "fp8_tensor/a": e4m3(x, inputs),
        }
        tensors |= {f"{case}/{name}": y.contiguous() for name, y in made.items()}
    save_file(tensors, FOLDER / "goldens.safetensors")


if __name__ == "__main__":
    main()
