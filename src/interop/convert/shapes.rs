//! The architecture that a file's shapes tell. Heads leave no trace in them, nor do the layer norm's `ε` and the target.

use crate::base::{Error, Result};
use crate::checkpoint::Renamed;
use crate::models::mae::MaeConfig;
use crate::models::vit::VitConfig;

/// The trunk whose tensors these are. One head stands where the number is unknown, and where the patches make no square, a row
/// of them for the image.
///
/// # Errors
/// If the names are others, or the shapes those of no model.
pub fn vit(weights: &Renamed) -> Result<VitConfig> {
    let telling = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"];
    if let Some(missing) = telling.iter().find(|name| !weights.contains(name)) {
        let expected = format!("the reference's names, among them {missing}");
        return Err(Error::input(weights.path(), "tensors", expected, weights.some_names()));
    }
    let kernel = sides(weights, "patch_embed.proj.weight", 4)?;
    let places = sides(weights, "pos_embed", 3)?[1] - 1;
    let (embed_dim, patch_size) = (kernel[0], kernel[2]);
    let hidden = sides(weights, "blocks.0.mlp.fc1.weight", 2)?[0];
    let side = places.isqrt();
    let grid = if side * side == places { [side, side] } else { [1, places] };
    let config = VitConfig {
        img_size: grid.map(|patches| patches.saturating_mul(patch_size)),
        in_chans: kernel[1],
        patch_size,
        embed_dim,
        depth: depth(weights, "blocks."),
        num_heads: 1,
        mlp_ratio: mlp_ratio(&[(embed_dim, hidden)]).unwrap_or_default(),
        layer_norm_eps: 1e-6,
    };
    config.validate().map_err(Error::at(weights.path()))?;
    Ok(config)
}

/// The masked autoencoder whose tensors these are.
///
/// # Errors
/// As [`vit`].
pub fn mae(weights: &Renamed) -> Result<MaeConfig> {
    let vit = vit(weights)?;
    let width = sides(weights, "mask_token", 3)?[2];
    let mut mlps = vec![(vit.embed_dim, vit.stack().hidden())];
    let name = "decoder_blocks.0.mlp.fc1.weight";
    if weights.contains(name) {
        mlps.push((width, sides(weights, name, 2)?[0]));
    }
    let one = "the same ratio of hidden width to width in encoder and decoder";
    let uneven = || Error::input(weights.path(), name, one, format!("{mlps:?}"));
    let mlp_ratio = mlp_ratio(&mlps).ok_or_else(uneven)?;
    let decoder = [width, depth(weights, "decoder_blocks."), 1];
    let config = MaeConfig { mlp_ratio, ..MaeConfig::with_decoder(&vit, decoder) };
    config.validate().map_err(Error::at(weights.path()))?;
    Ok(config)
}

/// A tensor's shape of this many dimensions.
fn sides(weights: &Renamed, name: &str, count: usize) -> Result<Vec<usize>> {
    let shape = weights.shape(name)?;
    if shape.len() == count && !shape.contains(&0) {
        return Ok(shape.to_vec());
    }
    let expected = format!("{count} dimensions, none of them 0");
    Err(Error::input(weights.path(), name, expected, format!("{shape:?}")))
}

/// How many blocks have names that begin so.
fn depth(weights: &Renamed, prefix: &str) -> usize {
    let block = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    weights.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1))
}

/// The ratio that makes each of these hidden widths of its width, `⌊width · ratio⌋ = hidden`; none if one ratio cannot.
#[must_use]
pub fn mlp_ratio(mlps: &[(usize, usize)]) -> Option<f64> {
    let least = mlps.iter().map(|&(width, hidden)| hidden as f64 / width as f64).fold(0.0, f64::max);
    let most = mlps
        .iter()
        .map(|&(width, hidden)| (hidden as f64 + 1.0) / width as f64)
        .fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as `Stack::hidden` does it")]
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
