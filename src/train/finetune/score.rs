//! What a classifier reaches on labelled images.

use super::config::FinetuneConfig;
use crate::base::Result;
use crate::data::Dataset;
use crate::exec::tree;
use crate::tasks::{Classifier, cross_entropy};
use crate::train::Workers;
use crate::train::held_out::model_input;
use crate::train::run::HeldOutScore;
use ndarray::{Array2, Axis, stack};

/// Mean cross-entropy and accuracy on the first `most` images, in chunks that do not depend on the number of threads.
///
/// # Errors
/// If one of the images cannot be read.
pub fn score(
    model: &Classifier<f32>,
    config: &FinetuneConfig,
    set: &dyn Dataset,
    most: usize,
    workers: &Workers<f32, Classifier<f32>>,
) -> Result<HeldOutScore> {
    let (images, size) = (set.len().min(most), config.optim.micro_batch);
    let shape = (config.model.img_size, config.model.in_chans);
    let chunk = |i: usize| -> Result<(f64, usize)> {
        let indices: Vec<usize> = (i * size..images.min((i + 1) * size)).collect();
        let input = |&index: &usize| model_input(&config.data, shape, &set.source(index), &set.image(index)?);
        let inputs = indices.iter().map(input).collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = inputs.iter().map(|image| image.view()).collect();
        let inputs = stack(Axis(0), &views).expect("images of one shape");
        let labels: Vec<usize> = indices.iter().map(|&i| set.label(i).expect("labelled data")).collect();
        let logits = workers.run(false, |cx| model.logits(inputs.view(), cx));
        let targets = cross_entropy::targets(&labels, config.model.num_classes, 0.0);
        Ok((cross_entropy::sum(&logits, &targets), correct(&logits, &labels)))
    };
    let add = |a: Result<(f64, usize)>, b: Result<(f64, usize)>| {
        let ((loss, right), (other_loss, other_right)) = (a?, b?);
        Ok((loss + other_loss, right + other_right))
    };
    let (loss, right) = tree::reduce(images.div_ceil(size), &chunk, &add).expect("a data set has images")?;
    Ok(HeldOutScore { loss: loss / images as f64, accuracy: Some(right as f64 / images as f64) })
}

/// How many rows have their largest value, the first of equals, at the label.
fn correct(logits: &Array2<f32>, labels: &[usize]) -> usize {
    let largest = |row: ndarray::ArrayView1<f32>| {
        (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
    };
    logits.outer_iter().zip(labels).filter(|(row, label)| largest(*row) == **label).count()
}
