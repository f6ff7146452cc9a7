#!/usr/bin/env python3
"""What Pillow and transformers' image processors make of the golden images of testdata/images: processors.json and
processors.safetensors. Pillow 13.0, numpy, safetensors, transformers 5.24 (the slow Qwen2-VL processor of 4.57 ignores
"size"; the others give the same).

  tools/processor_goldens.py testdata/images testdata/images/processors
"""
import json
import random
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil, get_resize_output_image_size
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

HALF = [0.5, 0.5, 0.5]
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
# As published, but for sizes that keep the goldens small. `model` is what config.json says.
CASES = [
    {"name": "qwen3_vl", "images": ["wide", "speck"],
     "model": {"processor": "Qwen2VLImageProcessor", "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2},
     "preprocessor_config": {
         "size": {"longest_edge": 2048, "shortest_edge": 1024}, "patch_size": 16, "temporal_patch_size": 2,
         "merge_size": 2, "image_mean": HALF, "image_std": HALF, "processor_class": "Qwen3VLProcessor",
         "image_processor_type": "Qwen2VLImageProcessorFast"}},
    {"name": "mistral3", "images": ["odd", "wide", "grey", "rgba", "speck"],
     "model": {"processor": "PixtralImageProcessor", "patch_size": 14, "merge_size": 2, "image_size": 56},
     "preprocessor_config": {
         "crop_size": None, "data_format": "channels_first", "default_to_square": True, "device": None,
         "do_center_crop": None, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
         **CLIP, "image_processor_type": "PixtralImageProcessorFast", "input_data_format": None, "patch_size": 14,
         "processor_class": "PixtralProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
         "return_tensors": None, "size": {"longest_edge": 56}},
     "processor_config": {
         "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]", "image_token": "[IMG]", "patch_size": 14,
         "processor_class": "PixtralProcessor", "spatial_merge_size": 2}},
    {"name": "gemma3", "images": ["odd", "tall", "grey", "rgba", "speck"],
     "model": {"processor": "Gemma3ImageProcessor", "patch_size": 14, "image_size": 42, "tokens_per_image": 9},
     "preprocessor_config": {
         "do_convert_rgb": None, "do_normalize": True, "do_pan_and_scan": None, "do_rescale": True, "do_resize": True,
         "image_mean": HALF, "image_processor_type": "Gemma3ImageProcessor", "image_seq_length": 9, "image_std": HALF,
         "pan_and_scan_max_num_crops": None, "pan_and_scan_min_crop_size": None,
         "pan_and_scan_min_ratio_to_activate": None, "processor_class": "Gemma3Processor", "resample": 2,
         "rescale_factor": 0.00392156862745098, "size": {"height": 42, "width": 42}},
     "processor_config": {"image_seq_length": 9, "processor_class": "Gemma3Processor"}},
]


def patches(image, side):
    """[3, H, W] to [patches, 3 * side * side], as a convolution of that stride sees them."""
    c, h, w = image.shape
    rows = image.reshape(c, h // side, side, w // side, side).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(rows.reshape(-1, c * side * side))


def rows_of(case, images):
    """For every image, the height and width of its grid and its rows, from one call with all images."""
    config = {k: v for k, v in case["preprocessor_config"].items()
              if v is not None and k not in ("image_processor_type", "processor_class", "image_seq_length", "data_format")}
    side = case["model"]["patch_size"]
    if case["name"] == "qwen3_vl":
        out = Qwen2VLImageProcessorPil(**config)(images=images, return_tensors="np")
        grids = out["image_grid_thw"].tolist()
        ends = np.cumsum([t * h * w for t, h, w in grids])[:-1]
        return [((h, w), rows) for (_, h, w), rows in zip(grids, np.split(out["pixel_values"], ends))]
    if case["name"] == "mistral3":
        unit = side * case["processor_config"]["spatial_merge_size"]  # what PixtralProcessor hands on
        out = PixtralImageProcessorPil(**config)(images=images, patch_size={"height": unit, "width": unit}, return_tensors="np")
        whole = [np.asarray(v)[:, :h, :w] for v, (h, w) in zip(out["pixel_values"], out["image_sizes"])]
    else:
        whole = list(Gemma3ImageProcessorPil(**config)(images=images, return_tensors="np")["pixel_values"])
    return [((v.shape[1] // side, v.shape[2] // side), patches(v, side)) for v in whole]


def resizes(rgb, rng):
    """Checksums of an image resized with both filters, up and down, to sizes of all kinds."""
    sizes = {"odd": [(61, 113), (1, 1), (61, 7), (5, 113), (122, 226), (60, 112), (62, 114), (31, 57), (180, 9)],
             "big": [(84, 84), (896, 10), (7, 200), (320, 240)], "speck": [(3, 5), (84, 84), (1, 9), (50, 2)],
             "wide": [(84, 84), (40, 40), (399, 39), (401, 41), (28, 300)], "tall": [(84, 84), (33, 9), (200, 30)]}
    table = []
    for name, fixed in sizes.items():
        for w, h in fixed + [(rng.randint(1, 200), rng.randint(1, 200)) for _ in range(20)]:
            image = Image.fromarray(rgb[name])
            table.append([name, w, h] + [zlib.crc32(np.asarray(image.resize((w, h), f)).tobytes())
                                         for f in (Image.BILINEAR, Image.BICUBIC)])
    return table


def longest_edges(rng):
    table = []
    for longest, unit in ((1540, 28), (1024, 16), (140, 28), (1000, 14)):
        fixed = [(1, 1), (unit, unit + 1), (longest, longest), (longest + 1, longest), (3 * longest, 5), (2000, 1500)]
        for w, h in fixed + [(rng.randint(1, 4000), rng.randint(1, 4000)) for _ in range(25)]:
            out_h, out_w = get_resize_output_image_size(np.zeros((3, h, w), np.uint8), longest, unit, "channels_first")
            if out_h > 0 and out_w > 0:
                table.append([w, h, longest, unit, int(out_w), int(out_h)])
    return table


def main(images, out):
    rgb = {k.removesuffix(".rgb"): v for k, v in load_file(images / "images.safetensors").items() if k.endswith(".rgb")}
    tensors = {}
    for case in CASES:
        case["grids"] = []  # height and width
        for name, (grid, rows) in zip(case["images"], rows_of(case, [Image.fromarray(rgb[n]) for n in case["images"]])):
            case["grids"].append([int(side) for side in grid])
            tensors[f"{case['name']}.{name}"] = np.ascontiguousarray(rows, np.float32)
    save_file(tensors, out / "processors.safetensors")
    rng = random.Random(3)
    lists = {"resizes": resizes(rgb, rng), "longest_edges": longest_edges(rng)}
    with open(out / "processors.json", "w") as file:
        text = {k: "[\n" + ",\n".join("  " + json.dumps(row) for row in v) + "\n ]" for k, v in lists.items()}
        text["cases"] = json.dumps(CASES, indent=1)
        file.write("{\n" + ",\n".join(f' "{k}": {v}' for k, v in text.items()) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
