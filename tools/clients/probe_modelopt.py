"""ModelOpt: load_recipe and mtq.quantize, then the quantizers of every module."""

import fnmatch

import model


def words(quantizer):
    if quantizer is None or not quantizer.is_enabled:
        return model.FLOAT
    blocks = dict(quantizer.block_sizes or {})
    bits = quantizer.num_bits if isinstance(quantizer.num_bits, int) else "e{}m{}".format(*quantizer.num_bits)
    # After a forward a block as long as the row has become an axis, so "dynamic" alone tells it.
    if getattr(quantizer, "_dynamic", False) and blocks.get(-1) is None:
        return f"{bits} per token"
    if blocks.get(-1):
        scale = blocks.get("scale_bits")
        scale = "" if scale is None else " under e{}m{}".format(*scale)
        return f"{bits} in {blocks[-1]} {blocks.get('type', 'static')}{scale}"
    return f"{bits} per " + ("tensor" if quantizer.axis is None else f"axis {quantizer.axis}")


def main():
    folder, path = model.arguments()
    import modelopt.torch.quantization as mtq
    import torch
    from modelopt.recipe import load_recipe

    config = load_recipe(folder / "modelopt_recipe.yaml").quantize
    config = config if isinstance(config, dict) else config.model_dump()
    text = (folder / "modelopt_recipe.yaml").read_text()
    # Blocks with scales of their own are computed on a GPU only; without a forward the quantizers are set all the same.
    on_gpu = '"scale_bits"' in text
    network = model.load(path, "float32")

    def forward(net):
        with torch.no_grad():
            for ids in model.samples(2):
                net(input_ids=ids)

    try:
        mtq.quantize(network, config, None if on_gpu else forward)
    except Exception as error:  # where no name fits at all
        model.answer({"": str(error)[:200]})
    states, quantizers = {}, []
    for name, module in network.named_modules():
        if name.endswith("_quantizer"):
            quantizers.append(name)
        if hasattr(module, "weight_quantizer"):
            weight, inputs = words(module.weight_quantizer), words(getattr(module, "input_quantizer", None))
            states[name] = model.FLOAT if weight == inputs == model.FLOAT else f"{weight}; {inputs}"
    for entry in config["quant_cfg"]:
        if not fnmatch.filter(quantizers, entry["quantizer_name"]):
            states[entry["quantizer_name"]] = "matches no quantizer"
    model.answer(states)


main()
