#!/usr/bin/env python3
"""A training step of segmentation in PyTorch: a plain ViT, UperNet with layer norm, fused AdamW, random images and labels.

    peers/bin/python benches/peers/pytorch_segment.py --preset photo --batch-size 16 --threads 2

The network is that of `vit-mae bench --task segment`: docs/segmentation.md. Maps are channels-last, which is PyTorch's
faster layout for it. Prints one line of JSON with the keys of `vit-mae bench --json`.
"""

import torch
from torch import nn
from torch.nn import functional as F

import peer
from pyramid import Norm, Pyramid
from vit import TRUNKS

# The trunk; UperNet's channels, the auxiliary head's, pool scales, classes
PRESETS = {name: (TRUNKS[name], 64, 32, (1, 2, 3), 11) for name in ("photo", "vit-tiny")}


def conv(inputs, outputs, side):
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), Norm(outputs), nn.ReLU())


def resized(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class Segmenter(nn.Module):
    def __init__(self, trunk, c, a, scales, classes):
        super().__init__()
        d = trunk[3]
        self.pyramid = Pyramid(*trunk)
        self.lateral = nn.ModuleList(conv(d, c, 1) for _ in range(3))
        self.scales = scales
        self.ppm = nn.ModuleList(conv(d, c, 1) for _ in scales)
        self.bottleneck = conv(d + len(scales) * c, c, 3)
        self.fpn = nn.ModuleList(conv(c, c, 3) for _ in range(3))
        self.fuse, self.classify = conv(4 * c, c, 3), nn.Conv2d(c, classes, 1)
        self.aux, self.aux_classify = conv(d, a, 3), nn.Conv2d(a, classes, 1)

    def forward(self, images):
        levels = self.pyramid(images)
        top = levels[3]
        pooled = [resized(f(F.adaptive_avg_pool2d(top, s)), top.shape[2:]) for f, s in zip(self.ppm, self.scales)]
        down = [None, None, None, self.bottleneck(torch.cat([top, *pooled], 1))]
        for k in (2, 1, 0):
            lateral = self.lateral[k](levels[k])
            down[k] = lateral + resized(down[k + 1], lateral.shape[2:])
        fine = [self.fpn[k](down[k]) for k in range(3)] + [down[3]]
        fused = self.fuse(torch.cat([resized(f, fine[0].shape[2:]) for f in fine], 1))
        size = images.shape[2:]
        return resized(self.classify(fused), size), resized(self.aux_classify(self.aux(levels[2])), size)


def prepare(shape, batch_size, _):
    image, classes = shape[0][0], shape[-1]
    model = Segmenter(*shape).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images = torch.randn(batch_size, 3, image, image).to(memory_format=torch.channels_last)
    labels = torch.randint(classes, (batch_size, image, image))

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits, auxiliary = model(images)
        loss = F.cross_entropy(logits, labels, ignore_index=255)
        (loss + 0.4 * F.cross_entropy(auxiliary, labels, ignore_index=255)).backward()
        optimizer.step()

    return step, model


if __name__ == "__main__":
    peer.main(__doc__, PRESETS, prepare, batch_size=16)
