//! A device on host memory: executes the very calls with cuBLAS's column-major semantics, in naive loops, and refuses
//! what cuBLAS would refuse or read wild.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vit_mae::Real;
use vit_mae::exec::Backend;
use vit_mae::exec::cublas::Offload;
use vit_mae::exec::cublas::blas::{Blas, Call, Op, Place, SLOTS, Slot};
use vit_mae::exec::device::{self, Gpu};
use vit_mae::exec::gemm::Failure;

/// What all lanes of a fake device share.
#[derive(Default)]
pub(crate) struct Device {
    /// Weights that were copied.
    pub(crate) kept: AtomicUsize,
    /// Copies of weights that were given up.
    pub(crate) freed: AtomicUsize,
    /// Calls of the product.
    pub(crate) products: AtomicUsize,
    /// Calls whose batch was larger than one.
    pub(crate) batched: AtomicUsize,
    /// Lanes that were opened.
    pub(crate) lanes: AtomicUsize,
    /// Numbers that device memory has room for; 0 for no limit.
    pub(crate) room: AtomicUsize,
}

/// One lane of it.
pub(crate) struct Fake<F> {
    device: Arc<Device>,
    memory: Vec<Vec<F>>,
    pinned: Vec<Option<Vec<F>>>,
}

/// A weight.
pub(crate) struct Weight<F>(Vec<F>, Arc<Device>);

impl<F> Drop for Weight<F> {
    fn drop(&mut self) {
        self.1.freed.fetch_add(1, Ordering::Relaxed);
    }
}

impl<F: Real> Fake<F> {
    fn new(device: Arc<Device>) -> Self {
        device.lanes.fetch_add(1, Ordering::Relaxed);
        Self { device, memory: vec![Vec::new(); SLOTS], pinned: vec![None; SLOTS] }
    }

    fn room(&self, len: usize) -> Result<(), Failure> {
        let room = self.device.room.load(Ordering::Relaxed);
        if room > 0 && len > room { Err(Failure("CUDA_ERROR_OUT_OF_MEMORY".into())) } else { Ok(()) }
    }
}

/// Products of `from` multiplications or more on a fake device.
pub(crate) fn offload<F: Real>(from: usize) -> (Offload<F, Fake<F>>, Arc<Device>) {
    let device = Arc::new(Device::default());
    let lanes = device.clone();
    (Offload::new(Backend::default().build(), from, move || Ok(Fake::new(lanes.clone()))), device)
}

/// What is said of it.
pub(crate) fn gpu() -> Gpu {
    Gpu { device: device::Device::Cuda(0), name: "fake".into(), memory_bytes: 1 << 30, capability: [0, 0] }
}

/// Element `(i, j)` of `op(X)` for the column-major `X` at `x`.
fn at<F: Real>(x: &[F], op: Op, ld: usize, i: usize, j: usize) -> F {
    match op {
        Op::N => x[i + j * ld],
        Op::T => x[j + i * ld],
    }
}

impl<F: Real> Blas<F> for Fake<F> {
    type Weight = Weight<F>;

    fn keep(&mut self, data: &[F], _: Option<Weight<F>>) -> Result<Weight<F>, Failure> {
        self.room(data.len())?;
        self.device.kept.fetch_add(1, Ordering::Relaxed);
        Ok(Weight(data.to_vec(), self.device.clone()))
    }

    fn upload(&mut self, to: Slot, len: usize, fill: &mut dyn FnMut(&mut [F])) -> Result<(), Failure> {
        self.room(len)?;
        let mut buffer = vec![F::nan(); len];
        fill(&mut buffer);
        self.memory[to.0] = buffer;
        Ok(())
    }

    fn product(
        &mut self,
        call: &Call<F>,
        a: Place<Weight<F>>,
        b: Place<Weight<F>>,
        c: Slot,
    ) -> Result<(), Failure> {
        self.device.products.fetch_add(1, Ordering::Relaxed);
        self.device.batched.fetch_add(usize::from(call.batch > 1), Ordering::Relaxed);
        let Call { ops, m, n, k, alpha, beta, ld, batch, strides } = *call;
        // cuBLAS's own conditions on leading dimensions.
        assert!(ld[0] >= if ops[0] == Op::N { m } else { k }, "lda {} for {m} × {k}, {:?}", ld[0], ops[0]);
        assert!(ld[1] >= if ops[1] == Op::N { k } else { n }, "ldb {} for {k} × {n}, {:?}", ld[1], ops[1]);
        assert!(ld[2] >= m, "ldc");
        self.room(call.c_len())?;
        let mut result = std::mem::take(&mut self.memory[c.0]);
        if beta == F::zero() {
            result.clear();
        }
        result.resize(call.c_len(), F::nan());
        let read = |place: &Place<Weight<F>>| match place {
            Place::Slot(slot) => self.memory[slot.0].clone(),
            Place::Weight(weight, offset) => weight.0[*offset..].to_vec(),
        };
        let (a, b) = (read(&a), read(&b));
        for s in 0..batch {
            for j in 0..n {
                for i in 0..m {
                    let mut sum = F::zero();
                    for l in 0..k {
                        let x = at(&a[s * strides[0]..], ops[0], ld[0], i, l);
                        sum += x * at(&b[s * strides[1]..], ops[1], ld[1], l, j);
                    }
                    let c = &mut result[s * strides[2] + i + j * ld[2]];
                    *c = if beta == F::zero() { alpha * sum } else { alpha * sum + beta * *c };
                }
            }
        }
        self.memory[c.0] = result;
        Ok(())
    }

    fn download(&mut self, from: Slot, len: usize) -> Result<(), Failure> {
        assert!(self.pinned[from.0].is_none(), "a result was overwritten before it was fetched");
        self.pinned[from.0] = Some(self.memory[from.0][..len].to_vec());
        Ok(())
    }

    fn fetch(&mut self, from: Slot, take: &mut dyn FnMut(&[F])) -> Result<(), Failure> {
        take(&self.pinned[from.0].take().expect("a download was queued"));
        Ok(())
    }
}
