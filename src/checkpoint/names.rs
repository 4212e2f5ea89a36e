//! Names of a Vision Transformer's tensors: the reference's (`facebookresearch/mae`, and timm's, which are the same),
//! and those of Hugging Face's `transformers`, both ways.
//!
//! | reference, timm | Hugging Face |
//! | --- | --- |
//! | `blocks.{i}.attn.qkv.weight` `[3D, D]` | `vit.encoder.layer.{i}.attention.attention.{query, key, value}.weight`, `[D, D]` each |
//! | `blocks.{i}.mlp.fc1.bias` | `vit.encoder.layer.{i}.intermediate.dense.bias` |
//! | `decoder_blocks.{i}.…` | `decoder.decoder_layers.{i}.…` |
//!
//! Rows 0 to D of `qkv` are the query's, D to 2D the key's, 2D to 3D the value's. A model that is an encoder and
//! nothing else has no `vit.` in front of its names.

/// How a file names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As the reference; timm does the same for what it has.
    Reference,
    /// As Hugging Face's `transformers`.
    Hf,
}

/// `qkv` is three tensors in a Hugging Face file.
pub const THIRDS: usize = 3;

/// In front of an encoder's names where a decoder or a head lies beside it.
pub(super) const PREFIX: &str = "vit.";

/// The encoder's tensors outside blocks. A rule that ends in a dot is about `weight` and `bias`.
const ENCODER: [(&str, &str); 4] = [
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("norm.", "layernorm."),
];

/// The decoder's outside blocks, and a classifier's head.
const BESIDE: [(&str, &str); 6] = [
    ("mask_token", "decoder.mask_token"),
    ("decoder_pos_embed", "decoder.decoder_pos_embed"),
    ("decoder_embed.", "decoder.decoder_embed."),
    ("decoder_norm.", "decoder.decoder_norm."),
    ("decoder_pred.", "decoder.decoder_pred."),
    ("head.", "classifier."),
];

/// The two stacks of blocks. The first rule for a stack is how it is written; all are read: `transformers` 5 names the
/// layers otherwise in memory, and 5.24 writes `decoder_encoder.layer` by mistake.
const STACKS: [(&str, &str); 4] = [
    ("blocks.", "encoder.layer."),
    ("decoder_blocks.", "decoder.decoder_layers."),
    ("blocks.", "layers."),
    ("decoder_blocks.", "decoder.decoder_encoder.layer."),
];

/// Inside a block; here too, the first rule for a name is how it is written.
const BLOCK: [(&str, &str); 8] = [
    ("norm1.", "layernorm_before."),
    ("attn.proj.", "attention.output.dense."),
    ("norm2.", "layernorm_after."),
    ("mlp.fc1.", "intermediate.dense."),
    ("mlp.fc2.", "output.dense."),
    ("attn.proj.", "attention.o_proj."),
    ("mlp.fc1.", "mlp.fc1."),
    ("mlp.fc2.", "mlp.fc2."),
];

/// The three parts of `attn.qkv.`, in the order of its rows.
const QKV: [[&str; THIRDS]; 2] = [
    ["attention.attention.query.", "attention.attention.key.", "attention.attention.value."],
    ["attention.q_proj.", "attention.k_proj.", "attention.v_proj."],
];

/// A tensor of a Hugging Face file in the reference's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The reference's name.
    pub name: String,
    /// Which third of that tensor it is, if it is not all of it.
    pub third: Option<usize>,
}

/// What the reference calls a tensor of a Hugging Face file; none for a name that no `ViTMAE` or `ViT` model has, or
/// that has no counterpart here.
#[must_use]
pub fn from_hf(name: &str) -> Option<Named> {
    let whole = |name: String| Named { name, third: None };
    if let Some(name) = BESIDE.iter().find_map(|(mine, theirs)| renamed(name, theirs, mine)) {
        return Some(whole(name));
    }
    let bare = name.strip_prefix(PREFIX).unwrap_or(name);
    if let Some(name) = ENCODER.iter().find_map(|(mine, theirs)| renamed(bare, theirs, mine)) {
        return Some(whole(name));
    }
    STACKS.iter().find_map(|(mine, theirs)| {
        let (index, inside) = block(bare, theirs)?;
        let Named { name, third } = from_hf_block(inside)?;
        Some(Named { name: format!("{mine}{index}.{name}"), third })
    })
}

fn from_hf_block(inside: &str) -> Option<Named> {
    let thirds = QKV.iter().flat_map(|names| names.iter().enumerate());
    let third = |(third, theirs): (usize, &&str)| {
        Some(Named { name: renamed(inside, theirs, "attn.qkv.")?, third: Some(third) })
    };
    let whole =
        |(mine, theirs): &(&str, &str)| Some(Named { name: renamed(inside, theirs, mine)?, third: None });
    thirds.into_iter().find_map(third).or_else(|| BLOCK.iter().find_map(whole))
}

/// What a Hugging Face file calls one of the reference's tensors: one name, or three for a third of its rows each. None
/// for a name that has no counterpart there, such as the mean pooling's `fc_norm`. `prefixed` says whether a decoder or
/// a head lies beside the encoder.
#[must_use]
pub fn to_hf(name: &str, prefixed: bool) -> Option<Vec<String>> {
    if let Some(name) = BESIDE.iter().find_map(|(mine, theirs)| renamed(name, mine, theirs)) {
        return Some(vec![name]);
    }
    let prefix = if prefixed { PREFIX } else { "" };
    if let Some(name) = ENCODER.iter().find_map(|(mine, theirs)| renamed(name, mine, theirs)) {
        return Some(vec![format!("{prefix}{name}")]);
    }
    STACKS.iter().find_map(|(mine, theirs)| {
        let (index, inside) = block(name, mine)?;
        let prefix = if theirs.starts_with("decoder") { "" } else { prefix };
        let names = to_hf_block(inside)?;
        Some(names.into_iter().map(|name| format!("{prefix}{theirs}{index}.{name}")).collect())
    })
}

fn to_hf_block(inside: &str) -> Option<Vec<String>> {
    if let Some(names) = QKV[0].iter().map(|theirs| renamed(inside, "attn.qkv.", theirs)).collect() {
        return Some(names);
    }
    BLOCK.iter().find_map(|(mine, theirs)| Some(vec![renamed(inside, mine, theirs)?]))
}

/// `name` by a rule: equal to `from`, or `from` and `weight` or `bias` behind it.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from)?;
    let fits = if from.ends_with('.') { ["weight", "bias"].contains(&rest) } else { rest.is_empty() };
    fits.then(|| format!("{to}{rest}"))
}

/// The number of a block and what is behind it: `("3", "norm1.bias")` of `blocks.3.norm1.bias`.
fn block<'a>(name: &'a str, stack: &str) -> Option<(&'a str, &'a str)> {
    let (index, inside) = name.strip_prefix(stack)?.split_once('.')?;
    let number: usize = index.parse().ok()?;
    (number.to_string() == index).then_some((index, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        let names = "cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias norm.weight norm.bias mask_token \
                     decoder_pos_embed decoder_embed.weight decoder_norm.bias decoder_pred.weight head.weight head.bias";
        let inside = "norm1.weight attn.qkv.weight attn.qkv.bias attn.proj.bias norm2.bias mlp.fc1.weight mlp.fc2.bias";
        let stacks = ["blocks.0.", "blocks.11.", "decoder_blocks.7."];
        let blocks =
            stacks.iter().flat_map(|stack| inside.split(' ').map(move |name| format!("{stack}{name}")));
        for name in names.split(' ').map(str::to_owned).chain(blocks) {
            for prefixed in [false, true] {
                let theirs = to_hf(&name, prefixed).unwrap_or_else(|| panic!("{name}"));
                let thirds = theirs.len() == THIRDS;
                assert_eq!(thirds, name.contains("qkv"), "{name}");
                for (i, theirs) in theirs.iter().enumerate() {
                    let third = thirds.then_some(i);
                    assert_eq!(from_hf(theirs), Some(Named { name: name.clone(), third }), "{theirs}");
                }
            }
        }
    }

    #[test]
    fn what_has_no_counterpart_has_no_name() {
        for name in [
            "fc_norm.weight",
            "blocks.0.ls1.gamma",
            "blocks.0",
            "norm",
            "cls_token.weight",
            "blocks.00.norm1.bias",
        ] {
            assert_eq!(to_hf(name, true), None, "{name}");
        }
        for name in [
            "pooler.dense.weight",
            "vit.vit.layernorm.bias",
            "vit.classifier.bias",
            "layernorm.gamma",
            "embeddings.mask_token",
        ] {
            assert_eq!(from_hf(name), None, "{name}");
        }
    }
}
