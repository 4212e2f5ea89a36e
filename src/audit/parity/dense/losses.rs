//! Losses, and their gradients.

use super::case::{Case, Maps};
use crate::base::{Real, Result};
use crate::exec::{Backend, Exec};
use crate::models::classify::cross_entropy;
use crate::models::detect::losses;
use crate::models::segment::{IGNORED, PixelLoss};
use ndarray::{Array3, ArrayD, Axis, Ix2};

/// The mean over the pixels that are not ignored.
pub(super) fn pixel_ce<F: Real>(case: &mut Case<F>) -> Result<()> {
    let Maps { rows, images, size } = case.x()?;
    let (shape, classes) = ([images, size[0], size[1]], rows.ncols());
    let ids = case.labels(&shape, 1 + usize::from(IGNORED))?;
    let labelled = ids.iter().filter(|&&id| id != usize::from(IGNORED)).count();
    if labelled == 0 || ids.iter().any(|&id| id >= classes && id != usize::from(IGNORED)) {
        return Err(case.wrong("labels that are classes or ignored, one of them a class"));
    }
    let labels = ids.into_iter().map(|id| u8::try_from(id).expect("at most 255, just checked")).collect();
    let labels = Array3::from_shape_vec(shape, labels).expect("as many, just checked");
    let labels: Vec<_> = labels.axis_iter(Axis(0)).collect();
    let (loss, scale) = (PixelLoss::new(size, size), F::of(1.0 / labelled as f64));
    let (sum, dx) = loss.sum_and_gradient(&rows, &labels, scale, &mut Exec::new(Backend::default()));
    case.compare_loss(sum / labelled as f64)?;
    case.compare_maps("dx", &dx, size, Case::<F>::tolerance())
}

/// The mean over the rows.
pub(super) fn class_ce<F: Real>(case: &mut Case<F>) -> Result<()> {
    let [rows, classes] = case.shape("x")?;
    let logits = case.input("x", &[rows, classes])?.into_dimensionality::<Ix2>().expect("two axes");
    let targets = cross_entropy::targets(&case.labels(&[rows], classes)?, classes, 0.0);
    case.compare_loss(cross_entropy::sum(&logits, &targets) / rows as f64)?;
    let dx = cross_entropy::backward(&logits, &targets, rows);
    case.compare("dx", &[rows, classes], &dx, Case::<F>::tolerance())
}

/// The mean.
pub(super) fn bce<F: Real>(case: &mut Case<F>) -> Result<()> {
    let shape: [usize; 2] = case.shape("x")?;
    let (x, target) = (case.input("x", &shape)?, case.input("target", &shape)?);
    let scale = F::of(1.0 / x.len() as f64);
    let (sum, dx) = losses::bce(flat(&x), flat(&target), scale);
    case.compare_loss(sum / x.len() as f64)?;
    case.compare("dx", &shape, &dx, Case::<F>::tolerance())
}

/// The sum.
pub(super) fn smooth_l1<F: Real>(case: &mut Case<F>) -> Result<()> {
    let shape: [usize; 2] = case.shape("x")?;
    let beta = case.number("beta", "0 or more", |beta| (0.0..=1e6).contains(&beta))?;
    let (x, target) = (case.input("x", &shape)?, case.input("target", &shape)?);
    let (sum, dx) = losses::smooth_l1(flat(&x), flat(&target), beta, F::one());
    case.compare_loss(sum)?;
    case.compare("dx", &shape, &dx, Case::<F>::tolerance())
}

fn flat<F>(x: &ArrayD<F>) -> &[F] {
    x.as_slice().expect("in standard layout")
}
