#!/usr/bin/env python3
"""The same training step in PyTorch: transformers' ViTMAEForPreTraining, fused AdamW, random images.

    python3 -m venv peers && peers/bin/pip install torch transformers
    peers/bin/python benches/peers/pytorch.py --preset nano --batch-size 256 --threads 2

Prints one line of JSON with the keys of `vit-mae bench --json`. The better of eager and sdpa attention is
what `--attention both` (the default) reports.
"""

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import peer
from vit import TRUNKS

# The trunk, decoder width/blocks/heads
PRESETS = {
    "nano": (*TRUNKS["nano"], 64, 2, 4),
    "cifar": (*TRUNKS["cifar"], 96, 4, 3),
    "vit-tiny": (*TRUNKS["vit-tiny"], 128, 4, 4),
    "vit-base": (*TRUNKS["vit-base"], 512, 8, 16),
}


def model_of(shape, attention):
    image, channels, patch, d, depth, heads, e, decoder_depth, decoder_heads = shape
    config = ViTMAEConfig(
        image_size=image, num_channels=channels, patch_size=patch,
        hidden_size=d, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * d,
        decoder_hidden_size=e, decoder_num_hidden_layers=decoder_depth,
        decoder_num_attention_heads=decoder_heads, decoder_intermediate_size=4 * e,
        mask_ratio=0.75, norm_pix_loss=True, attn_implementation=attention,
    )
    return ViTMAEForPreTraining(config).train()


def prepare(shape, batch_size, attention):
    model = model_of(shape, attention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    image, channels = shape[:2]
    images = torch.rand(batch_size, channels, image, image) * 2 - 1

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(images).loss.backward()
        optimizer.step()

    return step, model


if __name__ == "__main__":
    peer.main(__doc__, PRESETS, prepare, batch_size=256, attention=("eager", "sdpa"))
