#!/usr/bin/env python3
"""Samples of data and what transformers, tokenizers and Pillow make of them: token ids, answer masks, pixels.

    tools/door_samples.py make OUT [--count 2000] [--seed 1]    samples in a new folder OUT; then run the test on it:
                          QSWEEP_DOOR=OUT build/release/tests/qsweep_test_models --gtest_filter='Door.*'
    tools/door_samples.py store                                 writes testdata/door anew: a few, for every test run

Needs transformers 4.57, pillow 13 and torch; not part of CI. A line of data that must be refused has {"refused": why}.
"""
import argparse
import copy
import hashlib
import json
import random
import shutil
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import Qwen2TokenizerFast
from transformers.image_utils import load_image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize

TESTDATA = Path(__file__).resolve().parent.parent / "testdata"
TINY = TESTDATA / "tiny-qwen2.5-vl"
VOCABULARY = json.loads((TINY / "config.json").read_text(encoding="utf-8"))["vocab_size"]

# Tokenizers: merges that come before all others, so that tokens cross the edges of answers and messages.
VARIANTS = {
    "tiny": [],
    "line_breaks": [["Ċ", "Ċ"], ["ĊĊ", "Ċ"]],
    "punctuation": [[".", "Ċ"], ["!", "Ċ"], ["Ġ", "Ċ"], ["Ċ", "Ġ"], ["Ċ", "Ċ"]],
}

# The chat template of Qwen2.5-VL; `counts` has the tokens of each image, and answers are marked.
TEMPLATE = (
    "{% set n = namespace(image=0) %}{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['answer'] %}{% generation %}{% for p in m['parts'] %}PART{% endfor %}{{ '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{% for p in m['parts'] %}PART{% endfor %}{{ '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
).replace("PART", "{% if p['image'] is defined %}<|vision_start|>{{ '<|image_pad|>' * counts[n.image] }}<|vision_end|>"
          "{% set n.image = n.image + 1 %}{% else %}{{ p['text'] }}{% endif %}")  # fmt: skip


class Refused(Exception):
    """The data must not be read."""


# --- The reference ---------------------------------------------------------------------------------------------------

NO_USE_LINE = {"uuid", "source", "metadata", "split", "index", "category", "timestamp"}
NO_USE_MESSAGE = {"id", "timestamp", "metadata"}
SIZES = ("min_pixels", "max_pixels", "resized_height", "resized_width")
VISION = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


def refuse_unless(condition, why):
    if not condition:
        raise Refused(why)


def check_keys(record, read, no_use, empty=()):
    refuse_unless(isinstance(record, dict), "no object")
    for key, value in record.items():
        nothing = value is None or value in ([], {}, "")
        refuse_unless(key in read or key in no_use or value is None or (key in empty and nothing), f"key {key}")


def flag(value):
    refuse_unless(value in (0, 1), f"{value} is no flag")
    return bool(value)


def image_of(part):
    keys = [k for k in ("image", "image_url", "url", "path") if part.get(k) is not None]
    refuse_unless(len(keys) == 1, f"an image at {keys}")
    location = part[keys[0]]
    if isinstance(location, dict):
        check_keys(location, {"url", "detail"}, ())
        refuse_unless(location.get("detail") in (None, "auto"), "detail")
        location = location["url"]
    refuse_unless(isinstance(location, str) and location != "", "no path")
    return {"image": location, **sizes_of(part)}


def sizes_of(part):
    sizes = {k: part[k] for k in SIZES if part.get(k) is not None}
    for value in sizes.values():
        refuse_unless(isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31, "size")
    refuse_unless(("resized_height" in sizes) == ("resized_width" in sizes), "one side")
    return sizes


class Column:
    """The list of images beside the messages."""

    def __init__(self, line):
        self.images = line.get("images")
        self.taken = 0
        if self.images is None:
            return
        refuse_unless(isinstance(self.images, list), "images is no list")
        self.images = [self.entry(image) for image in self.images]

    @staticmethod
    def entry(image):
        if isinstance(image, dict):
            check_keys(image, {"image", "image_url", "url", "path", *SIZES}, (), {"bytes", "base64", "text"})
            return image_of(image)
        return image_of({"image": image})

    def take(self):
        refuse_unless(self.taken < len(self.images), "more marks than images")
        self.taken += 1
        return self.images[self.taken - 1]


def text_parts(text, column):
    refuse_unless(isinstance(text, str), "no text")
    refuse_unless(not any(token in text for token in VISION), "an image token in the text")
    if column.images is None:
        return [{"text": text}]
    parts = []
    for i, piece in enumerate(text.split("<image>")):
        if i > 0:
            parts.append(column.take())
        parts.append({"text": piece})
    return parts


def part_of(part, column):
    refuse_unless(isinstance(part, dict), "no part")
    kind = part.get("type")
    if kind == "text":
        check_keys(part, {"type", "text"}, (), {"image", "image_url"})
        return text_parts(part.get("text"), column)
    refuse_unless(kind in ("image", "image_url"), f"a part of type {kind}")
    check_keys(part, {"type", "image", "image_url", "url", "path", "index", *SIZES}, (), {"bytes", "base64", "text"})
    named = any(part.get(k) is not None for k in ("image", "image_url", "url", "path"))
    if named or column.images is None:
        refuse_unless(part.get("index") is None, "index")
        return [image_of(part)]
    refuse_unless(part.get("index") in (None, column.taken), "index")
    image, sizes = column.take(), sizes_of(part)
    return [{**image, **sizes}]


def message_of(message, column):
    empty = {"tools", "tool_calls", "refusal", "annotations", "name", "images"}
    check_keys(message, {"role", "content", "weight", "loss", "loss_mask"}, NO_USE_MESSAGE, empty)
    role, content = message.get("role"), message.get("content")
    refuse_unless(role in ("system", "user", "assistant"), f"role {role}")
    said = [flag(message[k]) for k in ("weight", "loss", "loss_mask") if message.get(k) is not None]
    refuse_unless(len(said) <= 1 and not (said == [True] and role != "assistant"), "weights")
    if isinstance(content, list) and content:
        parts = [p for part in content for p in part_of(part, column)]
    else:
        parts = text_parts(content, column)
    return {"role": role, "parts": parts, "answer": said[0] if said else role == "assistant"}


def patches_of(image, folder, processor):
    """Pixel values and grid of one image, resized as the data or the processor says."""
    picture = load_image(str(folder / image["image"]))
    if "resized_height" in image:
        unit = processor.patch_size * processor.merge_size
        height, width = smart_resize(image["resized_height"], image["resized_width"], factor=unit,
                                     min_pixels=4 * unit**2, max_pixels=16384 * unit**2)  # fmt: skip
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        features = processor(images=[picture], do_resize=False, return_tensors="np")
    else:
        low = image.get("min_pixels", processor.min_pixels)
        high = image.get("max_pixels", processor.max_pixels)
        refuse_unless(low <= high, "limits")
        features = processor(images=[picture], min_pixels=low, max_pixels=high, return_tensors="np")
    return np.asarray(features["pixel_values"]), [int(n) for n in features["image_grid_thw"][0]]


def read_dialogue(line, folder, tokenizer, processor):
    empty = {"tools", "functions", "videos", "audios", "system", "image", "objects"}
    check_keys(line, {"id", "messages", "images"}, NO_USE_LINE, empty)
    refuse_unless(isinstance(line["messages"], list) and line["messages"], "no messages")
    column = Column(line)
    messages = [message_of(message, column) for message in line["messages"]]
    refuse_unless(column.images is None or column.taken == len(column.images), "more images than marks")
    patches = [patches_of(p, folder, processor) for m in messages for p in m["parts"] if "image" in p]
    counts = [t * h * w // processor.merge_size**2 for _, (t, h, w) in patches]
    out = tokenizer.apply_chat_template(messages, chat_template=TEMPLATE, counts=counts, tokenize=True, return_dict=True,
                                        return_assistant_tokens_mask=True)  # fmt: skip
    values = np.concatenate([p for p, _ in patches]) if patches else np.zeros(0, np.float32)
    digest = hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()
    return out["input_ids"], out["assistant_masks"], [grid for _, grid in patches], digest


def read_ids(line):
    check_keys(line, {"id", "input_ids", "answer_mask", "labels", "attention_mask"}, NO_USE_LINE,
               {"images", "image", "tools", "functions", "videos", "audios"})
    ids = line["input_ids"]
    special = [1054, 1055]  # of images and videos
    refuse_unless(isinstance(ids, list) and ids, "no ids")
    refuse_unless(all(type(i) is int and 0 <= i < VOCABULARY and i not in special for i in ids), "an id")
    mask = [0] + [1] * (len(ids) - 1)
    lists = [k for k in ("answer_mask", "labels", "attention_mask") if line.get(k) is not None]
    refuse_unless(all(isinstance(line[k], list) and len(line[k]) == len(ids) for k in lists), "lengths")
    refuse_unless(not {"answer_mask", "labels"} <= set(lists), "two masks")
    if "answer_mask" in lists:
        mask = [int(flag(value)) for value in line["answer_mask"]]
    if "labels" in lists:
        refuse_unless(all(label in (-100, i) for label, i in zip(line["labels"], ids)), "labels")
        mask = [int(label != -100) for label in line["labels"]]
    refuse_unless("attention_mask" not in lists or all(flag(value) for value in line["attention_mask"]), "padding")
    return ids, mask, [], hashlib.sha256(b"").hexdigest()


def read(text, folder, tokenizer, processor):
    """What the model is given for a line of data."""
    try:
        line = json.loads(text)
        refuse_unless(isinstance(line, dict), "no object")
        refuse_unless(("messages" in line) != ("input_ids" in line), "neither messages nor input_ids")
        refuse_unless(type(line.get("id", "")) in (str, int) or line["id"] is None, "id")
        text.encode().decode()
        json.dumps(line, ensure_ascii=False).encode()  # no half of a surrogate pair
        found = read_ids(line) if "input_ids" in line else read_dialogue(line, folder, tokenizer, processor)
    except (Refused, UnicodeError, OSError, ValueError) as error:
        return {"refused": str(error)[:60]}
    ids, mask, grids, pixels = found
    return {"ids": ids, "mask": "".join(map(str, mask)), "grids": grids, "pixels": pixels}


# --- The samples -----------------------------------------------------------------------------------------------------

TEXTS = ["The circle is green.", "What colour is it?", "a", " a", "a ", "12 and 345", "isn't it?", "don't!", "...", ".", "!",
         "x = {'a': [1, 2]}", "Ça va, garçon?", "naïve café", "日本語のテキスト", "这是一个圆。", "한국어", "привет", "שלום עולם", "🙂👩‍👩‍👧‍👦🏽",
         "e\u0301", "\u0301", "a\u0316\u0301", "\u1100\u1161\u11a8", "\uac00\u11a7", "\uac00\u11a8\u11a7", "\u1100\u1161\u11a7",
         "\u212b\u2126", "\u0958", "<\u0338", ">\u0338", "ﬁ", "\u00a0", "\u3000", "\u0085", "\u2028", "\u200b", "\ufeff", "\t", "\x00",
         "\r", "\r\n", "\n", "\n\n", "\n\n\n", " \n", "\n ", "  ", "   x", "", "", "<b>&amp;</b>", "{% generation %}", "{{ x }}"]  # fmt: skip
SPECIAL = ["<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>", "<|im_start|>",
           "<|endoftext|>", "<|im_start", "<image>", "<|vision_pad|>", "<|im_start|>user\n", "assistant\n"]  # fmt: skip
BROKEN = ["<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "\ud800"]


class Maker:
    def __init__(self, rng, images):
        self.rng = rng
        self.images = images

    def chance(self, share):
        return self.rng.random() < share

    def letters(self):
        """Characters from anywhere that Python knows, but for marks whose order newer tables changed."""
        out = []
        while len(out) < 4:
            c = chr(self.rng.choice([self.rng.randrange(0x20, 0x3000), self.rng.randrange(0x20, 0xD800)]))
            if unicodedata.category(c) not in ("Cn", "Co") and not 0x1AB0 <= ord(c) < 0x1B00 and not 0x1DC0 <= ord(c) < 0x1E00:
                out.append(c)
        return "".join(out)

    def text(self):
        pieces = []
        for _ in range(self.rng.choice([1, 1, 2, 3, 5])):
            kind = self.rng.random()
            if kind < 0.78:
                pieces.append(self.rng.choice(TEXTS))
            elif kind < 0.88:
                pieces.append(self.letters())
            elif kind < 0.995:
                pieces.append(self.rng.choice(SPECIAL))
            else:
                pieces.append(self.rng.choice(BROKEN))
        return "".join(pieces)

    def sizes(self):
        kind = self.rng.random()
        pick = self.rng.choice
        if kind < 0.7:
            return {}
        if kind < 0.8:
            return {"min_pixels": pick([784, 3136, 6272, 12544]), "max_pixels": pick([3136, 12544, 23520, 50176])}
        if kind < 0.85:
            return {"max_pixels": pick([784, 3136, 7840, 2**31 - 1])}
        if kind < 0.9:
            return {"min_pixels": pick([1, 12544, 23520, 40000])}
        if kind < 0.98:
            return {"resized_height": self.rng.randrange(1, 300), "resized_width": self.rng.randrange(1, 300)}
        return pick([{"resized_height": 56}, {"min_pixels": 0}, {"max_pixels": "9"}, {"max_pixels": 3136.5}])

    def location(self):
        return self.rng.choice(self.images)

    def image_part(self):
        key = self.rng.choice(["image", "image", "image", "url", "path", "image_url"])
        part = {"type": "image_url" if key == "image_url" else "image", key: self.location(), **self.sizes()}
        if key == "image_url" and self.chance(0.6):
            part[key] = {"url": part[key], **({"detail": self.rng.choice(["auto", "low"])} if self.chance(0.3) else {})}
        return part

    def content(self, images):
        if self.chance(0.4) and not images:
            return self.text()
        parts = [{"type": "text", "text": self.text()} for _ in range(self.rng.randrange(1, 4))]
        for _ in range(images):
            parts.insert(self.rng.randrange(len(parts) + 1), self.image_part())
        return parts

    def dialogue(self):
        images = self.rng.choice([0, 0, 0, 1, 1, 2])
        messages = []
        if self.chance(0.3):
            messages.append({"role": "system", "content": self.content(0)})
        for _ in range(self.rng.randrange(1, 4)):
            in_user = self.rng.randrange(images + 1)
            images -= in_user
            messages.append({"role": "user", "content": self.content(in_user)})
            if self.chance(0.9):
                messages.append({"role": "assistant", "content": self.content(0)})
        line = {"messages": messages}
        if self.chance(0.2):
            self.move_images(line)
        for message in messages:
            if self.chance(0.15 if message["role"] == "assistant" else 0.01):
                message[self.rng.choice(["weight", "loss", "loss_mask"])] = self.rng.choice([0, 0, 0, 1, False, False, True, True, 0.5])
        return line

    def move_images(self, line):
        """Images into a column, with marks or nameless parts where they were."""
        column = []
        for message in line["messages"]:
            if isinstance(message["content"], str):
                continue
            for i, part in enumerate(message["content"]):
                if part["type"] == "text":
                    continue
                column.append({"path": self.location(), "bytes": None} if self.chance(0.2) else self.location())
                nameless = self.chance(0.3)
                message["content"][i] = {"type": "image"} if nameless else {"type": "text", "text": "<image>" + self.text()}
        line["images"] = column

    def ids(self):
        ids = [self.rng.randrange(1048) for _ in range(self.rng.randrange(1, 12))]
        if self.chance(0.05):
            ids[-1] = self.rng.choice([VOCABULARY, -1, 1054, 2**40, 1.0])
        line = {"input_ids": ids}
        flags = [self.rng.choice([0, 1]) for _ in ids]
        if self.chance(0.4):
            line["answer_mask"] = flags
        elif self.chance(0.6):
            line["labels"] = [i if kept else -100 for i, kept in zip(ids, flags)]
        if self.chance(0.3):
            line["attention_mask"] = [1] * len(ids) if self.chance(0.8) else flags
        if self.chance(0.1):
            line.setdefault("labels", ids)[-1:] = [7]
        return line

    def add_keys(self, line):
        """Keys of other formats, most without influence."""
        pick = self.rng.choice
        if self.chance(0.5):
            line["id"] = pick([7, -1, "a", "7", 10**18, None, 1.5, True]) if self.chance(0.15) else f"s{self.rng.randrange(10**9)}"
        if self.chance(0.2):
            key = pick(["source", "metadata", "split", "index", "category", "uuid", "timestamp"])
            line[key] = pick(["x", 1, None, {"messages": []}, ["y"]])
        if self.chance(0.08):
            line[pick(["tools", "videos", "audios", "image", "objects", "functions", "system"])] = pick([[], None, "", ["x"], "x"])
        if self.chance(0.04):
            line[pick(["conversations", "prompt", "labels", "loss_mask", "chosen", "extra"])] = pick(["x", [1], None])
        if "messages" in line and self.chance(0.08):
            message = pick(line["messages"])
            message[pick(["name", "tool_calls", "refusal", "id", "timestamp", "images", "loss_scale"])] = pick([None, [], "", "x"])
        if "messages" in line and self.chance(0.03):
            pick(line["messages"])["role"] = pick(["tool", "User", "developer", None])
        return line

    def line(self):
        line = self.add_keys(self.dialogue() if self.chance(0.9) else self.ids())
        return json.dumps(line, ensure_ascii=self.chance(0.5) or "\\ud800" in json.dumps(line))


def make_images(folder, rng):
    """Small PNG and WebP files without loss, of every mode that they have."""
    (folder / "made").mkdir(parents=True, exist_ok=True)
    names = []
    for i, mode in enumerate(["RGB", "L", "LA", "RGBA", "P", "1", "I;16", "RGB", "RGBA", "RGB", "RGB", "L"] * 3):
        size = (rng.randrange(1, 220), rng.randrange(1, 220))
        pixels = np.frombuffer(rng.randbytes(size[0] * size[1] * 4), np.uint8).reshape(size[1], size[0], 4)
        pixels = pixels // 4 + np.linspace(0, 190, size[0]).astype(np.uint8)[None, :, None]
        image = Image.fromarray(pixels, "RGBA")
        if mode == "I;16":
            image = Image.fromarray(pixels[..., :2].copy().view("<u2")[..., 0])
        elif mode != "RGBA":
            image = image.convert(mode)
        exif = Image.Exif()
        if i % 3 == 0:
            exif[0x0112] = 1 + i % 8
        name = f"made/{i}." + ("webp" if i % 5 == 4 and mode in ("RGB", "RGBA") else "png")
        if name.endswith("webp"):
            image.save(folder / name, lossless=True, exif=exif)
        else:
            image.save(folder / name, exif=exif)
        names.append(name)
    return names


def variant_tokenizers(folder):
    """A tokenizer for each variant, from a file as the test makes it."""
    tokenizers = {}
    for name, merges in VARIANTS.items():
        place = folder / name
        shutil.copytree(TINY, place, ignore=shutil.ignore_patterns("*.safetensors"))
        tokenizer = json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
        model = tokenizer["model"]
        for left, right in merges:  # with the id of the last merge, which goes
            model["vocab"][left + right] = model["vocab"].pop("".join(model["merges"].pop()))
        model["merges"] = merges + model["merges"]
        (place / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        tokenizers[name] = Qwen2TokenizerFast.from_pretrained(str(place))
    return tokenizers


def write(out, folder, images, count, seed):
    """`count` samples with images of `folder`, and what they are to become."""
    rng = random.Random(seed)
    maker = Maker(rng, images)
    work = out / "tokenizers"
    tokenizers = variant_tokenizers(work)
    processor = Qwen2VLImageProcessor.from_pretrained(str(TINY))
    rows = []
    for i in range(count):
        name = list(VARIANTS)[i % len(VARIANTS)]
        text = maker.line()
        rows.append({"line": text, "tokenizer": name, "expected": read(text, folder, tokenizers[name], processor)})
    shutil.rmtree(work)
    with open(out / "samples.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    (out / "variants.json").write_text(json.dumps(VARIANTS) + "\n", encoding="utf-8")
    refused = sum("refused" in row["expected"] for row in rows)
    print(f"{out}: {count} samples, {refused} of them refused")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["make", "store"])
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.command == "make":
        args.out.mkdir(parents=True)
        write(args.out, args.out, make_images(args.out, random.Random(args.seed)), args.count, args.seed)
        return
    out = TESTDATA / "door"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    names = ["odd", "grey", "greyalpha", "palette", "palette_trans", "onebit", "grey16", "rgba", "tall", "tiny", "wide"]
    write(out, TESTDATA, [f"images/{name}.png" for name in names], 120, 7)


if __name__ == "__main__":
    main()
