#!/usr/bin/env python3
"""Small tokenizers of the kinds that families bring, and the ids that the tokenizers library gives texts.

    tools/token_samples.py make OUT [--texts 3000] [--also NAME=FILE ...]   in a new folder OUT; then run the test on it:
                          QSWEEP_TOKENS=OUT build/release/tests/qsweep_test_text --gtest_filter='TokenSamples.*'
    tools/token_samples.py store                                            writes testdata/tokenizer/kinds anew

--also takes any tokenizer.json. Needs tokenizers 0.22 and nothing else; not part of CI.
"""
import argparse
import json
import random
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "testdata" / "tokenizer" / "kinds"
SPACE = "\u2581"

# The patterns that these families publish.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")  # fmt: skip
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")  # fmt: skip


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior=behavior, invert=invert)


def bytes_of(*steps, use_regex=False, add_prefix_space=False):
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)])


# kind: normalizer, pre-tokenizer (with a name for bytes: byte-level), begin token, options of the model
KINDS = {
    "llama3": dict(pre=bytes_of(split(LLAMA3)), begin="<|begin_of_text|>", ignore_merges=True),
    "tekken": dict(pre=bytes_of(split(TEKKEN)), begin="<s>", ignore_merges=True),
    "digits": dict(pre=bytes_of(pre_tokenizers.Digits(individual_digits=True), use_regex=True)),
    "behaviors": dict(norm=normalizers.NFC(), pre=bytes_of(
        pre_tokenizers.Digits(individual_digits=False), split("[aeiou]", "merged_with_previous"), split("t+|h", "merged_with_next"),
        pre_tokenizers.Split(",", behavior="contiguous"), split(r"\s", "contiguous", invert=True), add_prefix_space=True)),
    "gemma": dict(norm=normalizers.Replace(" ", SPACE), pre=pre_tokenizers.Split(" ", behavior="merged_with_previous"), begin="<bos>",
                  fallback=True),
    "llama2": dict(norm=normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]), pre=None, begin="<s>",
                   fallback=True),
    "first_space": dict(pre=pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False), begin="<s>", fallback=True),
    "metaspace": dict(norm=normalizers.NFC(), pre=pre_tokenizers.Metaspace(SPACE, prepend_scheme="always", split=True), fallback=True,
                      ignore_merges=True),
}  # fmt: skip

WORDS = """the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all
were we when your can said there use an each which she do how their if will up other about out many then them these so some her would
make like him into time has look two more write go see number no way could people my than first water been call who oil its now find
long down day did get come made may part don't it's I'll we've they're café naïve über straße 2024 1,000 3.14 hello world""".split()
ODD = ["  ", " ", "\n", "\n\n", "\r\n", "\t", "...", "!", "?", "''", "'s", "'LL", "12345678", "1", "3.14", "\u0660\u0661", "\u2167", "\u00b2",
       "\u00a0", "\u2003", "\u200b", "\u2028", "\ufeff", "e\u0301", "\u0301", "\u1100\u1161\u11a8", "\u00e9", "\u65e5\u672c\u8a9e", "\u4f60\u597d",
       "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05c1", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31", "\uac01", "\U0001f44d\U0001f3fd",
       "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\ufffd", "\x00", "\x1f", "\u2581", "\u2581\u2581", "<0x41>", "<s>", "<bos>",
       "<|begin_of_text|>", "<mark>", " <mark> ", "<both>", "caf\u00e9<both>", "CamelCase", "snake_case", "a/b/c", "http://x.y/z?a=1&b=2",
       "{\"a\": [1, 2]}", "\\n", "x" * 40, "ab" * 30, " " * 17, ",,,", "tthh", "aeiou"]  # fmt: skip


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def letters(self):
        out = ""
        while len(out) < 4:
            c = chr(self.rng.choice([self.rng.randrange(0x20, 0x3000), self.rng.randrange(0x20, 0xD800), self.rng.randrange(0x10000, 0x1F800)]))
            # Tables of Unicode differ in age: characters that Python's of 2021 has are in all of them.
            if unicodedata.category(c) not in ("Cn", "Co") and not 0x1AB0 <= ord(c) < 0x1B00 and not 0x1DC0 <= ord(c) < 0x1E00:
                out += c
        return out

    def text(self):
        pieces = []
        for _ in range(self.rng.choice([1, 1, 2, 3, 6, 12])):
            kind = self.rng.random()
            if kind < 0.55:
                pieces.append(" ".join(self.rng.choice(WORDS) for _ in range(self.rng.randrange(1, 5))))
            elif kind < 0.9:
                pieces.append(self.rng.choice(ODD))
            else:
                pieces.append(self.letters())
        return self.rng.choice(["", " "]).join(pieces)


def build(kind, seed, size=420):
    options = KINDS[kind]
    fallback = options.get("fallback", False)
    begin = options.get("begin")
    special = [begin] if begin else []
    rng = random.Random(seed)
    corpus = [" ".join(rng.choice(WORDS) for _ in range(9)) for _ in range(400)]
    trained = Tokenizer(models.BPE(unk_token="<unk>" if fallback else None))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(SPACE) if fallback else options["pre"]
    trained.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size - 256 if fallback else size, show_progress=False, special_tokens=["<unk>"] if fallback else [],
        initial_alphabet=[] if fallback else pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    model = json.loads(trained.to_str())["model"]
    words = sorted(model["vocab"], key=model["vocab"].get)
    if fallback:
        words = words[:1] + [f"<0x{b:02X}>" for b in range(256)] + words[1:]
    if options.get("ignore_merges"):
        words += [SPACE + "wholeword", "wholeword"] if fallback else ["\u0120wholeword", "wholeword"]
    tokenizer = Tokenizer(models.BPE(
        vocab={w: i for i, w in enumerate(words)}, merges=[tuple(m) for m in model["merges"]], unk_token="<unk>" if fallback else None,
        byte_fallback=fallback, fuse_unk=fallback, ignore_merges=options.get("ignore_merges", False)))  # fmt: skip
    if "norm" in options:
        tokenizer.normalizer = options["norm"]
    if options["pre"] is not None:
        tokenizer.pre_tokenizer = options["pre"]
    tokenizer.decoder = decoders.Fuse() if fallback else decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, normalized=False) for s in special])
    tokenizer.add_tokens([AddedToken("<mark>", normalized=False, lstrip=True, rstrip=True), AddedToken("<both>", normalized=True)])
    if begin:
        template = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))])
        tokenizer.post_processor = template if fallback else processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def write(path, tokenizer, texts):
    cases = [json.dumps({"text": t, "ids": tokenizer.encode(t).ids}) for t in texts]
    whole = json.dumps(json.loads(tokenizer.to_str()), separators=(",", ":"))
    path.write_text('{"tokenizer": ' + whole + ',\n "cases": [\n' + ",\n".join(cases) + "\n]}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["make", "store"])
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--also", nargs="*", default=[])
    args = parser.parse_args()
    store = args.command == "store"
    out, count = (OUT, 25) if store else (args.out, args.texts)
    out.mkdir(parents=True, exist_ok=True)
    for seed, kind in enumerate(KINDS):
        maker = Maker(seed)
        texts = [""] + ([] if store else ODD) + [maker.text() for _ in range(count)] + ["wholeword wholeword", "a wholeword"]
        write(out / f"{kind}.json", build(kind, seed), texts)
    for seed, name_file in enumerate(args.also):
        name, file = name_file.split("=", 1)
        maker = Maker(100 + seed)
        write(out / f"{name}.json", Tokenizer.from_file(file), ["", *ODD, *(maker.text() for _ in range(count))])


if __name__ == "__main__":
    main()
