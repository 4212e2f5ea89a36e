//! COCO's figures with the names of the classes, as reports and JSON have them.

use super::coco::{self, ErrorCounts, FIGURES};
use super::evaluate::Evaluation;
use crate::checkpoint::Named;
use crate::tasks::transfer::{Table, percent};
use serde::Serialize;

/// What a detector reached on a set of images. Fractions are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Images judged.
    pub images: usize,
    /// Objects in them, crowds left out.
    pub objects: usize,
    /// Detections, at most 100 an image.
    pub detections: usize,
    /// COCO's twelve figures by boxes; none of sizes that do not occur.
    pub boxes: Named<Option<f64>>,
    /// The same by masks, where network and data have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<Named<Option<f64>>>,
    /// Class by class.
    pub per_class: Vec<ClassSummary>,
    /// What is wrong with the detections of a score of 0.5 or more, by boxes.
    pub errors: ErrorCounts,
}

/// What it reached on one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassSummary {
    /// Its name.
    pub class: String,
    /// Its objects.
    pub objects: usize,
    /// AP by boxes; none without objects.
    pub box_ap: Option<f64>,
    /// AP by masks, none without objects; absent where no masks were judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_ap: Option<Option<f64>>,
}

/// The twelve figures by name.
fn figures(evaluation: &coco::Evaluation) -> Named<Option<f64>> {
    Named(FIGURES.into_iter().map(str::to_owned).zip(evaluation.figures()).collect())
}

impl Summary {
    /// Of an evaluation.
    #[must_use]
    pub fn new(evaluation: &Evaluation, names: &[String]) -> Self {
        let all = || evaluation.images.iter().flat_map(|image| &image.objects).filter(|object| !object.crowd);
        let boxes = evaluation.boxes.classes();
        let masks = evaluation.masks.as_ref().map(coco::Evaluation::classes);
        let of_class = |(class, name): (usize, &String)| ClassSummary {
            class: name.clone(),
            objects: all().filter(|object| object.class == class).count(),
            box_ap: boxes[class],
            mask_ap: masks.as_ref().map(|masks| masks[class]),
        };
        Self {
            images: evaluation.images.len(),
            objects: all().count(),
            detections: evaluation.images.iter().map(|image| image.detections.len()).sum(),
            boxes: figures(&evaluation.boxes),
            masks: evaluation.masks.as_ref().map(figures),
            per_class: names.iter().enumerate().map(of_class).collect(),
            errors: evaluation.errors(),
        }
    }

    /// AP by boxes.
    #[must_use]
    pub fn box_ap(&self) -> Option<f64> {
        self.boxes.0[0].1
    }

    /// AP by masks.
    #[must_use]
    pub fn mask_ap(&self) -> Option<f64> {
        self.masks.as_ref()?.0[0].1
    }

    /// The twelve figures, a line for boxes and one for masks.
    #[must_use]
    pub fn table(&self) -> Table {
        let line = |what: &str, figures: &Named<Option<f64>>| {
            let cells = figures.0.iter().map(|(_, value)| percent(*value).replace(" %", ""));
            std::iter::once(what.to_owned()).chain(cells).collect()
        };
        let rows = std::iter::once(line("boxes", &self.boxes));
        let rows = rows.chain(self.masks.iter().map(|masks| line("masks", masks))).collect();
        let head = [
            "in %", "AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100", "small",
            "medium", "large",
        ];
        Table { head: head.into(), rows }
    }

    /// A line for each class that has objects.
    #[must_use]
    pub fn classes(&self) -> Table {
        let masks = self.masks.is_some();
        let row = |class: &ClassSummary| {
            let mask = class.mask_ap.map(percent);
            let cells = [class.class.clone(), class.objects.to_string(), percent(class.box_ap)];
            cells.into_iter().chain(mask).collect()
        };
        let seen = self.per_class.iter().filter(|class| class.objects > 0);
        let head = ["class", "objects", "box AP"].into_iter().chain(masks.then_some("mask AP")).collect();
        Table { head, rows: seen.map(row).collect() }
    }

    /// What is wrong, in one line of figures.
    #[must_use]
    pub fn errors(&self) -> Table {
        let e = &self.errors;
        let numbers = [e.missed, e.mislocated, e.misclassified, e.both, e.duplicate, e.background];
        let row = std::iter::once("score 0.5 and more".to_owned()).chain(numbers.map(|n| n.to_string()));
        let head = vec!["errors", "missed", "mislocated", "misclassified", "both", "duplicate", "background"];
        Table { head, rows: vec![row.collect()] }
    }
}
