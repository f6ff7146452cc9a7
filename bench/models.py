#!/usr/bin/env python3
"""Makes the synthetic checkpoints of the benchmarks in build/bench-models/, with qsweep-synth; one that is there stays.

    bench/models.py [--program PROGRAM] [NAME ...]     default: build/release/qsweep-synth; without names lists them
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/bench-models"
SYNTH = ROOT / "build/release/qsweep-synth"

# name: (folder of the config, changes of config.json, further arguments of qsweep-synth). The small vocabulary is for
# what grows with the layers, which the true one's embedding would hide.
CONFIG_3B = "bench/configs/qwen2.5-vl-3b"
SMALL_VOCABULARY = {"vocab_size": 4096, "bos_token_id": 4080, "eos_token_id": 4082, "vision_start_token_id": 4083,
                    "vision_end_token_id": 4084, "vision_token_id": 4085, "image_token_id": 4086,
                    "video_token_id": 4087}  # fmt: skip
MODELS = {
    "qwen2.5-vl-3b": (CONFIG_3B, {}, []),
    "qwen2.5-vl-3b-4-layers": (CONFIG_3B, {}, ["--layers", "4", "--vision-layers", "4"]),
    "small-vocabulary-2-layers": (CONFIG_3B, SMALL_VOCABULARY, ["--layers", "2", "--vision-layers", "4"]),
    "small-vocabulary-4-layers": (CONFIG_3B, SMALL_VOCABULARY, ["--layers", "4", "--vision-layers", "4"]),
}


def ensure(name, program=SYNTH, sparse=False):
    """The folder of the model, made now where it is missing; a sparse one has no weights but zeros, and no size."""
    folder = FOLDER / (f"{name}-sparse" if sparse else name)
    if (folder / "config.json").exists():
        return folder
    if not pathlib.Path(program).exists():
        sys.exit(f"bench/models.py: no {program}; build the target qsweep-synth first")
    source, changes, arguments = MODELS[name]
    print(f"making {folder.relative_to(ROOT)}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        config = pathlib.Path(shutil.copytree(ROOT / source, pathlib.Path(place) / "config"))
        content = json.loads((config / "config.json").read_text(encoding="utf-8")) | changes
        (config / "config.json").write_text(json.dumps(content), encoding="utf-8")
        subprocess.run([program, config, folder, "--seed", "0", *arguments, *["--sparse"] * sparse], check=True)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--program", default=SYNTH, type=pathlib.Path)
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODELS):
        parser.error(f"expected names of {', '.join(MODELS)}, found {', '.join(sorted(unknown))}")
    print("\n".join(str(ensure(name, options.program)) for name in options.names) or "\n".join(MODELS))


if __name__ == "__main__":
    main()
