//! A fine-tuned classifier judged on labelled images: metrics, and the images on which it is most confidently wrong.

use crate::base::{Error, Result};
use crate::data::split::LABELLED;
use crate::data::{Dataset, Subset, load_image};
use crate::draw::sheet::{Picture, Sheet};
use crate::exec::Exec;
use crate::exec::engine::Engine;
use crate::exec::ranks::Ranks;
use crate::models::classify::Classifier;
use crate::tasks::Metrics;
use crate::tasks::features::{Listener, Outputs, rows, share};
use crate::tasks::metrics::{Judgement, judge};
use crate::train::input::Input;
use crate::train::told::gather;
use crate::train::workers::WorkerPool;
use ndarray::{Array2, ArrayView1, ArrayView4, Axis, concatenate};
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures of the sheet, and how many stand side by side.
const WRONG_SHOWN: usize = 24;
const COLUMNS: usize = 6;

/// A classifier with what else is needed to use it.
pub struct Evaluator<'a> {
    /// The model.
    pub model: &'a Classifier<f32>,
    /// How an image becomes what it sees.
    pub input: &'a Input,
    /// Names of the classes, in the order of the head.
    pub classes: &'a [String],
    /// What multiplies matrices.
    pub engine: &'a Engine,
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

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The class's name.
    pub class: String,
    /// Between 0 and 1.
    pub probability: f64,
}

impl Evaluator<'_> {
    /// `[N, K]`: the logits of a data set, on all threads; its labels are not looked at.
    ///
    /// # Errors
    /// If an image cannot be read, or a logit is not finite, which takes weights that are not.
    pub fn logits(&self, dataset: &dyn Dataset, listener: &dyn Listener) -> Result<Array2<f32>> {
        let forward = |images: ArrayView4<f32>, cx: &mut Exec<f32>| self.model.logits(images, cx);
        let outputs = Outputs {
            width: self.classes.len(),
            activation_bytes: self.model.config.activation_bytes(Some(0)),
        };
        rows(dataset, self.input, outputs, self.engine, &forward, listener)
    }

    /// Judges a labelled data set: classes are those of the same name, and the data may lack some of the head's.
    ///
    /// # Errors
    /// If an image has no label or a class that the head does not have, or as [`Evaluator::logits`].
    pub fn evaluate(&self, dataset: &dyn Dataset, listener: &dyn Listener) -> Result<Evaluation> {
        let labels = labels_among(self.classes, dataset)?;
        let logits = self.logits(dataset, listener)?;
        let judgements = judge(logits.view(), &labels);
        let metrics = Metrics::of(&judgements, self.classes.len());
        Ok(Evaluation { judgements, metrics })
    }

    /// The same on all of several ranks, each of which sees a share of the images.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`], or if another rank has failed.
    pub fn evaluate_among(&self, ranks: &dyn Ranks, dataset: &Arc<dyn Dataset>) -> Result<Evaluation> {
        if ranks.size() == 1 {
            return self.evaluate(&**dataset, &());
        }
        let labels = labels_among(self.classes, &**dataset)?;
        let own: Vec<usize> = share(dataset.len(), ranks).collect();
        let logits = match &own[..] {
            [] => Array2::zeros((0, self.classes.len())),
            _ => self.logits(&Subset::new(dataset.clone(), own), &())?,
        };
        let logits = gather(ranks, logits)?;
        let parts: Vec<_> = logits.iter().map(|part| part.view()).collect();
        let judgements = judge(concatenate(Axis(0), &parts).expect("as many classes each").view(), &labels);
        Ok(Evaluation { metrics: Metrics::of(&judgements, self.classes.len()), judgements })
    }

    /// The `top` most probable classes of each picture, the most probable first.
    ///
    /// # Errors
    /// The first picture that cannot be read or brought to the model's size, or as [`Evaluator::logits`].
    pub fn predict(&self, pictures: &[PathBuf], top: usize) -> Result<Vec<Vec<Prediction>>> {
        let workers = WorkerPool::<f32, Classifier<f32>>::new(self.engine);
        let split = pictures.len() < rayon::current_num_threads();
        let predict = |path: &PathBuf| {
            let image = self.input.image(&path.display().to_string(), &load_image(path)?)?;
            let image = image.insert_axis(Axis(0));
            let logits = workers.run(split, |cx| self.model.logits(image.view(), cx));
            self.check(&logits)?;
            Ok(self.most_probable(logits.row(0), top))
        };
        let predictions: Vec<Result<_>> = workers.checked(|| pictures.par_iter().map(predict).collect())?;
        predictions.into_iter().collect()
    }

    fn most_probable(&self, logits: ArrayView1<f32>, top: usize) -> Vec<Prediction> {
        let max = logits.fold(f32::NEG_INFINITY, |max, &z| max.max(z));
        let odds = logits.mapv(|z| f64::from(z - max).exp());
        let sum = odds.sum();
        let named = self.classes.iter().zip(odds);
        let mut all: Vec<_> =
            named.map(|(class, odds)| Prediction { class: class.clone(), probability: odds / sum }).collect();
        all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        all.truncate(top);
        all
    }

    fn check(&self, logits: &Array2<f32>) -> Result<()> {
        if logits.iter().all(|z| z.is_finite()) {
            return Ok(());
        }
        Err(Error::unsound(self.checkpoint, "logits"))
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
            "The {} most confidently wrong of {all} wrong images among {}. Below each: its number and the probability of \
             the class that was predicted; the true class; the predicted class.",
            wrong.len(),
            dataset.len()
        );
        let mut sheet = Sheet::new(&vec![""; COLUMNS.min(wrong.len())], Some(&note));
        for row in wrong.chunks(COLUMNS) {
            let tile = |&index: &usize| {
                let judgement = &evaluation.judgements[index];
                let image = self.input.picture(&dataset.source(index), &dataset.image(index)?)?;
                let label = vec![
                    format!("no. {index}, {:.0} %", 100.0 * judgement.confidence),
                    format!("is  {}", self.classes[judgement.label]),
                    format!("not {}", self.classes[judgement.predicted]),
                ];
                Ok((Picture::of(&image), label))
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

/// The class of every image as a position in `names`, whatever its position in the data.
///
/// # Errors
/// If the data has no labels that can be used, or an image is of another class, which is named.
fn labels_among(names: &[String], data: &dyn Dataset) -> Result<Vec<usize>> {
    let labels = labelled(data)?.labels()?;
    let theirs = data.classes();
    if theirs == names {
        return Ok(labels);
    }
    let position = |class: &String| names.iter().position(|name| name == class);
    let positions: Vec<_> = theirs.iter().map(position).collect();
    let known = |label: usize| {
        positions[label].ok_or_else(|| {
            let expected = format!("images of the {} classes that were learnt", names.len());
            let found = format!("class {:?}, which was not ({})", theirs[label], data.describe());
            Error::setting("--data", expected, found)
        })
    };
    labels.into_iter().map(known).collect()
}

/// The data, if it has labels that can be used.
fn labelled(data: &dyn Dataset) -> Result<&dyn Dataset> {
    match data.label_problem() {
        Some(problem) => Err(problem.clone()),
        None if data.classes().is_empty() => {
            Err(Error::setting("--data", LABELLED, format!("no labels ({})", data.describe())))
        }
        None => Ok(data),
    }
}

/// Refuses images to train on or to choose by whose labels mean something else than those that were learnt.
///
/// # Errors
/// Names the first class that differs.
pub fn same_classes(names: &[String], data: &dyn Dataset) -> Result<()> {
    let theirs = labelled(data)?.classes();
    let first = names.iter().zip(theirs).position(|(mine, theirs)| mine != theirs);
    let differs = match first {
        Some(class) => format!("class {class} is {:?}, not {:?}", theirs[class], names[class]),
        None if names.len() == theirs.len() => return Ok(()),
        None => format!("{} classes, not {}", theirs.len(), names.len()),
    };
    let expected = format!("the {} classes that were learnt", names.len());
    Err(Error::setting("--data", expected, format!("{differs} ({})", data.describe())))
}
