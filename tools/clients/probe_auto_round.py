"""AutoRound: resolves the settings of all layers; nothing is tuned."""

import json

import model


def words(config):
    def part(prefix, *more):
        bits = config.get(prefix + "bits") or 16
        if bits >= 16:
            return model.FLOAT
        group = config.get(prefix + "group_size")
        return " ".join([f"{config.get(prefix + 'data_type')}{bits} in {group}",
                         "symmetric" if config.get(prefix + "sym") else "asymmetric", *more])

    weights = part("")
    inputs = part("act_", "dynamic" if config.get("act_dynamic") else "static")
    return model.FLOAT if weights == inputs == model.FLOAT else f"{weights}; {inputs}"


def main():
    folder, path = model.arguments()
    from auto_round import AutoRound
    from transformers import AutoTokenizer

    layers = json.loads((folder / "layer_config.json").read_text())
    rounder = AutoRound(model.load(path, "float32"), AutoTokenizer.from_pretrained(path), scheme="INT8",
                        layer_config=layers, iters=0, disable_opt_rtn=True, device_map="cpu", nsamples=1, seqlen=16,
                        quant_nontext_module=True)
    rounder = getattr(rounder, "_compressor", rounder)
    rounder.post_init()
    model.answer({name: words(config) for name, config in rounder.layer_config.items()})


main()
