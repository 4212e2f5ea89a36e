//! Cross-entropy of every labelled pixel, on logits that are resized to the image; and the class of every pixel.
//!
//! The resized logits, one row of `K` a pixel, would be the largest matrix of a step. They are made pixel by pixel, and each
//! pixel's gradient goes back through the resizing at once.

use crate::base::Real;
use crate::exec::kernel::Kernel;
use crate::exec::{Exec, rows};
use crate::layers::SparseMap;
use crate::layers::resize::bilinear;
use ndarray::{Array2, Array3, ArrayView2};
use std::sync::Arc;

/// The label of a pixel that counts neither in the loss nor in its denominator.
pub const IGNORED: u8 = 255;

/// From logits of `h × w` pixels an image to the labels of its `H × W`; resizing is bilinear.
#[derive(Clone, Debug)]
pub struct PixelLoss<F>(Arc<Axes<F>>);

/// What resizing does to the rows and to the columns.
#[derive(Debug)]
struct Axes<F> {
    rows: SparseMap<F>,
    columns: SparseMap<F>,
}

impl<F: Real> PixelLoss<F> {
    /// `[h, w]` to `[H, W]`.
    #[must_use]
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Self(Arc::new(Axes { rows: bilinear(from[0], to[0]), columns: bilinear(from[1], to[1]) }))
    }

    /// `Σ −log softmax(z)_label` over the labelled pixels, `z` the resized logits, and its gradient with respect to
    /// `logits: [B·h·w, K]` times `scale`: `Aᵀ scale (softmax(z) − one-hot)`, 0 where the label is [`IGNORED`].
    ///
    /// A sum, whose denominator, the number of labelled pixels, is the whole batch's: `scale` is 1 over it, times what the
    /// loss is weighted with.
    ///
    /// # Panics
    /// If there is no label map of `H × W` for each image, or a label is neither a class nor [`IGNORED`].
    pub fn sum_and_gradient(
        &self,
        logits: &Array2<F>,
        labels: &[ArrayView2<u8>],
        scale: F,
        cx: &mut Exec<F>,
    ) -> (f64, Array2<F>) {
        let mut dlogits = cx.zeros(logits.nrows(), logits.ncols());
        let sum = self.each_image(logits, Some((&mut dlogits, scale)), labels, cx);
        (sum, dlogits)
    }

    /// The first of [`PixelLoss::sum_and_gradient`].
    pub fn sum(&self, logits: &Array2<F>, labels: &[ArrayView2<u8>], cx: &mut Exec<F>) -> f64 {
        self.each_image(logits, None, labels, cx)
    }

    fn each_image(
        &self,
        logits: &Array2<F>,
        gradient: Option<(&mut Array2<F>, F)>,
        labels: &[ArrayView2<u8>],
        cx: &mut Exec<F>,
    ) -> f64 {
        let (axes, classes) = (&*self.0, logits.ncols());
        let (low, image) = (axes.rows.inputs() * axes.columns.inputs(), axes.size());
        assert_eq!(logits.nrows(), labels.len() * low, "a label map for every image's {low} logits");
        assert!(labels.iter().all(|map| map.dim() == image), "label maps of {image:?}");
        let is_known = |&label: &u8| class_of(label).is_none_or(|class| class < classes);
        assert!(
            labels.iter().all(|map| map.iter().all(is_known)),
            "a label of {classes} classes or {IGNORED}"
        );
        let line = axes.columns.inputs() * classes;
        let mut scratch = cx.take(labels.len(), 2 * line + classes);
        let mut sums = vec![0.0; labels.len()];
        let images = logits.as_slice().expect("activations are row-major").chunks_exact(low * classes);
        let scratches =
            scratch.as_slice_mut().expect("in standard layout").chunks_exact_mut(2 * line + classes);
        let parts = images.zip(labels).zip(scratches).zip(&mut sums);
        let scale = gradient.as_ref().map_or(F::zero(), |(_, scale)| *scale);
        let kernel = CrossEntropy { axes, classes, scale };
        if let Some((dlogits, _)) = gradient {
            let dlogits =
                dlogits.as_slice_mut().expect("activations are row-major").chunks_exact_mut(low * classes);
            let tasks = parts.zip(dlogits).map(|((((logits, labels), scratch), sum), dlogits)| Image {
                logits,
                labels,
                scratch,
                sum,
                dlogits: Some(dlogits),
            });
            cx.rows(tasks, kernel);
        } else {
            let tasks = parts.map(|(((logits, labels), scratch), sum)| Image {
                logits,
                labels,
                scratch,
                sum,
                dlogits: None,
            });
            cx.rows(tasks, kernel);
        }
        cx.recycle(scratch);
        sums.iter().sum()
    }

    /// The resized logits themselves, `[B·H·W, K]`.
    pub fn resized(&self, logits: &Array2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let (axes, classes) = (&*self.0, logits.ncols());
        let (height, width) = axes.size();
        let images = logits.nrows() / (axes.rows.inputs() * axes.columns.inputs());
        let mut z = cx.take(images * height * width, classes);
        let mut pixels = z.outer_iter_mut();
        axes.each_pixel(logits, cx, |of_pixel| {
            let row = pixels.next().expect("as many pixels");
            row.into_slice().expect("a row is contiguous").copy_from_slice(of_pixel);
        });
        z
    }

    /// The class with the largest resized logit of every pixel, the lowest of equal ones, `[B, H, W]`.
    ///
    /// # Panics
    /// If there are more classes than labels.
    pub fn predict(&self, logits: &Array2<F>, cx: &mut Exec<F>) -> Array3<u8> {
        let axes = &*self.0;
        let (height, width) = axes.size();
        let images = logits.nrows() / (axes.rows.inputs() * axes.columns.inputs());
        let mut classes = Array3::zeros((images, height, width));
        let mut pixels = classes.iter_mut();
        axes.each_pixel(logits, cx, |z| {
            let best = z
                .iter()
                .enumerate()
                .fold(0, |best, (k, &of_class)| if of_class > z[best] { k } else { best });
            *pixels.next().expect("as many pixels") = u8::try_from(best).expect("at most 255 classes");
        });
        classes
    }
}

impl<F: Real> Axes<F> {
    /// `H` and `W`.
    fn size(&self) -> (usize, usize) {
        (self.rows.outputs(), self.columns.outputs())
    }

    /// Line `i` of the resized image, before its columns are: `blended: [w, K]`.
    #[inline(always)]
    fn blend(&self, logits: &[F], i: usize, blended: &mut [F]) {
        let line = blended.len();
        blended.fill(F::zero());
        for term in self.rows.row(i) {
            for (b, &z) in blended.iter_mut().zip(&logits[term.input * line..][..line]) {
                *b += term.weight * z;
            }
        }
    }

    /// Pixel `j` of a line: `z: [K]`.
    #[inline(always)]
    fn mix(&self, blended: &[F], j: usize, z: &mut [F]) {
        let classes = z.len();
        z.fill(F::zero());
        for term in self.columns.row(j) {
            for (z, &b) in z.iter_mut().zip(&blended[term.input * classes..][..classes]) {
                *z += term.weight * b;
            }
        }
    }

    /// Hands over the logits of every pixel, row by row, image by image.
    fn each_pixel(&self, logits: &Array2<F>, cx: &mut Exec<F>, mut see: impl FnMut(&[F])) {
        let classes = logits.ncols();
        let line = self.columns.inputs() * classes;
        let mut scratch = cx.take(1, line + classes);
        let (blended, z) = scratch.as_slice_mut().expect("in standard layout").split_at_mut(line);
        let low = self.rows.inputs() * line;
        for image in logits.as_slice().expect("activations are row-major").chunks_exact(low) {
            for i in 0..self.rows.outputs() {
                self.blend(image, i, blended);
                for j in 0..self.columns.outputs() {
                    self.mix(blended, j, z);
                    see(z);
                }
            }
        }
        cx.recycle(scratch);
    }
}

struct CrossEntropy<'a, F> {
    axes: &'a Axes<F>,
    classes: usize,
    scale: F,
}

/// An image.
struct Image<'a, F> {
    /// `[h·w, K]`.
    logits: &'a [F],
    labels: &'a ArrayView2<'a, u8>,
    /// Two lines of `w` logits and one pixel's.
    scratch: &'a mut [F],
    sum: &'a mut f64,
    /// As `logits`, added to.
    dlogits: Option<&'a mut [F]>,
}

impl<F: Real> Kernel<Image<'_, F>> for CrossEntropy<'_, F> {
    #[inline(always)]
    fn run(&self, image: Image<F>) {
        let line = self.axes.columns.inputs() * self.classes;
        let (blended, rest) = image.scratch.split_at_mut(line);
        let (dblended, z) = rest.split_at_mut(line);
        let mut dlogits = image.dlogits;
        for (i, labels) in image.labels.outer_iter().enumerate() {
            self.axes.blend(image.logits, i, blended);
            dblended.fill(F::zero());
            for (j, &label) in labels.iter().enumerate() {
                let Some(label) = class_of(label) else { continue };
                self.axes.mix(blended, j, z);
                let of_label = z[label];
                let max = rows::max(z);
                for z in &mut *z {
                    *z = (*z - max).exp_row();
                }
                let total = rows::sum(z);
                *image.sum += (max + total.ln() - of_label).f64();
                // z = A logits, ℓ = log Σ eᶻ − z_label  ⇒  dlogits = Aᵀ (softmax(z) − one-hot)
                let share = self.scale / total;
                for z in &mut *z {
                    *z *= share;
                }
                z[label] -= self.scale;
                for term in self.axes.columns.row(j) {
                    for (db, &dz) in dblended[term.input * z.len()..].iter_mut().zip(&*z) {
                        *db += term.weight * dz;
                    }
                }
            }
            if let Some(dlogits) = &mut dlogits {
                for term in self.axes.rows.row(i) {
                    for (d, &db) in dlogits[term.input * line..].iter_mut().zip(&*dblended) {
                        *d += term.weight * db;
                    }
                }
            }
        }
    }
}

/// The class that a label is; none if the pixel is ignored.
fn class_of(label: u8) -> Option<usize> {
    (label != IGNORED).then_some(usize::from(label))
}
