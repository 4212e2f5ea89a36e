//! Loss and gradient of a detection step, in two halves, since its losses are divided by how many regions are sampled in the whole
//! batch, and what is sampled depends on what the network proposes.

use super::sampling::{Address, draw, objects};
use crate::base::sync::lock;
use crate::data::Instance;
use crate::models::detect::proposals::Proposal;
use crate::models::detect::{Denominators, DetectLosses, Detector, Forward, ImageSamples};
use crate::tasks::transfer::StepOptions;
use crate::train::step::{map, own_chunks, sum_and_map};
use crate::train::told::Told;
use crate::train::workers::WorkerPool;
use ndarray::{ArrayView4, Axis};
use std::sync::Mutex;

/// Images with their objects.
pub struct Annotated<'a> {
    /// `[B, C, H, W]`.
    pub images: ArrayView4<'a, f32>,
    /// Of each image.
    pub objects: Vec<&'a [Instance]>,
    /// Each sample's address, which its dropped branches, anchors and regions are drawn from.
    pub samples: &'a [u64],
}

/// What the first half of a step leaves of a chunk.
struct Half {
    forward: Forward<f32>,
    samples: Vec<ImageSamples<f32>>,
}

/// The losses of a batch, and the gradient of their sum. Each chunk goes forward, proposes regions and has its samples drawn; then all
/// are counted; then each chunk goes through its heads and backward. Activations are kept in between.
pub fn loss_and_gradient(
    model: &Detector<f32>,
    batch: &Annotated,
    options: &StepOptions,
    workers: &WorkerPool<f32, Detector<f32>>,
) -> (DetectLosses, Detector<f32>) {
    let size = options.micro_batch;
    let parts = batch.images.axis_chunks_iter(Axis(0), size).zip(batch.samples.chunks(size));
    let chunks: Vec<_> = parts.zip(batch.objects.chunks(size)).collect();
    let halves = own_chunks(chunks.len(), workers, |i, cx| {
        let ((images, samples), instances) = &chunks[i];
        let branches = options.drop_path.draw(options.seed, options.epoch, samples);
        let o = options.forward(branches.as_ref());
        let forward = model.forward(*images, &o, cx);
        let proposals = model.proposals(&forward.rpn, &model.config.training_proposals());
        let of_image = |((proposals, instances), &sample): ((Vec<Proposal<f32>>, &&[Instance]), &u64)| {
            let regions: Vec<_> = proposals.iter().map(|proposal| proposal.bbox).collect();
            let address = Address { seed: options.seed, epoch: options.epoch, sample };
            draw(&model.config, &model.anchors.boxes, &regions, &objects(instances), address)
        };
        let samples = proposals.into_iter().zip(*instances).zip(*samples).map(of_image).collect();
        Mutex::new(Some(Half { forward, samples }))
    });

    let half = |i: usize| halves[i].as_ref().expect("what a rank takes back it took forward");
    let counted =
        map(chunks.len(), workers, |i, _| counts(lock(half(i)).iter().flat_map(|half| &half.samples)));
    // The whole batch's numbers.
    let of = Denominators {
        anchors: batch.samples.len() * model.config.rpn_batch_per_image,
        regions: counted.iter().map(|[regions, _]| regions).sum(),
        foreground: counted.iter().map(|[_, foreground]| foreground).sum(),
    };
    let (_, losses, grad) = sum_and_map(model, chunks.len(), workers, |i, grad, cx| {
        let Half { forward, samples } = lock(half(i)).take().expect("each chunk goes back once");
        let of_chunk = model.loss_and_gradient(forward, &samples, of, grad, cx);
        (of_chunk.total(), of_chunk)
    });
    let losses = losses.iter().fold(DetectLosses::default(), |sum, chunk| sum.plus(chunk));
    (losses, grad)
}

/// Regions that were sampled, and how many of them show an object that has a mask.
fn counts<'a>(images: impl Iterator<Item = &'a ImageSamples<f32>>) -> [usize; 2] {
    images.fold([0, 0], |[regions, foreground], image| {
        let masks = image.regions.iter().filter_map(|region| region.object.as_ref());
        [regions + image.regions.len(), foreground + masks.filter(|object| !object.mask.is_empty()).count()]
    })
}

impl Told for DetectLosses {
    fn tell(&self, to: &mut Vec<f64>) {
        [self.rpn_cls, self.rpn_box, self.cls, self.bbox, self.mask].tell(to);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let [rpn_cls, rpn_box, cls, bbox, mask] = Told::told(from);
        Self { rpn_cls, rpn_box, cls, bbox, mask }
    }
}
