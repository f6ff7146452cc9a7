"""llama.cpp: converts the checkpoint to two GGUF files, has llama-quantize read the two files of types, and reads the
types of the tensors from what it wrote. LLAMA_CPP is the folder of the converter, LLAMA_QUANTIZE the program."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import model

LANGUAGE = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}
VISION = {"attn_q": "attn.qkv", "attn_k": "attn.qkv", "attn_v": "attn.qkv", "attn_out": "attn.proj",
          "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
# The test model's small vocabulary is none that the converter knows by its hash.
CONVERT = ("import sys; sys.path.insert(0, sys.argv.pop(1))\n"
           "import conversion.base\n"
           "conversion.base.TextModel.get_vocab_base_pre = lambda *_: 'qwen2'\n"
           "import convert_hf_to_gguf\nconvert_hf_to_gguf.main()")


def module(tensor):
    for pattern, prefix, roles in ((r"blk\.(\d+)\.(\w+)\.weight", "model.language_model.layers", LANGUAGE),
                                   (r"v\.blk\.(\d+)\.(\w+)\.weight", "model.visual.blocks", VISION)):
        if match := re.fullmatch(pattern, tensor):
            return f"{prefix}.{match[1]}.{roles[match[2]]}" if match[2] in roles else None
    if match := re.fullmatch(r"mm\.(\d+)\.weight", tensor):
        return f"model.visual.merger.mlp.{match[1]}"
    return "lm_head" if tensor == "output.weight" else None


def call(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]}: {(done.stdout + done.stderr)[-1500:]}")


def main():
    folder, path = model.arguments()
    import gguf

    states = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, target = pathlib.Path(scratch, "model.gguf"), pathlib.Path(scratch, "quantized.gguf")
        for more, types in (([], "tensor-types.txt"), (["--mmproj"], "tensor-types-mmproj.txt")):
            call(sys.executable, "-c", CONVERT, os.environ["LLAMA_CPP"], path, "--outtype", "bf16", "--outfile", source, *more)
            # A base type that no recipe asks for: what depends on it shows.
            call(os.environ["LLAMA_QUANTIZE"], "--pure", "--token-embedding-type", "bf16", "--tensor-type-file",
                 folder / types, source, target, "q5_1", 1)
            for tensor in gguf.GGUFReader(target).tensors:
                if name := module(tensor.name):
                    states.setdefault(name, set()).add(tensor.tensor_type.name.lower())
    model.answer({name: model.FLOAT if types == {"bf16"} else " ".join(sorted(types)) for name, types in states.items()})


main()
