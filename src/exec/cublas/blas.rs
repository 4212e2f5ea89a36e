//! The very calls that a product makes on a device: uploads, cuBLAS's product, downloads.
//!
//! [`Blas`] is the seam below which there are only driver calls. The real one is `super::driver`; the tests' executes
//! the same calls with naive loops on host memory, so that everything above is checked without a GPU.

use crate::exec::gemm::Failure;

/// Whether a matrix is multiplied as it lies in memory, column by column, or transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// As it lies: `CUBLAS_OP_N`.
    N,
    /// Transposed: `CUBLAS_OP_T`.
    T,
}

/// The arguments of `cublas<t>gemmStridedBatched`, in its own words; `cublas<t>gemm` is a batch of one.
///
/// All matrices are column-major: element `(i, j)` of a matrix with leading dimension `ld` is number `i + j·ld`. For
/// each `s < batch`: `C_s ← α·op(A_s)·op(B_s) + β·C_s` with `op(A_s): [m, k]`, `op(B_s): [k, n]`, `C_s: [m, n]`, where
/// matrix `s` begins `s·stride` elements after the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call<F> {
    /// How `A` and `B` are read.
    pub ops: [Op; 2],
    /// Rows of `C`.
    pub m: usize,
    /// Columns of `C`.
    pub n: usize,
    /// The inner dimension.
    pub k: usize,
    /// `α`.
    pub alpha: F,
    /// `β`; with 0, `C` is not read.
    pub beta: F,
    /// Leading dimensions of `A`, `B` and `C`.
    pub ld: [usize; 3],
    /// How many products.
    pub batch: usize,
    /// Elements from one matrix of the batch to the next, for `A`, `B` and `C`.
    pub strides: [usize; 3],
}

/// A buffer of a lane: device memory with page-locked host memory of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

/// Slots of a lane: two for each operand and two for the result, so that copies of one piece overlap with the product of
/// another.
pub const SLOTS: usize = 6;

/// A matrix in device memory, from an offset (in elements) on.
#[derive(Debug)]
pub enum Place<'a, W> {
    /// What was uploaded to a slot.
    Slot(Slot),
    /// In a weight that stays on the device.
    Weight(&'a W, usize),
}

/// One lane of a device: its own queues and its own cuBLAS handle, used by one thread at a time.
///
/// `upload`, `product` and `download` queue work and may return before it is done; the lane keeps their order where one
/// needs what another wrote. `fetch` waits.
pub trait Blas<F>: Send {
    /// Memory that keeps a weight from product to product; any lane may read it.
    type Weight: Send + Sync;

    /// Keeps a copy of `data` on the device, in the memory of `old` if it fits. Done when this returns.
    ///
    /// # Errors
    /// As all methods here: what the driver says, such as that memory ran out.
    fn keep(&mut self, data: &[F], old: Option<Self::Weight>) -> Result<Self::Weight, Failure>;

    /// Lets `fill` write `len` elements into page-locked memory and queues their copy to the device.
    fn upload(&mut self, to: Slot, len: usize, fill: &mut dyn FnMut(&mut [F])) -> Result<(), Failure>;

    /// Queues a product behind the uploads of its operands. `C` begins with the first element of its slot, which is made
    /// as large as it must be.
    fn product(
        &mut self,
        call: &Call<F>,
        a: Place<'_, Self::Weight>,
        b: Place<'_, Self::Weight>,
        c: Slot,
    ) -> Result<(), Failure>;

    /// Queues the copy of a slot's first `len` elements to the host, behind the products that write it.
    fn download(&mut self, from: Slot, len: usize) -> Result<(), Failure>;

    /// Waits for the slot's download and shows what it brought.
    fn fetch(&mut self, from: Slot, take: &mut dyn FnMut(&[F])) -> Result<(), Failure>;
}

impl<F> Call<F> {
    /// Numbers from the first of `C` to its last.
    #[must_use]
    pub fn c_len(&self) -> usize {
        (self.batch - 1) * self.strides[2] + (self.n - 1) * self.ld[2] + self.m
    }
}
