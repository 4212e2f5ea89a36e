"""Records own/twocrop_odd: two-crop augmentation on grey images, lines, single pixels and out-of-the-way values.

    python make_twocrop.py [OUT SEED SIDE]

Needs Pillow 13 and numpy. The hue is torchvision 0.29's `adjust_hue` for Pillow's images, copied below; everything else is
Pillow's own. With another seed and a larger side it records cases to try by `vit-mae audit parity OUT`.
"""

import json
import struct
import sys

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps, __version__


def hue(image, turns):
    if image.mode == "L":
        return image
    h, s, v = image.convert("HSV").split()
    turned = np.array(h, dtype=np.uint8)
    with np.errstate(over="ignore"):
        turned += np.int32(turns * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned, "L"), s, v)).convert("RGB")


def grey(image):
    return image if image.mode == "L" else image.convert("L").convert("RGB")


OPS = {
    "brightness": lambda image, f: ImageEnhance.Brightness(image).enhance(f),
    "contrast": lambda image, f: ImageEnhance.Contrast(image).enhance(f),
    "saturation": lambda image, f: ImageEnhance.Color(image).enhance(f),
    "hue": hue,
    "blur": lambda image, sigma: image.filter(ImageFilter.GaussianBlur(radius=sigma)),
    "solarize": lambda image, threshold: ImageOps.solarize(image, threshold),
    "grayscale": lambda image, _: grey(image),
    "flip": lambda image, _: ImageOps.mirror(image),
}
JITTER = ["brightness", "contrast", "saturation", "hue"]


def values(rng):
    yield from [("brightness", 0.0), ("contrast", 0.0), ("saturation", 0.0), ("hue", 0.5), ("hue", -0.5)]
    yield from [("blur", 0.0), ("blur", 5.75), ("blur", 40.0), ("solarize", 0), ("solarize", 201)]
    yield from [("grayscale", None), ("flip", None)]
    for name, low, high in [("brightness", 0, 3), ("contrast", 0, 3), ("saturation", 0, 3), ("hue", -0.5, 0.5), ("blur", 0, 8)]:
        yield from [(name, float(x)) for x in rng.uniform(low, high, 2)]


def main(path="twocrop_odd.safetensors", seed=1, side=24):
    rng = np.random.default_rng(int(seed))
    side, tensors, ops, views = int(side), {}, [], []
    pixels = lambda image: np.asarray(image).reshape(image.height, image.width, -1)
    sizes = [(1, 1), (1, side - 1), (side, 2)] + [tuple(rng.integers(2, side, 2)) for _ in range(3)]
    for i, (height, width) in enumerate(sizes):
        mode = "L" if i % 3 == 2 else "RGB"
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        # Every second image has few distinct values, so that channels are often equal.
        noise = noise if i % 2 else noise // 86 * 85
        image = Image.fromarray(noise[:, :, 0] if mode == "L" else noise)
        key = f"{height}x{width}.{i}.in"
        tensors[key] = pixels(image)
        for k, (op, value) in enumerate(values(rng)):
            out = f"{key[:-3]}.{op}.{k}"
            tensors[out] = pixels(OPS[op](image, value))
            ops.append({"in": key, "op": op, "out": out, "value": value})
        for k in range(3):
            h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
            top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            size = [int(n) for n in rng.integers(1, side, 2)]
            view = image.crop((left, top, left + w, top + h)).resize(size[::-1], Image.Resampling.BILINEAR)
            case = {"in": key, "out": f"{key[:-3]}.view.{k}", "crop": [top, left, h, w], "size": size}
            case |= {name: float(rng.uniform(*((-0.5, 0.5) if name == "hue" else (0.3, 2)))) for name in JITTER}
            case["order"] = [JITTER[i] for i in rng.permutation(4)] if k else None
            case |= {"grayscale": bool(rng.random() < 0.3), "blur": float(rng.uniform(0.1, 3)) if rng.random() < 0.7 else None}
            case |= {"solarize": bool(rng.random() < 0.5), "flip": bool(rng.random() < 0.5)}
            for name in case["order"] or []:
                view = OPS[name](view, case[name])
            view = grey(view) if case["grayscale"] else view
            view = view if case["blur"] is None else OPS["blur"](view, case["blur"])
            view = OPS["solarize"](view, 128) if case["solarize"] else view
            view = OPS["flip"](view, None) if case["flip"] else view
            tensors[case["out"]] = pixels(view)
            views.append(case)
    golden = {"kind": "twocrop", "case": "odd", "dtype": "u8", "ops": ops, "views": views}
    golden["versions"] = {"numpy": np.__version__, "pillow": __version__}
    header, end = {"__metadata__": {"golden": json.dumps(golden)}}, 0
    for name in sorted(tensors):
        header[name] = {"dtype": "U8", "shape": list(tensors[name].shape), "data_offsets": [end, end + tensors[name].size]}
        end += tensors[name].size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(tensors[name].tobytes() for name in sorted(tensors)))


if __name__ == "__main__":
    main(*sys.argv[1:])
