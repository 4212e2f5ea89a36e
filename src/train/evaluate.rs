//! A fine-tuned classifier judged on labelled images: metrics, and the images on which it is most confidently wrong.

use super::features::{Listener, labels, rows};
use super::input::Input;
use super::sheet::{Picture, Sheet};
use crate::base::{Error, Result};
use crate::data::{Dataset, Image};
use crate::exec::{Backend, Exec};
use crate::tasks::metrics::{Judgement, judge};
use crate::tasks::{Classifier, Metrics};
use ndarray::{Array2, ArrayView4};
use std::path::Path;

/// Pictures of the sheet, and how many stand side by side.
const WRONG_SHOWN: usize = 24;
const COLUMNS: usize = 6;

/// A classifier with what else is needed to use it.
pub struct Judge<'a> {
    /// The model.
    pub model: &'a Classifier<f32>,
    /// How an image becomes what it sees.
    pub input: &'a Input,
    /// Names of the classes, in the order of the head.
    pub classes: &'a [String],
    /// Which crate multiplies matrices.
    pub backend: Backend,
    /// Where the weights come from, for messages.
    pub checkpoint: &'a Path,
}

/// What was found, image by image and counted.
pub struct Evaluation {
    /// In the order of the data.
    pub judgements: Vec<Judgement>,
    /// The same, counted.
    pub metrics: Metrics,
}

impl Judge<'_> {
    /// `[N, K]`: the logits of a data set, on all threads; its labels are not looked at.
    ///
    /// # Errors
    /// If an image cannot be read, or a logit is not finite, which takes weights that are not.
    pub fn logits(&self, dataset: &dyn Dataset, listener: &dyn Listener) -> Result<Array2<f32>> {
        let forward = |images: ArrayView4<f32>, cx: &mut Exec<f32>| self.model.logits(images, cx);
        let logits = rows(dataset, self.input, self.classes.len(), self.backend, &forward, listener)?;
        if logits.iter().all(|z| z.is_finite()) {
            return Ok(logits);
        }
        Err(Error::input(self.checkpoint, "logits", "finite numbers", "others: are the weights sound?"))
    }

    /// Judges a labelled data set whose classes are the head's.
    ///
    /// # Errors
    /// If the classes are others or images have no label, or as [`Judge::logits`].
    pub fn evaluate(&self, dataset: &dyn Dataset, listener: &dyn Listener) -> Result<Evaluation> {
        same_classes(self.classes, dataset)?;
        let labels = labels(dataset)?;
        let logits = self.logits(dataset, listener)?;
        let judgements = judge(logits.view(), &labels);
        let metrics = Metrics::of(&judgements, self.classes.len());
        Ok(Evaluation { judgements, metrics })
    }

    /// A sheet of the images on which it is most confidently wrong, as a PNG; none if nothing is wrong.
    ///
    /// # Errors
    /// If one of the images can no longer be read.
    pub fn wrong_sheet(&self, evaluation: &Evaluation, dataset: &dyn Dataset) -> Result<Option<Vec<u8>>> {
        let wrong = evaluation.most_confidently_wrong(WRONG_SHOWN);
        if wrong.is_empty() {
            return Ok(None);
        }
        let all = evaluation.judgements.iter().filter(|j| j.predicted != j.label).count();
        let note = format!(
            "The {} most confidently wrong of {all} wrong images among {}. Below each: its number, the true class, \
             the predicted class and its probability.",
            wrong.len(),
            dataset.len()
        );
        let mut sheet = Sheet::new(&vec![""; COLUMNS.min(wrong.len())], Some(&note));
        for row in wrong.chunks(COLUMNS) {
            let tile = |&index: &usize| {
                let judgement = &evaluation.judgements[index];
                let image = self.input.picture(&dataset.source(index), &dataset.image(index)?)?;
                let label = vec![
                    format!("no. {index}"),
                    format!("is {}", self.classes[judgement.label]),
                    format!("{:>3.0} % {}", 100.0 * judgement.confidence, self.classes[judgement.predicted]),
                ];
                Ok((picture(&image), label))
            };
            sheet.push_labelled_row(row.iter().map(tile).collect::<Result<Vec<_>>>()?);
        }
        sheet.to_png_bytes().map(Some)
    }
}

impl Evaluation {
    /// Wrong images, the most confident first, of equally confident ones the first in the data.
    #[must_use]
    pub fn most_confidently_wrong(&self, most: usize) -> Vec<usize> {
        let judgements = &self.judgements;
        let mut wrong: Vec<usize> =
            (0..judgements.len()).filter(|&i| judgements[i].predicted != judgements[i].label).collect();
        wrong.sort_by(|&a, &b| judgements[b].confidence.total_cmp(&judgements[a].confidence));
        wrong.truncate(most);
        wrong
    }
}

/// Refuses images whose labels mean something else than those that were learnt.
///
/// # Errors
/// Names the first class that differs.
pub fn same_classes(names: &[String], data: &dyn Dataset) -> Result<()> {
    let theirs = data.classes();
    if theirs.is_empty() {
        let expected = "labelled images: CIFAR, IDX with a labels file, or one sub-folder per class";
        return Err(Error::setting("--data", expected, format!("no labels ({})", data.describe())));
    }
    let first = names.iter().zip(theirs).position(|(mine, theirs)| mine != theirs);
    let differs = match first {
        Some(class) => format!("class {class} is {:?}, not {:?}", theirs[class], names[class]),
        None if names.len() == theirs.len() => return Ok(()),
        None => format!("{} classes, not {}", theirs.len(), names.len()),
    };
    let expected = format!("the {} classes that were learnt", names.len());
    Err(Error::setting("--data", expected, format!("{differs} ({})", data.describe())))
}

/// The pixels as a picture; other channel counts than 1 and 3 have no colours of their own: the first is shown.
fn picture(image: &Image) -> Picture {
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let (width, height) = (side(image.width), side(image.height));
    match image.channels {
        3 => Picture::rgb(width, height, image.pixels.clone()),
        channels => {
            let gray: Vec<u8> = image.pixels.iter().copied().step_by(channels).collect();
            Picture::gray(width, height, &gray)
        }
    }
}
