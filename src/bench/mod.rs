//! What a training step costs on this machine: images per second, fraction of the possible, memory, and where
//! the time goes. The step is training's own, on a batch that was prepared before the clock starts.

mod ceiling;
mod made_up;
pub mod network;
pub mod offload;
pub mod together;

use crate::base::Result;
use crate::bench::offload::Forecast;
use crate::config::settings::Settings;
use crate::data::Batch;
use crate::exec::census::Census;
use crate::exec::cublas::FROM;
use crate::exec::cublas::cost::{Figures, Work};
use crate::exec::device::Device;
use crate::exec::engine::{Engine, Offloading};
use crate::exec::kernel;
use crate::exec::ranks::{One, Ranks};
use crate::exec::timing::Timing;
use crate::exec::traffic::TransferStats;
use crate::params::Params;
use crate::train::memory::{self, StepMemory};
use crate::train::task::{Opened, StepCx, StepInfo, Task};
use crate::train::{Learner, WorkerPool};
use ceiling::gemm_ceiling;
use made_up::MadeUp;
use ndarray::s;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Minimum, median and maximum over the repeats.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Lowest.
    pub min: f64,
    /// Middle.
    pub median: f64,
    /// Highest.
    pub max: f64,
}

impl Spread {
    /// Of [`REPEATS`] rates.
    fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        Self { min: rates[0], median: rates[rates.len() / 2], max: rates[rates.len() - 1] }
    }
}

/// What was measured and what was computed.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// How the trunk is pre-trained, or what it is fine-tuned for.
    pub method: &'static str,
    /// Name of the preset or file.
    pub preset: String,
    /// Images in a step.
    pub batch_size: usize,
    /// Images in a chunk.
    pub micro_batch: usize,
    /// Threads.
    pub threads: usize,
    /// Where large products ran.
    pub device: String,
    /// Instruction set of the row kernels.
    pub simd: &'static str,
    /// Training images per second of full steps.
    pub images_per_s: Spread,
    /// 10⁹ floating-point operations of the products of one image's step, counted.
    pub gflop_per_image: f64,
    /// The two multiplied, at the median.
    pub gflops: f64,
    /// What large products reach on this machine with these threads, in the same unit.
    pub gemm_ceiling_gflops: f64,
    /// `gflops / gemm_ceiling_gflops`.
    pub share_of_ceiling: f64,
    /// Largest resident memory of this process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// What it was expected to be.
    pub predicted_bytes: u64,
    /// Numbers in the model.
    pub parameters: usize,
    /// Fraction of one thread's time per kind of layer.
    pub time_shares: Vec<(String, f64)>,
    /// On a GPU: what its own figures predict, and what a step copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload: Option<Offloaded>,
}

/// What is said of a GPU beside the step's speed.
#[derive(Clone, Debug, Serialize)]
pub struct Offloaded {
    /// Predicted from measured figures.
    pub forecast: Forecast,
    /// Counted in one step.
    pub traffic: TransferStats,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan<T: Task> {
    /// All settings; the batch size is `optim.batch_size`.
    pub config: T::Config,
    /// The method's or the task's name.
    pub method: &'static str,
    /// Of the preset or file, for the output.
    pub name: String,
    /// Rayon's threads.
    pub threads: usize,
    /// Seconds to measure, warm-up not counted.
    pub secs: f64,
}

/// Repeats whose spread is given.
const REPEATS: usize = 5;

impl<T: Task> Plan<T> {
    /// What is in memory during a step: one made-up batch is there all the time, and a copy of it in the step.
    #[must_use]
    pub fn memory(&self) -> StepMemory {
        StepMemory { accum_iter: 1, batches: 2, ..T::memory(&self.config, self.threads) }
    }

    /// Measures.
    ///
    /// # Errors
    /// If the machine does not have the memory that it would take; nothing is allocated before that is known.
    pub fn run(&self) -> Result<Measurement> {
        let mut bench = Bench::<T>::new(self)?;
        bench.step()?;
        let images_per_s = self.rate(&mut bench)?;
        let peak_rss_bytes = memory::peak_rss_bytes();
        let gemm_ceiling_gflops = gemm_ceiling(self.config.run().gemm, self.threads);
        let device = bench.learner.workers.engine().to_string();
        let offload = match bench.learner.workers.engine().device() {
            Device::Cpu => None,
            _ => Some(self.offloaded(&mut bench, gemm_ceiling_gflops)?),
        };
        let time_shares = bench.time_shares()?;
        let gflop_per_image = bench.census()?.flops() / bench.images() as f64 / 1e9;
        let gflops = gflop_per_image * images_per_s.median;
        Ok(Measurement {
            method: self.method,
            preset: self.name.clone(),
            batch_size: bench.images(),
            micro_batch: self.config.optim().micro_batch,
            threads: self.threads,
            device,
            simd: kernel::name(),
            images_per_s,
            gflop_per_image,
            gflops,
            gemm_ceiling_gflops,
            share_of_ceiling: gflops / gemm_ceiling_gflops,
            peak_rss_bytes,
            predicted_bytes: self.memory().bytes(),
            parameters: bench.learner.model.count(),
            time_shares,
            offload,
        })
    }

    /// Training images per second of full steps, and nothing else of what [`Plan::run`] measures.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn images_per_s(&self) -> Result<Spread> {
        let mut bench = Bench::<T>::new(self)?;
        bench.step()?;
        self.rate(&mut bench)
    }

    /// Images per second of steps on this process alone.
    fn rate(&self, bench: &mut Bench<T>) -> Result<Spread> {
        let mut rates = Vec::new();
        for _ in 0..REPEATS {
            let (start, mut images) = (Instant::now(), 0);
            while images == 0 || start.elapsed().as_secs_f64() < self.secs / REPEATS as f64 {
                bench.step()?;
                images += bench.images();
            }
            rates.push(images as f64 / start.elapsed().as_secs_f64());
        }
        Ok(Spread::of(rates))
    }

    /// Every product of a step, counted in one whose products are not computed.
    ///
    /// # Errors
    /// If the machine does not have the memory that a step takes.
    pub fn products(&self) -> Result<Vec<Work>> {
        Ok(Bench::<T>::new(self)?.census()?.works())
    }

    /// What a GPU with these figures would make of a step's products, beside this machine's CPU. Needs no GPU.
    ///
    /// # Errors
    /// As [`Plan::products`].
    pub fn forecast(&self, device_gflops: f64, gbps: f64, latency_secs: f64) -> Result<Forecast> {
        let cpu_gflops = gemm_ceiling(self.config.run().gemm, self.threads);
        let figures = Figures { device_gflops, gbps, latency_secs, cpu_gflops };
        Ok(self.forecast_from(figures, "assumed", self.products()?))
    }

    fn forecast_from(&self, figures: Figures, origin: &'static str, products: Vec<Work>) -> Forecast {
        Forecast::new(figures, origin, self.config.run().offload_from.unwrap_or(FROM), products)
    }

    /// Measures the GPU itself, and counts what one more step copies.
    fn offloaded(&self, bench: &mut Bench<T>, cpu_gflops: f64) -> Result<Offloaded> {
        let before = bench.learner.workers.traffic();
        bench.step()?;
        let traffic = bench.learner.workers.traffic().since(before);
        let run = self.config.run();
        let everything = Engine::open(run.gemm, Offloading { from: Some(1), ..run.offloading() })?;
        let figures = offload::measure(&everything, offload::LARGE, cpu_gflops)?;
        let products = bench.census()?.works();
        Ok(Offloaded { forecast: self.forecast_from(figures, "measured", products), traffic })
    }
}

/// A model in training on one batch of made-up images, again and again.
struct Bench<T: Task> {
    learner: Learner<T>,
    batch: Batch,
    threads: usize,
}

impl<T: Task> Bench<T> {
    fn new(plan: &Plan<T>) -> Result<Self> {
        Self::among(Arc::new(One), plan)
    }

    /// On one of several ranks, with its rows of the batch.
    fn among(ranks: Arc<dyn Ranks>, plan: &Plan<T>) -> Result<Self> {
        plan.memory().among(&*ranks).require()?;
        let mut config = plan.config.clone();
        config.optim_mut().accum_iter = 1;
        config.run_mut().held_out_images = 0;
        let data = config.data_mut();
        (data.mean, data.std, data.repeats, data.val_fraction) = (None, None, Some(1), 0.0);
        let vit = config.vit();
        let source = MadeUp::source(config.optim().batch_size, vit.img_size, vit.in_chans, T::TARGET);
        let Opened { task, train, .. } = T::open(source, &mut config)?;
        let learner =
            Learner::among(ranks, task, config, train, |config| T::model(config, &T::start_again(config)?))?;
        let batch = learner.batches(0, 0).next().expect("an epoch of one batch")?;
        Ok(Self { learner, batch, threads: plan.threads })
    }

    fn images(&self) -> usize {
        self.batch.samples.len()
    }

    /// Forward, backward, update.
    fn step(&mut self) -> Result<()> {
        let mut batches = std::iter::once(Ok(self.batch.clone()));
        self.learner.step(0, 0, &mut batches, &|| None).map(drop)
    }

    /// Loss and gradient of a batch with executors of the caller's.
    fn loss_and_grad(&mut self, batch: Batch, workers: &WorkerPool<f32, T::Model>) -> Result<T::Model> {
        let Learner { task, config, model, .. } = &mut self.learner;
        let info = StepInfo { step: 1, epoch: 0.0, images: batch.samples.len() };
        let cx = StepCx { config, epoch: 0, info, workers };
        let model = &*model;
        Ok(workers.checked(|| task.loss_and_grad(model, batch, &cx))?.1)
    }

    /// Counts the products of a step.
    fn census(&mut self) -> Result<Arc<Census>> {
        let (engine, census) = Census::engine();
        self.loss_and_grad(self.batch.clone(), &WorkerPool::new(engine))?;
        Ok(census)
    }

    /// A few chunks on one thread with a clock at every named tensor, and the update.
    fn time_shares(&mut self) -> Result<Vec<(String, f64)>> {
        let images = self.images();
        let chunk = self.learner.config.optim().micro_batch.min(images).max(2.min(images));
        let chunks = images.div_ceil(chunk) as f64;
        let batch = Batch {
            views: self
                .batch
                .views
                .iter()
                .map(|view| view.slice(s![..chunk, .., .., ..]).to_owned())
                .collect(),
            targets: self.batch.targets[..chunk].to_vec(),
            geometry: self.batch.geometry[..chunk].to_vec(),
            samples: self.batch.samples[..chunk].to_vec(),
        };
        let timing = Timing::default();
        // Two, since a loss of the whole batch holds an executor while chunks take others.
        let workers = WorkerPool::with_probe(self.learner.workers.engine(), timing.clone());
        let workers = workers.and_probe(timing.clone());
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let single = single.map_err(|e| crate::Error::setting("--threads", "one more thread", e))?;
        let passes = 4;
        for pass in 0..=passes {
            if pass == 1 {
                timing.clear(); // the first pass only warmed up
            }
            timing.restart();
            let grad = single.install(|| self.loss_and_grad(batch.clone(), &workers))?;
            timing.book("linear");
            workers.recycle(grad);
        }
        let mut seconds: Vec<(&str, f64)> =
            timing.seconds().into_iter().map(|(kind, s)| (kind, s / f64::from(passes) * chunks)).collect();
        let mut grad = workers.gradient(&self.learner.model);
        let start = Instant::now();
        let other = self.learner.workers.gradient(&self.learner.model);
        grad.accumulate(&other);
        seconds.push(("sum of gradients", start.elapsed().as_secs_f64() * chunks));
        let Learner { adamw, model, groups, .. } = &mut self.learner;
        let start = Instant::now();
        adamw.step(model, &grad, groups, 1e-4);
        // The update runs on all threads; in one thread's time it counts for each of them.
        seconds.push(("AdamW", start.elapsed().as_secs_f64() * self.threads as f64));
        let total: f64 = seconds.iter().map(|(_, s)| s).sum();
        seconds.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(seconds.into_iter().map(|(kind, s)| (kind.to_owned(), s / total)).collect())
    }
}
