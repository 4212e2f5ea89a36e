//! How a run is judged on images that are never trained on: the loss on two fixed views of each, and the neighbours of
//! their features.

use super::config::MocoV3Config;
use super::step::Crops;
use crate::base::Result;
use crate::data::{Batch, Dataset, Loader, LoaderConfig, Subset};
use crate::exec::Exec;
use crate::models::moco::{BaseEncoder, Moco};
use crate::tasks::features::{Outputs, rows};
use crate::tasks::knn::Knn;
use crate::train::WorkerPool;
use crate::train::eval_images::EPOCH;
use crate::train::readable::leave_out_bad;
use ndarray::{Array4, ArrayView1, ArrayView4};
use std::sync::Arc;

/// Most training images among which neighbours are looked for.
const BANK: usize = 2048;

/// A fixed selection of images with two fixed views of each, in batches as large as those of training.
pub struct EvalSet {
    batches: Vec<[Array4<f32>; 2]>,
    neighbours: Option<Neighbours>,
    micro_batch: usize,
    /// Why images were left out.
    pub skipped: Vec<String>,
}

/// Labelled training images, and labelled images whose class their neighbours name.
struct Neighbours {
    bank: Labelled,
    judged: Labelled,
}

struct Labelled {
    images: Arc<dyn Dataset>,
    labels: Vec<usize>,
}

/// What is measured on an [`EvalSet`].
pub struct Judged {
    /// The contrastive loss, a mean over batches.
    pub loss: f64,
    /// The fraction of queries that are nearest to their own key.
    pub accuracy: f64,
    /// The fraction of images whose class their neighbours among the training images name; none without labels.
    pub knn: Option<f64>,
}

impl EvalSet {
    /// At most `most` evenly spaced images of `dataset`; `train` are the training images. None if there are fewer than two.
    ///
    /// # Errors
    /// If one of them cannot be read (with `data.skip_bad_images`: if none can).
    pub fn new(
        config: &MocoV3Config,
        views: LoaderConfig,
        train: &Arc<dyn Dataset>,
        dataset: &Arc<dyn Dataset>,
        most: usize,
    ) -> Result<Option<Self>> {
        let mut images: Arc<dyn Dataset> = Arc::new(Subset::evenly_spaced(dataset.clone(), most));
        let mut bank: Arc<dyn Dataset> = Arc::new(Subset::evenly_spaced(train.clone(), BANK));
        let (input, skip) = (config.input(), config.data.skip_bad_images);
        let skipped = leave_out_bad([&mut images, &mut bank], &input, skip)?;
        if images.len() < 2 {
            return Ok(None);
        }
        let batch_size = config.optim.batch_size.min(images.len());
        let loader = Loader::new(images.clone(), LoaderConfig { batch_size, repeats: 1, ..views })?;
        let crops = |batch: Result<Batch>| -> Result<[Array4<f32>; 2]> {
            Ok(batch?.views.try_into().expect("two views of every image"))
        };
        let neighbours = match (Labelled::of(bank), Labelled::of(images)) {
            (Some(bank), Some(judged)) => Some(Neighbours { bank, judged }),
            _ => None,
        };
        Ok(Some(Self {
            batches: loader.epoch(EPOCH, 0).map(crops).collect::<Result<_>>()?,
            neighbours,
            micro_batch: config.optim.micro_batch,
            skipped,
        }))
    }

    /// Images that are judged.
    pub fn images(&self) -> usize {
        self.batches.iter().map(|[view, _]| view.dim().0).sum()
    }

    /// What the model that the workers belong to reaches. Batch norms take the statistics of the batch, as in training.
    ///
    /// # Errors
    /// If an image cannot be read, or a device failed.
    pub fn judge(
        &self,
        config: &MocoV3Config,
        model: &Moco<f32>,
        encoder: &BaseEncoder<f32>,
        workers: &WorkerPool<f32, Moco<f32>>,
    ) -> Result<Judged> {
        let (mut loss, mut accuracy) = (0.0, 0.0);
        workers.checked(|| {
            for batch in &self.batches {
                let views = batch.each_ref().map(|view| view.view());
                let crops = Crops { views, micro_batch: self.micro_batch };
                let [queries, keys] =
                    [&model.base.trunk, &encoder.trunk].map(|trunk| crops.features(trunk, workers));
                let contrast = workers.run(true, |cx| {
                    let (keys, _) = encoder.keys(keys, cx);
                    model.forward(queries, &keys, cx).0
                });
                loss += contrast.loss();
                accuracy += contrast.accuracy();
            }
        })?;
        let batches = self.batches.len() as f64;
        let knn = self.neighbours.as_ref().map(|neighbours| neighbours.accuracy(config, model, workers));
        Ok(Judged { loss: loss / batches, accuracy: accuracy / batches, knn: knn.transpose()? })
    }
}

impl Labelled {
    /// None if an image has no label.
    fn of(images: Arc<dyn Dataset>) -> Option<Self> {
        let labels = images.labels().ok()?;
        Some(Self { images, labels })
    }
}

impl Neighbours {
    /// The weighted vote of the nearest training images ([`Knn`]), of equal classes the first.
    fn accuracy(
        &self,
        config: &MocoV3Config,
        model: &Moco<f32>,
        workers: &WorkerPool<f32, Moco<f32>>,
    ) -> Result<f64> {
        let (trunk, input) = (&model.base.trunk, config.input());
        let outputs =
            Outputs { width: config.model.embed_dim, activation_bytes: config.model.inference_bytes() };
        let features = |of: &Labelled| {
            let forward = |images: ArrayView4<f32>, cx: &mut Exec<f32>| trunk.infer(images, cx);
            rows(&*of.images, &input, outputs, workers.engine(), &forward, &())
        };
        let (bank, judged) = (features(&self.bank)?, features(&self.judged)?);
        let knn = Knn { k: Knn::default().k.min(self.bank.labels.len()), ..Knn::default() };
        let classes = self.bank.images.classes().len();
        let scores = knn.scores(bank.view(), &self.bank.labels, classes, judged.view(), config.run.gemm);
        let right = scores.outer_iter().zip(&self.judged.labels).filter(|(row, label)| best(row) == **label);
        Ok(right.count() as f64 / self.judged.labels.len() as f64)
    }
}

fn best(scores: &ArrayView1<f64>) -> usize {
    let first_largest = |best: usize, (class, score): (usize, &f64)| {
        if *score > scores[best] { class } else { best }
    };
    scores.iter().enumerate().fold(0, first_largest)
}
