//! A weight matrix that knows which content it has, and the operand of a product: what tells a weight, of which a device may
//! keep a copy, from an activation, and a changed weight from an unchanged one.

use ndarray::{Array2, ArrayBase, ArrayView2, Ix2, ViewRepr};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

/// A matrix of weights, to be declared with `params!` where products read it. It reads and writes as an [`Array2`]; as an operand
/// it says which matrix it is and which content it has.
#[derive(Clone, Debug)]
pub struct Matrix<F> {
    values: Array2<F>,
    version: Version,
}

/// Names a matrix and how often it was borrowed to be written. A clone names another matrix.
#[derive(Debug, Default)]
pub struct Version {
    identity: Arc<()>,
    writes: u64,
}

impl Clone for Version {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Version {
    /// Says that the content is about to change.
    pub(crate) fn bump(&mut self) {
        self.writes += 1;
    }
}

impl<F> From<Array2<F>> for Matrix<F> {
    fn from(values: Array2<F>) -> Self {
        Self { values, version: Version::default() }
    }
}

impl<F> Deref for Matrix<F> {
    type Target = Array2<F>;

    fn deref(&self) -> &Array2<F> {
        &self.values
    }
}

/// Whoever borrows the values to write them changes the version.
impl<F> DerefMut for Matrix<F> {
    fn deref_mut(&mut self) -> &mut Array2<F> {
        self.version.bump();
        &mut self.values
    }
}

impl<F> Matrix<F> {
    /// `W` as an operand.
    #[must_use]
    pub fn view(&self) -> Operand<'_, F> {
        Operand { view: self.values.view(), weight: Some(self) }
    }

    /// `Wᵀ` as an operand.
    #[must_use]
    pub fn t(&self) -> Operand<'_, F> {
        Operand { view: self.values.t(), weight: Some(self) }
    }

    /// Its elements, row by row.
    pub(in crate::exec) fn elements(&self) -> &[F] {
        self.values.as_slice().expect("tensors are stored in row-major order")
    }

    /// Its values, and the version to bump before they are written.
    pub(crate) fn parts_mut(&mut self) -> (&mut Array2<F>, &mut Version) {
        (&mut self.values, &mut self.version)
    }

    /// Which matrix, and how often it was written. While the matrix or the answer lives, no other matrix has this identity.
    pub(in crate::exec) fn version(&self) -> (Weak<()>, u64) {
        (Arc::downgrade(&self.version.identity), self.version.writes)
    }
}

/// An operand of a product: a view, and the weight in which it lies, if it lies in one.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, F> {
    /// What is multiplied: an [`ArrayView2`], spelt so that its lifetime can be shortened.
    pub view: ArrayBase<ViewRepr<&'a F>, Ix2, F>,
    weight: Option<&'a Matrix<F>>,
}

impl<'a, F> From<ArrayView2<'a, F>> for Operand<'a, F> {
    fn from(view: ArrayView2<'a, F>) -> Self {
        Self { view, weight: None }
    }
}

impl<'a, F> Operand<'a, F> {
    /// Another view of the same elements, or of some of them.
    #[must_use]
    pub fn seen(self, view: ArrayView2<'a, F>) -> Self {
        Self { view, ..self }
    }

    /// The transpose.
    pub(in crate::exec) fn t(self) -> Self {
        Self { view: self.view.reversed_axes(), ..self }
    }

    /// The weight in which it lies, with the numbers from the weight's first to the view's element `[0, 0]`.
    pub(in crate::exec) fn weight(&self) -> Option<(&'a Matrix<F>, usize)> {
        let weight = self.weight?;
        let bytes = self.view.as_ptr().addr() - weight.values.as_ptr().addr();
        Some((weight, bytes / size_of::<F>()))
    }
}
