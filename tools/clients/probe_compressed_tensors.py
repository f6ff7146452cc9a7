"""compressed-tensors: what from_pretrained does with a quantization_config, then each module's scheme."""

import json

import model
import schemes


def main():
    folder, path = model.arguments()
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config

    config = QuantizationConfig.model_validate(json.loads((folder / "quantization_config.json").read_text()))
    network = model.load(path, "bfloat16")
    apply_quantization_config(network, config, show_progress=False)
    model.answer(schemes.of(network))


main()
