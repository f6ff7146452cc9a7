"""The loop that one would write in PyTorch: for each linear of the decoder layers fake-quantize it alone, weights per
channel and inputs per token in int8, run the model, and compare the logits."""

import torch
from common import Stopwatch, load_batch, load_model, parse_arguments, print_result, spread


def fake_int8(x):
    scale = x.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / 127
    return ((x / scale).round().clamp(-127, 127) * scale).to(x.dtype)


def score(model, batch, linear, reference):
    kept = linear.weight.data
    hook = linear.register_forward_pre_hook(lambda _, inputs: (fake_int8(inputs[0]),))
    linear.weight.data = fake_int8(kept)
    try:
        return (model(**batch).logits - reference).float().pow(2).mean().item()
    finally:
        linear.weight.data = kept
        hook.remove()


def main():
    options = parse_arguments(__doc__)
    model = load_model(options)
    batch = load_batch(options)
    linears = {name: module for name, module in model.named_modules()
               if type(module) is torch.nn.Linear and ".language_model.layers." in name}  # fmt: skip
    watch, scores = Stopwatch(), {}
    with torch.inference_mode():
        reference = model(**batch).logits
        for name in spread(linears, options.ops):
            scores[name] = watch.time(name, score, model, batch, linears[name], reference)
    print_result(list(watch.laps.values()), ops=len(linears), scores=scores)


if __name__ == "__main__":
    main()
