"""Schemes of compressed-tensors in words; shared by the probes of it and of llm-compressor."""

import model


def words(args):
    if args is None:
        return model.FLOAT
    value = {key: getattr(getattr(args, key), "value", getattr(args, key))
             for key in ("num_bits", "type", "strategy", "group_size", "symmetric", "dynamic")}
    group = f" {value['group_size']}" if value["group_size"] else ""
    sign = "" if value["symmetric"] else " asymmetric"
    when = {True: "dynamic", False: "static"}.get(value["dynamic"], value["dynamic"])
    return f"{value['type']}{value['num_bits']} {value['strategy']}{group}{sign} {when}"


def of(network):
    states = {}
    for name, module in network.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None:
            states[name] = f"{words(scheme.weights)}; {words(scheme.input_activations)}"
    return states
