#!/usr/bin/env python3
"""Rewrites testdata/peers/modelopt/kl_f64.json: the KL scores of NVIDIA ModelOpt 0.47 as its own `auto_quantize` finds
them, but with the logits' divergence summed in f64, where the tool sums in f32. Needs ModelOpt, PyTorch 2.9 and
transformers 4.57; not part of CI. Usage: tools/peer_kl.py"""
import json
from pathlib import Path

import modelopt.torch.quantization as mtq
import torch
from modelopt.torch.quantization import algorithms
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

DATA = Path(__file__).resolve().parent.parent / "testdata"
PEERS = DATA / "peers"
CONFIGS = {
    "int8": mtq.INT8_DEFAULT_CFG,
    "fp8": mtq.FP8_DEFAULT_CFG,
    "int4": mtq.INT4_BLOCKWISE_WEIGHT_ONLY_CFG,
}


def text(path):
    rows = [json.loads(line)["input_ids"] for line in path.read_text().splitlines()]
    return {"input_ids": torch.tensor(rows)}


# name: (model, batch, formats)
CASES = {
    "tiny_vl_text": (PEERS / "tiny-vl", text(PEERS / "tiny-vl/text.jsonl"), CONFIGS),
    "tiny_vl_image": (PEERS / "tiny-vl", load_file(PEERS / "tiny-vl/image_inputs.safetensors"), CONFIGS),
    "trained_text": (DATA / "tiny-qwen2.5-vl", text(PEERS / "trained-text.jsonl"), ["int8"]),
}


def log_prob(logits, lm_head=None):
    return torch.log_softmax(logits.double(), dim=-1)


def scores(folder, batch, config):
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    batch = batch | {"attention_mask": torch.ones_like(batch["input_ids"]), "use_cache": False}
    _, state = mtq.auto_quantize(
        model, constraints={"effective_bits": 12.0}, quantization_formats=[config], data_loader=[batch],
        forward_step=lambda m, data: m(**data).logits, num_calib_steps=1, num_score_steps=1, method="kl_div")
    return {name: float(stats["scores"][0]) for name, stats in state["candidate_stats"].items()}


def main():
    torch.set_num_threads(1)
    algorithms._get_log_prob = log_prob
    made = {f"{case}_kl_div_{name}": scores(folder, batch, CONFIGS[name])
            for case, (folder, batch, names) in CASES.items() for name in names}
    (PEERS / "modelopt" / "kl_f64.json").write_text(json.dumps(made, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
