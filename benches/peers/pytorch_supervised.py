#!/usr/bin/env python3
"""A training step of classification from scratch in PyTorch: plain ViT, drop path, fused AdamW, random images and labels.

    peers/bin/python benches/peers/pytorch_supervised.py --preset nano --batch-size 64 --threads 2

The network is that of `vit-mae bench --method supervised`: docs/pretraining.md. All layers have one learning rate here,
where the recipe has one for each block; PyTorch would take longer with so many groups of parameters. Prints one line of
JSON with the keys of `vit-mae bench --json`.
"""

import torch
from torch import nn
from torch.nn import functional as F

import peer
from vit import TRUNKS, Vit, adamw

CLASSES = 2


class Classifier(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        d = trunk[3]
        self.vit, self.norm = Vit(*trunk, fixed_positions=False, drop_path=0.1), nn.LayerNorm(d, 1e-6)
        self.head = nn.Linear(d, CLASSES)

    def forward(self, images):
        return self.head(self.norm(self.vit(images)[:, 0]))


def prepare(trunk, batch_size, _):
    image, channels = trunk[:2]
    model = Classifier(trunk)
    optimizer = adamw(model, betas=(0.9, 0.999), weight_decay=0.05)
    images, labels = torch.randn(batch_size, channels, image, image), torch.randint(CLASSES, (batch_size,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels, label_smoothing=0.1).backward()
        optimizer.step()

    return step, model


if __name__ == "__main__":
    peer.main(__doc__, TRUNKS, prepare, batch_size=64)
