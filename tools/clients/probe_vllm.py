"""vLLM: its own model of the checkpoint on the meta device, under its parser of quantization_config.json or of
hf_quant_config.json; each layer, fused ones too, is asked for its scheme."""

import json
import os
import tempfile

import model

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
SHARDS = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


def modules(prefix):
    """Names in transformers of the modules in a layer of vLLM."""
    name = prefix
    for theirs, ours in (("language_model.model.", "model.language_model."), ("language_model.lm_head", "lm_head"),
                         ("visual.", "model.visual.")):
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    parent, _, last = name.rpartition(".")
    return [f"{parent}.{shard}" for shard in SHARDS[last]] if last in SHARDS else [name]


def words(scheme):
    if scheme is None:
        return model.FLOAT
    name = type(scheme).__name__.removeprefix("CompressedTensors")
    more = []
    if hasattr(scheme, "is_static_input_scheme"):
        more.append("static" if scheme.is_static_input_scheme else "dynamic")
    if name == "W8A8Int8":
        more.append("symmetric" if scheme.input_symmetric else "asymmetric")
    if name == "WNA16":
        more += [str(scheme.quant_type.size_bits), str(scheme.group_size if scheme.group_size > 0 else "row")]
    if getattr(scheme, "use_a16", False):
        more.append("a16")
    return " ".join([name, *more])


def build(path):
    import torch
    from vllm.config import ModelConfig, VllmConfig, set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

    config = VllmConfig(model_config=ModelConfig(model=path, tokenizer=path, dtype="bfloat16", max_model_len=512,
                                                 skip_tokenizer_init=True))
    with set_current_vllm_config(config), tempfile.TemporaryDirectory() as scratch:
        init_distributed_environment(1, 0, f"file://{scratch}/store", 0, backend="gloo")
        initialize_model_parallel(1, 1)
        with torch.device("meta"):
            return config, Qwen2_5_VLForConditionalGeneration(vllm_config=config, prefix="")


def parser(folder):
    if (folder / "quantization_config.json").exists():
        from vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors import CompressedTensorsConfig

        config = CompressedTensorsConfig.from_config(json.loads((folder / "quantization_config.json").read_text()))
        return config, lambda layer, prefix: words(config.get_scheme(layer, prefix))
    from vllm.model_executor.layers.quantization.modelopt import ModelOptMixedPrecisionConfig

    config = ModelOptMixedPrecisionConfig.from_config(json.loads((folder / "hf_quant_config.json").read_text()))

    def algorithm(_, prefix):
        excluded = config.is_layer_excluded(prefix)
        return model.FLOAT if excluded else config._resolve_quant_algo(prefix) or model.FLOAT

    return config, algorithm


def main():
    folder, path = model.arguments()
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.layers.linear import LinearBase
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    config, state_of = parser(folder)
    vllm_config, network = build(path)
    config.packed_modules_mapping = dict(network.packed_modules_mapping)
    config.apply_vllm_mapper(type(network).hf_to_vllm_mapper)
    states = {}
    with set_current_vllm_config(vllm_config):
        for prefix, layer in network.named_modules():
            if isinstance(layer, (LinearBase, ParallelLMHead)):
                try:
                    state = state_of(layer, prefix)
                except (ValueError, NotImplementedError) as error:
                    state = "refused: " + str(error)[:150]
                states.update(dict.fromkeys(modules(prefix), state))
    model.answer(states)


main()
