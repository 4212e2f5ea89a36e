#!/usr/bin/env python3
"""A training step of MoCo v3 in PyTorch, as facebookresearch/moco-v3 takes it: plain ViT, fused AdamW, random images.

    peers/bin/python benches/peers/pytorch_moco.py --preset nano --batch-size 64 --threads 2

The networks and the order of a step are those of `vit-mae bench --method moco-v3`: docs/pretraining.md. Activations of
the whole batch are kept, which is what PyTorch does unless told otherwise. Prints one line of JSON with the keys of
`vit-mae bench --json`.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

import peer
from vit import TRUNKS, Vit, adamw

TEMPERATURE = 0.2


def widths(d):
    """Hidden and last width of the heads: the paper's from ViT-Small on, or in proportion to a narrower trunk."""
    return (4096, 256) if d >= 384 else (4 * d, d // 2)


# The trunk; the heads' hidden and last width
PRESETS = {name: (trunk, *widths(trunk[3])) for name, trunk in TRUNKS.items()}


def head(*widths):
    """Linear maps without bias, a batch norm behind each; the last has no scale and shift."""
    layers = []
    for inputs, outputs in zip(widths[:-2], widths[1:]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    last = [nn.Linear(*widths[-2:], bias=False), nn.BatchNorm1d(widths[-1], affine=False)]
    return nn.Sequential(*layers, *last)


class Encoder(nn.Module):
    """Trunk and projector, of which the momentum encoder is the moving average."""

    def __init__(self, trunk, hidden, output):
        super().__init__()
        d = trunk[3]
        self.vit, self.norm = Vit(*trunk), nn.LayerNorm(d, 1e-6)
        self.vit.embed.requires_grad_(False)
        self.projector = head(d, hidden, hidden, output)

    def forward(self, images):
        return self.projector(self.norm(self.vit(images)[:, 0]))


def contrast(queries, keys):
    logits = F.normalize(queries) @ F.normalize(keys).T / TEMPERATURE
    return 2 * TEMPERATURE * F.cross_entropy(logits, torch.arange(len(logits)))


@torch.no_grad()
def average(encoder, online, m):
    torch._foreach_lerp_(list(encoder.parameters()), list(online.parameters()), 1 - m)


def networks(trunk, hidden, output):
    """Encoder and predictor; and the momentum encoder."""
    encoder = Encoder(trunk, hidden, output)
    online = nn.Sequential(encoder, head(output, hidden, output))
    return online, copy.deepcopy(encoder).requires_grad_(False)


def loss_of(online, momentum, views, m):
    # One view after the other: a batch norm sees one of them at a time.
    queries = [online(view) for view in views]
    average(momentum, online[0], m)
    with torch.no_grad():
        keys = [momentum(view) for view in views]
    return contrast(queries[0], keys[1]) + contrast(queries[1], keys[0])


def prepare(shape, batch_size, _):
    online, momentum = networks(*shape)
    optimizer = adamw(online, betas=(0.9, 0.999), weight_decay=0.1)
    image, channels = shape[0][:2]
    views = [torch.randn(batch_size, channels, image, image) for _ in range(2)]

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(online, momentum, views, m=0.99).backward()
        optimizer.step()

    return step, online, momentum


if __name__ == "__main__":
    peer.main(__doc__, PRESETS, prepare, batch_size=64)
