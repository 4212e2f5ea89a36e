"""Records what Pillow does, for the tests of `src/data` (see README.md)."""

import json
import sys
import zlib

import numpy as np
from PIL import Image

BICUBIC = Image.Resampling.BICUBIC


def picture(height, width, channels, seed):
    """Smooth waves, one hard-edged disc and some noise: everything a resampling filter can get wrong."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for c in range(channels):
        wave = 127 + 90 * np.sin(x / (3.0 + c)) * np.cos(y / (4.0 + 2 * c))
        disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 4) ** 2
        wave = np.where(disc, 255 * (c % 2), wave)
        planes.append(wave + rng.normal(0, 12, wave.shape))
    array = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


colour, grey = picture(41, 53, 3, 1), picture(28, 28, 1, 2)
colour.save("colour.png")
grey.save("grey.png")
colour.convert("L").save("colour_luma.png")
colour.save("colour.jpg", quality=95, subsampling=0)
Image.open("colour.jpg").save("colour_jpg.png")

# (input, box = left, top, width, height, output size = width, height)
CASES = [
    ("colour", (0, 0, 53, 41), (24, 24)),  # shrink the whole
    ("colour", (5, 9, 30, 22), (24, 24)),  # shrink one side, enlarge neither
    ("colour", (17, 3, 13, 15), (32, 32)),  # enlarge
    ("colour", (0, 0, 53, 41), (7, 64)),  # shrink one side strongly, enlarge the other
    ("grey", (0, 0, 28, 28), (17, 11)),
    ("grey", (3, 6, 20, 19), (28, 28)),  # the crop of a digit
    ("grey", (25, 0, 3, 28), (28, 28)),
    ("grey", (4, 4, 20, 20), (20, 20)),  # nothing to resample
    # Pillow 13 resizes the height first if it shrinks, and by more than twice as many pixels as the width:
    ("colour", (11, 0, 20, 41), (17, 35)),  # by 6 and by 3, just not
    ("colour", (11, 0, 20, 41), (17, 34)),  # by 7 and by 3
    ("grey", (8, 0, 9, 28), (13, 28)),  # not at all
    ("grey", (8, 0, 9, 28), (13, 27)),  # by 1, while the width grows
]
cases = []
for i, (name, (left, top, width, height), size) in enumerate(CASES):
    image = Image.open(f"{name}.png")
    # torchvision's RandomResizedCrop crops first, so the filter never sees what lies outside the box.
    image.crop((left, top, left + width, top + height)).resize(size, BICUBIC).save(f"case_{i}.png")
    cases.append({"input": f"{name}.png", "left": left, "top": top, "width": width, "height": height,
                  "output": f"case_{i}.png"})
with open("cases.json", "w") as file:
    json.dump(cases, file, indent=1)
    file.write("\n")


def noise(case, count):
    """`count` bytes that the test makes in the same way, so that no picture need be kept."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(case * 1_000_003 % 2**32)
    for factor in (0x7FEB352D, 0x846CA68B):
        x = (x ^ x >> np.uint32(16)) * np.uint32(factor)
    return (x >> np.uint32(24)).astype(np.uint8)


def resized(pixels, box, size):
    """Rows, columns, channels, in whatever modes Pillow has that treat every channel alike."""
    channels = pixels.shape[2]
    if channels in (3, 4):
        height, width = pixels.shape[:2]
        bands = [Image.frombytes({3: "RGB", 4: "CMYK"}[channels], (width, height), pixels.tobytes())]
    else:
        bands = [Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(channels)]
    bands = [np.asarray(band.crop(box).resize(size, BICUBIC)) for band in bands]
    return np.concatenate([band.reshape(size[1], size[0], -1) for band in bands], -1)


def random_case(rng):
    """A crop and a size: any, or next to where the order of the two sides changes."""
    height, width, out_height, out_width = (int(side) for side in rng.integers(1, 70, 4))
    if rng.random() < 0.5:
        height = max(1, out_height + 2 * (width - out_width) + int(rng.integers(-1, 3)))
    top, left, below, right = (int(margin) for margin in rng.integers(0, 4, 4))
    return {
        "height": height + top + below, "width": width + left + right, "channels": int(rng.integers(1, 6)),
        "crop": [top, left, height, width], "out": [out_height, out_width],
    }


# `python make.py 20000 OTHER.json` makes a wide search of the test, by hand.
count, target = (int(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 1 else (600, "random.json")
rng = np.random.default_rng(5)
cases = [random_case(rng) for _ in range(count)]
for i, case in enumerate(cases):
    shape = (case["height"], case["width"], case["channels"])
    top, left, height, width = case["crop"]
    out = resized(noise(i, np.prod(shape)).reshape(shape), (left, top, left + width, top + height), case["out"][::-1])
    case["crc32"] = zlib.crc32(out.tobytes())
with open(target, "w") as file:
    file.write("[\n" + ",\n".join(f" {json.dumps(case)}" for case in cases) + "\n]\n")
