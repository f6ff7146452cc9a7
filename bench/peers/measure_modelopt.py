"""NVIDIA ModelOpt's auto_quantize by gradient, int8: calibration and scores of all ops together, one batch."""

import warnings

warnings.filterwarnings("ignore")

import modelopt.torch.quantization as mtq  # noqa: E402
from common import Stopwatch, load_batch, load_model, parse_arguments, print_result  # noqa: E402
from modelopt.torch.quantization.algorithms import AutoQuantizeGradientSearcher  # noqa: E402


def main():
    options = parse_arguments(__doc__)
    model = load_model(options)
    batch = load_batch(options)
    batch["labels"] = batch["input_ids"].clone()
    watch = Stopwatch()
    for phase in ("before_search", "estimate_sensitivity_scores"):  # the second may run within the first
        original = getattr(AutoQuantizeGradientSearcher, phase)
        setattr(AutoQuantizeGradientSearcher, phase,
                lambda *a, original=original, phase=phase, **k: watch.time(phase, original, *a, **k))  # fmt: skip
    _, state = mtq.auto_quantize(
        model, constraints={"effective_bits": 12.0}, quantization_formats=[mtq.INT8_DEFAULT_CFG], data_loader=[batch],
        forward_step=lambda m, data: m(**data), loss_func=lambda out, _: out.loss, num_calib_steps=1,
        num_score_steps=1, method="gradient", verbose=False)  # fmt: skip
    modules = [name for stats in state["candidate_stats"].values() for name in stats["module_names"]]
    ops = sum("visual" not in name for name in modules)
    print_result([watch.laps["before_search"] / ops], ops=ops, phases_cpu_s=watch.laps)


if __name__ == "__main__":
    main()
