"""torchao: quantize_ with the configuration that it reads from JSON, then the kind of each weight."""

import json

import model


def words(weight):
    kind = type(weight.data).__name__
    kind = type(weight).__name__ if kind == "Tensor" else kind
    if kind in ("Tensor", "Parameter"):
        return model.FLOAT
    block = weight.block_size[-1]
    if kind == "IntxUnpackedToInt8Tensor":
        return f"{str(weight.target_dtype).removeprefix('torch.')} in {block}; {model.FLOAT}"
    rows = "row" if block == weight.shape[-1] else str(block)
    inputs = getattr(weight, "act_quant_kwargs", None)
    return f"{kind} in {rows}; {model.FLOAT if inputs is None else type(inputs).__name__}"


def main():
    folder, path = model.arguments()
    import torch
    import torchao.quantization.quant_api as quant_api
    from torchao.core.config import config_from_dict

    # Weights in float8 can be made anywhere; what asks for a GPU is the product.
    quant_api._check_hardware_support = lambda *_: None
    network = model.load(path, "bfloat16")
    quant_api.quantize_(network, config_from_dict(json.loads((folder / "torchao_config.json").read_text())), filter_fn=None)
    model.answer({name: words(module.weight) for name, module in network.named_modules()
                  if isinstance(getattr(module, "weight", None), torch.Tensor)})


main()
