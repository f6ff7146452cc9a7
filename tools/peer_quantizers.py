#!/usr/bin/env python3
"""Rewrites the tensors of testdata/quant that other tools quantized, by running those tools' own quantizers:
NVIDIA ModelOpt 0.47 (`modelopt_*`) and PyTorch 2.9 (`inc_w8a8`). Needs both; not part of CI.
Usage: tools/peer_quantizers.py"""
import json
from pathlib import Path

import modelopt.torch.quantization as mtq
import torch
from modelopt.torch.quantization.nn import TensorQuantizer
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).resolve().parent.parent / "testdata" / "quant"
CONFIGS = {
    "modelopt_int8": mtq.INT8_DEFAULT_CFG,
    "modelopt_fp8": mtq.FP8_DEFAULT_CFG,
    "modelopt_int4": mtq.INT4_BLOCKWISE_WEIGHT_ONLY_CFG,
}


def modelopt(config, kind, x, calibration):
    """x through the quantizer that the config sets up, calibrated on `calibration`; None where there is none."""
    found = None
    for entry in config["quant_cfg"]:
        if entry["quantizer_name"] == f"*{kind}_quantizer":
            found = entry
    if found is None or found.get("enable") is False:
        return None
    quantizer = TensorQuantizer(mtq.config.QuantizerAttributeConfig(**found["cfg"]))
    quantizer.disable_quant()
    quantizer.enable_calib()
    quantizer(calibration)
    quantizer.load_calib_amax()
    quantizer.disable_calib()
    quantizer.enable_quant()
    return quantizer(x)


def torch_weight(w):
    observer = torch.ao.quantization.PerChannelMinMaxObserver(dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
    observer(w)
    scale, zero = observer.calculate_qparams()
    return torch.quantize_per_channel(w, scale, zero, 0, torch.qint8).dequantize()


def torch_input(x, low, high):
    observer = torch.ao.quantization.MinMaxObserver(dtype=torch.quint8)
    observer(torch.tensor([low, high]))
    scale, zero = observer.calculate_qparams()
    return torch.quantize_per_tensor(x, scale.item(), zero.item(), torch.quint8).dequantize()


def main():
    tensors = load_file(FOLDER / "goldens.safetensors")
    ranges = json.loads((FOLDER / "ranges.json").read_text())
    for case, r in ranges.items():
        x = tensors[f"{case}/x"]
        made = {"inc_w8a8/w": torch_weight(x), "inc_w8a8/a": torch_input(x, r["min"], r["max"])}
        for name, config in CONFIGS.items():
            made[f"{name}/w"] = modelopt(config, "weight", x, x)
            made[f"{name}/a"] = modelopt(config, "input", x, torch.tensor([[r["min"], r["max"]]]))
        tensors |= {f"{case}/{name}": y.contiguous() for name, y in made.items() if y is not None}
    save_file(tensors, FOLDER / "goldens.safetensors")


if __name__ == "__main__":
    main()
