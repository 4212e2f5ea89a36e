//! What a data set holds: sizes, channels, classes, the mean and standard deviation of its pixels, and which images are bad.

use super::dense_survey::{DenseSurvey, Tally};
use super::stats::Moments;
use super::{ChannelStats, Dataset, Image};
use crate::base::Result;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Called once for each image that is done, from any thread.
pub type OnImage<'a> = &'a (dyn Fn() + Sync);

/// What a look at some images found.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// In the whole data set.
    pub images: usize,
    /// Of these, evenly spaced.
    pub looked_at: usize,
    /// Of those looked at, how many could not be read, and why the first could not.
    pub bad: usize,
    /// The first bad image's error.
    pub first_bad: Option<String>,
    /// Smallest and largest number of rows.
    pub height: Option<[usize; 2]>,
    /// Smallest and largest number of columns.
    pub width: Option<[usize; 2]>,
    /// The median numbers of rows and of columns; of an even number the lower one of the middle.
    pub median: Option<[usize; 2]>,
    /// Values per pixel and how many of the images looked at have so many.
    pub channels: BTreeMap<usize, usize>,
    /// How many of them have alpha among these channels.
    pub alpha: usize,
    /// Of pixels from 0 to 1, without alpha; grey images count as colour where there are both. `None` if images have
    /// numbers of channels that do not go together.
    pub pixels: Option<ChannelStats>,
    /// Name and number of images of each class, over the whole data set; none where targets are dense.
    pub classes: Vec<ClassCount>,
    /// Why the labels cannot be used, if there are some that cannot.
    pub label_problem: Option<String>,
    /// What label maps or objects hold.
    pub dense: Option<DenseSurvey>,
}

/// A class and its images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// What it is called.
    pub name: String,
    /// How many there are.
    pub images: usize,
}

/// What one image says about itself.
struct Look {
    size: [usize; 2],
    channels: usize,
    alpha: bool,
    /// Of each channel but alpha.
    moments: Vec<Moments>,
    /// Of a dense target.
    tally: Option<Tally>,
}

/// Looks at `most_images` evenly spaced images, or at all.
///
/// Sums are of whole numbers, so the result is the same for any number of threads.
#[must_use]
pub fn survey(dataset: &dyn Dataset, most_images: Option<usize>, on_image: OnImage) -> Survey {
    let images = dataset.len();
    let looked_at = images.min(most_images.unwrap_or(images).max(1));
    let looks: Vec<Result<Look>> = (0..looked_at)
        .into_par_iter()
        .map(|i| {
            let look = look_at(dataset, i * images / looked_at);
            on_image();
            look
        })
        .collect();
    let (mut channels, mut colours) = (BTreeMap::new(), BTreeMap::<usize, (usize, Vec<Moments>)>::new());
    let (mut heights, mut widths, mut tally) = (Vec::new(), Vec::new(), Tally::default());
    let (mut bad, mut first_bad, mut alpha) = (0, None, 0);
    for look in looks {
        match look {
            Ok(look) => {
                *channels.entry(look.channels).or_insert(0) += 1;
                alpha += usize::from(look.alpha);
                let colour = look.moments.len();
                let (number, totals) = colours.entry(colour).or_insert((0, vec![Moments::default(); colour]));
                *number += 1;
                totals.iter_mut().zip(&look.moments).for_each(|(total, m)| total.add(m));
                heights.push(look.size[0]);
                widths.push(look.size[1]);
                look.tally.iter().for_each(|more| tally.add(more));
            }
            Err(error) => {
                bad += 1;
                first_bad.get_or_insert_with(|| error.to_string());
            }
        }
    }
    let (pixels, dense) = (together(colours), tally.survey(dataset));
    let classes = if dense.is_some() { Vec::new() } else { class_counts(dataset) };
    heights.sort_unstable();
    widths.sort_unstable();
    let range = |sorted: &[usize]| Some([*sorted.first()?, *sorted.last()?]);
    let middle = |sorted: &[usize]| sorted.get(sorted.len().saturating_sub(1) / 2).copied();
    let label_problem = dataset.label_problem().map(ToString::to_string);
    Survey {
        images,
        looked_at,
        bad,
        first_bad,
        height: range(&heights),
        width: range(&widths),
        median: middle(&heights).zip(middle(&widths)).map(<[usize; 2]>::from),
        channels,
        alpha,
        pixels,
        classes,
        label_problem,
        dense,
    }
}

fn look_at(dataset: &dyn Dataset, index: usize) -> Result<Look> {
    let image = dataset.image(index)?;
    let of = |c: usize| Moments::of(image.pixels[c..].iter().step_by(image.channels));
    let moments = (0..image.colours()).map(of).collect();
    let Image { height, width, channels, alpha, .. } = image;
    let tally = || -> Result<Tally> {
        Ok(Tally::of(&dataset.target(index)?, [height, width], dataset.classes().len()))
    };
    let tally = dataset.target_kind().is_dense().then(tally).transpose()?;
    Ok(Look { size: [height, width], channels, alpha, moments, tally })
}

/// The statistics of all: of one kind of image, or of grey and colour.
fn together(mut colours: BTreeMap<usize, (usize, Vec<Moments>)>) -> Option<ChannelStats> {
    if colours.keys().eq([&1, &3]) {
        let (number, grey) = colours.remove(&1)?;
        let (total, colour) = colours.get_mut(&3)?;
        *total += number;
        for channel in colour {
            channel.add(&grey[0]);
        }
    }
    let (_, (number, moments)) = colours.pop_first()?;
    colours.is_empty().then(|| ChannelStats::of(&moments, number))
}

fn class_counts(dataset: &dyn Dataset) -> Vec<ClassCount> {
    let mut images = vec![0; dataset.classes().len()];
    for label in (0..dataset.len()).filter_map(|index| dataset.label(index)) {
        images[label] += 1;
    }
    let named = dataset.classes().iter().zip(images);
    named.map(|(name, images)| ClassCount { name: name.clone(), images }).collect()
}
