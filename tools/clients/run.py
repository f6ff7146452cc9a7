#!/usr/bin/env python3
"""Has the tools themselves read what `qsweep export` writes for the tiny model, and compares what each module then is with
what the recipe asks for. Each check must pass on the export and fail on three copies with one defect each: a module that
is named otherwise, another format, a module that is left out.

    tools/clients/run.py BUILD [CHECK...]     checks: those of CHECKS below, all where none is named

The tools are installed from PyPI into build/clients, gigabytes of it, in the versions of requirements-*.txt.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODEL = ROOT / "testdata" / "tiny-qwen2.5-vl"
RECIPES = ROOT / "testdata" / "stacks"
VENVS = pathlib.Path(os.environ.get("QSWEEP_CLIENTS", ROOT / "build" / "clients"))
PYTHONS = {"inc": "python3.11"}  # of the others python3.12
LIMIT_S = 1800

# What the tools call our formats: the words of the probes.
INT8_TOKEN, FP8_TOKEN = "int8 token dynamic", "float8 token dynamic"
NV, MX = "float4 tensor_group 16", "group 32"
SCHEMES = {
    "w8a8": "int8 channel static; int8 tensor asymmetric static",
    "w8a8_static": "int8 channel static; int8 tensor static",
    "w8a8_dynamic": f"int8 channel static; {INT8_TOKEN}",
    "w8a16": "int8 channel static; float",
    "w4a16_g32": "int4 group 32 static; float",
    "w4a16_g128": "int4 group 128 static; float",
    "w4a8": f"int4 channel static; {INT8_TOKEN}",
    "fp8": "float8 channel static; float8 tensor static",
    "fp8_tensor": "float8 tensor static; float8 tensor static",
    "fp8_dynamic": f"float8 channel static; {FP8_TOKEN}",
    "nvfp4": f"{NV} static; {NV} local",
    "nvfp4a16": f"{NV} static; float",
    "mxfp4": f"float4 {MX} static; float4 {MX} dynamic",
    "mxfp8": f"float8 {MX} static; float8 {MX} dynamic",
    "mxfp4a16": f"float4 {MX} static; float",
    "vllm_mxfp8": f"float8 {MX} static; float8 {MX} dynamic",
}
NV_BLOCK = "e2m1 in 16 dynamic under e4m3"


def mx(element):
    return f"{element} in 32 dynamic under e8m0"


MODELOPT = {
    "w8a8_static": "8 per axis 0; 8 per tensor",
    "w8a8_dynamic": "8 per axis 0; 8 per token",
    "w8a16": "8 per axis 0; float",
    "w4a16_g32": "4 in 32 static; float",
    "w4a16_g128": "4 in 128 static; float",
    "w4a8": "4 per axis 0; 8 per token",
    "fp8": "e4m3 per axis 0; e4m3 per tensor",
    "fp8_tensor": "e4m3 per tensor; e4m3 per tensor",
    "fp8_dynamic": "e4m3 per axis 0; e4m3 per token",
    "nvfp4": f"{NV_BLOCK}; {NV_BLOCK}",
    "nvfp4a16": f"{NV_BLOCK}; float",
    "mxfp4": f"{mx('e2m1')}; {mx('e2m1')}",
    "mxfp6": f"{mx('e3m2')}; {mx('e3m2')}",
    "mxfp8": f"{mx('e4m3')}; {mx('e4m3')}",
    "mxfp4a16": f"{mx('e2m1')}; float",
    "modelopt_int8": "8 per axis 0; 8 per tensor",
    "modelopt_fp8": "e4m3 per tensor; e4m3 per tensor",
    "modelopt_int4": "4 in 128 static; float",
}


def rounded(kind, group, inputs="float"):
    return f"{kind} in {group} symmetric; {inputs}"


AUTO_ROUND = {
    "w8a8_static": rounded("int8", -1, "int8 in 0 symmetric static"),
    "w8a8_dynamic": rounded("int8", -1, "int8 in -1 symmetric dynamic"),
    "w8a16": rounded("int8", -1),
    "w4a16_g32": rounded("int4", 32),
    "w4a16_g128": rounded("int4", 128),
    "w4a8": rounded("int4", -1, "int8 in -1 symmetric dynamic"),
    "fp8": rounded("fp8", -1, "fp8 in 0 symmetric static"),
    "fp8_tensor": rounded("fp8", 0, "fp8 in 0 symmetric static"),
    "fp8_dynamic": rounded("fp8", -1, "fp8 in -1 symmetric dynamic"),
    "nvfp4": rounded("nv_fp4", 16, "nv_fp4_with_static_gs4 in 16 symmetric dynamic"),
    "nvfp4a16": rounded("nv_fp4", 16),
    "mxfp4": rounded("mx_fp4", 32, "mx_fp4 in 32 symmetric dynamic"),
    "mxfp8": rounded("mx_fp8", 32, "mx_fp8 in 32 symmetric dynamic"),
    "mxfp4a16": rounded("mx_fp4", 32),
}
VLLM = {
    "w8a8": "W8A8Int8 static asymmetric",
    "w8a8_static": "W8A8Int8 static symmetric",
    "w8a8_dynamic": "W8A8Int8 dynamic symmetric",
    "w8a16": "WNA16 8 row",
    "w4a16_g32": "WNA16 4 32",
    "w4a16_g128": "WNA16 4 128",
    "w4a8": "W4A8Int dynamic",
    "fp8": "W8A8Fp8 static",
    "fp8_tensor": "W8A8Fp8 static",
    "fp8_dynamic": "W8A8Fp8 dynamic",
    "mxfp8": "W8A8Mxfp8",
    "vllm_mxfp8": "W8A8Mxfp8",
}
VLLM_MODELOPT = {
    "fp8_tensor": "FP8",
    "modelopt_fp8": "FP8",
    "fp8_dynamic": "FP8_PER_CHANNEL_PER_TOKEN",
    "nvfp4": "NVFP4",
    "nvfp4a16": "W4A16_NVFP4",
    "mxfp8": "MXFP8",
    "vllm_mxfp8": "MXFP8",
}
INC_INT8 = "int8 per_channel sym; uint8 per_tensor asym"
TORCHAO = {
    "w8a8_dynamic": "Int8Tensor in row; QuantizeTensorToInt8Kwargs",
    "fp8_dynamic": "Float8Tensor in row; QuantizeTensorToFloat8Kwargs",
    "w4a16_g32": "int4 in 32; float",
    "w4a16_g128": "int4 in 128; float",
}
LLAMA_CPP = {"w8a16": "q8_0", "w4a16_g32": "q4_0", "nvfp4a16": "nvfp4", "mxfp4a16": "mxfp4"}

# check: (kind, environment, probe, state by format). Formats without a state here the tool asks a GPU for: they are float.
CHECKS = {
    "modelopt": ("modelopt", "tools", "probe_modelopt.py", MODELOPT),
    "llm-compressor": ("llm-compressor", "llmc", "probe_llm_compressor.py", SCHEMES),
    "compressed-tensors": ("compressed-tensors", "llmc", "probe_compressed_tensors.py", SCHEMES),
    "vllm": ("compressed-tensors", "vllm", "probe_vllm.py", VLLM),
    "vllm-modelopt": ("hf-quant-config", "vllm", "probe_vllm.py", VLLM_MODELOPT),
    "auto-round": ("auto-round", "tools", "probe_auto_round.py", AUTO_ROUND),
    "inc": ("inc", "inc", "probe_inc.py", {"w8a8": INC_INT8, "inc_w8a8": INC_INT8}),
    "torchao": ("torchao", "tools", "probe_torchao.py", TORCHAO),
    "llama.cpp": ("llama.cpp", "tools", "probe_llama_cpp.py", LLAMA_CPP),
}
FLOAT = "float"


def module(op):
    """The op's name in a model of transformers."""
    return "model." + op if op.startswith("visual.") else re.sub(r"^model\.", "model.language_model.", op)


def environment(name):
    """The python of a virtual environment with the tools, made where it is missing."""
    folder, requirements = VENVS / name, HERE / f"requirements-{name}.txt"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return python
    print(f"installing {requirements.name} into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([PYTHONS.get(name, "python3.12"), "-m", "venv", folder], check=True)
    overrides = HERE / f"overrides-{name}.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    subprocess.run([folder / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "-r", requirements]
                   + (["--override", overrides] if overrides.exists() else []), check=True)
    done.write_text(requirements.read_text())
    return python


def export(build, run, kind, rules, out):
    """`qsweep export` of a choice {op: format}."""
    recipe = out.parent / f"{out.name}.json"
    recipe.write_text(json.dumps({"name": out.name, "rules": [{"ops": op, "format": f} for op, f in rules.items()]}))
    subprocess.run([build / "qsweep", "export", recipe, "--run", run, "--kind", kind, "--out", out], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out


def spellings(kind, op):
    """How the files of a kind name the op, and a name that no module has."""
    if kind == "llama.cpp":
        layer, role = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.(\w+)_proj", op).groups()
        return rf"^blk\.{layer}\.ffn_{role}\.weight$", rf"^bloc\.{layer}\.ffn_{role}\.weight$"
    found, other = module(op), module(op).replace("language_model", "text_model")
    if kind == "inc":
        return tuple(name.replace(".", r"\.") + r"(\.module)?" for name in (found, other))
    return found, other


def without(value, name):
    """JSON without entries of that name."""
    if isinstance(value, dict):
        return {key: without(item, name) for key, item in value.items() if key != name}
    if isinstance(value, list):
        return [without(item, name) for item in value if item != name]
    return value


def rewrite(folder, edit):
    """Changes the text of all files of the kind itself."""
    for path in folder.iterdir():
        if path.name not in {"recipe.json", "README.md"}:
            path.write_text(edit(path, path.read_text()))


def leave_out(name):
    def edit(path, text):
        if path.suffix == ".json":
            return json.dumps(without(json.loads(text), name), indent=1)
        if path.name == "recipe.yaml":  # a list in one line
            return text.replace(f'"{name}", ', "").replace(f', "{name}"', "").replace(f'["{name}"]', "[]")
        return "".join(line for line in text.splitlines(keepends=True) if name not in line)

    return edit


def mismatches(python, probe, folder, wanted):
    """[(module, wanted, found)] by the tool itself; its end in an error is one too."""
    tool = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([python, HERE / probe, folder, MODEL], env=tool, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        return [("", "an answer", (done.stdout + done.stderr)[-1500:])]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return [(name, wanted.get(name, FLOAT), found.get(name, FLOAT)) for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name, FLOAT) != found.get(name, FLOAT)]


def victim_of(kind, rules):
    """An op whose defect every stack must show: Neural Compressor quantizes and AutoRound takes the scheme's format where
    an entry is missing; a serving stack knows the members of a fused group from each other."""
    role = {"llama.cpp": "up_proj", "inc": "down_proj"}.get(kind, "o_proj")
    for op, chosen in rules.items():
        if op.endswith(role) and op.startswith("model.") and (chosen == FLOAT) == (kind == "inc"):
            if kind != "auto-round" or chosen != "w8a8_dynamic":
                return op
    sys.exit(f"{kind}: the recipe has no op for a defect")


def check(name, build, run, scratch):
    kind, venv, probe, states = CHECKS[name]
    python = environment(venv)
    asked = json.loads((RECIPES / kind / "recipe.json").read_text())["rules"]
    rules = {rule["ops"]: rule["format"] if rule["format"] in states else FLOAT for rule in asked}
    wanted = {module(op): states.get(chosen, FLOAT) for op, chosen in rules.items()}
    victim = victim_of(kind, rules)
    right, wrong = spellings(kind, victim)
    another = next(f for f in [*states, FLOAT] if states.get(f, FLOAT) != states.get(rules[victim], FLOAT))
    failed = False
    for defect in ("none", "renamed", "other format", "left out"):
        chosen = rules | {victim: another} if defect == "other format" else rules
        folder = export(build, run, kind, chosen, scratch / f"{name}-{defect.replace(' ', '-')}")
        if defect == "renamed":
            rewrite(folder, lambda _, text: text.replace(json.dumps(right)[1:-1], json.dumps(wrong)[1:-1]).replace(right, wrong))
        if defect == "left out":
            rewrite(folder, leave_out(right))
        wrong_modules = mismatches(python, probe, folder, wanted)
        ok = bool(wrong_modules) == (defect != "none")
        failed = failed or not ok
        print(f"{'ok' if ok else 'WRONG'}  {name}, defect {defect}: {len(wanted)} modules, {len(wrong_modules)} mismatches",
              flush=True)
        for one in wrong_modules[: 3 if ok else 12]:
            print("      {}: wanted {}, found {}".format(*one))
    return failed


def main(arguments):
    if not arguments or any(name not in CHECKS for name in arguments[1:]):
        sys.exit(f"usage: {sys.argv[0]} BUILD [CHECK...]; checks: {', '.join(CHECKS)}")
    build = pathlib.Path(arguments[0]).resolve()
    names = arguments[1:] or [name for name in CHECKS if name != "llama.cpp" or "LLAMA_QUANTIZE" in os.environ]
    if "llama.cpp" not in names and not arguments[1:]:
        print("left out: llama.cpp, for want of LLAMA_CPP and LLAMA_QUANTIZE (tools/clients/README.md)")
    with tempfile.TemporaryDirectory() as place:
        scratch = pathlib.Path(place)
        subprocess.run([build / "qsweep", "score", MODEL, "--data", ROOT / "testdata" / "data" / "eval.jsonl", "--samples", "1",
                        "--ops", "lm_head", "--format", "w8a16", "--out", scratch / "run", "--quiet"], check=True)
        failed = [name for name in names if check(name, build, scratch / "run", scratch)]
    print(f"not as intended: {', '.join(failed)}" if failed else "all as intended")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
