//! The images of a data set that a model can be shown, with their targets, found by looking at every one: what judging goes by where bad
//! images may be skipped. (Training needs no such look: its loader replaces bad images as it meets them.)

use super::input::Input;
use crate::base::{Error, Result};
use crate::data::{Dataset, Subset, none_usable};
use rayon::prelude::*;
use std::sync::Arc;

/// The data set without the images that cannot be read, as their targets, or brought to the model's input, and why each was left out. With
/// nothing to leave out, or unless `skip_bad_images`, it is the data set itself.
///
/// # Errors
/// If no image is left.
pub fn readable(
    dataset: Arc<dyn Dataset>,
    input: &Input,
    skip_bad_images: bool,
) -> Result<(Arc<dyn Dataset>, Vec<String>)> {
    if !skip_bad_images {
        return Ok((dataset, Vec::new()));
    }
    // What says where something is goes with images of any shape.
    let any_shape = dataset.target_kind().is_dense();
    let look = |index| -> Result<()> {
        dataset.target(index)?;
        let (source, image) = (dataset.source(index), dataset.image(index)?);
        let seen = if any_shape {
            image.to_channels(input.shape().0).map_err(Error::at(source))?
        } else {
            input.picture(&source, &image)?
        };
        drop(seen);
        Ok(())
    };
    let errors: Vec<Option<String>> =
        (0..dataset.len()).into_par_iter().map(|index| look(index).err().map(|e| e.to_string())).collect();
    let good: Vec<usize> = (0..errors.len()).filter(|&index| errors[index].is_none()).collect();
    let skipped: Vec<String> = errors.into_iter().flatten().collect();
    match skipped.first() {
        None => Ok((dataset, skipped)),
        Some(first) if good.is_empty() => Err(none_usable(&*dataset, first)),
        Some(_) => Ok((Arc::new(Subset::new(dataset, good)), skipped)),
    }
}

/// Leaves bad images out of some sets, as [`readable`] does; why, in the order of the sets.
///
/// # Errors
/// If no image of a set is left.
pub fn leave_out_bad<'a>(
    sets: impl IntoIterator<Item = &'a mut Arc<dyn Dataset>>,
    input: &Input,
    skip_bad_images: bool,
) -> Result<Vec<String>> {
    let mut skipped = Vec::new();
    for set in sets {
        let (good, bad) = readable(set.clone(), input, skip_bad_images)?;
        *set = good;
        skipped.extend(bad);
    }
    Ok(skipped)
}
