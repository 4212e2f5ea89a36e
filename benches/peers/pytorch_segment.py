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

# image, patch, width/blocks/heads; UperNet's channels, the auxiliary head's, pool scales, classes
PRESETS = {
    "photo": (64, 8, 128, 4, 4, 64, 32, (1, 2, 3), 11),
    "vit-tiny": (224, 16, 192, 12, 3, 64, 32, (1, 2, 3), 11),
}


class Norm(nn.LayerNorm):
    """Over the channels of each pixel."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv(inputs, outputs, side):
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), Norm(outputs, 1e-6), nn.ReLU())


def resized(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d, 1e-6), nn.LayerNorm(d, 1e-6)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp(self.norm2(x))


class Segmenter(nn.Module):
    def __init__(self, image, patch, d, depth, heads, c, a, scales, classes):
        super().__init__()
        self.grid, self.taps = image // patch, [depth * (k + 1) // 4 - 1 for k in range(4)]
        self.embed = nn.Conv2d(3, d, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.zeros(1, 1 + self.grid**2, d))
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(depth))

        def up():
            return nn.ConvTranspose2d(d, d, 2, 2)

        kinds = {4: lambda: nn.Sequential(up(), Norm(d, 1e-6), nn.GELU(), up()), 2: up, 1: nn.Identity}
        ratios = [patch / stride for stride in (4, 8, 16, 32)]
        self.adapters = nn.ModuleList(
            kinds[int(r)]() if r >= 1 else nn.MaxPool2d(int(1 / r), int(1 / r)) for r in ratios
        )
        self.lateral = nn.ModuleList(conv(d, c, 1) for _ in range(3))
        self.scales = scales
        self.ppm = nn.ModuleList(conv(d, c, 1) for _ in scales)
        self.bottleneck = conv(d + len(scales) * c, c, 3)
        self.fpn = nn.ModuleList(conv(c, c, 3) for _ in range(3))
        self.fuse, self.classify = conv(4 * c, c, 3), nn.Conv2d(c, classes, 1)
        self.aux, self.aux_classify = conv(d, a, 3), nn.Conv2d(a, classes, 1)

    def forward(self, images):
        x = self.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            # Depths that are no multiple of four may tap a block twice.
            taps += [x[:, 1:]] * self.taps.count(i)
        maps = [t.transpose(1, 2).unflatten(2, (self.grid, self.grid)).contiguous(memory_format=torch.channels_last) for t in taps]
        levels = [adapter(m) for adapter, m in zip(self.adapters, maps)]
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
    image, classes = shape[0], shape[-1]
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
