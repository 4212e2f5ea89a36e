//! Claim: a detector learns eight images by heart, proposals, boxes and masks.

use crate::common::run::{BY_HEART, StopAfter};
use crate::detect::{new, place};
use ndarray::Axis;
use vit_mae::data::{Dataset, Target};
use vit_mae::exec::{Backend, Exec};
use vit_mae::models::detect::Detector;
use vit_mae::models::detect::boxes::iou;
use vit_mae::models::detect::proposals::ProposalConfig;
use vit_mae::models::vit::ForwardOptions;
use vit_mae::tasks::detect::evaluate::evaluate;
use vit_mae::tasks::detect::predictor::{Predictor, Seen};
use vit_mae::tasks::detect::sampling::objects;
use vit_mae::tasks::transfer::load_best;
use vit_mae::tasks::{Detect, DetectConfig};
use vit_mae::train::WorkerPool;

#[test]
fn eight_images_are_learnt_by_heart() {
    let place = place();
    let own = [("model.img_size", "[64, 64]"), ("model.fc_dim", "48"), ("optim.lr", "0.003")];
    let sets = [&BY_HEART[..], &own].concat();
    let mut run = new(&place, "by-heart", &sets);
    let train = run.learner.task.images.train.clone();
    assert_eq!(train.len(), 8);
    run.train("", &mut StopAfter(u64::MAX)).unwrap();
    let (model, config, _) = load_best::<Detect>(&place.path("by-heart")).unwrap();
    let predictor = Predictor::new(&model, &config.data, &place.path("by-heart")).unwrap();
    let workers = WorkerPool::new(Backend::default());
    let names = &config.finetune.classes;
    let found = evaluate(&predictor, names, &*train, &workers, &()).unwrap();
    let (boxes, masks) = (found.boxes.figures()[0].unwrap(), found.masks.unwrap().figures()[0].unwrap());
    assert!(boxes >= 0.9 && masks >= 0.8, "box AP {boxes}, mask AP {masks}");
    let found: Vec<bool> =
        (0..train.len()).flat_map(|index| proposed(&model, &config, &*train, index)).collect();
    let recall = found.iter().filter(|&&found| found).count() as f64 / found.len() as f64;
    assert!(recall >= 0.9, "{recall} of the objects are among the first 100 proposals");
}

/// Of each object of an image, whether one of the first 100 proposals overlaps it by a half.
fn proposed(model: &Detector<f32>, config: &DetectConfig, data: &dyn Dataset, index: usize) -> Vec<bool> {
    let seen = Seen::new(&config.model, &config.data, "", &data.image(index).unwrap()).unwrap();
    let Target::Instances(truth) = seen.geometry.target(&data.target(index).unwrap()) else { unreachable!() };
    let mut cx = Exec::new(Backend::default());
    let forward =
        model.forward(seen.input.view().insert_axis(Axis(0)), &ForwardOptions::inference(), &mut cx);
    let first = ProposalConfig { post_nms: 100, ..config.model.proposals() };
    let proposals = model.proposals(&forward.rpn, &first).remove(0);
    let near = |bbox| proposals.iter().any(|proposal| iou(proposal.bbox, bbox) >= 0.5);
    objects(&truth).iter().map(|object| near(object.bbox)).collect()
}
