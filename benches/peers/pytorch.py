#!/usr/bin/env python3
"""The same training step in PyTorch: transformers' ViTMAEForPreTraining, fused AdamW, random images.

    python3 -m venv peers && peers/bin/pip install torch transformers
    peers/bin/python benches/peers/pytorch.py --preset nano --batch-size 256 --threads 2

Prints one line of JSON with the keys of `vit-mae bench --json`. The better of eager and sdpa attention is
what `--attention both` (the default) reports.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

# image, channels, patch, encoder width/blocks/heads, decoder width/blocks/heads
PRESETS = {
    "nano": (28, 1, 4, 128, 6, 4, 64, 2, 4),
    "cifar": (32, 3, 4, 192, 12, 3, 96, 4, 3),
    "vit-tiny": (224, 3, 16, 192, 12, 3, 128, 4, 4),
    "vit-base": (224, 3, 16, 768, 12, 12, 512, 8, 16),
}


def model_of(preset, attention):
    image, channels, patch, d, depth, heads, e, decoder_depth, decoder_heads = PRESETS[preset]
    config = ViTMAEConfig(
        image_size=image, num_channels=channels, patch_size=patch,
        hidden_size=d, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * d,
        decoder_hidden_size=e, decoder_num_hidden_layers=decoder_depth,
        decoder_num_attention_heads=decoder_heads, decoder_intermediate_size=4 * e,
        mask_ratio=0.75, norm_pix_loss=True, attn_implementation=attention,
    )
    return ViTMAEForPreTraining(config).train()


def rates(arguments, attention):
    """Images per second of each repeat."""
    torch.manual_seed(0)
    model = model_of(arguments.preset, attention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    image, channels = PRESETS[arguments.preset][:2]
    images = torch.rand(arguments.batch_size, channels, image, image) * 2 - 1
    forward = torch.compile(model) if arguments.compile else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward(images).loss.backward()
        optimizer.step()

    for _ in range(3 if arguments.compile else 1):
        step()
    result = []
    for _ in range(arguments.repeats):
        start, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - start < arguments.secs / arguments.repeats:
            step()
            done += arguments.batch_size
        result.append(done / (time.perf_counter() - start))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="nano")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--secs", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--attention", choices=["eager", "sdpa", "both"], default="both")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    kinds = ["eager", "sdpa"] if arguments.attention == "both" else [arguments.attention]
    measured = {kind: rates(arguments, kind) for kind in kinds}
    best = max(measured, key=lambda kind: statistics.median(measured[kind]))
    print(json.dumps({
        "preset": arguments.preset,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "images_per_s": {
            "min": min(measured[best]),
            "median": statistics.median(measured[best]),
            "max": max(measured[best]),
        },
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "attention": best,
        "compiled": arguments.compile,
        "torch": torch.__version__,
    }))


if __name__ == "__main__":
    main()
