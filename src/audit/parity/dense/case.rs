//! One case of an operation: its tensors, `NAME.CASE.TENSOR`, and its options.

use crate::audit::parity::metadata::whole;
use crate::audit::parity::recording::Recording;
use crate::audit::parity::tolerance::{EXACT, Tolerance, relative};
use crate::base::{Real, Result};
use crate::models::detect::boxes::BBox;
use ndarray::{Array2, ArrayD};
use serde_json::Value;
use std::ops::RangeInclusive;

/// Far above every size of a case.
pub(super) const MOST: usize = 1 << 12;

/// Far above every coordinate of a box, so that no region has more samples than can be counted.
const FARTHEST: f64 = 16384.0;

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

    pub(super) fn key(&self, tensor: &str) -> String {
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

    /// A number among the options, of which `expected` says what it must be.
    pub(super) fn number(&self, option: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let number = self.options.get(option).and_then(Value::as_f64).filter(|number| fits(*number));
        number.ok_or_else(|| self.wrong(&format!("`{option}`: {expected}")))
    }

    /// A whole number among the options.
    pub(super) fn whole(&self, option: &str, range: RangeInclusive<usize>) -> Result<usize> {
        let number = self.options.get(option).and_then(whole).filter(|number| range.contains(number));
        number.ok_or_else(|| {
            self.wrong(&format!("`{option}`: a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A list among the options.
    pub(super) fn list<T>(
        &self,
        option: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        let list = self.options.get(option).and_then(Value::as_array);
        let list = list.and_then(|list| list.iter().map(read).collect());
        list.ok_or_else(|| self.wrong(&format!("`{option}`: {expected}")))
    }

    /// The input's boxes, `[N, 4]`.
    pub(super) fn boxes(&mut self, tensor: &str) -> Result<Vec<BBox<F>>> {
        let [n, _] = self.shape(tensor)?;
        let (boxes, key) = (self.input(tensor, &[n, 4])?, self.key(tensor));
        if let Some(x) = boxes.iter().find(|x| x.f64().abs() > FARTHEST) {
            return Err(self.recording.wrong_tensor(&key, format!("pixels up to {FARTHEST}"), x));
        }
        let boxes = boxes.as_slice().expect("in standard layout").as_chunks().0;
        Ok(boxes.to_vec())
    }

    /// Numbers below `limit`, one for each of `n`.
    pub(super) fn ids(&mut self, tensor: &str, n: usize, limit: usize) -> Result<Vec<usize>> {
        self.recording.input_ids(&self.key(tensor), &[n], limit)
    }

    /// Compares whole numbers, of which there may be another number than there should be.
    pub(super) fn compare_ids(&mut self, tensor: &str, ids: impl IntoIterator<Item = f64>) -> Result<()> {
        self.recording.compare_rows(&self.key(tensor), &[], ids.into_iter().collect(), EXACT)
    }

    /// An error about the options.
    pub(super) fn wrong(&self, expected: &str) -> crate::base::Error {
        self.recording.wrong(&format!("config {}", self.name), expected, &self.options)
    }
}
