//! Sparse linear maps of an image's pixels: `y_o = Σ_i A_oi x_i` for every channel alike, with few `A_oi` that are not 0.
//!
//! Resizing, averaging and choosing pixels are all of this kind. The adjoint of such a map is its transpose, again one of
//! them, so that one loop computes both and both write each row once, whatever the threads.

use crate::base::Real;
use crate::exec::kernel::Kernel;
use crate::exec::{Exec, row_blocks};
use ndarray::{Array2, ArrayView2};

/// The matrix `A: [outputs, inputs]`, row by row.
#[derive(Clone, Debug)]
pub struct SparseMap<F> {
    inputs: usize,
    /// Row `o` has the terms `starts[o] .. starts[o + 1]`.
    starts: Vec<usize>,
    terms: Vec<Term<F>>,
}

/// `A_oi`, not 0.
#[derive(Clone, Copy, Debug)]
pub struct Term<F> {
    /// `i`.
    pub input: usize,
    /// `A_oi`.
    pub weight: F,
}

impl<F: Real> SparseMap<F> {
    /// From the terms of every row in turn, `(i, A_oi)`; those that are 0 are left out.
    ///
    /// # Panics
    /// If a term's input is not below `inputs`.
    #[must_use]
    pub fn new<R: IntoIterator<Item = (usize, f64)>>(inputs: usize, rows: impl Iterator<Item = R>) -> Self {
        let mut map = Self { inputs, starts: vec![0], terms: Vec::new() };
        for row in rows {
            for (input, weight) in row {
                assert!(input < inputs, "input {input} of {inputs}");
                if weight != 0.0 {
                    map.terms.push(Term { input, weight: F::of(weight) });
                }
            }
            map.starts.push(map.terms.len());
        }
        map
    }

    /// Pixels that it reads.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Pixels that it gives.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// The terms of row `o`.
    #[must_use]
    pub fn row(&self, o: usize) -> &[Term<F>] {
        &self.terms[self.starts[o]..self.starts[o + 1]]
    }

    /// `self ⊗ columns`: what acts on the rows of an image as `self` and on its columns as `columns`, its pixels in
    /// row-major order. `(A ⊗ B)_{(o,p),(i,j)} = A_oi B_pj`.
    #[must_use]
    pub fn kronecker(&self, columns: &Self) -> Self {
        let width = columns.inputs;
        let mut map = Self { inputs: self.inputs * width, starts: vec![0], terms: Vec::new() };
        for o in 0..self.outputs() {
            for p in 0..columns.outputs() {
                for a in self.row(o) {
                    let product =
                        |b: &Term<F>| Term { input: a.input * width + b.input, weight: a.weight * b.weight };
                    map.terms.extend(columns.row(p).iter().map(product));
                }
                map.starts.push(map.terms.len());
            }
        }
        map
    }

    /// `Aᵀ`: `⟨A x, y⟩ = ⟨x, Aᵀ y⟩`.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.inputs + 1];
        for term in &self.terms {
            starts[term.input + 1] += 1;
        }
        for i in 0..self.inputs {
            starts[i + 1] += starts[i];
        }
        let mut free = starts.clone();
        let mut terms = vec![Term { input: 0, weight: F::zero() }; self.terms.len()];
        for o in 0..self.outputs() {
            for term in self.row(o) {
                terms[free[term.input]] = Term { input: o, weight: term.weight };
                free[term.input] += 1;
            }
        }
        Self { inputs: self.outputs(), starts, terms }
    }

    /// `x: [B·inputs, C] → y: [B·outputs, C]`, image by image.
    ///
    /// # Panics
    /// If the rows are not whole images.
    pub fn apply(&self, x: ArrayView2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let (rows, channels) = x.dim();
        assert!(rows.is_multiple_of(self.inputs), "{rows} rows are not whole images of {}", self.inputs);
        let mut y = cx.take(rows / self.inputs * self.outputs(), channels);
        let images = y
            .as_slice_mut()
            .expect("activations are row-major")
            .chunks_exact_mut(self.outputs() * channels)
            .zip(x.as_slice().expect("activations are row-major").chunks_exact(self.inputs * channels));
        let blocks = images.flat_map(|(y, x)| {
            let blocks = y.chunks_mut(row_blocks::ROWS * channels).enumerate();
            blocks.map(move |(block, y)| Rows { x, y, first: block * row_blocks::ROWS })
        });
        cx.rows(blocks, Combine { map: self, channels });
        y
    }

    /// Rows `first ..` of `A x`, as many as `y` has, of one image: `x: [inputs, C]`. For kernels.
    ///
    /// Four terms at a time, so that a row of `y` is not read and written for each of them.
    #[inline(always)]
    pub fn rows_from(&self, first: usize, x: &[F], y: &mut [F], channels: usize) {
        let c = channels;
        for (r, y) in y.chunks_exact_mut(c).enumerate() {
            y.fill(F::zero());
            let (fours, rest) = self.row(first + r).as_chunks::<4>();
            for four in fours {
                let [w0, w1, w2, w3] = four.map(|term| term.weight);
                let [x0, x1, x2, x3] = four.map(|term| &x[term.input * c..][..c]);
                for ((((y, &x0), &x1), &x2), &x3) in y.iter_mut().zip(x0).zip(x1).zip(x2).zip(x3) {
                    *y += (w0 * x0 + w1 * x1) + (w2 * x2 + w3 * x3);
                }
            }
            for term in rest {
                for (y, &x) in y.iter_mut().zip(&x[term.input * c..][..c]) {
                    *y += term.weight * x;
                }
            }
        }
    }

    /// `dx += Aᵀ dy` of one image: `dx: [inputs, C]`, `dy: [outputs, C]`. For kernels.
    #[inline(always)]
    pub fn add_adjoint(&self, dy: &[F], dx: &mut [F], channels: usize) {
        for (o, dy) in dy.chunks_exact(channels).enumerate() {
            for term in self.row(o) {
                for (dx, &dy) in dx[term.input * channels..][..channels].iter_mut().zip(dy) {
                    *dx += term.weight * dy;
                }
            }
        }
    }
}

struct Combine<'a, F> {
    map: &'a SparseMap<F>,
    channels: usize,
}

/// A block of an image's output rows.
struct Rows<'a, F> {
    /// All of the image's input rows.
    x: &'a [F],
    y: &'a mut [F],
    /// The number of the first output row.
    first: usize,
}

impl<F: Real> Kernel<Rows<'_, F>> for Combine<'_, F> {
    #[inline(always)]
    fn run(&self, Rows { x, y, first }: Rows<F>) {
        self.map.rows_from(first, x, y, self.channels);
    }
}
