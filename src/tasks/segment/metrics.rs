//! How good label maps are: intersection over union and accuracy of each class, counted over the pixels of a whole data set.
//!
//! ```text
//! n[t, p]   pixels of class t that were predicted as p; pixels that are ignored are not counted
//! IoU_k   = n[k, k] / (Σ_p n[k, p] + Σ_t n[t, k] − n[k, k])
//! acc_k   = n[k, k] / Σ_p n[k, p]
//! mIoU, mAcc: means over the classes that have one;  aAcc = Σ_k n[k, k] / Σ n
//! ```

use crate::data::target::IGNORED;
use crate::train::told::Told;
use ndarray::{Array2, ArrayView2};

/// Pixels, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelMetrics {
    /// `[K, K]`: pixels of the true class (row) that were predicted as a class (column).
    pub confusion: Array2<u64>,
}

/// Below 2⁵³ pixels.
impl Told for PixelMetrics {
    fn tell(&self, to: &mut Vec<f64>) {
        self.confusion.mapv(|pixels| pixels as f64).tell(to);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are counts")]
    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        Self { confusion: Array2::<f64>::told(from).mapv(|pixels| pixels as u64) }
    }
}

impl PixelMetrics {
    /// None yet, of so many classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { confusion: Array2::zeros((classes, classes)) }
    }

    /// Counts a prediction.
    ///
    /// # Panics
    /// If the maps differ in size, or one holds what is no class.
    pub fn count(&mut self, truth: ArrayView2<u8>, predicted: ArrayView2<u8>) {
        assert_eq!(truth.dim(), predicted.dim(), "sizes of label maps");
        for (&truth, &predicted) in truth.iter().zip(predicted).filter(|(truth, _)| **truth != IGNORED) {
            self.confusion[[usize::from(truth), usize::from(predicted)]] += 1;
        }
    }

    /// `K`.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.confusion.nrows()
    }

    /// Pixels of a class.
    #[must_use]
    pub fn of_class(&self, class: usize) -> u64 {
        self.confusion.row(class).sum()
    }

    /// Pixels of intersection and union of a class.
    fn overlap(&self, class: usize) -> [u64; 2] {
        let intersection = self.confusion[[class, class]];
        [intersection, self.of_class(class) + self.confusion.column(class).sum() - intersection]
    }

    /// Intersection and union of each class: all that [`miou_over`] needs of an image. Below 2⁵³ pixels.
    #[must_use]
    pub fn overlaps(&self) -> Vec<[f64; 2]> {
        (0..self.classes()).map(|class| self.overlap(class).map(|pixels| pixels as f64)).collect()
    }

    /// Intersection over union of a class; none if it neither occurs nor is predicted.
    #[must_use]
    pub fn iou(&self, class: usize) -> Option<f64> {
        let [intersection, union] = self.overlap(class);
        ratio(intersection, union)
    }

    /// Fraction of a class's pixels that were predicted as it; none if it has no pixels.
    #[must_use]
    pub fn accuracy(&self, class: usize) -> Option<f64> {
        ratio(self.confusion[[class, class]], self.of_class(class))
    }

    /// Mean intersection over union of all classes that have one.
    #[must_use]
    pub fn miou(&self) -> Option<f64> {
        mean((0..self.classes()).filter_map(|class| self.iou(class)))
    }

    /// The same without class 0, the background of many data sets.
    #[must_use]
    pub fn miou_without_first(&self) -> Option<f64> {
        mean((1..self.classes()).filter_map(|class| self.iou(class)))
    }

    /// Mean accuracy of the classes that have pixels.
    #[must_use]
    pub fn macc(&self) -> Option<f64> {
        mean((0..self.classes()).filter_map(|class| self.accuracy(class)))
    }

    /// Fraction of all pixels that are right; none if no pixel is labelled.
    #[must_use]
    pub fn aacc(&self) -> Option<f64> {
        ratio(self.confusion.diag().sum(), self.confusion.sum())
    }
}

/// mIoU of images of which number `i` counts `times[i]` times, from the [`PixelMetrics::overlaps`] of each.
#[must_use]
pub fn miou_over(images: &[Vec<[f64; 2]>], times: &[u32]) -> Option<f64> {
    let classes = images.first().map_or(0, Vec::len);
    let iou = |class: usize| {
        let add = |[i, u]: [f64; 2], (image, &times): (&Vec<[f64; 2]>, &u32)| {
            let [intersection, union] = image[class];
            [i + f64::from(times) * intersection, u + f64::from(times) * union]
        };
        let [intersection, union] = images.iter().zip(times).fold([0.0; 2], add);
        (union > 0.0).then(|| intersection / union)
    };
    mean((0..classes).filter_map(iou))
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn a_choice_of_images_has_the_miou_of_their_pixels() {
        let of = |truth: [u8; 4], predicted: [u8; 4]| {
            let mut metrics = PixelMetrics::new(3);
            metrics.count(arr2(&[truth]).view(), arr2(&[predicted]).view());
            metrics
        };
        let images =
            [of([0, 0, 1, 1], [0, 1, 1, 1]), of([2, 2, 2, IGNORED], [2, 0, 2, 1]), of([IGNORED; 4], [0; 4])];
        let overlaps: Vec<_> = images.iter().map(PixelMetrics::overlaps).collect();
        for times in [[1, 1, 1], [3, 0, 2], [0, 2, 0], [2, 5, 1]] {
            let mut all = PixelMetrics::new(3);
            for (image, times) in images.iter().zip(times) {
                (0..times).for_each(|_| all.confusion += &image.confusion);
            }
            assert_eq!(miou_over(&overlaps, &times), all.miou());
        }
        assert_eq!(miou_over(&overlaps, &[0, 0, 4]), None);
    }
}
