#!/usr/bin/env python3
"""Small image files and what Pillow makes of them: <case>.rgb (decoded), <case>.resized (bicubic), in
extra.safetensors; the list in extra.json. Pillow 13.0, numpy, safetensors, transformers 4.57.

  make_extra.py OUT_DIR
"""
import json
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file
from transformers.image_utils import load_image

out = Path(sys.argv[1])
rng = np.random.default_rng(7)
tensors, files, resizes = {}, [], []
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {}</rdf:Description></x:xmpmeta>'


def picture(w, h):
    """Smooth colour with a hard edge and some noise."""
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 127 + 100 * np.sin(x / 3 + y / 5)], -1)
    a[h // 3 : h // 2, w // 4 : w // 2] = [250, 10, 40]
    return np.clip(a + rng.normal(0, 6, a.shape), 0, 255).astype(np.uint8)


def add(name, data):
    (out / name).write_bytes(data)
    tensors[name + ".rgb"] = np.asarray(load_image(str(out / name)))
    files.append(name)


def saved(image, kind, **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation, big_endian=False):
    order, head = (">", b"MM\0*") if big_endian else ("<", b"II*\0")
    entries = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(order + "IH", 8, 1) + entries + struct.pack(order + "I", 0)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, rows, before=b"", after=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + r for r in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


def adam7(pixels):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    return [row.tobytes() for x0, y0, dx, dy in passes for row in pixels[y0::dy, x0::dx]]


rgb = picture(21, 14)
image = Image.fromarray(rgb)
alpha = Image.fromarray(np.linspace(0, 255, 21 * 14).reshape(14, 21).astype(np.uint8))
rgba = image.copy()
rgba.putalpha(alpha)

# WebP
add("lossy.webp", saved(image, "WEBP", quality=80))
add("lossless.webp", saved(image, "WEBP", lossless=True))
add("alpha_lossy.webp", saved(rgba, "WEBP", quality=70))
add("alpha_lossless.webp", saved(rgba, "WEBP", lossless=True, exact=True))
add("animated.webp", saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=50))
add("exif8.webp", saved(image, "WEBP", lossless=True, exif=exif(8, True)))
add("xmp6.webp", saved(image, "WEBP", lossless=True, xmp=XMP.format('tiff:Orientation="6">').encode()))

# PNG: depths, colour kinds and palettes that the usual encoders do not write
wide16 = rng.integers(0, 65536, (6, 9, 4)).astype(">u2")
add("rgb16.png", png(9, 6, 16, 2, [r[:, :3].tobytes() for r in wide16]))
add("rgba16.png", png(9, 6, 16, 6, [r.tobytes() for r in wide16]))
add("greyalpha16.png", png(9, 6, 16, 4, [r[:, :2].tobytes() for r in wide16]))
low16 = rng.integers(0, 400, (6, 9)).astype(">u2")
add("grey16_low.png", png(9, 6, 16, 0, [r.tobytes() for r in low16]))
add("grey2.png", png(8, 4, 2, 0, [bytes(r) for r in rng.integers(0, 256, (4, 2)).astype(np.uint8)]))
add("grey4_trns.png", png(8, 4, 4, 0, [bytes(r) for r in rng.integers(0, 256, (4, 4)).astype(np.uint8)],
                          chunk(b"tRNS", b"\0\7")))
add("rgb_trns.png", png(2, 1, 8, 2, [bytes([1, 2, 3, 9, 8, 7])], chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))))
palette = chunk(b"PLTE", bytes(range(30, 42)))
add("palette2.png", png(8, 4, 2, 3, [bytes(r) for r in rng.integers(0, 256, (4, 2)).astype(np.uint8)], palette))
add("palette_short.png", png(4, 1, 4, 3, [bytes([0x03, 0x4F])], palette))
add("gamma.png", png(21, 14, 8, 2, [r.tobytes() for r in rgb], chunk(b"gAMA", struct.pack(">I", 100000))))
grey = rng.integers(0, 700, (14, 21)).astype(">u2")
add("interlaced.png", png(21, 14, 8, 2, adam7(rgb), interlace=1))
add("interlaced_grey16.png", png(21, 14, 16, 0, adam7(grey), interlace=1))
add("animated.png", saved(image, "PNG", save_all=True, append_images=[image.rotate(180)]))

# Orientation: every value, both byte orders, before and after the pixels, XMP, ImageMagick's text
for o in range(1, 9):
    add(f"exif{o}.png", saved(image.resize((7, 5)), "PNG", exif=exif(o, o % 2 == 1)))
rows = [r.tobytes() for r in rgb]
add("exif_after.png", png(21, 14, 8, 2, rows, after=chunk(b"eXIf", exif(6)[6:])))
text = PngImagePlugin.PngInfo()
text.add_itxt("XML:com.adobe.xmp", XMP.format("><tiff:Orientation>3</tiff:Orientation>"))
add("xmp3.png", saved(image, "PNG", pnginfo=text))
text = PngImagePlugin.PngInfo()
text.add_text("Raw profile type exif", f"\nexif\n{len(exif(5)):8}\n{exif(5).hex()}\n", zip=True)
add("raw_profile5.png", saved(image, "PNG", pnginfo=text))
add("exif_over_xmp.jpg", saved(image, "JPEG", exif=exif(3), xmp=XMP.format('tiff:Orientation="6">').encode()))
add("xmp8.jpg", saved(image, "JPEG", xmp=XMP.format('tiff:Orientation="8">').encode()))
add("exif_two_values.png", png(21, 14, 8, 2, rows, before=chunk(
    b"eXIf", b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 2, 6, 6, 0))))
add("exif_byte.png", png(21, 14, 8, 2, rows, before=chunk(
    b"eXIf", b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 1, 1, 6, 0, 0))))
add("exif_long.png", png(21, 14, 8, 2, rows, before=chunk(
    b"eXIf", b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 4, 1, 6, 0))))
add("exif_four_values.png", png(21, 14, 8, 2, rows, before=chunk(
    b"eXIf", b"II*\0" + struct.pack("<IHHHIIIHHHH", 8, 1, 0x0112, 3, 4, 26, 0, 8, 6, 6, 6))))
add("exif_out_of_block.png", png(21, 14, 8, 2, rows, before=chunk(b"eXIf", b"II*\0" + struct.pack("<I", 4000))))
add("exif_twice_first_wins.png", png(21, 14, 8, 2, rows, before=chunk(
    b"eXIf", b"II*\0" + struct.pack("<IHHHIIHHIII", 8, 2, 0x0112, 3, 1, 6, 0x0112, 3, 1, 3, 0))))

# JPEG
for name, size, options in [("h2v1.jpg", (37, 29), {"subsampling": 1}), ("h2v2.jpg", (37, 29), {"subsampling": 2}),
                            ("odd.jpg", (17, 9), {"quality": 30}), ("one.jpg", (1, 1), {}),
                            ("restart.jpg", (40, 40), {"restart_marker_blocks": 2}),
                            ("rgb_colours.jpg", (20, 20), {"keep_rgb": True})]:
    add(name, saved(Image.fromarray(picture(*size)), "JPEG", **options))
add("cmyk.jpg", saved(Image.fromarray(picture(24, 18)).convert("CMYK"), "JPEG", quality=95))
inks = np.concatenate([picture(24, 18), picture(24, 18)[::-1, ::-1, :1]], -1)
add("cmyk_black.jpg", saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=95))

# Resizes: one side only, to one pixel, far up, far down, and which pass comes first
for name, (w, h), (tw, th) in [("width_only", (30, 11), (12, 11)), ("height_only", (9, 31), (9, 50)),
                               ("to_one", (23, 17), (1, 1)), ("up", (3, 2), (29, 31)), ("down", (190, 97), (7, 5)),
                               ("mixed", (50, 8), (13, 40)), ("from_one", (1, 1), (4, 3)), ("near", (28, 28), (27, 29)),
                               ("twice_the_rows", (40, 40), (35, 30)), ("more_rows", (40, 40), (35, 29)),
                               ("wider_and_lower", (40, 40), (44, 39)), ("wider_and_higher", (40, 40), (44, 41))]:
    noise = rng.integers(0, 2, (h, w, 3)).astype(np.uint8) * 255
    tensors[name + ".rgb"] = noise
    tensors[name + ".resized"] = np.asarray(Image.fromarray(noise).resize((tw, th), Image.BICUBIC))
    resizes.append(name)

save_file(tensors, str(out / "extra.safetensors"))
(out / "extra.json").write_text(json.dumps({"files": files, "resizes": resizes}, indent=1) + "\n")
print(len(files), "files", len(resizes), "resizes")
