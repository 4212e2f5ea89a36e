"""Compares this program with the real `transformers`: exported folders are loaded strictly and computed with, and folders that
`transformers` wrote are imported and compared tensor by tensor. Run on demand, not part of `cargo test`:

    pip install torch transformers safetensors numpy pillow
    cargo build --release
    python tests/interop/transformers_roundtrip.py target/release/vit-mae

It trains a tiny model for two epochs and a classifier for one, on pictures that it draws. Exit code 0 if all agrees."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTMAEModel,
    ViTModel,
)

TINY = """
[model]
img_size = [16, 16]
in_chans = 3
patch_size = 4
embed_dim = 32
depth = 2
num_heads = 4
decoder_embed_dim = 16
decoder_depth = 2
decoder_num_heads = 2
norm_pix_loss = true
[optim]
epochs = 2
batch_size = 8
micro_batch = 4
"""

PROGRAM = str(Path(sys.argv[1]).resolve())
FAILED = []


def vit_mae(*args):
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"vit-mae {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def say(what, largest, limit):
    good = largest <= limit
    print(f"{what:<86} {largest:9.2e}  {'ok' if good else 'DIFFERS'}")
    if not good:
        FAILED.append(what)


def strictly(kind, folder, **more):
    """A model from a folder, with nothing missing, unexpected or of another shape."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, **more)
    bad = {key: list(value) for key, value in info.items() if value}
    if bad:
        FAILED.append(f"{kind.__name__}: {bad}")
        print(f"{kind.__name__} from {folder}: {bad}")
    return model.eval()


def relative(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b).max() / np.abs(b).max())


def same_tensors(what, a, b):
    """0 if both files hold the same bits under the same names."""
    a, b = load_file(a), load_file(b)
    different = [name for name in a.keys() | b.keys() if name not in a or name not in b or not torch.equal(a[name], b[name])]
    say(f"{what}: {len(a)} tensors, bits that differ", float(len(different)), 0.0)


def pictures(folder, classes, count, side=16):
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            y, x = np.mgrid[0:side, 0:side]
            wave = np.stack([(x * (3 + k) + y * c * (2 - k) + 7 * i) * 16 % 256 for c in range(3)], -1)
            pixels = np.clip(wave + rng.integers(0, 40, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")


def traced(run, images, out):
    """Loss, prediction, images and mask of one traced step of `vit-mae`, in f32."""
    vit_mae("audit", "trace", "--checkpoint", run, "--images", *images, "--seed", 3, "--out", out)
    return load_file(Path(out) / "trace.safetensors")


def compare_step(what, model, trace):
    """The same images with the same mask: the noise that sorts into the recorded order."""
    noise = trace["ids_restore"].double() / trace["ids_restore"].shape[1]
    with torch.no_grad():
        out = model(pixel_values=trace["images"].float(), noise=noise)
    say(f"{what}: mask", float((out.mask - trace["mask"]).abs().max()), 0.0)
    say(f"{what}: loss {float(trace['loss']):.6f}", relative(out.loss, trace["loss"]), 5e-6)
    say(f"{what}: prediction", relative(out.logits, trace["pred"].reshape(out.logits.shape)), 1e-5)


def pretraining(work):
    vit_mae("pretrain", "--config", work / "tiny.toml", "--data", work / "set", "--out", work / "run", "--blr", 0.5)
    images = sorted((work / "set/train/across").glob("*.png"))[:2]
    trace = traced(work / "run", images, work / "trace")
    vit_mae("convert", work / "run", work / "hf", "--to", "hf")
    model = strictly(ViTMAEForPreTraining, work / "hf")
    compare_step("exported, ViTMAEForPreTraining", model, trace)

    # What transformers writes comes back with the same bits.
    model.save_pretrained(work / "saved")
    copy(work / "hf/preprocessor_config.json", work / "saved")
    vit_mae("convert", work / "saved", work / "saved.safetensors", "--to", "reference")
    same_tensors("saved by transformers and imported", work / "saved.safetensors", work / "run/checkpoint/model.safetensors")

    vit_mae("convert", work / "run", work / "encoder", "--to", "hf", "--encoder-only")
    strictly(ViTMAEModel, work / "encoder")
    plain = strictly(ViTModel, work / "encoder", add_pooling_layer=False)
    vit_mae("features", "--checkpoint", work / "run", "--data", work / "set", "--pool", "class", "--out", work / "f.npy")
    processor = transformers.AutoImageProcessor.from_pretrained(work / "hf", backend="pil")
    files = sorted((work / "set/train").glob("*/*.png"))
    pixels = processor([Image.open(file) for file in files], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = plain(pixel_values=pixels).last_hidden_state[:, 0]
    say("exported encoder, ViTModel with its image processor: features", relative(np.load(work / "f.npy"), found), 1e-5)


def random_model(work, eps):
    """A model that transformers made, with noise on every tensor, saved by it, imported and computed with here."""
    torch.manual_seed(1)
    config = ViTMAEConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=60, image_size=16, patch_size=4,
        decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=4, decoder_intermediate_size=40,
        layer_norm_eps=eps, norm_pix_loss=True,
    )
    model = ViTMAEForPreTraining(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "pos" not in name and "cls_token" not in name:  # a small class token makes the norms' epsilon visible
                tensor.add_(0.05 * torch.randn_like(tensor))
    name = f"random-{eps:g}"
    model.save_pretrained(work / name)
    statistics = ["--mean", "0.4,0.5,0.6", "--std", "0.2,0.3,0.25"]
    vit_mae("convert", work / name, work / f"{name}-run", "--to", "run", *statistics)
    images = sorted((work / "set/train/down").glob("*.png"))[:2]
    trace = traced(work / f"{name}-run", images, work / f"{name}-trace")
    compare_step(f"imported, layer_norm_eps {eps:g}", model, trace)


def classifier(work):
    tuned = work / "tuned"
    vit_mae(
        "finetune", "--checkpoint", work / "run", "--data", work / "set", "--epochs", 4, "--batch-size", 8,
        "--pooling", "class", "--out", tuned,
    )
    vit_mae("convert", tuned, work / "cls", "--to", "hf")
    model = strictly(ViTForImageClassification, work / "cls")
    processor = transformers.AutoImageProcessor.from_pretrained(work / "cls", backend="pil")
    files = sorted((work / "set/test").glob("*/*.png"))
    pixels = processor([Image.open(file) for file in files], return_tensors="pt")["pixel_values"]
    labels = torch.tensor([model.config.label2id[file.parent.name] for file in files])
    with torch.no_grad():
        loss = model(pixel_values=pixels, labels=labels).loss
    judged = json.loads(vit_mae("eval", "--checkpoint", tuned, "--data", work / "set", "--json"))
    say("exported, ViTForImageClassification: cross-entropy", relative(judged["cross_entropy"], loss), 5e-6)
    model.save_pretrained(work / "cls-saved")
    vit_mae("convert", work / "cls-saved", work / "cls.safetensors", "--to", "reference")
    same_tensors("classifier saved by transformers and imported", work / "cls.safetensors", tuned / "checkpoint/model.safetensors")


def pooled(work):
    """A ViTModel has a pooler, which is left out only if that is asked for."""
    config = ViTConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=48, image_size=16, patch_size=4)
    ViTModel(config).save_pretrained(work / "vit")
    args = [PROGRAM, "convert", work / "vit", work / "vit.safetensors", "--to", "timm"]
    refused = subprocess.run(args, capture_output=True, text=True)
    good = refused.returncode == 2 and "pooler.dense.weight" in refused.stderr
    say("ViTModel with its pooler is refused, and taken with --encoder-only", 0.0 if good else 1.0, 0.0)
    vit_mae(*args[1:], "--encoder-only")


def copy(file, folder):
    (Path(folder) / file.name).write_bytes(file.read_bytes())


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {vit_mae('--version').strip()}")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "tiny.toml").write_text(TINY)
        pictures(work / "set/train", ["across", "down"], 16)
        pictures(work / "set/test", ["across", "down"], 8)
        pretraining(work)
        for eps in [1e-6, 1e-12]:
            random_model(work, eps)
        classifier(work)
        pooled(work)
    sys.exit(f"{len(FAILED)} comparisons failed" if FAILED else 0)


if __name__ == "__main__":
    main()
