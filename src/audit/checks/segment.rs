//! Semantic segmentation: gradients of the pyramid, of the loss on pixels, and of the whole with either head.

use super::maps::{FROM_KINK, away_from_kinks, windows_decide};
use super::segment_formulas::{
    IMAGES, LABELLED_IN_BATCH, batch_of, dense_labels, model, pixel_logits, pyramid, resizing, sparse_labels,
    tokens_of,
};
use super::shapes::every_element;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::layers::MaxPool;
use crate::layers::drop_path::Branches;
use crate::models::pyramid::Adapter;
use crate::models::segment::{Head, HeadKind, Segmenter};
use crate::models::vit::ForwardOptions;
use ndarray::{Array1, Array2, Array4, Axis, arr0, concatenate};

/// Of the whole network's difference quotients so many an element of a tensor: it has a hundred tensors.
const ELEMENTS: usize = 6;

/// The four levels one behind the other.
fn flat(levels: &[Array2<f64>]) -> Array1<f64> {
    levels.iter().flatten().copied().collect()
}

/// From patches of this side to all four strides.
pub(super) fn pyramid_gradient(check: &GradCheck, patch_size: usize) -> Report {
    let inputs = |check: &GradCheck| tokens_of(check, patch_size);
    let check = away_from_kinks(check, |check| {
        let (pyramid, tokens) = (pyramid(check, patch_size), inputs(check));
        let maps = tokens.axis_chunks_iter(Axis(0), tokens.nrows() / 4);
        pyramid
            .adapters
            .iter()
            .zip(maps)
            .all(|(adapter, map)| decides(adapter, &without_class(map, pyramid.grid), pyramid.grid))
    });
    let pyramid = pyramid(&check, patch_size);
    check.layer(
        &pyramid,
        &inputs(&check),
        |pyramid, tokens, cx| {
            let parts = tokens.axis_chunks_iter(Axis(0), tokens.nrows() / 4).map(|part| part.to_owned());
            let (levels, cache) = pyramid.forward(parts.collect(), cx);
            let lengths: Vec<(usize, usize)> = levels.iter().map(Array2::dim).collect();
            (flat(&levels), (cache, lengths))
        },
        |pyramid, (cache, shapes), dy, grad, cx| {
            let mut rest = dy.iter().copied();
            let dlevels = shapes.into_iter().map(|shape| {
                let part = rest.by_ref().take(shape.0 * shape.1).collect();
                Array2::from_shape_vec(shape, part).expect("as many elements")
            });
            let dtokens = pyramid.backward(cache, dlevels.collect(), grad, cx);
            concatenate(Axis(0), &dtokens.iter().map(|d| d.view()).collect::<Vec<_>>()).expect("of one width")
        },
    )
}

fn without_class(tokens: ndarray::ArrayView2<f64>, grid: [usize; 2]) -> Array2<f64> {
    let tokens_an_image = 1 + grid[0] * grid[1];
    let rows: Vec<usize> = (0..tokens.nrows()).filter(|row| row % tokens_an_image != 0).collect();
    tokens.select(Axis(0), &rows)
}

/// Whether an adapter is not near a kink.
fn decides(adapter: &Adapter<f64>, map: &Array2<f64>, grid: [usize; 2]) -> bool {
    match adapter {
        Adapter::Pool(MaxPool { window }) => windows_decide(map, grid, *window),
        _ => true,
    }
}

/// Resized up, with ignored pixels, a part of a larger batch.
pub(super) fn pixel_loss_gradient(check: &GradCheck) -> Report {
    let labels = dense_labels();
    let views: Vec<_> = labels.axis_iter(Axis(0)).collect();
    let scale = 1.0 / LABELLED_IN_BATCH as f64;
    every_element(check).function(
        &pixel_logits::logits(check),
        |logits, cx| arr0(resizing().sum(logits, &views, cx) * scale),
        |logits, dloss, cx| resizing().sum_and_gradient(logits, &views, scale, cx).1 * dloss,
    )
}

/// The whole, some branches dropped, and the gradient of the images.
pub(super) fn gradient(check: &GradCheck, head: HeadKind) -> Report {
    let branches =
        Branches((0..8).map(|i| (0..IMAGES).map(|b| [1.25, 0.8, 1.0][(i + b) % 3]).collect()).collect());
    let depth = |model: &Segmenter<f64>| Branches(branches.0[..2 * model.config.depth].to_vec());
    let check = away_from_kinks(check, |check| {
        let (model, recorder) = (model(check, head), Recorder::default());
        let branches = depth(&model);
        let o = ForwardOptions { drop_path: Some(&branches), ..ForwardOptions::default() };
        let cx = &mut Exec::new(Backend::default()).with_probe(recorder.clone());
        let _ = model.forward(batch_of(check, head).view(), &o, cx);
        let seen = recorder.tensors();
        let (rows, columns) = model.config.vit().grid();
        let before_relu =
            seen.iter().filter(|(name, _)| name.strip_suffix("norm").is_some_and(|path| path.ends_with('.')));
        let Head::Upernet(net) = &model.head else { return true };
        before_relu.flat_map(|(_, x)| x).all(|x| x.abs() > FROM_KINK)
            && net.pyramid.adapters.iter().enumerate().all(|(k, adapter)| {
                let map =
                    seen[&format!("act.taps.{k}")].clone().into_dimensionality().expect("a token matrix");
                decides(adapter, &map, [rows, columns])
            })
    });
    let check = GradCheck { elements: (check.elements / 3).clamp(1, ELEMENTS), ..check };
    let model = model(&check, head);
    let branches = depth(&model);
    let o = ForwardOptions { drop_path: Some(&branches), ..ForwardOptions::default() };
    let labels = sparse_labels(model.config.img_size);
    let views: Vec<_> = labels.axis_iter(Axis(0)).collect();
    check.loss(
        &model,
        &batch_of(&check, head),
        |model, images, cx| {
            let (logits, cache) = model.forward(images.view(), &o, cx);
            let (losses, dlogits) = model.losses(&logits, &views, LABELLED_IN_BATCH, cx);
            (losses.total(&model.config) / LABELLED_IN_BATCH as f64, (cache, dlogits))
        },
        |model, (cache, dlogits), grad, cx| -> Array4<f64> {
            let dpatches = model.backward(cache, &dlogits, grad, cx).expect("everything is trained");
            model.vit.images_gradient(&dpatches, cx)
        },
    )
}
