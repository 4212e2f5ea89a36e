//! One case of an operation: its tensors, `NAME.CASE.TENSOR`, and its options.

use crate::audit::parity::metadata::whole;
use crate::audit::parity::recording::Recording;
use crate::audit::parity::tolerance::{Tolerance, relative};
use crate::base::{Real, Result};
use ndarray::{Array2, ArrayD};
use serde_json::Value;

/// Far above every size of a case.
const MOST: usize = 1 << 12;

pub(super) struct Case<'a, F> {
    pub(super) recording: &'a mut Recording<F>,
    /// `NAME.CASE`.
    pub(super) name: String,
    pub(super) options: Value,
}

/// Maps as a token matrix.
pub(super) struct Maps<F> {
    /// `[B·H·W, C]`.
    pub(super) rows: Array2<F>,
    pub(super) images: usize,
    /// `[H, W]`.
    pub(super) size: [usize; 2],
}

impl<F: Real> Case<'_, F> {
    /// How near outputs and gradients of most operations must be.
    pub(super) fn tolerance() -> Tolerance {
        relative::<F>(1e-11, 1e-5).or(if F::NAME == "f64" { 1e-14 } else { 0.0 })
    }

    fn key(&self, tensor: &str) -> String {
        format!("{}.{tensor}", self.name)
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.recording.has(&self.key(tensor))
    }

    /// The shape of a tensor of so many axes, none of them empty.
    pub(super) fn shape<const N: usize>(&self, tensor: &str) -> Result<[usize; N]> {
        let key = self.key(tensor);
        let shape = self.recording.tensor(&key).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
        let fitting = <[usize; N]>::try_from(shape.as_slice()).ok().filter(|shape| !shape.contains(&0));
        let expected = format!("{N} axes, none of them empty");
        fitting.ok_or_else(|| self.recording.wrong_tensor(&key, expected, format!("{shape:?}")))
    }

    /// An input of this shape.
    pub(super) fn input(&mut self, tensor: &str, shape: &[usize]) -> Result<ArrayD<F>> {
        self.recording.input(&self.key(tensor), shape)
    }

    /// Labels below `limit`.
    pub(super) fn labels(&mut self, shape: &[usize], limit: usize) -> Result<Vec<usize>> {
        self.recording.input_ids(&self.key("labels"), shape, limit)
    }

    /// The input `x`, maps `[B, H, W, C]`.
    pub(super) fn x(&mut self) -> Result<Maps<F>> {
        let [images, height, width, channels] = self.shape("x")?;
        self.maps("x", images, [height, width], channels)
    }

    /// The upstream gradient of outputs of this size, which the recording must have.
    pub(super) fn dy(&mut self, images: usize, size: [usize; 2], channels: usize) -> Result<Array2<F>> {
        Ok(self.maps("dy", images, size, channels)?.rows)
    }

    fn maps(&mut self, tensor: &str, images: usize, size: [usize; 2], channels: usize) -> Result<Maps<F>> {
        let array = self.input(tensor, &[images, size[0], size[1], channels])?;
        let rows = array.into_shape_with_order((images * size[0] * size[1], channels));
        Ok(Maps { rows: rows.expect("the same elements, in standard layout"), images, size })
    }

    /// Compares maps with the recorded ones.
    pub(super) fn compare_maps(
        &mut self,
        tensor: &str,
        rows: &Array2<F>,
        size: [usize; 2],
        tolerance: Tolerance,
    ) -> Result<()> {
        let shape = [rows.nrows() / (size[0] * size[1]), size[0], size[1], rows.ncols()];
        self.compare(tensor, &shape, rows, tolerance)
    }

    /// Compares with the recorded tensor.
    pub(super) fn compare<'x>(
        &mut self,
        tensor: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = &'x F>,
        tolerance: Tolerance,
    ) -> Result<()> {
        let values = values.into_iter().map(|x| x.f64());
        self.recording.compare(&self.key(tensor), shape, values, tolerance)
    }

    /// Compares a loss with the recorded one.
    pub(super) fn compare_loss(&mut self, loss: f64) -> Result<()> {
        self.recording.compare(&self.key("loss"), &[], [loss], Self::tolerance())
    }

    /// The option `size`, of a square or `[height, width]`.
    pub(super) fn size(&self) -> Result<[usize; 2]> {
        let value = self.options.get("size");
        let size = value.and_then(|value| match value.as_array() {
            Some(pair) => <[usize; 2]>::try_from(pair.iter().filter_map(whole).collect::<Vec<_>>()).ok(),
            None => whole(value).map(|side| [side; 2]),
        });
        let size = size.filter(|size| size.iter().all(|side| (1..=MOST).contains(side)));
        size.ok_or_else(|| self.wrong(&format!("`size`: a number from 1 to {MOST}, or two")))
    }

    /// The option `eps`.
    pub(super) fn eps(&self) -> Result<f64> {
        let eps = self.options.get("eps").and_then(Value::as_f64).filter(|eps| (0.0..1.0).contains(eps));
        eps.ok_or_else(|| self.wrong("`eps`: a small number"))
    }

    /// An error about the options.
    pub(super) fn wrong(&self, expected: &str) -> crate::base::Error {
        self.recording.wrong(&format!("config {}", self.name), expected, &self.options)
    }
}
