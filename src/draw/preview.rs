//! A contact sheet of a data set: a row of images for each class, or rows of images without labels; where label maps or objects are
//! known, in colours over the images, with a legend.

use crate::base::rng::{Purpose, permutation, rng};
use crate::base::{Error, Result};
use crate::data::{Dataset, TargetKind, none_usable};
use crate::draw::overlay::overlay;
use crate::draw::palette::colour;
use crate::draw::sheet::{Picture, Sheet};
use std::collections::BTreeSet;

/// The most tiles on a sheet, which takes about 200 KiB of memory for each.
const MOST_TILES: usize = 1024;

/// What the sheet is to show.
#[derive(Clone, Copy, Debug)]
pub struct Preview {
    /// Classes, or rows of images where there are no labels.
    pub rows: usize,
    /// Images in a row.
    pub columns: usize,
    /// Draws images, and classes where there are more than rows.
    pub seed: u64,
}

/// A sheet, and what is on it.
pub struct ContactSheet {
    /// A PNG file.
    pub png: Vec<u8>,
    /// Number of images shown.
    pub shown: usize,
    /// Classes shown and classes with images; both 0 without labels.
    pub classes: [usize; 2],
    /// Why images that were drawn are not shown.
    pub bad: Vec<String>,
}

/// Draws the sheet; an image that cannot be read gives way to another one of its class.
///
/// # Errors
/// If there are no rows or columns or too many, or no image can be read.
pub fn draw(dataset: &dyn Dataset, preview: &Preview) -> Result<ContactSheet> {
    let Preview { rows, columns, seed } = *preview;
    for (flag, n) in [("--rows", rows), ("--columns", columns)] {
        if n == 0 || rows.saturating_mul(columns) > MOST_TILES {
            let expected = format!("at least 1, and at most {MOST_TILES} images on the sheet");
            return Err(Error::setting(flag, expected, format!("{rows} rows of {columns}")));
        }
    }
    let groups = groups(dataset);
    let with_images: Vec<usize> = (0..groups.len()).filter(|&group| !groups[group].is_empty()).collect();
    let (labelled, dense) = (dataset.target_kind() == TargetKind::Class, dataset.target_kind().is_dense());
    let order = permutation(&mut rng(seed, Purpose::Preview, u64::MAX, 0), with_images.len());
    let mut drawn: Vec<usize> = order.into_iter().take(rows).map(|at| with_images[at]).collect();
    drawn.sort_unstable();
    let classes = if labelled { [drawn.len(), with_images.len()] } else { [0, 0] };
    let (mut shown, mut bad, mut tiles_in_rows, mut coloured) = (0, Vec::new(), Vec::new(), BTreeSet::new());
    let picture = |index: usize| -> Result<(Picture, BTreeSet<usize>)> {
        let image = dataset.image(index)?;
        Ok(if dense {
            overlay(&image, &dataset.target(index)?)
        } else {
            (Picture::of(&image), BTreeSet::new())
        })
    };
    for group in drawn {
        let wanted = if labelled { columns } else { rows * columns };
        let order = permutation(&mut rng(seed, Purpose::Preview, group as u64, 0), groups[group].len());
        let mut tiles = Vec::new();
        for index in order.into_iter().map(|at| groups[group][at]) {
            if tiles.len() == wanted {
                break;
            }
            match picture(index) {
                Ok((picture, colours)) => {
                    tiles.push((picture, label(dataset, index)));
                    coloured.extend(colours);
                }
                Err(error) => bad.push(error.to_string()),
            }
        }
        shown += tiles.len();
        while !tiles.is_empty() {
            let rest = tiles.split_off(columns.min(tiles.len()));
            tiles_in_rows.push(std::mem::replace(&mut tiles, rest));
        }
    }
    if shown == 0 {
        return Err(none_usable(dataset, bad.first().map_or("", String::as_str)));
    }
    let note = note(dataset, classes);
    let widest = tiles_in_rows.iter().map(Vec::len).max().unwrap_or(1);
    let mut sheet = Sheet::new(&vec![""; widest], Some(&note));
    sheet.set_legend(coloured.into_iter().map(|number| (colour(number), meaning(dataset, number))));
    for tiles in tiles_in_rows {
        sheet.push_labelled_row(tiles);
    }
    Ok(ContactSheet { png: sheet.to_png_bytes()?, shown, classes, bad })
}

/// What a colour's number on an overlay stands for.
fn meaning(dataset: &dyn Dataset, number: usize) -> String {
    let before = usize::from(dataset.target_kind() == TargetKind::Instances);
    let class = number.checked_sub(before).and_then(|class| dataset.classes().get(class));
    class.map_or_else(|| "ignored".to_owned(), Clone::clone)
}

/// The images of each class, or all of them as one group.
fn groups(dataset: &dyn Dataset) -> Vec<Vec<usize>> {
    let classes = if dataset.target_kind() == TargetKind::Class { dataset.classes().len() } else { 1 };
    let mut groups = vec![Vec::new(); classes.max(1)];
    for index in 0..dataset.len() {
        groups[dataset.label(index).unwrap_or(0)].push(index);
    }
    groups
}

/// The class's name, or where the image stands.
fn label(dataset: &dyn Dataset, index: usize) -> Vec<String> {
    let name = dataset.label(index).map(|class| dataset.classes()[class].clone());
    let source = || {
        let source = dataset.source(index);
        source.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
    };
    vec![name.unwrap_or_else(source)]
}

fn note(dataset: &dyn Dataset, [shown, all]: [usize; 2]) -> String {
    if shown < all {
        format!("{}; {shown} of the classes are shown", dataset.describe())
    } else {
        dataset.describe()
    }
}
