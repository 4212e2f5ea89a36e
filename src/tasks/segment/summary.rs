//! Metrics with the names of the classes, as reports and JSON have them.

use super::evaluate::Evaluation;
use crate::tasks::transfer::{Table, percent};
use serde::Serialize;

/// What a segmentation network reached on a set of images, counted over all of their pixels. Fractions are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Images judged.
    pub images: usize,
    /// Labelled pixels.
    pub pixels: u64,
    /// Mean intersection over union of the classes that occur or are predicted.
    pub miou: Option<f64>,
    /// The same without the first class, which is the background of many data sets.
    pub miou_without_first: Option<f64>,
    /// Mean accuracy of the classes that occur.
    pub macc: Option<f64>,
    /// Fraction of the pixels that are right.
    pub aacc: Option<f64>,
    /// Mean of `−log p` of the true class, in nats; none where images were seen window by window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Class by class.
    pub per_class: Vec<ClassSummary>,
    /// Pixels of the true class (row) that were predicted as a class (column).
    pub confusion: Vec<Vec<u64>>,
}

/// What it reached on one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassSummary {
    /// Its name.
    pub class: String,
    /// Its pixels.
    pub pixels: u64,
    /// Intersection over union; none if it neither occurs nor is predicted.
    pub iou: Option<f64>,
    /// Fraction of its pixels that were predicted as it; none without pixels.
    pub accuracy: Option<f64>,
}

impl Summary {
    /// Of an evaluation.
    #[must_use]
    pub fn new(evaluation: &Evaluation, names: &[String]) -> Self {
        let metrics = &evaluation.metrics;
        let of_class = |(class, name): (usize, &String)| ClassSummary {
            class: name.clone(),
            pixels: metrics.of_class(class),
            iou: metrics.iou(class),
            accuracy: metrics.accuracy(class),
        };
        Self {
            images: evaluation.of_images.len(),
            pixels: metrics.confusion.sum(),
            miou: metrics.miou(),
            miou_without_first: metrics.miou_without_first(),
            macc: metrics.macc(),
            aacc: metrics.aacc(),
            cross_entropy: evaluation.cross_entropy,
            per_class: names.iter().enumerate().map(of_class).collect(),
            confusion: metrics.confusion.outer_iter().map(|row| row.to_vec()).collect(),
        }
    }

    /// The means, in one line.
    #[must_use]
    pub fn table(&self, names: &[String]) -> Table {
        let cross_entropy = self.cross_entropy.map_or(String::new(), |x| format!("{x:.4}"));
        let cells = [self.miou, self.macc, self.aacc].map(percent);
        let mut rows = vec![
            [vec!["all classes".to_owned(), self.images.to_string()], cells.into(), vec![cross_entropy]]
                .concat(),
        ];
        if let Some(first) = names.first() {
            let without = format!("without {first}");
            rows.push(vec![
                without,
                String::new(),
                percent(self.miou_without_first),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        Table { head: vec!["", "images", "mIoU", "mAcc", "aAcc", "cross-entropy"], rows }
    }

    /// A line for each class that occurs or is predicted.
    #[must_use]
    pub fn classes(&self) -> Table {
        let pixels = |class: &ClassSummary| percent(Some(class.pixels as f64 / self.pixels.max(1) as f64));
        let row = |class: &ClassSummary| {
            vec![class.class.clone(), pixels(class), percent(class.iou), percent(class.accuracy)]
        };
        let seen = self.per_class.iter().filter(|class| class.iou.is_some());
        Table { head: vec!["class", "of the pixels", "IoU", "accuracy"], rows: seen.map(row).collect() }
    }
}
