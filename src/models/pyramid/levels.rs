//! The levels of the pyramid: which block's output each is made from, its stride, its size, and which trunks have one.

use crate::base::{Error, Result};
use crate::models::vit::VitConfig;

/// Levels.
pub const LEVELS: usize = 4;

/// Pixels of the image from one pixel of a level to the next.
pub const STRIDES: [usize; LEVELS] = [4, 8, 16, 32];

/// The patch sizes from which [`super::Adapter`] reaches every stride.
pub const PATCH_SIZES: [usize; 3] = [4, 8, 16];

/// The blocks whose outputs the levels are made from: a quarter, a half, three quarters of the depth, and the last one.
#[must_use]
pub fn taps(depth: usize) -> [usize; LEVELS] {
    [1, 2, 3, 4].map(|quarter| (quarter * depth / 4).saturating_sub(1))
}

/// `[height, width]` of every level of an image.
#[must_use]
pub fn sizes(img_size: [usize; 2]) -> [[usize; 2]; LEVELS] {
    STRIDES.map(|stride| img_size.map(|side| side / stride))
}

/// Checks that a trunk has a pyramid.
///
/// # Errors
/// [`Error::Setting`] naming the key, what it needs and what was found.
pub fn validate(vit: &VitConfig) -> Result<()> {
    if !PATCH_SIZES.contains(&vit.patch_size) {
        let why = "4, 8 or 16, from which the pyramid's strides 4, 8, 16 and 32 are reached by doubling and halving";
        return Err(Error::setting("model.patch_size", why, vit.patch_size));
    }
    if vit.depth < LEVELS {
        let why = format!("at least {LEVELS}: each level of the pyramid is made from another block");
        return Err(Error::setting("model.depth", why, vit.depth));
    }
    let coarsest = STRIDES[LEVELS - 1];
    for (side, pixels) in ["height", "width"].into_iter().zip(vit.img_size) {
        if !pixels.is_multiple_of(coarsest) {
            let why = format!(
                "a {side} that is a multiple of {coarsest}, the stride of the pyramid's coarsest level"
            );
            return Err(Error::setting("model.img_size", why, pixels));
        }
    }
    Ok(())
}
