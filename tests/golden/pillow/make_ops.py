"""Records what Pillow makes of the operations of RandAugment, for `tests/data/pillow_ops.rs` (see README.md)."""

import json
import sys

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# The calls are those of timm 1.0.31, timm/data/auto_augment.py, with the interpolation and the fill colour that the
# reference's fine-tuning hands to them.
AFFINE = {
    "ShearX": lambda v, w, h: (1, v, 0, 0, 1, 0),
    "ShearY": lambda v, w, h: (1, 0, 0, v, 1, 0),
    "TranslateX": lambda v, w, h: (1, 0, v * w, 0, 1, 0),
    "TranslateY": lambda v, w, h: (1, 0, 0, 0, 1, v * h),
}
ENHANCE = {name: getattr(ImageEnhance, name) for name in ("Color", "Contrast", "Brightness", "Sharpness")}


def apply(image, op, value):
    fill = (124, 116, 104)[: len(image.getbands())]
    fill = fill if len(fill) > 1 else fill[0]
    resample = {"resample": Image.Resampling.BICUBIC, "fillcolor": fill}
    if op in AFFINE:
        return image.transform(image.size, Image.Transform.AFFINE, AFFINE[op](value, *image.size), **resample)
    if op in ENHANCE:
        return ENHANCE[op](image).enhance(value)
    if op == "Rotate":
        return image.rotate(value, **resample)
    if op == "SolarizeAdd":
        table = [min(255, i + value) if i < 128 else i for i in range(256)]
        return image.point(table * len(image.getbands()))
    if op in ("Posterize", "Solarize"):
        return getattr(ImageOps, op.lower())(image, value)
    return getattr(ImageOps, op.lower())(image)


CASES = [("AutoContrast", 0), ("Equalize", 0), ("Invert", 0)]
CASES += [("Posterize", v) for v in (1, 2, 4)]
CASES += [("Solarize", v) for v in (0, 26, 128, 256)]
CASES += [("SolarizeAdd", v) for v in (0, 99, 110)]
CASES += [(op, v) for op in ENHANCE for v in (0.1, 0.19, 0.7345, 1.0, 1.4321, 1.81, 1.9)]
CASES += [("Rotate", v) for v in (-30.0, -27.1234, 0.0, 3.75, 26.8)]
CASES += [(op, v) for op in ("ShearX", "ShearY") for v in (-0.3, -0.2613, 0.0, 0.0517, 0.27)]
CASES += [(op, v) for op in ("TranslateX", "TranslateY") for v in (-0.45, -0.4051, 0.0, 0.1234, 0.405)]


def dull():
    """Few values, a narrow range, one channel flat: what a table made of a histogram can get wrong."""
    rng = np.random.default_rng(3)
    array = np.stack([rng.choice([90, 91, 200], (9, 14)), rng.integers(60, 120, (9, 14)), np.full((9, 14), 77)], -1)
    return Image.fromarray(array.astype(np.uint8))


def main(many):
    dull().save("dull.png")
    cases = list(CASES)
    if many:  # a wide search by hand, not recorded in the repository
        rng = np.random.default_rng(4)
        cases += [("SolarizeAdd", int(v)) for v in rng.integers(0, 128, 20)]
        cases += [(op, float(v)) for op in ENHANCE for v in rng.uniform(0, 2.5, 100)]
        cases += [("Rotate", float(v)) for v in rng.uniform(-180, 180, 200)]
        cases += [(op, float(v)) for op in AFFINE for v in rng.uniform(-0.6, 0.6, 100)]
    for name in ("colour", "grey", "dull"):
        image = Image.open(f"{name}.png")
        results = [np.asarray(apply(image, op, value)) for op, value in cases]
        Image.fromarray(np.concatenate(results)).save(f"ops_{name}.png", optimize=True)
    with open("ops.json", "w") as file:
        file.write("[\n" + ",\n".join(f" {json.dumps(case)}" for case in cases) + "\n]\n")


main("--many" in sys.argv)
