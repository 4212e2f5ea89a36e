//! The architecture that a file's shapes tell. Heads leave no trace in them, nor do the layer norm's `ε` and the target.

use crate::base::{Error, Result};
use crate::checkpoint::Renamed;
use crate::mae::MaeConfig;

/// The masked autoencoder whose tensors these are; with `whole` false of its encoder alone. One head stands where the number is
/// unknown, and where the patches make no square, a row of them for the image.
///
/// # Errors
/// If the names are others, or the shapes those of no model.
pub fn architecture(weights: &Renamed, whole: bool) -> Result<MaeConfig> {
    let telling = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"];
    if let Some(missing) = telling.iter().find(|name| !weights.contains(name)) {
        let expected = format!("the reference's names, among them {missing}");
        return Err(Error::input(weights.path(), "tensors", expected, weights.some_names()));
    }
    let sides = |name: &str, count: usize| -> Result<Vec<usize>> {
        let shape = weights.shape(name)?;
        let right = shape.len() == count && !shape.contains(&0);
        let expected = format!("{count} dimensions, none of them 0");
        if right {
            Ok(shape.to_vec())
        } else {
            Err(Error::input(weights.path(), name, expected, format!("{shape:?}")))
        }
    };
    let kernel = sides("patch_embed.proj.weight", 4)?;
    let places = sides("pos_embed", 3)?[1] - 1;
    let (embed_dim, patch_size) = (kernel[0], kernel[2]);
    let hidden = sides("blocks.0.mlp.fc1.weight", 2)?[0];
    let decoder_embed_dim = if whole { sides("mask_token", 3)?[2] } else { embed_dim };
    let depth = |prefix: &str| {
        let block = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        weights.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1))
    };
    let side = places.isqrt();
    let grid = if side * side == places { [side, side] } else { [1, places] };
    let mut mlps = vec![(embed_dim, hidden)];
    let name = "decoder_blocks.0.mlp.fc1.weight";
    if whole && weights.contains(name) {
        mlps.push((decoder_embed_dim, sides(name, 2)?[0]));
    }
    let one = "the same ratio of hidden width to width in encoder and decoder";
    let ratio =
        mlp_ratio(&mlps).ok_or_else(|| Error::input(weights.path(), name, one, format!("{mlps:?}")))?;
    let config = MaeConfig {
        img_size: grid.map(|patches| patches.saturating_mul(patch_size)),
        in_chans: kernel[1],
        patch_size,
        embed_dim,
        depth: depth("blocks."),
        num_heads: 1,
        decoder_embed_dim,
        decoder_depth: if whole { depth("decoder_blocks.") } else { 1 },
        decoder_num_heads: 1,
        mlp_ratio: ratio,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    };
    config.validate().map_err(|error| match error {
        Error::Setting { key, expected, found } => Error::input(weights.path(), key, expected, found),
        other => other,
    })?;
    Ok(config)
}

/// The ratio that makes each of these hidden widths of its width, `⌊width · ratio⌋ = hidden`; none if one ratio cannot.
#[must_use]
pub fn mlp_ratio(mlps: &[(usize, usize)]) -> Option<f64> {
    let least = mlps.iter().map(|&(width, hidden)| hidden as f64 / width as f64).fold(0.0, f64::max);
    let most = mlps
        .iter()
        .map(|&(width, hidden)| (hidden as f64 + 1.0) / width as f64)
        .fold(f64::INFINITY, f64::min);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as `MaeConfig::hidden` does it"
    )]
    let fits = |ratio: f64| mlps.iter().all(|&(width, hidden)| (width as f64 * ratio) as usize == hidden);
    [least, f64::midpoint(least, most)].into_iter().find(|&ratio| fits(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ratio_makes_all_hidden_widths_or_there_is_none() {
        assert_eq!(mlp_ratio(&[(768, 3072), (512, 2048)]), Some(4.0));
        for width in 1..200 {
            for hidden in [1, width / 2 + 1, width, 3 * width + 1] {
                let ratio = mlp_ratio(&[(width, hidden)]).unwrap();
                assert_eq!((width as f64 * ratio).floor(), hidden as f64, "{width} {hidden}");
            }
        }
        assert_eq!(mlp_ratio(&[(48, 192), (32, 64)]), None);
        assert_eq!(mlp_ratio(&[(48, 100), (32, 68)]), None);
        assert!(mlp_ratio(&[(48, 100), (32, 66)]).is_some());
    }
}
