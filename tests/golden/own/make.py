"""Records masked autoencoders of other shapes than the reference's recordings have, with the script of docs/audit.md.

    pip install torch numpy safetensors
    python tests/golden/own/make.py
"""

import re
from pathlib import Path

import torch
from model import MAE

HERE = Path(__file__).parent
exec(re.search(r"```python\n(import json.*?)```", (HERE / "../../../docs/audit.md").read_text(), re.S)[1])
RAND = torch.rand

CASES = {
    # 5 channels, 6 heads of width 4, 3 blocks, an mlp_ratio that is not whole.
    "mae_deep.f32": dict(img_size=12, patch_size=3, in_chans=5, embed_dim=24, depth=3, num_heads=6,
                         decoder_embed_dim=12, decoder_depth=2, decoder_num_heads=3, mlp_ratio=2.5,
                         norm_pix_loss=True, mask_ratio=0.6, batch=4),
    # One image, one head, one kept patch.
    "mae_one.f64": dict(img_size=16, patch_size=4, in_chans=3, embed_dim=16, depth=1, num_heads=1,
                        decoder_embed_dim=8, decoder_depth=1, decoder_num_heads=1, mlp_ratio=4.0,
                        norm_pix_loss=False, mask_ratio=0.9, batch=1),
    # No patch is kept: the encoder sees the class token alone.
    "mae_none_kept.f64": dict(img_size=20, patch_size=5, in_chans=2, embed_dim=20, depth=2, num_heads=5,
                              decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2, mlp_ratio=1.0,
                              norm_pix_loss=True, mask_ratio=0.95, batch=3),
}

for name, config in CASES.items():
    torch.rand = RAND
    torch.manual_seed(1)
    config["layer_norm_eps"] = 1e-6
    model = MAE(**config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    images = torch.randn(config["batch"], config["in_chans"], config["img_size"], config["img_size"])
    dtype = torch.float64 if name.endswith("f64") else torch.float32
    record(model.to(dtype), images.to(dtype), config, HERE / f"{name}.safetensors")
