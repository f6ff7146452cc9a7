"""Intel Neural Compressor 2.x: static quantization, then the configuration that it ends with."""

import json
import os
import tempfile

import model


def words(config):
    weight, inputs = config["weight"], config.get("activation")
    if weight.get("dtype") in ("fp32", None):
        return model.FLOAT
    parts = [weight] if inputs is None else [weight, inputs]
    return "; ".join(" ".join(str(part.get(key)) for key in ("dtype", "granularity", "scheme")) for part in parts)


class Loader:
    batch_size = 1

    def __iter__(self):
        import torch

        return iter([({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 0) for ids in model.samples(1)])


def main():
    folder, path = model.arguments()
    from neural_compressor import PostTrainingQuantConfig, quantization

    network = model.load(path, "float32")
    network.config.use_cache = False
    entries = json.loads((folder / "op_name_dict.json").read_text())
    os.chdir(tempfile.mkdtemp())  # it leaves a folder behind where it runs
    config = PostTrainingQuantConfig(approach="static", quant_level=1, op_name_dict=entries)
    result = quantization.fit(network, config, calib_dataloader=Loader())
    model.answer({name.removesuffix(".module"): words(state) for (name, _), state in result.q_config["op"].items()})


main()
