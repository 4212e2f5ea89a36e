"""Compares this program with the real `timm`: exported encoders and classifiers are loaded strictly and computed with, and a
model that timm made is imported. Run on demand, not part of `cargo test`:

    pip install torch torchvision timm transformers safetensors numpy pillow
    cargo build --release
    python tests/interop/timm_roundtrip.py target/release/vit-mae

Exit code 0 if all agrees."""

import json
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from transformers_roundtrip import FAILED, TINY, pictures, relative, same_tensors, say, vit_mae

ENCODER = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}


def pixels(files, run):
    """Images as the run normalises them; they have the model's size already."""
    data = tomllib.loads((run / "config.toml").read_text())["data"]
    mean, std = (np.array(data[key], np.float32)[:, None, None] for key in ["mean", "std"])
    images = [np.asarray(Image.open(file), np.float32).transpose(2, 0, 1) / 255 for file in files]
    return torch.tensor(np.stack([(image - mean) / std for image in images]))


def encoder(work):
    vit_mae("convert", work / "run", work / "encoder.safetensors", "--to", "timm", "--encoder-only")
    model = VisionTransformer(**ENCODER, num_classes=0, global_pool="token").eval()
    model.load_state_dict(load_file(work / "encoder.safetensors"), strict=True)
    vit_mae("features", "--checkpoint", work / "run", "--data", work / "set", "--pool", "class", "--out", work / "f.npy")
    with torch.no_grad():
        found = model(pixels(sorted((work / "set/train").glob("*/*.png")), work / "run"))
    say("exported encoder, loaded strictly: features", relative(np.load(work / "f.npy"), found), 1e-5)


def classifier(work, pooling, global_pool):
    tuned = work / f"tuned-{pooling}"
    vit_mae(
        "finetune", "--checkpoint", work / "run", "--data", work / "set", "--epochs", 4, "--batch-size", 8,
        "--pooling", pooling, "--out", tuned,
    )
    vit_mae("convert", tuned, work / f"{pooling}.safetensors", "--to", "timm")
    model = VisionTransformer(**ENCODER, num_classes=2, global_pool=global_pool).eval()
    model.load_state_dict(load_file(work / f"{pooling}.safetensors"), strict=True)
    files = sorted((work / "set/test").glob("*/*.png"))
    labels = torch.tensor([["across", "down"].index(file.parent.name) for file in files])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(pixels(files, tuned)), labels)
    judged = json.loads(vit_mae("eval", "--checkpoint", tuned, "--data", work / "set", "--json"))
    say(f"exported classifier, {pooling} token(s), loaded strictly: cross-entropy", relative(judged["cross_entropy"], loss), 5e-6)


def imported(work):
    torch.manual_seed(2)
    model = VisionTransformer(**ENCODER, num_classes=0, global_pool="token").eval()
    save_file(model.state_dict(), work / "made.safetensors")
    vit_mae("convert", work / "made.safetensors", work / "again.safetensors", "--to", "reference")
    same_tensors("made by timm and imported", work / "made.safetensors", work / "again.safetensors")
    vit_mae(
        "convert", work / "made.safetensors", work / "made-run", "--to", "run", "--config", work / "run/config.toml",
        "--fresh-decoder",
    )
    vit_mae("features", "--checkpoint", work / "made-run", "--data", work / "set", "--pool", "class", "--out", work / "m.npy")
    with torch.no_grad():
        found = model(pixels(sorted((work / "set/train").glob("*/*.png")), work / "made-run"))
    say("made by timm, imported with a fresh decoder: features", relative(np.load(work / "m.npy"), found), 1e-5)


def main():
    print(f"torch {torch.__version__}, timm {timm.__version__}, {vit_mae('--version').strip()}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "tiny.toml").write_text(TINY)
        pictures(work / "set/train", ["across", "down"], 16)
        pictures(work / "set/test", ["across", "down"], 8)
        vit_mae("pretrain", "--config", work / "tiny.toml", "--data", work / "set", "--out", work / "run", "--blr", 0.5)
        encoder(work)
        classifier(work, "class", "token")
        classifier(work, "mean", "avg")
        imported(work)
    sys.exit(f"{len(FAILED)} comparisons failed" if FAILED else 0)


if __name__ == "__main__":
    main()
