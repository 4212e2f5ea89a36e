"""The plain ViT that the scripts have in common, and its presets."""

import torch
from torch import nn
from torch.nn import functional as F

# image, channels, patch, width/blocks/heads
TRUNKS = {
    "nano": (28, 1, 4, 128, 6, 4),
    "cifar": (32, 3, 4, 192, 12, 3),
    "photo": (64, 3, 8, 128, 4, 4),
    "vit-tiny": (224, 3, 16, 192, 12, 3),
    "vit-base": (224, 3, 16, 768, 12, 12),
}


class Drop(nn.Module):
    """Leaves a branch out for some of the images."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        return x * F.dropout(x.new_ones(len(x), 1, 1), self.rate, self.training)


class Block(nn.Module):
    def __init__(self, d, heads, drop_path=0.0):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d, 1e-6), nn.LayerNorm(d, 1e-6)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.drop = Drop(drop_path) if drop_path else nn.Identity()

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + self.drop(self.proj(context))
        return x + self.drop(self.mlp(self.norm2(x)))


class Vit(nn.Module):
    """From images to what its blocks make of class token and patches."""

    def __init__(self, image, channels, patch, d, depth, heads, fixed_positions=True, drop_path=0.0):
        super().__init__()
        self.grid = image // patch
        self.embed = nn.Conv2d(channels, d, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        # A step takes as long with any positions: these need not be sines.
        self.pos = nn.Parameter(torch.zeros(1, 1 + self.grid**2, d), requires_grad=not fixed_positions)
        # From none in the first block to all of the rate in the last.
        self.blocks = nn.ModuleList(Block(d, heads, drop_path * i / max(depth - 1, 1)) for i in range(depth))

    def patches(self, images):
        return self.embed(images).flatten(2).transpose(1, 2)

    def tokens(self, patches):
        return torch.cat([self.cls.expand(len(patches), -1, -1), patches], 1) + self.pos

    def encode(self, patches):
        x = self.tokens(patches)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        return self.encode(self.patches(images))


def adamw(model, betas, weight_decay):
    """As in the program's pre-training: biases and norms do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-4, betas=betas, fused=True)
