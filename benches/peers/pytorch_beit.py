#!/usr/bin/env python3
"""A training step of BEiT-style masked image modelling in PyTorch: plain ViT, k-means tokens, fused AdamW, random images.

    peers/bin/python benches/peers/pytorch_beit.py --preset nano --batch-size 64 --threads 2

The network is that of `vit-mae bench --method beit`: docs/pretraining.md. As there, a step finds each patch's token,
the nearest of 512 centroids, and clips the gradient. Masks are drawn before, since PyTorch's users have them drawn by the
workers that load images; as many patches are masked in every image as blocks cover at most. Prints one line of JSON with
the keys of `vit-mae bench --json`.
"""

import torch
from torch import nn
from torch.nn import functional as F

import peer
from vit import TRUNKS, Vit, adamw

PRESETS = TRUNKS
TOKENS = 512
# The paper masks 75 of 14 × 14 patches.
MASKED = 75 / 196


class Beit(nn.Module):
    def __init__(self, trunk, tokens):
        super().__init__()
        d = trunk[3]
        self.vit, self.norm, self.head = Vit(*trunk), nn.LayerNorm(d, 1e-6), nn.Linear(d, tokens)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d))

    def forward(self, images, masked, rows):
        """Logits of the masked patches alone, whose `rows` these are among all patches of the batch."""
        patches = torch.where(masked[..., None], self.mask_token, self.vit.patches(images))
        x = self.norm(self.vit.encode(patches))[:, 1:]
        return self.head(x.flatten(0, 1).index_select(0, rows))


@torch.no_grad()
def tokens_of(images, centroids, patch):
    """The nearest centroid of each patch, `‖x − c‖²` being `‖x‖² + ‖c‖² − 2 x·c`."""
    patches = F.unfold(images, patch, stride=patch).transpose(1, 2)
    return (centroids.square().sum(1) - 2 * patches @ centroids.T).argmin(2)


def prepare(trunk, batch_size, _):
    image, channels, patch = trunk[:3]
    model = Beit(trunk, TOKENS)
    optimizer = adamw(model, betas=(0.9, 0.98), weight_decay=0.05)
    images = torch.randn(batch_size, channels, image, image)
    centroids = torch.randn(TOKENS, channels * patch**2)
    noise = torch.rand(batch_size, model.vit.grid**2)
    masked = noise.argsort(1).argsort(1) < round(MASKED * noise.shape[1])
    rows = masked.flatten().nonzero().squeeze(1)

    def step():
        optimizer.zero_grad(set_to_none=True)
        labels = tokens_of(images, centroids, patch).flatten()[rows]
        F.cross_entropy(model(images, masked, rows), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()

    return step, model


if __name__ == "__main__":
    peer.main(__doc__, PRESETS, prepare, batch_size=64)
