#!/usr/bin/env python3
"""Damages image files in thousands of ways and compares what qsweep reads with what Pillow reads, bit by bit.
Needs Pillow (13.0) and a built qsweep_test_image.

  tools/image_campaign.py [--seed N] [--each N]          makes N files of every file of testdata/images, and compares
  tools/image_campaign.py --store FILE                   writes a small part with Pillow's answers, for the tests

A case is a file of testdata/images, an edit of it, and Pillow's answer: the size of the upright RGB image and the
SHA-256 of its pixels, or null where Pillow refuses the file. What libjpeg makes of a progressive file whose later scans
are missing depends on its version by some levels: there the pixels are in the case too, as a PNG file.
"""
import argparse
import base64
import hashlib
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "testdata/images"
EXIF = b"II*\0" + struct.pack("<IHHHIIHHIHHI", 8, 2, 0x0112, 3, 1, 6, 0x0128, 3, 1, 2, 0, 0)
MAX_BYTES = 6000  # larger files add time, not kinds


# exif_transpose writes the EXIF block anew, which is of no use here, and fails for some.
Image.Exif.tobytes = lambda *_: b""


def answer(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format not in ("JPEG", "PNG", "WEBP", "MPO"):
                return {"pillow": None}
            rgb = ImageOps.exif_transpose(image).convert("RGB")
            found = {"pillow": [rgb.width, rgb.height, hashlib.sha256(rgb.tobytes()).hexdigest()]}
            if image.info.get("progressive"):
                png = io.BytesIO()
                rgb.save(png, "PNG")
                found["png"] = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
            return found
    except Exception:  # whatever it raises, the file is refused
        return {"pillow": None}


# Damage of any file

def flip(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(data, rng):
    at, n = rng.randrange(len(data)), rng.choice([1, 1, 2, 5])
    return data[:at] + rng.choice([b"\0", b"\xff", b"\xff\xd9", bytes([rng.randrange(256)])]) * n + data[at + n :]


def drop(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice([1, 2, 4, 12, 40]) :]


def insert(data, rng):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice([1, 2, 4, 12])) + data[at:]


def truncate(data, rng):
    return data[: rng.choice([rng.randrange(len(data)), len(data) - rng.randrange(1, 16)])]


def append(data, rng):
    return data + rng.choice([b"\0", rng.randbytes(20), data])


# Damage of a format's own parts

def segments(data):
    """(start, end) of a JPEG file's segments before and with the first scan header."""
    at, found = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        found.append((at, end))
        if data[at + 1] == 0xDA:
            break
        at = end
    return found


def jpeg_scan_parameters(data, rng):
    end = segments(data)[-1][1]
    return data[: end - 3] + rng.choice([bytes(3), b"\0\0\x3f", b"\x01\x3f\0", b"\0\x40\0", rng.randbytes(3)]) + data[end:]


def jpeg_no_end(data, rng):
    return data[: data.rindex(b"\xff\xd9") - rng.choice([0, 0, 1, 2, 3])]


def jpeg_ends_early(data, rng):
    end = segments(data)[-1][1]
    return data[: rng.randrange(end, len(data))] + b"\xff\xd9"


def jpeg_restarts(data, rng):
    """Renumbers, drops or doubles a marker, or puts one where none belongs."""
    places = [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    if not places:
        at = rng.randrange(segments(data)[-1][1], len(data))
        return data[:at] + bytes([0xFF, 0xD0 + rng.randrange(8)]) + data[at:]
    at = rng.choice(places)
    return data[:at] + rng.choice([b"", bytes([0xFF, 0xD0 + rng.randrange(8)]), data[at : at + 2] * 2]) + data[at + 2 :]


def jpeg_junk(data, rng):
    """Bytes between segments, or before the end."""
    at = rng.choice([s for s, _ in segments(data)] + [data.rindex(b"\xff\xd9")])
    return data[:at] + rng.choice([b"\0", b"\xff", b"ab", b"\xff\xff\xff", b"\xff\0", b"\xff\x01"]) + data[at:]


def jpeg_segment(data, rng):
    """A segment dropped, doubled, or with another length."""
    start, end = rng.choice(segments(data))
    length = struct.pack(">H", max(0, end - start - 2 + rng.choice([-2, -1, 1, 2, 300])))
    return data[:start] + rng.choice([b"", data[start:end] * 2, data[start : start + 2] + length + data[start + 4 : end]]) + data[end:]


def with_odd_byte(block, rng):
    """A byte of an EXIF block changed, most likely one of its first directory."""
    at = rng.randrange(min(len(block), rng.choice([40, 40, len(block)])))
    return block[:at] + bytes([rng.choice([0, 1, 3, 4, 255, rng.randrange(256)])]) + block[at + 1 :]


def jpeg_exif(data, rng):
    for start, end in segments(data):
        if data[start + 1] == 0xE1:
            return data[: start + 4] + with_odd_byte(data[start + 4 : end], rng) + data[end:]
    block = b"Exif\0\0" + with_odd_byte(EXIF, rng)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def chunks(data):
    at, found = 8, []
    while at + 12 <= len(data):
        end = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : end - 4]))
        at = end
    return found


def joined(parts):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)


def png_checksum(data, rng):
    at = 8
    for _ in range(rng.randrange(len(chunks(data)))):
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    at += 8 + struct.unpack(">I", data[at : at + 4])[0]
    return data[:at] + rng.randbytes(4) + data[at + 4 :]


def png_chunk(data, rng):
    """A chunk dropped, doubled, shortened or moved, checksums right."""
    parts = chunks(data)
    i = rng.randrange(len(parts))
    name, body = parts[i]
    kind = rng.randrange(4)
    if kind == 0:
        del parts[i]
    elif kind == 1:
        parts.insert(rng.randrange(len(parts) + 1), parts[i])
    elif kind == 2:
        parts[i] = (name, body[: rng.randrange(len(body) + 1)])
    else:
        parts.insert(rng.randrange(len(parts)), parts.pop(i))
    return joined(parts)


def png_pixels(data, rng):
    """The compressed pixels: other lengths, other checksum, another cut into chunks."""
    parts = chunks(data)
    first = [n for n, _ in parts].index(b"IDAT")
    packed = b"".join(d for n, d in parts if n == b"IDAT")
    rest = [p for p in parts if p[0] != b"IDAT"]
    raw = zlib.decompress(packed)
    kind = rng.randrange(6)
    if kind == 0:
        packed = zlib.compress(raw[: rng.randrange(len(raw))])
    elif kind == 1:
        packed = zlib.compress(raw + rng.randbytes(rng.choice([1, 100])))
    elif kind == 2:
        packed = packed[:-4] + rng.randbytes(4)
    elif kind == 3:
        packed = packed[: -rng.randrange(1, 10)]
    elif kind == 4:
        packed += rng.randbytes(rng.choice([1, 100]))
    else:  # ends behind a row
        header = struct.unpack(">IIBB", dict(parts)[b"IHDR"][:10])
        packed = zlib.compress(
            raw[: rng.randrange(header[1]) * (1 + (header[0] * SAMPLES[header[3]] * header[2] + 7) // 8)])
    cut = rng.randrange(len(packed) + 1)
    pieces = rng.choice([[packed], [packed[:cut], packed[cut:]], [b"", packed], [packed, b""]])
    return joined(rest[:first] + [(b"IDAT", p) for p in pieces] + rest[first:])


SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
ADAM7 = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
PNG_EXTRAS = [(b"gAMA", b"\0\0"), (b"pHYs", bytes(9)), (b"tRNS", b"\0"), (b"tRNS", bytes(6)), (b"iCCP", b"name\0\0" + b"abc"),
              (b"iCCP", b"name\0\1"), (b"sRGB", b""), (b"cHRM", bytes(31)), (b"zTXt", b"key\0\1abc"), (b"tEXt", b"key"),
              (b"iTXt", b"key\0\1\0\0\0abc"), (b"eXIf", b"no TIFF"), (b"eXIf", b"MM\0*\0\0\0\x08\0\0"), (b"PLTE", bytes(10)),
              (b"PLTE", bytes(771)), (b"abCd", b"private"), (b"acTL", struct.pack(">II", 2, 0)), (b"AB1_", b""), (b"zTXt", b"k\0\0" +
              zlib.compress(bytes(1 << 21))), (b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 10, 0, 0))]


def png_extra(data, rng):
    """An odd chunk somewhere, its checksum right or wrong."""
    parts = chunks(data)
    at = rng.randrange(1, len(parts) + 1)
    whole = joined(parts[:at] + [rng.choice(PNG_EXTRAS)] + parts[at:])
    return png_checksum(whole, rng) if rng.randrange(4) == 0 else whole


def png_header(data, rng):
    parts = chunks(data)
    header = bytearray(parts[0][1])
    header[rng.choice([3, 7, 8, 9, 10, 11, 12])] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16])
    return joined([(b"IHDR", bytes(header))] + parts[1:])


def png_exif(data, rng):
    parts = chunks(data)
    at = rng.choice([1, len(parts) - 1])
    return joined(parts[:at] + [(b"eXIf", with_odd_byte(EXIF, rng))] + parts[at:])


def webp_exif(data, rng):
    block = with_odd_byte(EXIF, rng)
    block = b"EXIF" + struct.pack("<I", len(block)) + block
    with Image.open(io.BytesIO(data)) as image:  # an extended header, then what there was
        size = struct.pack("<I", image.width - 1)[:3] + struct.pack("<I", image.height - 1)[:3]
    if data[12:16] == b"VP8X":
        body = data[12:20] + bytes([data[20] | 8]) + data[21:] + block
    else:
        body = b"VP8X" + struct.pack("<IBBBB", 10, 8, 0, 0, 0) + size + data[12:] + block
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_sizes(data, rng):
    """The size of the file or of a chunk is off."""
    at = rng.choice([4, 16])
    size = struct.unpack("<I", data[at : at + 4])[0] + rng.choice([-2, -1, 1, 2, 8])
    return data[:at] + struct.pack("<I", size & 0xFFFFFFFF) + data[at + 4 :]


def webp_pixels(data, rng):
    """One byte behind the headers."""
    at = rng.randrange(30, len(data))
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


ANY = [flip, overwrite, drop, insert, truncate, append]
OWN = {".jpg": [jpeg_scan_parameters, jpeg_no_end, jpeg_ends_early, jpeg_restarts, jpeg_junk, jpeg_segment, jpeg_exif],
       ".png": [png_checksum, png_chunk, png_pixels, png_extra, png_header, png_exif],
       ".webp": [webp_sizes, webp_pixels, webp_exif]}


def edit_of(old, new):
    """[offset, bytes removed, bytes put there]: the one change that makes new of old."""
    head = len(os.path.commonprefix([old, new]))
    tail = len(os.path.commonprefix([old[head:][::-1], new[head:][::-1]]))
    return [head, len(old) - head - tail, new[head : len(new) - tail].hex()]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(rng, width, height, bits, colour, interlaced):
    """Noise, with every kind of filter."""
    passes = ADAM7 if interlaced else [(0, 1, 0, 1)]
    raw = b""
    for x, dx, y, dy in passes:
        across, down = -(-(width - x) // dx), -(-(height - y) // dy)
        for _ in range(down if across > 0 else 0):
            raw += bytes([rng.randrange(5)]) + rng.randbytes((across * SAMPLES[colour] * bits + 7) // 8)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))]
    if colour == 3:
        parts.append((b"PLTE", rng.randbytes(3 * min(1 << bits, 200))))
    return joined(parts + [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")])


def more_files():
    """Kinds of which testdata has no file: (name, ending, bytes)."""
    rng = random.Random(5)
    small = Image.frombytes("RGB", (41, 35), bytes((x * 3 + y * 5 + 90 * c + rng.randrange(20)) % 256
                                                   for y in range(35) for x in range(41) for c in range(3)))
    alpha = small.copy()
    alpha.putalpha(small.getchannel(0))
    for name, image, options in [
            ("444", small, {"subsampling": 0}), ("grey", small.convert("L"), {}),
            ("cmyk", small.convert("CMYK"), {}), ("restarts", small, {"restart_marker_rows": 1})]:
        yield "progressive " + name, ".jpg", saved(image, "JPEG", progressive=True, **options)
    yield "optimized", ".jpg", saved(small, "JPEG", optimize=True, quality=98)
    yield "two pictures", ".jpg", saved(small, "MPO", save_all=True, append_images=[small.rotate(180)])
    yield "tall", ".jpg", saved(small.resize((3, 90)), "JPEG", subsampling=2, restart_marker_blocks=1)
    for colour, depths in [(0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))]:
        for bits in depths:
            for interlaced in (0, 1):
                name = f"colour {colour} of {bits} bits, {'interlaced' if interlaced else 'plain'}"
                yield name, ".png", png(rng, rng.randrange(1, 20), rng.randrange(1, 20), bits, colour, interlaced)
    yield "palette", ".webp", saved(small.quantize(8).convert("RGB"), "WEBP", lossless=True, method=6)
    yield "alpha, small frames", ".webp", saved(alpha, "WEBP", save_all=True, append_images=[alpha.rotate(90), alpha])
    yield "one pixel", ".webp", saved(small.resize((1, 1)), "WEBP")


def files(more):
    """(what the case calls it, name, ending, bytes)"""
    for path in sorted(IMAGES.rglob("*")):
        if path.suffix in OWN and path.stat().st_size <= MAX_BYTES:
            yield str(path.relative_to(IMAGES)), path.name, path.suffix, path.read_bytes()
    for name, ending, data in more_files() if more else []:
        yield "data:;base64," + base64.b64encode(data).decode(), name, ending, data


def make_cases(seed, each, more):
    for file, name, ending, whole in files(more):
        rng = random.Random(f"{seed} {name}")
        first = rng.randrange(100)
        for i in range(each):
            damages = OWN[ending] if i % 2 else ANY
            damage = damages[(first + i // 2) % len(damages)]
            yield {"file": file, "name": name, "damage": damage.__name__, "edit": edit_of(whole, damage(whole, rng))}


def damaged(case):
    file = case["file"]
    data = base64.b64decode(file.split(",")[1]) if file.startswith("data:") else (IMAGES / file).read_bytes()
    at, removed, put = case["edit"]
    return data[:at] + bytes.fromhex(put) + data[at + removed :]


def with_answers(cases):
    return [dict(case, **answer(damaged(case))) for case in cases]


def written(cases):
    return "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--test", default=str(ROOT / "build/release/tests/qsweep_test_image"))
    parser.add_argument("--store")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = with_answers(make_cases(arguments.seed, arguments.each, more=not arguments.store))
    read = sum(case["pillow"] is not None for case in cases)
    print(f"{len(cases)} damaged files, of which Pillow reads {read}", file=sys.stderr)
    if arguments.store:
        Path(arguments.store).write_text(written(cases))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        list_of_cases = Path(folder) / "cases.json"
        list_of_cases.write_text(written(cases))
        return subprocess.run([arguments.test, "--gtest_filter=Damaged.FilesAreLikePillow"],
                              env=dict(os.environ, QSWEEP_IMAGE_CASES=str(list_of_cases))).returncode


if __name__ == "__main__":
    sys.exit(main())
