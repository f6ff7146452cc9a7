"""llm-compressor: oneshot, each module's scheme, and that the saved quantization_config gives the same ones."""

import json
import pathlib
import tempfile

import model
import schemes


def main():
    folder, path = model.arguments()
    import datasets
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    from llmcompressor import oneshot

    network = model.load(path, "bfloat16")
    rows = datasets.Dataset.from_list([{"input_ids": ids[0].tolist()} for ids in model.samples(2)])
    oneshot(model=network, recipe=str(folder / "recipe.yaml"), dataset=rows, num_calibration_samples=2, pipeline="basic")
    states = schemes.of(network)
    with tempfile.TemporaryDirectory() as saved:
        network.save_pretrained(saved, save_compressed=True)
        written = json.loads(pathlib.Path(saved, "config.json").read_text()).get("quantization_config")
    if written is not None:
        fresh = model.load(path, "bfloat16")
        apply_quantization_config(fresh, QuantizationConfig.model_validate(written), show_progress=False)
        again = schemes.of(fresh)
        states.update({f"{name} (saved)": again.get(name, model.FLOAT)
                       for name in states.keys() | again.keys() if states.get(name) != again.get(name)})
    model.answer(states)


main()
