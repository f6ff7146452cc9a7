"""Intel Neural Compressor's mse_v2, fallback map, as it is: only the loop over its ops is watched and cut short."""

import os
import time
import warnings

os.environ.setdefault("LOGLEVEL", "WARNING")
warnings.filterwarnings("ignore")

from common import load_batch, load_model, parse_arguments, print_result, spread  # noqa: E402
from neural_compressor.adaptor.torch_utils import util  # noqa: E402
from neural_compressor.config import PostTrainingQuantConfig, TuningCriterion, _Config  # noqa: E402
from neural_compressor.model import Model  # noqa: E402
from neural_compressor.strategy.mse_v2 import MSE_V2TuneStrategy  # noqa: E402


class Loader(list):
    """What it takes for a data loader: iterable, with a batch size."""

    def __init__(self, batch):
        super().__init__([batch])
        self.batch_size = batch["input_ids"].shape[0]


class Enough(Exception):
    pass


def everything_quantized(model, loader):
    """The strategy, ready to score, and its configuration with every op in int8."""
    config = PostTrainingQuantConfig(
        approach="static", backend="default", device="cpu", quant_level=1, excluded_precisions=["bf16"],
        tuning_criterion=TuningCriterion(strategy="mse_v2", strategy_kwargs={"confidence_batches": 1}))  # fmt: skip
    whole = _Config(quantization=config, benchmark=None, pruning=None, distillation=None, nas=None)
    strategy = MSE_V2TuneStrategy(model=Model(model, conf=config), conf=whole, q_dataloader=loader)
    strategy._prepare_tuning()
    first = strategy.initial_tuning_cfg()[2]
    first["calib_sampling_size"] = loader.batch_size
    return strategy, strategy._tune_cfg_converter(first)


def main():
    options = parse_arguments(__doc__)
    model = load_model(options)
    loader = Loader(load_batch(options))
    strategy, config = everything_quantized(model, loader)
    seconds = {}

    def watched(items):
        """In place of tqdm in Neural Compressor's loop over ops."""
        for name, value in spread([item for item in items if item[0] != "bf16_ops_list"], options.ops):
            start = time.process_time()
            yield name, value
            seconds[name] = time.process_time() - start
        raise Enough

    util.op_cfg_mapping = {}
    util.tqdm = watched
    try:
        strategy.adaptor.calculate_op_sensitivity(strategy.model, loader, config, None, 1, fallback=True)
    except Enough:
        pass
    print_result(list(seconds.values()), ops=len(config["op"]))


if __name__ == "__main__":
    main()
