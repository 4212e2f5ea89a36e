//! Detection as its definition has it: the feature pyramid, the heads, the losses, and inference step by step.

use super::detector_cases::{
    CLASSES, OF, REGIONS, batch, box_head, config, features, flat, fpn, levels_of, maps, maps_of, mask_head,
    model, rpn, samples,
};
use super::formulas::{agree, all};
use super::maps_formulas::{convolved, normed, positive, resized};
use super::segment_formulas::{IMAGES, adapted, blocks, linear, map};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::{LinearMap, Pointwise};
use crate::models::detect::box_head::{BoxHead, BoxOutput};
use crate::models::detect::boxes::{BBox, BOX_WEIGHTS, RPN_WEIGHTS, encode};
use crate::models::detect::detections::detections;
use crate::models::detect::fpn::Fpn;
use crate::models::detect::mask_head::MaskHead;
use crate::models::detect::proposals::proposals;
use crate::models::detect::region_convs::RegionConvs;
use crate::models::detect::roi_align::{Level, Region, RoiAlign};
use crate::models::detect::rpn_head::{RpnHead, RpnOutput};
use crate::models::detect::{Detector, ImageSamples, RegionSample};
use crate::models::pyramid::levels;
use crate::models::vit::ForwardOptions;
use ndarray::{Array2, s};

/// `x Wᵀ`.
fn mapped(x: &Array2<f64>, Pointwise(LinearMap { weight }): &Pointwise<LinearMap<f64>>) -> Array2<f64> {
    x.dot(&weight.t().view)
}

/// `p2 … p6` from four levels.
fn pyramid(fpn: &Fpn<f64>, level: &[Array2<f64>], sizes: &[[usize; 2]; 4]) -> Vec<Array2<f64>> {
    let lateral = |k: usize| normed(&mapped(&level[k], &fpn.lateral[k].conv), &fpn.lateral[k]);
    let doubled = |x: &Array2<f64>, k: usize| resized("nearest2x", x, sizes[k + 1], sizes[k]);
    let merged3 = lateral(3);
    let merged2 = lateral(2) + doubled(&merged3, 2);
    let merged1 = lateral(1) + doubled(&merged2, 1);
    let merged0 = lateral(0) + doubled(&merged1, 0);
    let merged = [merged0, merged1, merged2, merged3];
    let output =
        |(k, x): (usize, &Array2<f64>)| normed(&convolved(x, sizes[k], &fpn.output[k].conv), &fpn.output[k]);
    let mut maps: Vec<_> = merged.iter().enumerate().map(output).collect();
    maps.push(resized("subsample2", &maps[3], sizes[3], sizes[3].map(|n| n.div_ceil(2))));
    maps
}

pub(super) fn fpn_formula(check: &GradCheck) -> Report {
    let (fpn, sizes) = (fpn(check), levels::sizes(config(true).img_size));
    let levels = maps(&levels_of(check), &sizes);
    let found = fpn.forward(levels.clone(), &mut Exec::new(Backend::default())).0;
    agree("p2 … p6", &flat(&found), flat(&pyramid(&fpn, &levels, &sizes)))
}

/// Objectness and deltas of every map, by the same weights.
fn scored(rpn: &RpnHead<f64>, maps: &[Array2<f64>], sizes: &[[usize; 2]]) -> RpnOutput<f64> {
    let hidden = |(x, &size): (&Array2<f64>, &[usize; 2])| {
        let once = (convolved(x, size, &rpn.conv[0].map) + &rpn.conv[0].bias).mapv(positive);
        (convolved(&once, size, &rpn.conv[1].map) + &rpn.conv[1].bias).mapv(positive)
    };
    let hidden: Vec<_> = maps.iter().zip(sizes).map(hidden).collect();
    RpnOutput {
        objectness: hidden.iter().map(|x| linear(x, &rpn.objectness.0)).collect(),
        deltas: hidden.iter().map(|x| linear(x, &rpn.deltas.0)).collect(),
    }
}

pub(super) fn rpn_formula(check: &GradCheck) -> Report {
    let (rpn, sizes) = (rpn(check), config(true).map_sizes());
    let maps = maps(&maps_of(check), &sizes);
    let (found, formula) =
        (rpn.forward(&maps, &sizes, &mut Exec::new(Backend::default())).0, scored(&rpn, &maps, &sizes));
    all([
        agree("objectness", &flat(&found.objectness), flat(&formula.objectness)),
        agree("deltas", &flat(&found.deltas), flat(&formula.deltas)),
    ])
}

fn convs(layers: &RegionConvs<f64>, x: &Array2<f64>) -> Array2<f64> {
    let size = [layers.side; 2];
    let conv = |x: Array2<f64>, k: usize| {
        normed(&convolved(&x, size, &layers.layers[k].0.conv), &layers.layers[k].0).mapv(positive)
    };
    conv(conv(conv(conv(x.clone(), 0), 1), 2), 3)
}

fn boxed(head: &BoxHead<f64>, x: &Array2<f64>) -> BoxOutput<f64> {
    let (y, cells) = (convs(&head.convs, x), head.convs.side * head.convs.side);
    let flat = Array2::from_shape_fn((x.nrows() / cells, x.ncols() * cells), |(r, i)| {
        y[(r * cells + i % cells, i / cells)]
    });
    let hidden = linear(&flat, &head.fc).mapv(positive);
    BoxOutput { scores: linear(&hidden, &head.score), deltas: linear(&hidden, &head.deltas) }
}

pub(super) fn box_formula(check: &GradCheck) -> Report {
    let (head, x) = (box_head(check), features(check, 3));
    let (found, formula) = (head.forward(x.clone(), &mut Exec::new(Backend::default())).0, boxed(&head, &x));
    all([agree("scores", &found.scores, formula.scores), agree("deltas", &found.deltas, formula.deltas)])
}

fn masked(head: &MaskHead<f64>, x: &Array2<f64>) -> Array2<f64> {
    let (side, x) = (head.convs.side, convs(&head.convs, x));
    let regions = x.nrows() / (side * side);
    let doubled = Array2::from_shape_fn((4 * x.nrows(), head.up.bias.len()), |(row, o)| {
        let (r, i, j) = (row / (4 * side * side), row / (2 * side) % (2 * side), row % (2 * side));
        let from = (r * side + i / 2) * side + j / 2;
        let weight = |c| head.up.weight[(c, o, i % 2, j % 2)];
        head.up.bias[o] + (0..x.ncols()).map(|c| x[(from, c)] * weight(c)).sum::<f64>()
    });
    assert_eq!(doubled.nrows(), regions * 4 * side * side);
    linear(&doubled.mapv(positive), &head.classify.0)
}

pub(super) fn mask_formula(check: &GradCheck) -> Report {
    let (head, x) = (mask_head(check), features(check, 4));
    let found = head.forward(x.clone(), &mut Exec::new(Backend::default())).0;
    assert_eq!(found.nrows(), REGIONS * 64);
    agree("logits", &found, masked(&head, &x))
}

/// A region's features: from p2 if it has the size of 8 pixels or less, from p3 up to 16, …; RoIAlign has checks of its own.
fn read(maps: &[Array2<f64>], image: usize, bbox: BBox<f64>, side: usize, cx: &mut Exec<f64>) -> Array2<f64> {
    let size = ((bbox[2] - bbox[0]) * (bbox[3] - bbox[1])).sqrt();
    let level = [8.0, 16.0, 32.0].iter().filter(|&&least| size >= least).count();
    let sizes = levels::sizes(config(true).img_size);
    let levels = [4.0, 8.0, 16.0, 32.0].map(|stride: f64| 1.0 / stride);
    let levels: Vec<_> = sizes.into_iter().zip(levels).map(|(size, scale)| Level { size, scale }).collect();
    RoiAlign { output: side, sampling: 2 }.of(&[Region { image, level, bbox }], &levels).forward(maps, cx)
}

/// `p2 … p6`, from the pixels.
fn maps_of_images(model: &Detector<f64>, check: &GradCheck, cx: &mut Exec<f64>) -> Vec<Array2<f64>> {
    let (c, sizes) = (&model.config, levels::sizes(model.config.img_size));
    let (behind, patches) = (blocks(&model.vit, &batch(check), cx), c.vit().num_patches());
    let level = |k: usize, cx: &mut _| {
        adapted(&model.pyramid, k, c.patch_size, &map(&behind[(k + 1) * c.depth / 4 - 1], patches), cx)
    };
    let levels: Vec<_> = (0..4).map(|k| level(k, cx)).collect();
    pyramid(&model.fpn, &levels, &sizes)
}

/// Where the numbers of every anchor of an image stand: map, row among the image's, number in the row.
fn places(model: &Detector<f64>) -> Vec<(usize, usize, usize)> {
    let maps = model.config.map_sizes().into_iter().enumerate();
    let pixels = maps.flat_map(|(map, [height, width])| (0..height * width).map(move |row| (map, row)));
    pixels.flat_map(|(map, row)| (0..2).map(move |shape| (map, row, shape))).collect()
}

/// What network and targets say of the boxes of one sample: deltas, and what they should be.
type Pair = ([f64; 4], [f64; 4]);

/// `ln σ(z)`, or `ln σ(−z)` of what is not there.
fn log_probability(z: f64, is_there: bool) -> f64 {
    (1.0 / (1.0 + (if is_there { -z } else { z }).exp())).ln()
}

/// Of the anchors: sum of `−ln p`; and the deltas of those that have an object.
fn anchors(model: &Detector<f64>, rpn: &RpnOutput<f64>, samples: &[ImageSamples<f64>]) -> (f64, Vec<Pair>) {
    let (places, mut loss, mut pairs) = (places(model), 0.0, Vec::new());
    for (image, sample) in
        samples.iter().enumerate().flat_map(|(b, of)| of.anchors.iter().map(move |a| (b, a)))
    {
        let (map, row, shape) = places[sample.anchor];
        let row = image * rpn.objectness[map].nrows() / IMAGES + row;
        loss -= log_probability(rpn.objectness[map][(row, shape)], sample.object.is_some());
        if let Some(object) = sample.object {
            let deltas = [0, 1, 2, 3].map(|i| rpn.deltas[map][(row, 4 * shape + i)]);
            pairs.push((deltas, encode(model.anchors.boxes[sample.anchor], object, RPN_WEIGHTS)));
        }
    }
    (loss, pairs)
}

/// Of the regions: sum of `−ln p` of their classes, the deltas of those that have an object, the sum of `−ln p` of masks.
fn regions(
    model: &Detector<f64>,
    maps: &[Array2<f64>],
    samples: &[ImageSamples<f64>],
    cx: &mut Exec<f64>,
) -> (f64, Vec<Pair>, f64) {
    let (mut loss, mut pairs, mut of_masks) = (0.0, Vec::new(), 0.0);
    for (image, region) in
        samples.iter().enumerate().flat_map(|(b, of)| of.regions.iter().map(move |r| (b, r)))
    {
        let RegionSample { bbox, object } = region;
        let output = boxed(&model.heads.boxes, &read(maps, image, *bbox, 3, cx));
        let scores = output.scores.row(0);
        let class = object.as_ref().map_or(CLASSES, |object| object.class);
        loss -= (scores[class].exp() / scores.iter().map(|z| z.exp()).sum::<f64>()).ln();
        let Some(object) = object else { continue };
        let deltas = [0, 1, 2, 3].map(|i| output.deltas[(0, 4 * class + i)]);
        pairs.push((deltas, encode(*bbox, object.bbox, BOX_WEIGHTS)));
        let Some(head) = &model.heads.masks else { continue };
        let logits = masked(head, &read(maps, image, *bbox, 4, cx));
        let cells = logits.column(class).into_iter().zip(&object.mask);
        of_masks -= cells.map(|(&z, &t)| log_probability(z, t > 0.5)).sum::<f64>();
    }
    (loss, pairs, of_masks)
}

fn l1(pairs: &[Pair]) -> f64 {
    pairs.iter().flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).abs()).sum()
}

/// How near a delta comes to its target, where L1 has its kink.
pub(super) fn nearest_target(
    model: &Detector<f64>,
    maps: &[Array2<f64>],
    samples: &[ImageSamples<f64>],
) -> f64 {
    let cx = &mut Exec::new(Backend::default());
    let rpn = scored(&model.rpn, maps, &model.config.map_sizes());
    let pairs = [anchors(model, &rpn, samples).1, regions(model, maps, samples, cx).1].concat();
    pairs.iter().flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).abs()).fold(f64::INFINITY, f64::min)
}

/// Trunk, pyramid, heads, losses.
pub(super) fn losses(check: &GradCheck, mask_head: bool) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (model, samples) = (model(check, mask_head), samples());
    let maps = maps_of_images(&model, check, cx);
    let rpn = scored(&model.rpn, &maps, &model.config.map_sizes());
    let (of_anchors, anchor_pairs) = anchors(&model, &rpn, &samples);
    let (of_regions, region_pairs, of_masks) = regions(&model, &maps, &samples, cx);

    let forward = model.forward(batch(check).view(), &ForwardOptions::default(), cx);
    let (found, _) = model.losses(&forward, &samples, OF, cx);
    let (anchors, regions, cells) = (OF.anchors as f64, OF.regions as f64, (64 * OF.foreground) as f64);
    all([
        agree("p2 … p6", &flat(&forward.maps), flat(&maps)),
        agree("objectness of anchors", &[found.rpn_cls], [of_anchors / anchors]),
        agree("boxes of anchors", &[found.rpn_box], [l1(&anchor_pairs) / anchors]),
        agree("classes of regions", &[found.cls], [of_regions / regions]),
        agree("boxes of regions", &[found.bbox], [l1(&region_pairs) / regions]),
        agree("masks", &[found.mask], [of_masks / cells]),
        agree(
            "total",
            &[found.total()],
            [(of_anchors + l1(&anchor_pairs)) / anchors
                + (of_regions + l1(&region_pairs)) / regions
                + of_masks / cells],
        ),
    ])
}

/// From the pixels to boxes, scores, classes and masks; what is kept has checks of its own.
pub(super) fn inference(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let model = model(check, true);
    let (c, maps) = (&model.config, maps_of_images(&model, check, cx));
    let rpn = scored(&model.rpn, &maps, &c.map_sizes());
    let (mut numbers, mut cells) = (Vec::new(), Vec::new());
    for image in 0..IMAGES {
        let part = |x: &Array2<f64>| {
            let rows = x.nrows() / IMAGES;
            x.slice(s![image * rows..(image + 1) * rows, ..]).iter().copied().collect::<Vec<_>>()
        };
        let parts = |maps: &[Array2<f64>]| maps.iter().map(part).collect::<Vec<_>>();
        let (logits, deltas) = (parts(&rpn.objectness), parts(&rpn.deltas));
        let found = proposals(
            &logits.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &deltas.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &model.anchors.boxes,
            c.img_size,
            &c.proposals(),
        );
        let boxes: Vec<_> = found.iter().map(|proposal| proposal.bbox).collect();
        let mut scores = Array2::zeros((boxes.len(), CLASSES + 1));
        let mut deltas = Array2::zeros((boxes.len(), 4 * CLASSES));
        for (r, &bbox) in boxes.iter().enumerate() {
            let output = boxed(&model.heads.boxes, &read(&maps, image, bbox, 3, cx));
            scores.row_mut(r).assign(&output.scores.row(0));
            deltas.row_mut(r).assign(&output.deltas.row(0));
        }
        for found in detections(&boxes, scores.view(), deltas.view(), c.img_size, &c.detections()) {
            numbers.extend(found.bbox);
            numbers.extend([found.score, found.class as f64, found.region as f64]);
            let head = model.heads.masks.as_ref().expect("a mask head");
            let logits = masked(head, &read(&maps, image, found.bbox, 4, cx));
            cells.extend(logits.column(found.class).iter().map(|z| 1.0 / (1.0 + (-z).exp())));
        }
    }
    let (mut found_numbers, mut found_cells) = (Vec::new(), Vec::new());
    for instance in model.infer(batch(check).view(), cx).into_iter().flatten() {
        let found = &instance.detection;
        found_numbers.extend(found.bbox);
        found_numbers.extend([found.score, found.class as f64, found.region as f64]);
        found_cells.extend(instance.mask.into_iter().flatten());
    }
    // Room for as many as there may be, so that another number of them is a difference, too.
    let most = IMAGES * c.max_detections;
    for (list, len) in [(&mut numbers, 7), (&mut found_numbers, 7), (&mut cells, 64), (&mut found_cells, 64)]
    {
        list.resize(most * len, -1.0);
    }
    all([agree("detections", &found_numbers, numbers), agree("masks", &found_cells, cells)])
}
