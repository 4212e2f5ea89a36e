"""Records what Pillow does, for the tests of `src/data` (see README.md)."""

import json

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
