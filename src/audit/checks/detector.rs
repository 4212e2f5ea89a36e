//! Detection: gradients of the networks' parts, and of the whole with frozen samples.

use super::adjoints;
use super::detector_cases::{
    CHANNELS, OF, REGIONS, batch, box_head, config, features, flat, fpn, levels_of, maps, maps_of, mask_head,
    model, rpn, samples, unflat,
};
use super::detector_formulas::nearest_target;
use super::maps::{FROM_KINK, away_from_kinks};
use super::shapes::random;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::detect::box_head::BoxOutput;
use crate::models::detect::flatten::{flatten, flatten_backward};
use crate::models::detect::rpn_head::RpnOutput;
use crate::models::pyramid::levels;
use crate::models::vit::ForwardOptions;
use ndarray::{Array2, Array4, Axis, concatenate};

/// Of the whole network so many elements of a tensor have difference quotients.
const ELEMENTS: usize = 6;

/// And of these tensors, some of each part. Every part has a check of its own for all of its tensors.
const TENSORS: [&str; 12] = [
    "input",
    "pos_embed",
    "blocks.0.mlp.fc1.weight",
    "blocks.2.attn.proj.weight",
    "adapters.0.up1.weight",
    "fpn.lateral.3.norm.bias",
    "fpn.output.0.conv.weight",
    "rpn.conv.0.weight",
    "box.convs.0.conv.weight",
    "box.deltas.bias",
    "mask.convs.0.conv.weight",
    "mask.classify.bias",
];

/// The first of other seeds for which nothing that `run` shows in front of a ReLU is near its kink.
fn away_from_relus(check: &GradCheck, run: impl Fn(&GradCheck, &mut Exec<f64>) -> bool) -> GradCheck {
    away_from_kinks(check, |check| {
        let recorder = Recorder::default();
        let cx = &mut Exec::new(Backend::default()).with_probe(recorder.clone());
        let in_front = |name: &str| {
            name.contains("convs.") || name.starts_with("act.rpn.") || name.ends_with("before_relu")
        };
        run(check, cx)
            && recorder
                .tensors()
                .iter()
                .filter(|(name, _)| in_front(name))
                .all(|(_, x)| x.iter().all(|x| x.abs() > FROM_KINK))
    })
}

fn below_each_other(parts: &[Array2<f64>]) -> Array2<f64> {
    concatenate(Axis(0), &parts.iter().map(|part| part.view()).collect::<Vec<_>>()).expect("of one width")
}

pub(super) fn flatten_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let x: Array2<f64> = random(&adjoints::other(check, 41), (REGIONS * 6, CHANNELS));
    let dy: Array2<f64> = random(&adjoints::other(check, 42), (REGIONS, 6 * CHANNELS));
    let left = (&flatten(x.view(), 6, cx) * &dy).sum();
    adjoints::agree("flatten", dy.len(), left, (&x * &flatten_backward(dy.view(), 6, cx)).sum())
}

pub(super) fn fpn_gradient(check: &GradCheck) -> Report {
    let sizes = levels::sizes(config(true).img_size);
    check.layer(
        &fpn(check),
        &levels_of(check),
        |fpn, x, cx| {
            let (y, cache) = fpn.forward(maps(x, &sizes), cx);
            (flat(&y), (cache, y.iter().map(Array2::dim).collect::<Vec<_>>()))
        },
        |fpn, (cache, shapes), dy, grad, cx| {
            below_each_other(&fpn.backward(cache, unflat(dy, &shapes), grad, cx))
        },
    )
}

pub(super) fn rpn_gradient(check: &GradCheck) -> Report {
    let sizes = config(true).map_sizes();
    let check = away_from_relus(check, |check, cx| {
        let _ = rpn(check).forward(&maps(&maps_of(check), &sizes), &sizes, cx);
        true
    });
    check.layer(
        &rpn(&check),
        &maps_of(&check),
        |rpn, x, cx| {
            let (RpnOutput { objectness, deltas }, cache) = rpn.forward(&maps(x, &sizes), &sizes, cx);
            let shapes: Vec<_> = objectness.iter().chain(&deltas).map(Array2::dim).collect();
            (flat(objectness.iter().chain(&deltas)), (cache, shapes))
        },
        |rpn, (cache, shapes), dy, grad, cx| {
            let mut objectness = unflat(dy, &shapes);
            let deltas = objectness.split_off(sizes.len());
            below_each_other(&rpn.backward(cache, &RpnOutput { objectness, deltas }, grad, cx))
        },
    )
}

pub(super) fn box_gradient(check: &GradCheck) -> Report {
    let check = away_from_relus(check, |check, cx| {
        let _ = box_head(check).forward(features(check, 3), cx);
        true
    });
    check.layer(
        &box_head(&check),
        &features(&check, 3),
        |head, x, cx| {
            let (BoxOutput { scores, deltas }, cache) = head.forward(x.clone(), cx);
            (flat([&scores, &deltas]), (cache, [scores.dim(), deltas.dim()]))
        },
        |head, (cache, shapes), dy, grad, cx| {
            let [scores, deltas] = unflat(dy, &shapes).try_into().expect("two outputs");
            head.backward(cache, &BoxOutput { scores, deltas }, grad, cx)
        },
    )
}

pub(super) fn mask_gradient(check: &GradCheck) -> Report {
    let check = away_from_relus(check, |check, cx| {
        let _ = mask_head(check).forward(features(check, 4), cx);
        true
    });
    check.layer(
        &mask_head(&check),
        &features(&check, 4),
        |head, x, cx| head.forward(x.clone(), cx),
        |head, cache, dy, grad, cx| head.backward(cache, dy.view(), grad, cx),
    )
}

/// The whole, from the images to the sum of all losses.
pub(super) fn gradient(check: &GradCheck, mask_head: bool) -> Report {
    let (o, samples) = (ForwardOptions::default(), samples());
    let check = away_from_relus(check, |check, cx| {
        let (model, images) = (model(check, mask_head), batch(check));
        let forward = model.forward(images.view(), &o, cx);
        let _ = model.losses(&forward, &samples, OF, cx);
        nearest_target(&model, &forward.maps, &samples) > FROM_KINK
    });
    let only = check.only.clone().unwrap_or_else(|| TENSORS.map(str::to_owned).into());
    let elements = (check.elements / 3).clamp(1, ELEMENTS);
    let check = GradCheck { elements, only: Some(only), ..check };
    check.loss(
        &model(&check, mask_head),
        &batch(&check),
        |model, images, cx| {
            let forward = model.forward(images.view(), &o, cx);
            let (losses, cache) = model.losses(&forward, &samples, OF, cx);
            (losses.total(), (forward, cache))
        },
        |model, (forward, cache), grad, cx| -> Array4<f64> {
            let dpatches = model.backward(forward, cache, grad, cx).expect("everything is trained");
            model.vit.images_gradient(&dpatches, cx)
        },
    )
}
