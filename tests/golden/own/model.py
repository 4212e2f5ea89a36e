"""A masked autoencoder in plain PyTorch under the reference's names: a stand-in for a model of one's own."""

import numpy as np
import torch
from torch import nn


def positions(width, grid):
    """Sine-cosine table with a row of zeros for the class token, rounded to float32."""
    omega = 1 / 10000 ** (np.arange(width // 4) / (width / 4))
    rows, columns = np.meshgrid(np.arange(grid), np.arange(grid), indexing="ij")
    angles = [np.outer(places.reshape(-1), omega) for places in (columns, rows)]
    table = np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)], 1)
    return nn.Parameter(torch.tensor(np.vstack([np.zeros(width), table])).float()[None], requires_grad=False)


class PatchEmbed(nn.Module):
    def __init__(self, channels, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, images):
        return self.proj(images).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        images, tokens, width = x.shape
        qkv = self.qkv(x).reshape(images, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        p = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(-1)
        return self.proj((p @ v).transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden, eps):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), Mlp(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MAE(nn.Module):
    def __init__(self, img_size, patch_size, in_chans, embed_dim, depth, num_heads, decoder_embed_dim,
                 decoder_depth, decoder_num_heads, mlp_ratio, layer_norm_eps, norm_pix_loss, **_):
        super().__init__()
        self.patch, self.norm_pix_loss, grid = patch_size, norm_pix_loss, img_size // patch_size

        def stack(width, blocks, heads):
            block = (width, heads, int(width * mlp_ratio), layer_norm_eps)
            return nn.ModuleList(Block(*block) for _ in range(blocks))

        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = positions(embed_dim, grid)
        self.patch_embed = PatchEmbed(in_chans, patch_size, embed_dim)
        self.blocks = stack(embed_dim, depth, num_heads)
        self.norm = nn.LayerNorm(embed_dim, layer_norm_eps)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_embed_dim))
        self.decoder_pos_embed = positions(decoder_embed_dim, grid)
        self.decoder_embed = nn.Linear(embed_dim, decoder_embed_dim)
        self.decoder_blocks = stack(decoder_embed_dim, decoder_depth, decoder_num_heads)
        self.decoder_norm = nn.LayerNorm(decoder_embed_dim, layer_norm_eps)
        self.decoder_pred = nn.Linear(decoder_embed_dim, patch_size**2 * in_chans)

    def patchify(self, images):
        n, c, h, w = images.shape
        p = self.patch
        patches = images.reshape(n, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
        return patches.reshape(n, -1, p * p * c)

    def forward(self, images, mask_ratio):
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        n, length, width = x.shape
        keep = int(length * (1 - mask_ratio))
        restore = (shuffle := torch.rand(n, length).argsort(1)).argsort(1)
        kept = x.gather(1, shuffle[:, :keep, None].expand(-1, -1, width))
        mask = (restore >= keep).to(x.dtype)
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(n, -1, -1), kept], 1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_embed(self.norm(x))
        tokens = torch.cat([x[:, 1:], self.mask_token.expand(n, length - keep, -1)], 1)
        tokens = tokens.gather(1, restore[..., None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([x[:, :1], tokens], 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        pred = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        target = self.patchify(images)
        if self.norm_pix_loss:
            deviation = (target.var(-1, keepdim=True) + 1e-6) ** 0.5
            target = (target - target.mean(-1, keepdim=True)) / deviation
        return (((pred - target) ** 2).mean(-1) * mask).sum() / mask.sum(), pred, mask
