//! Sheets of label maps: images beside their true and their predicted classes.

use super::evaluate::label_map;
use crate::base::Result;
use crate::data::target::IGNORED;
use crate::data::{Dataset, Target};
use crate::draw::overlay::overlay;
use crate::draw::palette::colour;
use crate::draw::sheet::{Picture, Sheet};
use ndarray::Array2;
use std::collections::BTreeSet;

/// A sheet of images of a data set with predicted maps, and below each what is said of it.
///
/// # Errors
/// If an image or its map can no longer be read, or the picture cannot be encoded.
pub fn sheet(
    dataset: &dyn Dataset,
    predicted: Vec<(usize, Array2<u8>)>,
    note: &str,
    say: impl Fn(usize) -> Option<String>,
) -> Result<Vec<u8>> {
    let mut sheet = Sheet::new(&["image", "true classes", "predicted classes"], Some(note));
    let mut seen = BTreeSet::new();
    for (index, map) in predicted {
        let image = dataset.image(index)?;
        let truth = overlay(&image, &Target::LabelMap(label_map(dataset, index)?));
        let predicted = overlay(&image, &Target::LabelMap(map));
        seen.extend(truth.1.into_iter().chain(predicted.1));
        let said: Vec<String> = say(index).into_iter().collect();
        sheet.push_labelled_row([
            (Picture::of(&image), said),
            (truth.0, Vec::new()),
            (predicted.0, Vec::new()),
        ]);
    }
    let name = |number: usize| match dataset.classes().get(number) {
        Some(name) => name.clone(),
        None if number == usize::from(IGNORED) => "ignored".to_owned(),
        None => format!("class {number}"),
    };
    sheet.set_legend(seen.into_iter().map(|number| (colour(number), name(number))));
    sheet.to_png_bytes()
}
