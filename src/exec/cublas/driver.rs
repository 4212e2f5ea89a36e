//! cuBLAS and the CUDA driver behind [`Blas`], through the crate `cudarc`, which loads both libraries at run time.
//!
//! A lane has three queues: copies up, products, copies down. A slot has three events, recorded behind its last upload,
//! its last product and its last download; a queue waits for the event of what it needs, the host for what it reads.
#![allow(
    unsafe_code,
    reason = "the driver takes raw pointers; each slot vouches for its memory and its order"
)]

use super::Offload;
use super::blas::{Blas, Call, Op, Place, SLOTS, Slot};
use crate::base::Real;
use crate::exec::cpu::Backend;
use crate::exec::device::{Device, Gpu};
use crate::exec::gemm::{Failure, Gemm};
use cudarc::cublas::sys::{cublasMath_t, cublasOperation_t, cublasSetMathMode};
use cudarc::cublas::{CudaBlas, result as cublas};
use cudarc::driver::result as cuda;
use cudarc::driver::{CudaContext, CudaEvent, CudaSlice, CudaStream, DevicePtr, PinnedHostSlice};
use std::any::TypeId;
use std::sync::Arc;

/// The GPUs that the driver knows.
pub(crate) fn gpus() -> Result<Vec<Gpu>, String> {
    // `cudarc` panics at the first call into a library that is not there, so both are looked for first.
    // SAFETY: opening a library runs its initialisers; those of the driver and of cuBLAS have no conditions.
    let (has_driver, has_cublas) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::cublas::sys::is_culib_present()) };
    if !has_driver {
        return Err("no NVIDIA driver: libcuda.so could not be loaded".into());
    }
    if !has_cublas {
        let advice = "put the folder of CUDA's libraries into LD_LIBRARY_PATH";
        return Err(format!("no cuBLAS: libcublas.so could not be loaded; {advice}"));
    }
    let said = |error: cuda::DriverError| driver(error).0;
    cuda::init().map_err(said)?;
    let count = cuda::device::get_count().map_err(said)?;
    if count == 0 {
        return Err("the NVIDIA driver knows no GPU".into());
    }
    (0..count).map(|number| describe(number).map_err(said)).collect()
}

fn describe(number: i32) -> Result<Gpu, cuda::DriverError> {
    use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
    let device = cuda::device::get(number)?;
    // SAFETY: `device` was just handed out by the driver.
    let (memory, major, minor) = unsafe {
        (
            cuda::device::total_mem(device)?,
            cuda::device::get_attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            cuda::device::get_attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        )
    };
    Ok(Gpu {
        device: Device::Cuda(number.unsigned_abs()),
        name: cuda::device::get_name(device)?,
        memory_bytes: memory as u64,
        capability: [major, minor],
    })
}

/// Backends for both number types on one GPU.
type Both = (Arc<dyn Gemm<f32>>, Arc<dyn Gemm<f64>>);

/// Opens a GPU that [`gpus`] listed. A first lane for each number type is opened at once, so that what cannot work fails
/// here.
pub(crate) fn open(cpu: Backend, number: u32, tf32: bool, from: usize) -> Result<Both, Failure> {
    let context = CudaContext::new(number as usize).map_err(driver)?;
    // SAFETY: lanes order their copies and products by events of their own, and free memory after waiting for it.
    unsafe { context.disable_event_tracking() };
    Ok((
        Arc::new(offload::<f32>(cpu, &context, tf32, from)?),
        Arc::new(offload::<f64>(cpu, &context, tf32, from)?),
    ))
}

fn offload<F: Real>(
    cpu: Backend,
    context: &Arc<CudaContext>,
    tf32: bool,
    from: usize,
) -> Result<Offload<F, Lane>, Failure> {
    let context = context.clone();
    let offload = Offload::new(cpu.build(), from, move || Lane::new(&context, tf32));
    offload.on_lane(|_| Ok(()));
    offload.failure().map_or(Ok(offload), Err)
}

/// What the driver says, in words if it has some.
fn driver(error: cuda::DriverError) -> Failure {
    let words = error.error_string().map(|words| format!(" ({})", words.to_string_lossy()));
    Failure(format!("the NVIDIA driver says {:?}{}", error.0, words.unwrap_or_default()))
}

fn blas(error: cublas::CublasError) -> Failure {
    Failure(format!("cuBLAS says {:?}", error.0))
}

/// Queues and handle of one thread at a time.
pub(crate) struct Lane {
    context: Arc<CudaContext>,
    up: Arc<CudaStream>,
    compute: Arc<CudaStream>,
    down: Arc<CudaStream>,
    blas: CudaBlas,
    slots: Vec<Memory>,
}

/// A slot: device and page-locked memory of the same number of bytes.
struct Memory {
    device: Option<CudaSlice<u8>>,
    host: Option<PinnedHostSlice<u8>>,
    /// Numbers of the download that is under way.
    len: usize,
    uploaded: CudaEvent,
    used: CudaEvent,
    downloaded: CudaEvent,
}

impl Lane {
    fn new(context: &Arc<CudaContext>, tf32: bool) -> Result<Self, Failure> {
        context.bind_to_thread().map_err(driver)?;
        let stream = || context.new_stream().map_err(driver);
        let event = || context.new_event(None).map_err(driver);
        let compute = stream()?;
        let blas_handle = CudaBlas::new(compute.clone()).map_err(blas)?;
        let mode =
            if tf32 { cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH } else { cublasMath_t::CUBLAS_DEFAULT_MATH };
        // SAFETY: the handle was just created.
        unsafe { cublasSetMathMode(*blas_handle.handle(), mode) }.result().map_err(blas)?;
        let memory = || {
            let (uploaded, used, downloaded) = (event()?, event()?, event()?);
            Ok(Memory { device: None, host: None, len: 0, uploaded, used, downloaded })
        };
        let slots = (0..SLOTS).map(|_| memory()).collect::<Result<_, Failure>>()?;
        Ok(Self {
            context: context.clone(),
            up: stream()?,
            compute,
            down: stream()?,
            blas: blas_handle,
            slots,
        })
    }

    /// Makes a slot at least `bytes` large. Growing loses what it holds.
    fn grow(&mut self, slot: Slot, bytes: usize) -> Result<(), Failure> {
        if self.slots[slot.0].device.as_ref().is_some_and(|memory| memory.num_bytes() >= bytes) {
            return Ok(());
        }
        self.wait()?; // nobody reads or writes what is freed
        let memory = &mut self.slots[slot.0];
        (memory.device, memory.host) = (None, None);
        // SAFETY: uploads and products write this memory before anything reads it. Flags 0: both sides read and write
        // the host's side, so it is cached.
        unsafe {
            memory.device = Some(self.compute.alloc::<u8>(bytes).map_err(driver)?);
            memory.host = Some(self.context.alloc_pinned_with_flags::<u8>(bytes, 0).map_err(driver)?);
        }
        // Allocation is queued; other queues may use the memory from here on.
        self.compute.synchronize().map_err(driver)
    }

    /// Waits for everything that is queued.
    fn wait(&self) -> Result<(), Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        [&self.up, &self.compute, &self.down].iter().try_for_each(|queue| queue.synchronize()).map_err(driver)
    }

    /// Device address of an operand, and its slot's event.
    fn address<F>(&self, place: &Place<'_, CudaSlice<u8>>) -> u64 {
        let (memory, offset) = match place {
            Place::Slot(slot) => (self.slots[slot.0].device.as_ref().expect("uploaded before it is used"), 0),
            Place::Weight(weight, offset) => (*weight, offset * size_of::<F>()),
        };
        memory.device_ptr(&self.compute).0 + offset as u64
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Memory must not be freed under a copy. If the device is gone, nothing copies any more.
        let _ = self.wait();
    }
}

impl<F: Real> Blas<F> for Lane {
    type Weight = CudaSlice<u8>;

    fn keep(&mut self, data: &[F], old: Option<Self::Weight>) -> Result<Self::Weight, Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        let bytes = size_of_val(data);
        let fitting = old.filter(|old| old.num_bytes() == bytes);
        // SAFETY: written below before anything reads it.
        let weight =
            fitting.map_or_else(|| unsafe { self.compute.alloc::<u8>(bytes) }, Ok).map_err(driver)?;
        // SAFETY: `data` lives until the queue is empty, which is waited for.
        unsafe {
            cuda::memcpy_htod_async(weight.device_ptr(&self.compute).0, data, self.compute.cu_stream())
        }
        .map_err(driver)?;
        self.compute.synchronize().map_err(driver)?;
        Ok(weight)
    }

    fn upload(&mut self, to: Slot, len: usize, fill: &mut dyn FnMut(&mut [F])) -> Result<(), Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        self.grow(to, len * size_of::<F>())?;
        let slot = &mut self.slots[to.0];
        slot.uploaded.synchronize().map_err(driver)?; // the copy before has read the host's side
        let host = slot.host.as_mut().expect("grown").as_mut_ptr().map_err(driver)?;
        // SAFETY: page-locked memory is aligned to pages and at least `len` elements large; any bits are an `f32` or `f64`;
        // no copy is under way.
        let numbers = unsafe { std::slice::from_raw_parts_mut(host.cast::<F>(), len) };
        fill(numbers);
        self.up.wait(&slot.used).map_err(driver)?; // the product before has read the device's side
        let device = slot.device.as_ref().expect("grown").device_ptr(&self.up).0;
        // SAFETY: both sides hold `len` elements and stay until the lane has waited for its queues.
        unsafe { cuda::memcpy_htod_async(device, numbers, self.up.cu_stream()) }.map_err(driver)?;
        slot.uploaded.record(&self.up).map_err(driver)
    }

    fn product(
        &mut self,
        call: &Call<F>,
        a: Place<'_, Self::Weight>,
        b: Place<'_, Self::Weight>,
        c: Slot,
    ) -> Result<(), Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        self.grow(c, call.c_len() * size_of::<F>())?;
        for place in [&a, &b] {
            if let Place::Slot(slot) = place {
                self.compute.wait(&self.slots[slot.0].uploaded).map_err(driver)?;
            }
        }
        self.compute.wait(&self.slots[c.0].downloaded).map_err(driver)?;
        let addresses = [&a, &b, &Place::Slot(c)].map(|place| self.address::<F>(place));
        // SAFETY: the addresses are of live device memory that holds the matrices which `call` describes.
        unsafe { gemm(&self.blas, call, addresses) }.map_err(blas)?;
        for place in [a, b, Place::Slot(c)] {
            if let Place::Slot(slot) = place {
                self.slots[slot.0].used.record(&self.compute).map_err(driver)?;
            }
        }
        Ok(())
    }

    fn download(&mut self, from: Slot, len: usize) -> Result<(), Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        let slot = &mut self.slots[from.0];
        self.down.wait(&slot.used).map_err(driver)?;
        slot.len = len;
        let device = slot.device.as_ref().expect("written by a product").device_ptr(&self.down).0;
        let host = slot.host.as_mut().expect("as large as the device's side").as_mut_ptr().map_err(driver)?;
        // SAFETY: as in `upload`; nobody looks at the host's side before `fetch` has waited.
        unsafe {
            let numbers = std::slice::from_raw_parts_mut(host.cast::<F>(), len);
            cuda::memcpy_dtoh_async(numbers, device, self.down.cu_stream()).map_err(driver)?;
        }
        slot.downloaded.record(&self.down).map_err(driver)
    }

    fn fetch(&mut self, from: Slot, take: &mut dyn FnMut(&[F])) -> Result<(), Failure> {
        self.context.bind_to_thread().map_err(driver)?;
        let slot = &self.slots[from.0];
        slot.downloaded.synchronize().map_err(driver)?;
        let host = slot.host.as_ref().expect("downloaded").as_ptr().map_err(driver)?;
        // SAFETY: the copy is done, and brought `len` elements.
        take(unsafe { std::slice::from_raw_parts(host.cast::<F>(), slot.len) });
        Ok(())
    }
}

/// One call of cuBLAS, in the number type's own function.
///
/// # Safety
/// The addresses are those of the matrices that `call` describes.
unsafe fn gemm<F: Real>(
    handle: &CudaBlas,
    call: &Call<F>,
    [a, b, c]: [u64; 3],
) -> Result<(), cublas::CublasError> {
    let int = |x: usize| i32::try_from(x).expect("sizes were checked to fit cuBLAS's integers");
    let [op_a, op_b] = call.ops.map(|op| match op {
        Op::N => cublasOperation_t::CUBLAS_OP_N,
        Op::T => cublasOperation_t::CUBLAS_OP_T,
    });
    let [lda, ldb, ldc] = call.ld.map(int);
    let [sa, sb, sc] = call.strides.map(|stride| i64::from(int(stride)));
    let (m, n, k, batch) = (int(call.m), int(call.n), int(call.k), int(call.batch));
    macro_rules! run {
        ($number:ty, $function:path, $of:expr) => {{
            let (alpha, beta): ($number, $number) = ($of(call.alpha.f64()), $of(call.beta.f64()));
            let (a, b, c) = (a as *const $number, b as *const $number, c as *mut $number);
            // SAFETY: the caller's; α and β are read before the call returns, as the handle's pointer mode is the host's.
            unsafe {
                $function(
                    *handle.handle(), op_a, op_b, m, n, k, &raw const alpha, a, lda, sa, b, ldb, sb,
                    &raw const beta, c, ldc, sc, batch,
                )
            }
        }};
    }
    if TypeId::of::<F>() == TypeId::of::<f32>() {
        run!(f32, cublas::sgemm_strided_batched, <f32 as Real>::of)
    } else {
        assert!(TypeId::of::<F>() == TypeId::of::<f64>(), "products are in f32 or f64");
        run!(f64, cublas::dgemm_strided_batched, <f64 as Real>::of)
    }
}
