//! Metrics with the names of the classes, as reports and JSON have them.

use crate::tasks::Metrics;
use crate::tasks::transfer::{Table, percent};
use serde::Serialize;

/// What a classifier reached on a set of images. Shares are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Images judged.
    pub images: u64,
    /// Fraction of them whose class was named first.
    pub top1: f64,
    /// Fraction of them whose class was among the five named first.
    pub top5: f64,
    /// Mean of `−log p` of the true class, in nats; none where scores are no logits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Mean over the classes that have images here of the fraction of a class's images that were right.
    pub mean_recall: f64,
    /// How many classes these are.
    pub classes_with_images: usize,
    /// Class by class, those without images too.
    pub per_class: Vec<ClassSummary>,
    /// Images of the true class (row) that were predicted as a class (column).
    pub confusion: Vec<Vec<u64>>,
}

/// What it reached on one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassSummary {
    /// Its name.
    pub class: String,
    /// Its images.
    pub images: u64,
    /// Fraction of them that were predicted as it; none without images.
    pub recall: Option<f64>,
    /// Fraction of the images predicted as it that are of it; none if there are none.
    pub precision: Option<f64>,
}

impl Summary {
    /// Of a classifier's metrics.
    ///
    /// # Panics
    /// If there are not as many names as classes.
    #[must_use]
    pub fn new(metrics: &Metrics, names: &[String]) -> Self {
        Self { cross_entropy: Some(metrics.cross_entropy()), ..Self::without_probabilities(metrics, names) }
    }

    /// Of metrics whose scores order the classes but are no logits, as the votes of neighbours.
    ///
    /// # Panics
    /// If there are not as many names as classes.
    #[must_use]
    pub fn without_probabilities(metrics: &Metrics, names: &[String]) -> Self {
        assert_eq!(metrics.classes(), names.len(), "classes and their names");
        let of_class = |(class, name): (usize, &String)| ClassSummary {
            class: name.clone(),
            images: metrics.of_class(class),
            recall: metrics.recall(class),
            precision: metrics.precision(class),
        };
        Self {
            images: metrics.images(),
            top1: metrics.top1_share(),
            top5: metrics.top5_share(),
            cross_entropy: None,
            mean_recall: metrics.mean_recall(),
            classes_with_images: (0..names.len()).filter(|&class| metrics.of_class(class) > 0).count(),
            per_class: names.iter().enumerate().map(of_class).collect(),
            confusion: metrics.confusion.outer_iter().map(|row| row.to_vec()).collect(),
        }
    }

    /// A table with a line for each set of images.
    #[must_use]
    pub fn table<'a>(sets: impl IntoIterator<Item = (&'a str, &'a Self)>) -> Table {
        let row = |(name, s): (&str, &Self)| {
            let cross_entropy = s.cross_entropy.map_or(String::new(), |x| format!("{x:.4}"));
            let [top1, top5] = [s.top1, s.top5].map(|fraction| percent(Some(fraction)));
            vec![name.to_owned(), s.images.to_string(), top1, top5, cross_entropy]
        };
        let head = vec!["", "images", "top-1", "top-5", "cross-entropy"];
        Table { head, rows: sets.into_iter().map(row).collect() }
    }

    /// What the figures of all images are about: `all classes`, `3 of the 10 classes`.
    #[must_use]
    pub fn classes_in_words(&self) -> String {
        match (self.classes_with_images, self.per_class.len()) {
            (some, all) if some < all => format!("{some} of the {all} classes"),
            _ => "all classes".to_owned(),
        }
    }

    /// A table with a line for each class that has images, or that an image was taken for.
    #[must_use]
    pub fn classes(&self) -> Table {
        let seen = self.per_class.iter().filter(|class| class.images > 0 || class.precision.is_some());
        let row = |class: &ClassSummary| {
            let images = class.images.to_string();
            vec![class.class.clone(), images, percent(class.recall), percent(class.precision)]
        };
        Table { head: vec!["class", "images", "recall", "precision"], rows: seen.map(row).collect() }
    }
}
