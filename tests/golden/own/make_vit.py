"""Records a classifier that pools the class token, on images that are not square.

    pip install torch numpy safetensors
    python tests/golden/own/make_vit.py

The keys are those of `vit_v1` in tests/golden/README.md.
"""

import json
from pathlib import Path

import torch
from model import Block, PatchEmbed
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy


class VisionTransformer(nn.Module):
    """As the reference's `models_vit.py` without `global_pool`: all tokens are normalised, then one is taken."""

    def __init__(self, img_size, patch_size, in_chans, embed_dim, depth, num_heads, mlp_ratio, layer_norm_eps,
                 num_classes, **_):
        super().__init__()
        patches = (img_size[0] // patch_size) * (img_size[1] // patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, embed_dim))
        self.patch_embed = PatchEmbed(in_chans, patch_size, embed_dim)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, int(embed_dim * mlp_ratio), layer_norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, layer_norm_eps)
        self.head = nn.Linear(embed_dim, num_classes)

    def forward(self, images, keep=lambda name, x: None):
        keep("patch_embed", x := self.patch_embed(images))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        keep("encoder_input", x)
        for i, block in enumerate(self.blocks):
            keep(f"blocks.{i}", x := block(x))
        keep("features", x := self.norm(x)[:, 0])
        keep("logits", x := self.head(x))
        return x


def record(model, images, labels, soft, config, path, lr=1e-3, betas=(0.9, 0.999), decay=0.05, smoothing=0.1):
    out = {f"param.{name}": w.detach().clone() for name, w in model.named_parameters()}
    act, images = {}, images.clone().requires_grad_()

    def keep(name, x):
        act[name] = x
        x.retain_grad()

    model(images, keep)
    logits, last = act["logits"], act[f"blocks.{config['depth'] - 1}"]
    for name, targets in (("ce", labels), ("soft", soft)):
        free = logits.detach().clone().requires_grad_()
        out[f"loss_{name}"] = cross_entropy(free, targets)
        out[f"grad_logits_{name}"] = torch.autograd.grad(out[f"loss_{name}"], free)[0]
    loss = cross_entropy(logits, labels, label_smoothing=smoothing)
    loss.backward()
    out |= {f"act.{name}": x for name, x in act.items() if name != "logits"} | {"logits": logits, "loss": loss}
    out |= {f"gact.{name}": x.grad for name, x in act.items()}
    out |= {"act.pooled": last[:, 0], "gact.pooled": last.grad[:, 0]}
    out |= {f"grad.{name}": w.grad.clone() for name, w in model.named_parameters()}
    out["grad_norm"] = torch.stack([w.grad.norm() for w in model.parameters()]).norm()
    out |= {"images": images, "labels": labels, "soft_targets": soft, "grad_input": images.grad.clone()}

    groups = {}
    for name, w in model.named_parameters():
        block = [int(name.split(".")[1]) + 1] if name.startswith("blocks.") else []
        first = name in ("cls_token", "pos_embed") or name.startswith("patch_embed.")
        layer = (block or [0 if first else config["depth"] + 1])[0]
        decays = w.ndim > 1 and name not in ("cls_token", "pos_embed")
        scale = config["layer_decay"] ** (config["depth"] + 1 - layer)
        groups.setdefault((scale, decay if decays else 0.0), {})[name] = w
    adamw = torch.optim.AdamW(
        [{"params": list(ws.values()), "lr": lr * scale, "weight_decay": wd} for (scale, wd), ws in groups.items()],
        betas=betas)
    losses = [loss]
    for step in (1, 2, 3):
        adamw.step()
        if step != 2:
            out |= {f"adamw{step}.{name}": w.detach().clone() for name, w in model.named_parameters()}
        adamw.zero_grad()
        losses.append(cross_entropy(model(images.detach()), labels, label_smoothing=smoothing))
        losses[-1].backward()
    out["adamw_losses"] = torch.stack(losses)
    about = {"kind": "vit", "dtype": "f64", "config": config, "label_smoothing": smoothing,
             "adamw": {"lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": decay},
             "param_groups": [{"lr_scale": scale, "weight_decay": wd, "params": list(ws)}
                              for (scale, wd), ws in groups.items()]}
    whole = lambda x: x.detach().clone(memory_format=torch.contiguous_format)
    save_file({name: whole(x) for name, x in out.items()}, path, {"golden": json.dumps(about)})


torch.manual_seed(1)
config = dict(img_size=[8, 12], patch_size=4, in_chans=2, embed_dim=12, depth=2, num_heads=3, mlp_ratio=2.5,
              layer_norm_eps=1e-6, num_classes=5, layer_decay=0.65, global_pool=False, batch=3)
model = VisionTransformer(**config).double()
with torch.no_grad():
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
images = torch.randn(config["batch"], 2, *config["img_size"]).double()
soft = torch.rand(config["batch"], 5).double().softmax(1)
record(model, images, torch.tensor([4, 0, 2]), soft, config, Path(__file__).parent / "vit_class.f64.safetensors")
