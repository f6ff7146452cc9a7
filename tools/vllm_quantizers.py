#!/usr/bin/env python3
"""Rewrites the tensors of testdata/quant that vLLM 0.32 quantized (`vllm_*`), by running its own quantizer on a CPU. Needs
vLLM, as `make clients` installs it; not part of CI. Usage: tools/vllm_quantizers.py"""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from vllm.model_executor.layers.quantization.utils import mxfp8_utils

FOLDER = Path(__file__).resolve().parent.parent / "testdata" / "quant"


def mxfp8(x):
    """Short last blocks are filled with zeros, which vLLM asks for."""
    block = mxfp8_utils.MXFP8_BLOCK_SIZE
    rows, cols = x.shape
    padded = torch.nn.functional.pad(x, (0, -cols % block))
    codes, scales = mxfp8_utils._mxfp8_e4m3_quantize_torch(padded)
    values = codes.to(torch.float32).view(rows, -1, block) * torch.exp2(scales.to(torch.float32) - 127).unsqueeze(-1)
    return values.view(rows, -1)[:, :cols]


def main():
    tensors = load_file(FOLDER / "goldens.safetensors")
    for case in json.loads((FOLDER / "ranges.json").read_text()):
        made = mxfp8(tensors[f"{case}/x"]).contiguous()
        tensors |= {f"{case}/vllm_mxfp8/w": made, f"{case}/vllm_mxfp8/a": made.clone()}
    save_file(tensors, FOLDER / "goldens.safetensors")


if __name__ == "__main__":
    main()
