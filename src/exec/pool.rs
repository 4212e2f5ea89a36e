//! Recycled buffers: a training step asks for the same sizes every time, so it need not allocate.

use crate::base::Real;
use ndarray::Array2;
use std::collections::BTreeMap;

/// Freed buffers by capacity. Fresh allocations cost page faults on every step; recycled ones do not.
#[derive(Default)]
pub struct Pool<F> {
    free: BTreeMap<usize, Vec<Vec<F>>>,
    allocated: usize,
}

impl<F: Real> Pool<F> {
    /// A matrix with unspecified content. The smallest free buffer that is large enough serves, unless
    /// it is more than twice as large as needed.
    pub fn take(&mut self, rows: usize, columns: usize) -> Array2<F> {
        let len = rows * columns;
        let fitting =
            self.free.range(len..=2 * len).find(|(_, list)| !list.is_empty()).map(|(&size, _)| size);
        let recycled = fitting.and_then(|size| self.free.get_mut(&size)?.pop());
        let mut buffer = recycled.unwrap_or_else(|| {
            self.allocated += 1;
            Vec::with_capacity(len)
        });
        buffer.resize(len, F::zero());
        Array2::from_shape_vec((rows, columns), buffer).expect("the buffer has rows · columns elements")
    }

    /// Takes a matrix back.
    pub fn give(&mut self, matrix: Array2<F>) {
        let (buffer, _) = matrix.into_raw_vec_and_offset();
        self.free.entry(buffer.capacity()).or_default().push(buffer);
    }

    /// How many buffers were allocated since the start: a step in steady state adds none.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.allocated
    }
}
