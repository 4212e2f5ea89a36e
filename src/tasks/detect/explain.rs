//! A picture of one training step: which anchors stand for objects, what the network proposes, which regions its heads learn from.

use super::DetectConfig;
use super::evaluate::instances;
use super::predictor::Seen;
use super::sampling::{Address, draw, objects};
use crate::base::Result;
use crate::data::subset::evenly_spaced;
use crate::data::{Dataset, Image, Instance, Target};
use crate::draw::overlay::overlay;
use crate::draw::sheet::{Picture, Sheet};
use crate::models::detect::Detector;
use crate::models::detect::boxes::BBox;
use crate::models::vit::ForwardOptions;
use crate::train::workers::WorkerPool;
use ndarray::Axis;

/// Images that are shown.
const IMAGES: usize = 4;
/// Proposals that are drawn: more hide the image.
const PROPOSALS: usize = 8;
/// The class whose colour background has: the palette's pale grey.
const BACKGROUND: usize = 254;

/// Evenly spaced images of the data, each seen as in evaluation, and how a step of the first epoch would sample them; none if they
/// all were left out.
///
/// # Errors
/// If an image or its objects cannot be read, unless such images are to be left out.
pub fn sheet(
    model: &Detector<f32>,
    config: &DetectConfig,
    data: &dyn Dataset,
    workers: &WorkerPool<f32, Detector<f32>>,
) -> Result<Option<Vec<u8>>> {
    let captions =
        ["objects", "anchors that stand for them", "the surest proposals", "regions that are learnt from"];
    let note = "As a training step samples these images, with the weights of the best epoch. An anchor stands for an object if it overlaps it \
                by the threshold of a match, or if no other overlaps it more. Regions of background are grey; the others have the colour \
                of their object's class, whose box is their target. Nothing is learnt through where a region is.";
    let mut sheet = Sheet::new(&captions, Some(note));
    let mut rows = 0;
    for index in evenly_spaced(data.len(), IMAGES) {
        let read = || -> Result<(Seen, Vec<Instance>)> {
            let seen = Seen::new(&config.model, &config.data, &data.source(index), &data.image(index)?)?;
            let Target::Instances(truth) = seen.geometry.target(&Target::Instances(instances(data, index)?))
            else {
                unreachable!("objects stay objects");
            };
            Ok((seen, truth))
        };
        let (Seen { image: seen, input, .. }, truth) = match read() {
            Err(_) if config.data.skip_bad_images => continue,
            read => read?,
        };
        let proposals = workers.run(true, |cx| {
            let forward = model.forward(input.view().insert_axis(Axis(0)), &ForwardOptions::inference(), cx);
            let proposals = model.proposals(&forward.rpn, &config.model.training_proposals());
            forward.recycle(cx);
            proposals
        });
        let proposals: Vec<BBox<f32>> = proposals.iter().flatten().map(|proposal| proposal.bbox).collect();
        let known = objects(&truth);
        let address = Address { seed: config.run.seed, epoch: 0, sample: index as u64 };
        let samples = draw(&config.model, &model.anchors.boxes, &proposals, &known, address);

        let class_of =
            |bbox: BBox<f32>| known.iter().find(|object| object.bbox == bbox).map_or(0, |o| o.class);
        let positive = |anchor: &crate::models::detect::AnchorSample<f32>| {
            Some((model.anchors.boxes[anchor.anchor], Some(class_of(anchor.object?))))
        };
        let anchors: Vec<_> = samples.anchors.iter().filter_map(positive).collect();
        let best: Vec<_> = proposals.iter().take(PROPOSALS).map(|&bbox| (bbox, None)).collect();
        // Background first, so that it does not hide what matters.
        let mut regions: Vec<_> = samples
            .regions
            .iter()
            .map(|region| (region.bbox, region.object.as_ref().map(|object| object.class)))
            .collect();
        regions.reverse();
        let of_objects = regions.iter().filter(|(_, class)| class.is_some()).count();
        let say = |text: String| vec![text];
        rows += 1;
        sheet.push_labelled_row([
            (
                overlay(&seen, &Target::Instances(truth.clone())).0,
                say(format!("{} object{}", known.len(), if known.len() == 1 { "" } else { "s" })),
            ),
            (
                outlined(&seen, &anchors),
                say(format!("{} of {} sampled", anchors.len(), samples.anchors.len())),
            ),
            (outlined(&seen, &best), say(format!("{} of {}", best.len(), proposals.len()))),
            (outlined(&seen, &regions), say(format!("{of_objects} of {} have one", regions.len()))),
        ]);
    }
    (rows > 0).then(|| sheet.to_png_bytes()).transpose()
}

/// Boxes of classes, or of background, on an image.
fn outlined(image: &Image, boxes: &[(BBox<f32>, Option<usize>)]) -> Picture {
    let within = |edge: f32, side: usize| f64::from(edge).clamp(0.0, side as f64);
    let instance = |&([x1, y1, x2, y2], class): &(BBox<f32>, Option<usize>)| Instance {
        bbox: [
            within(x1, image.width),
            within(y1, image.height),
            within(x2, image.width),
            within(y2, image.height),
        ],
        class: class.unwrap_or(BACKGROUND),
        mask: None,
        crowd: false,
        area: 0.0,
    };
    overlay(image, &Target::Instances(boxes.iter().map(instance).collect())).0
}
