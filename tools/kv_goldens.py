#!/usr/bin/env python3
"""Makes testdata/scores/kv.json: what quantizing the keys and values that one layer's attention reads costs at the
output, by brute force: the whole model runs once per layer and format, in PyTorch and float32.
    tools/kv_goldens.py TESTDATA OUT.json
Needs torch and transformers 4.57. Attention is given the quantized keys, after their norm and rotation, and values; the
queries stay. Calibrated scales come from calib.jsonl for the tiny model, else from the scored data."""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoImageProcessor, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.image_utils import load_image

TINY = ["eval-000", "eval-002", "eval-004", "eval-005", "eval-011", "eval-013"]
FAMILIES = ["qwen3", "gemma3_text"]


def div(a, b):
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))


def small_float(x, mantissa, smallest, top):
    """Nearest, ties to even, subnormals kept, saturating."""
    _, exponent = torch.frexp(x.double())
    step = torch.ldexp(torch.ones_like(x, dtype=torch.float64), exponent.clamp(min=smallest + 1) - 1 - mantissa)
    return (torch.round(x.double() / step) * step).clamp(-top, top).float()


def e4m3(x):
    return small_float(x, 3, -6, 448.0)


def scaled(x, absmax, code, top):
    scale = absmax / top
    return code(div(x, scale)) * scale


def int8(x):
    return torch.round(x).clamp(-127, 127)


def per_head(x):
    """x: [batch, heads, tokens, head_dim]."""
    return x.abs().amax(-1, keepdim=True)


def nvfp4(x, absmax):
    second = absmax / (6.0 * 448.0)
    blocks = x.reshape(*x.shape[:-1], -1, 16)
    first = e4m3(div(blocks.abs().amax(-1, keepdim=True), 6.0 * second).clamp(max=448.0)) * second
    return (small_float(div(blocks, first), 1, 0, 6.0) * first).reshape(x.shape)


# Of keys or values and of their calibrated absmax.
FORMATS = {
    "kv_fp8": lambda x, absmax: scaled(x, absmax, e4m3, 448.0),
    "kv_fp8_token_head": lambda x, _: scaled(x, per_head(x), e4m3, 448.0),
    "kv_int8": lambda x, absmax: scaled(x, absmax, int8, 127.0),
    "kv_int8_token_head": lambda x, _: scaled(x, per_head(x), int8, 127.0),
    "kv_nvfp4": nvfp4,
}


class Caches:
    """Stands between the model's attention and its keys and values."""

    def __init__(self, model):
        self.layers, self.format, self.calibrating, self.absmax = set(), None, False, {}
        attention = [m for m in model.modules() if hasattr(m, "layer_idx") and hasattr(m, "k_proj")]
        self.count = len(attention)
        page = sys.modules[type(attention[0]).__module__]
        plain = page.eager_attention_forward

        def attend(module, query, key, value, *others, **more):
            layer = getattr(module, "layer_idx", None)
            if layer is not None and hasattr(module, "k_proj"):
                key, value = self.read(layer, 0, key), self.read(layer, 1, value)
            return plain(module, query, key, value, *others, **more)

        page.eager_attention_forward = attend

    def read(self, layer, which, x):
        if self.calibrating:
            found = self.absmax.get((layer, which), torch.tensor(0.0))
            self.absmax[layer, which] = torch.maximum(found, x.abs().max())
        return FORMATS[self.format](x, self.absmax[layer, which]) if layer in self.layers else x


class Runs:
    def __init__(self, model, samples):
        self.model, self.samples = model, samples
        norm = getattr(model.model, "language_model", model.model).norm
        norm.register_forward_hook(lambda module, given, output: setattr(self, "hidden", output))
        self.reference = [self.forward(inputs) for inputs, _ in samples]

    def forward(self, inputs):
        logits = self.model(**inputs, use_cache=False).logits[0].double()
        return self.hidden[0].double(), logits, torch.log_softmax(logits, -1)

    def measure(self):
        sums = {scope: {"hidden_sse": 0.0, "logits_sse": 0.0, "kl": 0.0} for scope in ("all", "answer")}
        for (inputs, answer), (h0, z0, p0) in zip(self.samples, self.reference):
            h, z, p = self.forward(inputs)
            of_rows = {"hidden_sse": ((h - h0) ** 2).sum(-1), "logits_sse": ((z - z0) ** 2).sum(-1),
                       "kl": (p0.exp() * (p0 - p)).sum(-1)}
            predicts = torch.cat([answer[1:], torch.zeros(1, dtype=torch.bool)])
            for name, rows in of_rows.items():
                sums["all"][name] += float(rows.sum())
                sums["answer"][name] += float(rows[predicts].sum())
        return {scope: {name: float(f"{value:.9g}") for name, value in of.items()} for scope, of in sums.items()}


def answers(ids, tokenizer):
    """Which tokens are of an assistant's turn, its end included."""
    head = tokenizer("<|im_start|>assistant\n").input_ids
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    mask, inside = [], False
    for i, token in enumerate(ids):
        inside = inside or (i >= len(head) and ids[i - len(head):i] == head)
        mask.append(inside)
        inside = inside and token != end
    return torch.tensor(mask)


def dialogue(sample, tokenizer, processor, folder):
    images = [load_image(str(folder / part["image"])) for message in sample["messages"]
              if not isinstance(message["content"], str) for part in message["content"] if part["type"] == "image"]
    text = tokenizer.apply_chat_template(sample["messages"], tokenize=False)
    inputs = {}
    if images:
        inputs = dict(processor(images=images, return_tensors="pt"))
        pieces = text.split("<|image_pad|>")
        text = pieces[0]
        for grid, piece in zip(inputs["image_grid_thw"], pieces[1:]):
            text += "<|image_pad|>" * (int(grid.prod()) // processor.merge_size ** 2) + piece
    ids = tokenizer(text).input_ids
    return dict(inputs, input_ids=torch.tensor([ids])), answers(ids, tokenizer)


def widened(kind, folder):
    """As it is stored, then in float32: constants that the model rounds to its own type stay so."""
    return kind.from_pretrained(folder, dtype="auto", attn_implementation="eager").float().eval()


def tiny(data):
    folder = data / "tiny-qwen2.5-vl"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    model = widened(AutoModelForImageTextToText, folder)
    read = {name: [json.loads(line) for line in open(data / "data" / f"{name}.jsonl")] for name in ("eval", "calib")}
    encode = lambda sample: dialogue(sample, tokenizer, processor, data / "data")  # noqa: E731
    return model, [encode(s) for s in read["eval"] if s["id"] in TINY], [encode(s) for s in read["calib"]]


def family(data, name):
    folder = data / "families" / name
    model = widened(AutoModelForCausalLM, folder)
    known = json.loads((folder / "scores-int8_dyn.json").read_text())
    samples = [({"input_ids": torch.tensor([ids])}, torch.tensor(mask).bool())
               for ids, mask in zip(known["token_ids"], known["answer_mask"])]
    return model, samples, samples


@torch.no_grad()
def scores(model, samples, calibration):
    caches = Caches(model)
    caches.calibrating = True
    for inputs, _ in calibration:
        model(**inputs, use_cache=False)
    caches.calibrating = False
    head_dim = model.get_submodule(next(n for n, m in model.named_modules()
                                        if hasattr(m, "layer_idx") and hasattr(m, "k_proj"))).head_dim
    runs, found = Runs(model, samples), {}
    for name in FORMATS:
        if name == "kv_nvfp4" and head_dim % 16 != 0:
            continue
        caches.format, found[name] = name, {"ops": {}}
        for layer in range(caches.count):
            caches.layers = {layer}
            found[name]["ops"][f"model.layers.{layer}.self_attn.kv"] = runs.measure()
        caches.layers = set(range(caches.count))
        found[name]["all"] = runs.measure()
        found[name]["without"] = {}
        for layer in range(caches.count):
            caches.layers = set(range(caches.count)) - {layer}
            found[name]["without"][f"model.layers.{layer}.self_attn.kv"] = runs.measure()
        caches.layers = set()
    return found


def main():
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = {"tiny-qwen2.5-vl": scores(*tiny(data))}
    for name in FAMILIES:
        found[name] = scores(*family(data, name))
    out.write_text(json.dumps(found, indent=0) + "\n")


main()
