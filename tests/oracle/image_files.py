#!/usr/bin/env python3
"""Small pictures of every kind, and what PIL decodes of them, for tests/data/image_test.cpp.

    image_files.py tests/data/pictures.safetensors [tests/fuzz/seeds/image]     # also some of the files, as seeds

The file holds for each picture its bytes, `NAME`, and PIL's upright RGB pixels, `NAME pixels`; these are absent where PIL
refuses the picture (REFUSED below), and so must we. Needs pillow and numpy.
"""
import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 17, 23
y, x = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([x * 11, y * 15, 128 + 90 * np.sin(x / 3 + y / 4)], -1).astype(np.uint8)
GREY = RGB[..., 2]
INK = np.concatenate([RGB, 255 - (x + 2 * y)[..., None].astype(np.uint8)], -1)
pictures, REFUSED = {}, set()


def add(name, data, refused=False):
    pictures[name] = data
    if refused:
        REFUSED.add(name)


# ---- JPEG ----
def jpeg(pixels=RGB, mode=None, **options):
    out = io.BytesIO()
    Image.fromarray(pixels, mode).save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def without(data, marker):
    at = data.index(bytes([0xFF, marker]))
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def behind_start(data, inserted):
    return data[:2] + inserted + data[2:]


def changed(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1:]


def exif(orientation, type, order, count=1):
    e = ">" if order == "MM" else "<"
    value = struct.pack(e + {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}[type], orientation)
    return (order.encode() + struct.pack(e + "HIH", 42, 8, 2) + struct.pack(e + "HHI", 0x100, 4, 1) + bytes(4) +
            struct.pack(e + "HHI", 0x112, type, count) + value.ljust(4, b"\0") + bytes(4))


def app1(block):
    return segment(0xE1, b"Exif\0\0" + block)


def xmp_segment(text):
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)


ATTRIBUTE = b'<x:xmpmeta><rdf:Description tiff:Make="tiff:Orientation" tiff:Orientation="6"/></x:xmpmeta>'
ELEMENT = b"<x:xmpmeta><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>"

for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
    add(f"{name}.jpg", jpeg(subsampling=subsampling))
    add(f"progressive-{name}.jpg", jpeg(subsampling=subsampling, progressive=True))
plain, inks = jpeg(), jpeg(INK, "CMYK")
frame, scan = plain.index(b"\xFF\xC0"), plain.index(b"\xFF\xDA")
middle = (scan + len(plain)) // 2
add("grey.jpg", jpeg(GREY))
add("restarts.jpg", jpeg(restart_marker_blocks=1))
add("adobe-rgb.jpg", jpeg(keep_rgb=True))
add("rgb-ids.jpg", without(jpeg(keep_rgb=True), 0xEE))
add("cmyk-adobe.jpg", inks)
add("cmyk.jpg", without(inks, 0xEE))
add("cmyk-turned.jpg", behind_start(inks, app1(exif(6, 3, "II"))))
add("ycck.jpg", changed(inks, inks.index(b"Adobe") + 11, 2))
add("bytes-before-end.jpg", plain[:-2] + bytes(50) + b"abc" + plain[-2:])
add("marker-00-before-end.jpg", plain[:-2] + b"\xFF\x00\xFF\x00" + plain[-2:])
add("restart-before-end.jpg", plain[:-2] + b"\xFF\xD3" + plain[-2:])
add("padding-before-end.jpg", plain[:-2] + b"\xFF\xFF\xFF" + plain[-2:])
add("segment-cut-before-end.jpg", plain[:-2] + b"\xFF\xE5\x10\x10" + plain[-2:])
add("zeros-for-end.jpg", plain[:-2] + bytes(50))
add("bytes-behind-end.jpg", plain + bytes(50) + plain)
add("bytes-between-segments.jpg", plain[:frame] + b"\0junk" + plain[frame:])
add("end-in-the-middle.jpg", plain[:middle] + b"\xFF\xD9")
add("marker-in-the-middle.jpg", plain[:middle] + b"\xFF\xD5" + plain[middle:])
add("damaged-in-the-middle.jpg", changed(plain, middle, plain[middle] ^ 0x5A))
for type in (1, 3, 4, 6, 7, 8, 9, 13):
    for order in ("II", "MM"):
        add(f"exif-type-{type}-{order}.jpg", behind_start(plain, app1(exif(6, type, order))))
for orientation in (0, 1, 2, 3, 4, 5, 7, 8, 9):
    add(f"exif-{orientation}.jpg", behind_start(plain, app1(exif(orientation, 3, "MM"))))
add("exif-two-values.jpg", behind_start(plain, app1(exif(6, 3, "II", 2))))
add("exif-twice-named.jpg", behind_start(plain, app1(b"Exif\0\0" + exif(6, 3, "II"))))
add("exif-in-two.jpg", behind_start(plain, app1(exif(6, 3, "II")[:20]) + app1(exif(6, 3, "II")[20:])))
add("exif-cut.jpg", behind_start(plain, app1(exif(6, 3, "II")[:25])))
add("xmp-attribute.jpg", behind_start(plain, xmp_segment(ATTRIBUTE)))
add("xmp-element.jpg", behind_start(plain, xmp_segment(ELEMENT)))
add("xmp-twice.jpg", behind_start(plain, xmp_segment(ATTRIBUTE) + xmp_segment(ELEMENT)))
add("exif-over-xmp.jpg", behind_start(plain, xmp_segment(ATTRIBUTE) + app1(exif(3, 3, "II"))))
add("exif-0-over-xmp.jpg", behind_start(plain, xmp_segment(ATTRIBUTE) + app1(exif(0, 3, "II"))))
add("exif-empty-and-xmp.jpg", behind_start(plain, xmp_segment(ATTRIBUTE) + app1(exif(3, 3, "II", 0))))
add("cut.jpg", plain[:middle], refused=True)
add("no-end.jpg", plain[:-2], refused=True)
add("no-end-progressive.jpg", jpeg(progressive=True)[:-2], refused=True)
add("zeros-for-end-progressive.jpg", jpeg(progressive=True)[:-2] + bytes(50), refused=True)
add("unknown-marker-before-end.jpg", plain[:-2] + b"\xFF\x45" + plain[-2:], refused=True)
add("header-only.jpg", plain[:scan], refused=True)
add("12-bit.jpg", changed(plain, frame + 4, 12), refused=True)
add("no-height.jpg", plain[:frame + 5] + bytes(2) + plain[frame + 7:], refused=True)
add("no-frame.jpg", without(plain, 0xC0), refused=True)
add("lossless-arithmetic.jpg", changed(plain, frame + 1, 0xCB), refused=True)


# ---- PNG ----
def chunk(type, data):
    return struct.pack(">I", len(data)) + type + data + struct.pack(">I", zlib.crc32(type + data))


def rows(samples, depth):
    """Filter 0 and the packed samples [H, W, C] of each row."""
    packed = b""
    for row in samples.reshape(samples.shape[0], -1).astype(">u2"):
        if depth == 16:
            packed += b"\0" + row.tobytes()
        elif depth == 8:
            packed += b"\0" + row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            packed += b"\0" + np.packbits(bits.astype(np.uint8)).tobytes()
    return packed


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def header(samples, depth, colour, interlaced=False):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, interlaced))


def png(samples, depth, colour, before=b"", behind=b"", interlaced=False, first=b"", parts=1):
    passes = [samples[v::dv, h::dh] for v, h, dv, dh in ADAM7] if interlaced else [samples]
    data = zlib.compress(b"".join(rows(p, depth) for p in passes if p.size))
    step = -(-len(data) // parts)
    pixels = b"".join(chunk(b"IDAT", data[i:i + step]) for i in range(0, len(data), step))
    return (b"\x89PNG\r\n\x1a\n" + first + header(samples, depth, colour, interlaced) + before + pixels + behind +
            chunk(b"IEND", b""))


GREY_KIND, RGB_KIND, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
wide = np.stack([x * 2847, y * 3855, (x + y) * 1500], -1)
alpha = (x * 7 % 256)[..., None]
for depth in (1, 2, 4, 8, 16):
    levels = (x + 3 * y) * (40 if depth == 16 else 1) % 2**depth
    for interlaced in (False, True):
        kind = f"{depth}{'-interlaced' if interlaced else ''}"
        add(f"grey-{kind}.png", png(levels, depth, GREY_KIND, interlaced=interlaced))
        if depth >= 8:
            add(f"rgb-{kind}.png", png(wide if depth == 16 else RGB, depth, RGB_KIND, interlaced=interlaced))
    if depth < 16:
        palette = chunk(b"PLTE", bytes((37 * i + 90) % 256 for i in range(3 * 2**depth)))
        add(f"palette-{depth}.png", png(levels, depth, PALETTE, palette))
        add(f"palette-{depth}-interlaced.png", png(levels, depth, PALETTE, palette, interlaced=True))
        add(f"palette-{depth}-one-clear.png", png(levels, depth, PALETTE, palette + chunk(b"tRNS", b"\xFF\0")))
        add(f"palette-{depth}-alpha.png", png(levels, depth, PALETTE, palette + chunk(b"tRNS", b"\x10\x80")))
add("palette-short.png", png(x % 7, 8, PALETTE, chunk(b"PLTE", bytes(range(15)))))
add("grey-8-clear.png", png(GREY, 8, GREY_KIND, chunk(b"tRNS", b"\0\x80")))
add("grey-16-clear.png", png(wide[..., 0], 16, GREY_KIND, chunk(b"tRNS", b"\0\0")))
add("rgb-8-clear.png", png(RGB, 8, RGB_KIND, chunk(b"tRNS", bytes(6))))
add("grey-alpha-8.png", png(np.concatenate([GREY[..., None], alpha], -1), 8, GREY_ALPHA))
add("grey-alpha-16.png", png(np.concatenate([wide[..., :1], alpha], -1), 16, GREY_ALPHA))
add("rgba-8.png", png(np.concatenate([RGB, alpha], -1), 8, RGBA))
add("rgba-16.png", png(np.concatenate([wide, alpha], -1), 16, RGBA, interlaced=True))
add("gamma.png", png(RGB, 8, RGB_KIND, chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\5\5")))
add("bad-profile.png", png(RGB, 8, RGB_KIND, chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))))
add("parts.png", png(RGB, 8, RGB_KIND, parts=9))
noise = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3))
noise[8:] = noise[:9]  # repeats that lie farther back than the window of 256 bytes that the stream says it needs
stream = zlib.compress(rows(noise, 8))
small = png(noise, 8, RGB_KIND)
small = small[:small.index(b"IDAT") - 4] + chunk(b"IDAT", b"\x08\x1D" + stream[2:]) + chunk(b"IEND", b"")
add("window-too-small.png", small)
add("bytes-behind-end.png", png(RGB, 8, RGB_KIND) + b"more")
text = b"XML:com.adobe.xmp\0"
raw = b"Exif\0\0" + exif(6, 3, "II")
raw = f"\nexif\n{len(raw):8}\n{raw.hex()[:40]}\n{raw.hex()[40:]}\n".encode()
for name, data in {
        "exif-long": chunk(b"eXIf", exif(5, 4, "MM")),
        "exif-byte": chunk(b"eXIf", exif(5, 1, "II")),
        "exif-named": chunk(b"eXIf", b"Exif\0\0" + exif(7, 3, "II")),
        "xmp-itxt": chunk(b"iTXt", text + b"\0\0en\0\0" + ATTRIBUTE),
        "xmp-itxt-compressed": chunk(b"iTXt", text + b"\1\0\0\0" + zlib.compress(ELEMENT)),
        "xmp-text": chunk(b"tEXt", text + ATTRIBUTE),
        "xmp-ztxt": chunk(b"zTXt", text + b"\0" + zlib.compress(ATTRIBUTE)),
        "raw-profile-text": chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        "raw-profile-ztxt": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        "exif-over-xmp": chunk(b"tEXt", text + ATTRIBUTE) + chunk(b"eXIf", exif(3, 3, "MM")),
        "exif-0-over-xmp": chunk(b"tEXt", text + ATTRIBUTE) + chunk(b"eXIf", exif(0, 3, "MM")),
}.items():
    add(f"{name}-before.png", png(RGB, 8, RGB_KIND, data))
    add(f"{name}-behind.png", png(RGB, 8, RGB_KIND, behind=data))
frame_control = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
second = struct.pack(">IIIIIHHBB", 1, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
add("animated.png", png(RGB, 8, RGB_KIND, chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame_control),
                        chunk(b"fcTL", second) +
                        chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(rows(255 - RGB, 8)))))
whole = png(RGB, 8, RGB_KIND)
at = whole.index(b"IDAT")
add("apple-cgbi.png", png(RGB, 8, RGB_KIND, first=chunk(b"CgBI", bytes(4))).replace(zlib.compress(rows(RGB, 8)), b""),
    refused=True)
add("cut.png", whole[:at + 40], refused=True)
add("header-checksum.png", changed(whole, 30, whole[30] ^ 1), refused=True)
add("text-checksum.png", png(RGB, 8, RGB_KIND, chunk(b"tEXt", b"a\0b")[:-1] + b"\0"), refused=True)
add("no-pixels.png", whole[:at - 4] + chunk(b"IEND", b""), refused=True)
add("rgb-4.png", png(RGB % 16, 4, RGB_KIND), refused=True)
add("no-width.png", png(RGB[:, :0], 8, RGB_KIND), refused=True)

# ---- what PIL decodes ----
warnings.simplefilter("ignore")
tensors = {}
for name, data in pictures.items():
    tensors[name] = np.frombuffer(data, np.uint8)
    try:
        picture = Image.open(io.BytesIO(data))
        decoded = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        assert name not in REFUSED, name
        tensors[f"{name} pixels"] = decoded
    except (OSError, SyntaxError, ValueError) as error:
        assert name in REFUSED, (name, error)

entries, body = {}, b""
for name, tensor in tensors.items():
    entries[name] = {"dtype": "U8", "shape": tensor.shape, "data_offsets": [len(body), len(body) + tensor.size]}
    body += tensor.tobytes()
text = json.dumps(entries).encode()
text += b" " * (-len(text) % 8)
pathlib.Path(sys.argv[1]).write_bytes(struct.pack("<Q", len(text)) + text + body)

SEEDS = ["420.jpg", "progressive-420.jpg", "ycck.jpg", "cmyk.jpg", "restarts.jpg", "exif-type-4-MM.jpg", "xmp-element.jpg",
         "bytes-before-end.jpg", "grey-1-interlaced.png", "grey-16-interlaced.png", "palette-4-alpha.png", "rgba-16.png",
         "exif-long-behind.png", "xmp-itxt-compressed-before.png", "raw-profile-ztxt-behind.png", "animated.png",
         "apple-cgbi.png"]
for name in SEEDS if len(sys.argv) > 2 else []:
    (pathlib.Path(sys.argv[2]) / name).write_bytes(pictures[name])
