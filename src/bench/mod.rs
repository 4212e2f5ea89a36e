//! What a training step costs on this machine: images per second, fraction of the possible, memory, and where
//! the time goes.

pub mod offload;

use crate::base::rng::{Purpose, rng, uniform};
use crate::base::{Real, Result};
use crate::bench::offload::Forecast;
use crate::exec::cublas::FROM;
use crate::exec::cublas::cost::Figures;
use crate::exec::device::Device;
use crate::exec::engine::{Engine, Offloading};
use crate::exec::timing::Timing;
use crate::exec::traffic::TransferStats;
use crate::exec::{Exec, kernel};
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::len_keep;
use crate::models::mae::{Mae, Mask};
use crate::optim::{AdamW, groups};
use crate::params::Params;
use crate::tasks::mae::Config;
use crate::tasks::mae::step;
use crate::train::memory;
use crate::train::memory::StepMemory;
use crate::train::workers::WorkerPool;
use ndarray::{Array2, Array4, Axis};
use serde::Serialize;
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

/// What was measured and what was computed.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
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
    /// 10⁹ floating-point operations of the products of one image's step, from the shapes.
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
pub struct Plan {
    /// All settings; the batch size is `optim.batch_size`.
    pub config: Config,
    /// For the output.
    pub name: String,
    /// Rayon's threads.
    pub threads: usize,
    /// Seconds to measure, warm-up not counted.
    pub secs: f64,
    /// Let the encoder see a token for every patch, as the paper's ablation does with mask tokens.
    pub encoder_with_mask_tokens: bool,
}

/// Repeats whose spread is given.
const REPEATS: usize = 5;

impl Plan {
    /// Patches that the encoder sees.
    fn len_keep(&self) -> usize {
        let patches = self.config.model.num_patches();
        // A token costs the same whether pixels or a mask token are in it; one must stay removed.
        if self.encoder_with_mask_tokens {
            patches - 1
        } else {
            len_keep(patches, self.config.mask.mask_ratio)
        }
    }

    fn cost(&self) -> Cost<'_> {
        Cost { config: &self.config.model, len_keep: self.len_keep() }
    }

    /// What is in memory during a step: one made-up batch is there all the time.
    #[must_use]
    pub fn memory(&self) -> StepMemory {
        let (model, optim) = (&self.config.model, &self.config.optim);
        let memory = StepMemory::pretraining(model, optim, self.len_keep(), self.threads);
        StepMemory { accum_iter: 1, batches: 1, ..memory }
    }

    /// Measures.
    ///
    /// # Errors
    /// If the machine does not have the memory that it would take; nothing is allocated before that is known.
    pub fn run(&self) -> Result<Measurement> {
        self.memory().require()?;
        let engine = self.config.run.engine()?;
        let mut trainer = Trainer::new(self, &engine);
        trainer.step()?;
        let mut rates = Vec::new();
        for _ in 0..REPEATS {
            let (start, mut images) = (Instant::now(), 0);
            while images == 0 || start.elapsed().as_secs_f64() < self.secs / REPEATS as f64 {
                trainer.step()?;
                images += self.config.optim.batch_size;
            }
            rates.push(images as f64 / start.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        let images_per_s = Spread { min: rates[0], median: rates[REPEATS / 2], max: rates[REPEATS - 1] };
        let peak_rss_bytes = memory::peak_rss_bytes();
        let gflop_per_image = self.cost().flops_per_image() / 1e9;
        let gflops = gflop_per_image * images_per_s.median;
        let gemm_ceiling_gflops = self.gemm_ceiling();
        let offload = match engine.device() {
            Device::Cpu => None,
            _ => Some(self.offloaded(&mut trainer, gemm_ceiling_gflops)?),
        };
        Ok(Measurement {
            preset: self.name.clone(),
            batch_size: self.config.optim.batch_size,
            micro_batch: self.config.optim.micro_batch,
            threads: self.threads,
            device: engine.to_string(),
            simd: kernel::name(),
            images_per_s,
            gflop_per_image,
            gflops,
            gemm_ceiling_gflops,
            share_of_ceiling: gflops / gemm_ceiling_gflops,
            peak_rss_bytes,
            predicted_bytes: self.memory().bytes(),
            parameters: self.config.model.parameters().all,
            time_shares: trainer.time_shares(),
            offload,
        })
    }

    /// What a GPU with these figures would make of a step's products, beside this machine's CPU. Needs no GPU.
    #[must_use]
    pub fn forecast(&self, device_gflops: f64, gbps: f64, latency_secs: f64) -> Forecast {
        let figures = Figures { device_gflops, gbps, latency_secs, cpu_gflops: self.gemm_ceiling() };
        self.forecast_from(figures, "assumed")
    }

    fn forecast_from(&self, figures: Figures, origin: &'static str) -> Forecast {
        let (config, optim) = (&self.config.model, &self.config.optim);
        let products = offload::products(config, self.len_keep(), optim.micro_batch, optim.batch_size);
        Forecast::new(figures, origin, self.config.run.offload_from.unwrap_or(FROM), products)
    }

    /// Measures the GPU itself, and counts what one more step copies.
    fn offloaded(&self, trainer: &mut Trainer, cpu_gflops: f64) -> Result<Offloaded> {
        let before = trainer.workers.traffic();
        trainer.step()?;
        let traffic = trainer.workers.traffic().since(before);
        let run = &self.config.run;
        let everything = Engine::open(run.gemm, Offloading { from: Some(1), ..run.offloading() })?;
        let figures = offload::measure(&everything, offload::LARGE, cpu_gflops)?;
        Ok(Offloaded { forecast: self.forecast_from(figures, "measured"), traffic })
    }

    /// GFLOP/s of large square products, one on every thread at the same time; the best of several tries.
    fn gemm_ceiling(&self) -> f64 {
        const SIDE: usize = 512;
        const PRODUCTS: usize = 24;
        let backend = self.config.run.gemm.build::<f32>();
        let mut best = 0.0f64;
        for _ in 0..6 {
            let start = Instant::now();
            rayon::broadcast(|_| {
                let (a, b) = (Array2::from_elem((SIDE, SIDE), 0.5f32), Array2::from_elem((SIDE, SIDE), 0.25));
                let mut c = Array2::zeros((SIDE, SIDE));
                for _ in 0..PRODUCTS {
                    backend.gemm(1.0, a.view(), b.view(), 0.0, c.view_mut());
                }
                std::hint::black_box(c);
            });
            let flops = 2.0 * (SIDE * SIDE * SIDE * PRODUCTS * self.threads) as f64;
            best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
        }
        best
    }
}

/// A model in training on made-up images.
struct Trainer<'a> {
    plan: &'a Plan,
    model: Mae<f32>,
    adamw: AdamW<Mae<f32>>,
    groups: Vec<groups::Group>,
    workers: WorkerPool<f32, Mae<f32>>,
    images: Array4<f32>,
    masks: Vec<Mask>,
}

impl<'a> Trainer<'a> {
    fn new(plan: &'a Plan, engine: &Engine) -> Self {
        let config = &plan.config;
        let model = Mae::initialised(config.model.clone(), config.run.seed);
        let [height, width] = config.model.img_size;
        let shape = (config.optim.batch_size, config.model.in_chans, height, width);
        let mut noise = rng(config.run.seed, Purpose::Synthetic, 0, 0);
        let images = Array4::from_shape_simple_fn(shape, || f32::of(2.0 * uniform(&mut noise) - 1.0));
        let masking = config.masking();
        let mask = |i| Mask { len_keep: plan.len_keep(), ..masking.mask(config.run.seed, 0, i) };
        Self {
            plan,
            adamw: AdamW::new(&model, (config.optim.betas[0], config.optim.betas[1])),
            groups: groups::pretraining(&model, config.optim.weight_decay),
            workers: WorkerPool::new(engine),
            masks: (0..config.optim.batch_size as u64).map(mask).collect(),
            model,
            images,
        }
    }

    /// Forward, backward, update.
    fn step(&mut self) -> Result<()> {
        let (micro_batch, workers) = (self.plan.config.optim.micro_batch, &self.workers);
        let (_, grad) = workers.with_weights(&self.model, || {
            step::loss_and_gradient(&self.model, self.images.view(), &self.masks, micro_batch, workers)
        })?;
        self.adamw.step(&mut self.model, &grad, &self.groups, 1e-4);
        workers.changed(&self.groups);
        workers.recycle(grad);
        Ok(())
    }

    /// A few chunks on one thread with a clock at every named tensor, and the update.
    fn time_shares(&mut self) -> Vec<(String, f64)> {
        let optim = &self.plan.config.optim;
        let chunk = optim.micro_batch.min(optim.batch_size);
        let chunks = optim.batch_size.div_ceil(chunk) as f64;
        let images = self.images.slice_axis(Axis(0), (0..chunk).into());
        let masks = &self.masks[..chunk];
        let removed = masks.iter().map(Mask::removed).sum();
        let timing = Timing::default();
        let mut cx = Exec::new(self.workers.engine()).with_probe(timing.clone());
        let mut grad = self.model.zeros_like();
        let passes = 4;
        for pass in 0..=passes {
            if pass == 1 {
                timing.clear(); // the first pass only warmed up
            }
            timing.restart();
            let (output, cache) = self.model.forward(images, masks, &mut cx);
            timing.book("loss");
            let dpatches = self.model.backward(cache, &output, masks, removed, &mut grad, &mut cx);
            timing.book("linear");
            cx.recycle(dpatches);
            output.recycle(&mut cx);
        }
        let mut seconds: Vec<(&str, f64)> =
            timing.seconds().into_iter().map(|(kind, s)| (kind, s / f64::from(passes) * chunks)).collect();
        let start = Instant::now();
        let other = self.workers.gradient(&self.model);
        grad.accumulate(&other);
        seconds.push(("sum of gradients", start.elapsed().as_secs_f64() * chunks));
        let start = Instant::now();
        self.adamw.step(&mut self.model, &grad, &self.groups, 1e-4);
        // The update runs on all threads; in one thread's time it counts for each of them.
        seconds.push(("AdamW", start.elapsed().as_secs_f64() * self.plan.threads as f64));
        let total: f64 = seconds.iter().map(|(_, s)| s).sum();
        seconds.sort_by(|a, b| b.1.total_cmp(&a.1));
        seconds.into_iter().map(|(kind, s)| (kind.to_owned(), s / total)).collect()
    }
}
