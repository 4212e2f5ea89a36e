//! What multiplies: a CPU backend, and a GPU for the large products if one was asked for. One value, opened once and
//! handed on; clones share the device.

use super::cpu::Backend;
use super::device::{Device, Gpu};
use super::gemm::Gemm;
use super::traffic::TransferStats;
use crate::base::{Error, Real, Result};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What errors name: the flag, and the setting behind it.
const KEY: &str = "--device (run.device)";

/// How a device is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloading {
    /// Which.
    pub device: Device,
    /// Round operands in f32 to TF32's 10 bits of mantissa, which is faster.
    pub tf32: bool,
    /// Multiplications from which a product goes to the device; [`super::cublas::FROM`] if absent.
    pub from: Option<usize>,
}

/// A product backend for every number type.
#[derive(Clone, Default)]
pub struct Engine {
    cpu: Backend,
    gpu: Option<Arc<OnGpu>>,
    /// Why `auto` took the CPU.
    no_gpu: Option<Arc<str>>,
}

/// The same device, for both number types where both are used.
struct OnGpu {
    gpu: Gpu,
    f32: Option<Arc<dyn Gemm<f32>>>,
    f64: Option<Arc<dyn Gemm<f64>>>,
}

impl From<Backend> for Engine {
    fn from(cpu: Backend) -> Self {
        Self { cpu, gpu: None, no_gpu: None }
    }
}

impl From<&Engine> for Engine {
    fn from(engine: &Engine) -> Self {
        engine.clone()
    }
}

/// `cpu`, or the device with its name and memory.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.gpu, &self.no_gpu) {
            (Some(on_gpu), _) => write!(f, "{}", on_gpu.gpu),
            (None, Some(why)) => write!(f, "cpu, since {why}"),
            (None, None) => write!(f, "cpu"),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?}, {self})", self.cpu)
    }
}

impl Engine {
    /// Opens the device.
    ///
    /// # Errors
    /// If there is none, or it cannot be used; the error says why. [`Device::Auto`] takes the CPU instead.
    pub fn open(cpu: Backend, offloading: Offloading) -> Result<Self> {
        let found = match offloading.device {
            Device::Cpu => return Ok(cpu.into()),
            Device::Cuda(number) => gpu(number)?,
            Device::Auto => match gpus() {
                Ok(mut gpus) => gpus.swap_remove(0),
                Err(why) => return Ok(Self { cpu, gpu: None, no_gpu: Some(why.into()) }),
            },
        };
        open_gpu(cpu, found, offloading)
    }

    /// Products on a device of the caller's, in f32, in f64, or in both; the CPU takes what it has no backend for.
    #[must_use]
    pub fn on(
        gpu: Gpu,
        cpu: Backend,
        f32: Option<Arc<dyn Gemm<f32>>>,
        f64: Option<Arc<dyn Gemm<f64>>>,
    ) -> Self {
        Self { cpu, gpu: Some(Arc::new(OnGpu { gpu, f32, f64 })), no_gpu: None }
    }

    /// The backend for numbers of type `F`.
    pub fn gemm<F: Real>(&self) -> Arc<dyn Gemm<F>> {
        self.on_gpu().unwrap_or_else(|| self.cpu.build())
    }

    fn on_gpu<F: Real>(&self) -> Option<Arc<dyn Gemm<F>>> {
        let gpu = self.gpu.as_ref()?;
        let backends: [&dyn Any; 2] = [&gpu.f32, &gpu.f64];
        backends.iter().find_map(|any| any.downcast_ref::<Option<Arc<dyn Gemm<F>>>>()).cloned().flatten()
    }

    /// What multiplies on the CPU.
    #[must_use]
    pub fn cpu(&self) -> Backend {
        self.cpu
    }

    /// Where large products run: never [`Device::Auto`].
    #[must_use]
    pub fn device(&self) -> Device {
        self.gpu.as_ref().map_or(Device::Cpu, |on_gpu| on_gpu.gpu.device)
    }

    /// Why [`Device::Auto`] took the CPU, if it did.
    #[must_use]
    pub fn no_gpu(&self) -> Option<&str> {
        self.no_gpu.as_deref()
    }

    /// Whether all products so far are right. To be asked before results are used.
    ///
    /// # Errors
    /// If one failed on the device, as when its memory ran out.
    pub fn check(&self) -> Result<()> {
        let Some(on_gpu) = &self.gpu else { return Ok(()) };
        let failures =
            [on_gpu.f32.as_ref().and_then(|g| g.failure()), on_gpu.f64.as_ref().and_then(|g| g.failure())];
        match failures.into_iter().flatten().next() {
            Some(failure) => Err(Error::Device { device: on_gpu.gpu.device.to_string(), message: failure.0 }),
            None => Ok(()),
        }
    }

    /// What was copied to and from the device, in f32.
    #[must_use]
    pub fn traffic(&self) -> TransferStats {
        self.gpu.as_ref().and_then(|gpu| Some(gpu.f32.as_ref()?.traffic())).unwrap_or_default()
    }
}

/// The GPUs of this machine; there is at least one.
///
/// # Errors
/// Why there is none, in words.
pub fn gpus() -> std::result::Result<Vec<Gpu>, String> {
    #[cfg(feature = "accel")]
    return super::cublas::driver::gpus();
    #[cfg(not(feature = "accel"))]
    Err("this program was built without GPU support; `cargo build --release --features accel` builds it in"
        .into())
}

/// The GPU of this number, or an error of usage that says why there is none.
fn gpu(number: u32) -> Result<Gpu> {
    let device = Device::Cuda(number);
    let all =
        gpus().map_err(|why| Error::setting(KEY, format!("a GPU for {device}"), format!("none: {why}")))?;
    let (count, last) = (all.len(), all.len().saturating_sub(1));
    let known = if count == 1 { "cuda:0, the only one".to_owned() } else { format!("cuda:0 to cuda:{last}") };
    let found = all.into_iter().find(|gpu| gpu.device == device);
    found.ok_or_else(|| Error::setting(KEY, format!("a GPU of this machine: {known}"), device))
}

#[cfg(feature = "accel")]
fn open_gpu(cpu: Backend, gpu: Gpu, offloading: Offloading) -> Result<Engine> {
    let from = offloading.from.unwrap_or(super::cublas::FROM);
    let refused =
        |why: super::gemm::Failure| Error::setting(KEY, format!("a GPU that can be used ({gpu})"), why.0);
    let Device::Cuda(number) = gpu.device else { unreachable!("GPUs are CUDA devices") };
    let (f32, f64) = super::cublas::driver::open(cpu, number, offloading.tf32, from).map_err(refused)?;
    Ok(Engine::on(gpu, cpu, Some(f32), Some(f64)))
}

#[cfg(not(feature = "accel"))]
fn open_gpu(_: Backend, gpu: Gpu, _: Offloading) -> Result<Engine> {
    Err(Error::setting(KEY, "a program that was built with GPU support", gpu.device))
}
