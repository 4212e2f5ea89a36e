//! Semantic segmentation as its definition has it: the adapters, the loss on pixels, UperNet step by step.

use super::formulas::{agree, all};
use super::maps_formulas::{place, resized};
use super::shapes::{filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::conv_norm::Convolution;
use crate::layers::{ConvNormRelu, Linear};
use crate::models::pyramid::{Pyramid, levels};
use crate::models::segment::{Head, HeadKind, IGNORED, PixelLoss, Segmenter, SegmenterConfig, UperNet};
use crate::models::vit::{ForwardOptions, Vit, VitConfig};
use crate::params::{Params, Role};
use ndarray::{Array1, Array2, Array3, Array4, Axis, concatenate};

/// Images of a check.
pub(super) const IMAGES: usize = 2;

const CLASSES: usize = 5;

/// Of the batch that a check's images are a part of: more than they have themselves.
pub(super) const LABELLED_IN_BATCH: usize = 1000;

pub(super) fn vit(img_size: [usize; 2], patch_size: usize, depth: usize) -> VitConfig {
    VitConfig {
        img_size,
        in_chans: 5,
        patch_size,
        embed_dim: 8,
        depth,
        num_heads: 2,
        mlp_ratio: 1.5,
        layer_norm_eps: 1e-6,
    }
}

/// UperNet on 2 × 4 patches with as few channels as can be told apart, or a linear head on 2 × 3 patches.
pub(super) fn model(check: &GradCheck, head: HeadKind) -> Segmenter<f64> {
    let vit = if head == HeadKind::Upernet { vit([32, 64], 16, 4) } else { vit([8, 12], 4, 2) };
    let config = SegmenterConfig {
        channels: 6,
        aux_channels: 5,
        pool_scales: vec![1, 2, 3],
        ..SegmenterConfig::new(&vit, CLASSES, head)
    };
    config.validate().expect("a possible model");
    with_large_norms(filled(check, Segmenter::new(&config)))
}

/// A norm's scale near 0 would put a whole channel near ReLU's kink.
pub(super) fn with_large_norms<P: Params<f64>>(mut model: P) -> P {
    for tensor in model.tensors_mut().into_iter().filter(|tensor| tensor.role == Role::Norm) {
        tensor.data.write().iter_mut().for_each(|x| *x += 0.5 * x.signum());
    }
    model
}

pub(super) fn batch_of(check: &GradCheck, head: HeadKind) -> Array4<f64> {
    let [height, width] = if head == HeadKind::Upernet { [32, 64] } else { [8, 12] };
    random(check, (IMAGES, 5, height, width))
}

/// Every class, and ignored pixels, of which the second image has more.
fn labels([height, width]: [usize; 2], class: impl Fn(usize, usize) -> Option<usize>) -> Array3<u8> {
    Array3::from_shape_fn((IMAGES, height, width), |(b, i, j)| {
        let number = 7 * b + 3 * i + 5 * j + i * j;
        class(b, number).map_or(IGNORED, |class| u8::try_from(class % CLASSES).expect("a class"))
    })
}

/// Of the whole network's check: one pixel in seven is labelled, or in eight, so that the check does not take its time with
/// pixels.
pub(super) fn sparse_labels(size: [usize; 2]) -> Array3<u8> {
    labels(size, |b, number| number.is_multiple_of(7 + b).then_some(number / 7))
}

/// Of the loss's check: most pixels are labelled.
pub(super) fn dense_labels() -> Array3<u8> {
    labels(pixel_logits::TO, |b, number| (!number.is_multiple_of(4 - b)).then_some(number))
}

/// The logits of a check of the loss.
pub(super) mod pixel_logits {
    use super::{CLASSES, IMAGES, random};
    use crate::audit::gradcheck::GradCheck;
    use ndarray::Array2;

    pub(in super::super) const FROM: [usize; 2] = [2, 3];
    pub(in super::super) const TO: [usize; 2] = [7, 5];

    pub(in super::super) fn logits(check: &GradCheck) -> Array2<f64> {
        3.0 * random(check, (IMAGES * FROM[0] * FROM[1], CLASSES))
    }
}

pub(super) fn resizing() -> PixelLoss<f64> {
    PixelLoss::new(pixel_logits::FROM, pixel_logits::TO)
}

/// `Σ −log p_label` of the labelled pixels of resized logits.
fn cross_entropy(z: &Array2<f64>, labels: &Array3<u8>) -> f64 {
    let pixels = z.outer_iter().zip(labels).filter(|(_, label)| **label != IGNORED);
    pixels.map(|(z, &label)| z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[usize::from(label)]).sum()
}

/// Logits resized, then the sum of the cross-entropies and its gradient; every pixel's logits and class.
pub(super) fn pixel_loss(check: &GradCheck) -> Report {
    let (logits, cx) = (pixel_logits::logits(check), &mut Exec::new(Backend::default()));
    let labels = dense_labels();
    let views: Vec<_> = labels.axis_iter(Axis(0)).collect();
    let z = resized("bilinear", &logits, pixel_logits::FROM, pixel_logits::TO);
    let (sum, _) = resizing().sum_and_gradient(&logits, &views, 1.0, cx);
    let largest = z.outer_iter().map(|z| {
        let max = z.fold(f64::NEG_INFINITY, |max, &z| max.max(z));
        z.iter().position(|&z| z >= max).expect("one is the largest") as f64
    });
    let predicted: Array1<f64> =
        resizing().predict(&logits, cx).iter().map(|&class| f64::from(class)).collect();
    all([
        agree("Σ −log p", &[sum], [cross_entropy(&z, &labels)]),
        agree("Σ −log p alone", &[resizing().sum(&logits, &views, cx)], [cross_entropy(&z, &labels)]),
        agree("logits of pixels", &resizing().resized(&logits, cx), z.clone()),
        agree("classes of pixels", &predicted, largest),
    ])
}

/// On 2 patches of 32 × 64 pixels an image and more.
pub(super) fn pyramid(check: &GradCheck, patch_size: usize) -> Pyramid<f64> {
    filled(check, Pyramid::new(&vit([32, 64], patch_size, 4)))
}

/// The outputs of four blocks, one below the other.
pub(super) fn tokens_of(check: &GradCheck, patch_size: usize) -> Array2<f64> {
    random(check, (4 * IMAGES * vit([32, 64], patch_size, 4).tokens(), 8))
}

/// The tokens of an image as a map, without the class token.
pub(super) fn map(tokens: &Array2<f64>, patches: usize) -> Array2<f64> {
    let row = |row: usize| row / patches * (1 + patches) + 1 + row % patches;
    Array2::from_shape_fn((IMAGES * patches, tokens.ncols()), |(r, d)| tokens[(row(r), d)])
}

/// Which adapter makes which level, from the side of a patch; its layers have checks of their own.
pub(super) fn pyramid_formula(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    all(levels::PATCH_SIZES.into_iter().flat_map(|p| {
        let (pyramid, x) = (pyramid(check, p), tokens_of(check, p));
        let patches = pyramid.grid[0] * pyramid.grid[1];
        let parts: Vec<Array2<f64>> =
            x.axis_chunks_iter(Axis(0), x.nrows() / 4).map(|part| part.to_owned()).collect();
        let found = pyramid.forward(parts.clone(), cx).0;
        let mut reports = Vec::new();
        for (k, (found, x)) in found.iter().zip(&parts).enumerate() {
            let plain = adapted(&pyramid, k, p, &map(x, patches), cx);
            reports.push(agree(&format!("patch {p}, stride {}", levels::STRIDES[k]), found, plain));
        }
        reports
    }))
}

/// `gelu(h) = h Φ(h)`.
fn gelu(h: f64) -> f64 {
    h * crate::base::math::normal_f64(h).0
}

/// Level `k` from the map of patches of side `p`.
pub(super) fn adapted(
    pyramid: &Pyramid<f64>,
    k: usize,
    p: usize,
    map: &Array2<f64>,
    cx: &mut Exec<f64>,
) -> Array2<f64> {
    use crate::models::pyramid::Adapter;
    let (stride, size) = (levels::STRIDES[k], pyramid.grid);
    match &pyramid.adapters[k] {
        Adapter::Quadruple(layers) if p == 4 * stride => {
            let once = layers.up1.forward(map.clone(), size, cx).0;
            let hidden = layers.norm.forward(once, cx).0.mapv(gelu);
            layers.up2.forward(hidden, size.map(|n| 2 * n), cx).0
        }
        Adapter::Double(up1) if p == 2 * stride => up1.forward(map.clone(), size, cx).0,
        Adapter::Same if p == stride => map.clone(),
        Adapter::Pool(_) if p < stride => {
            let s = stride / p;
            let pooled = size.map(|n| n / s);
            Array2::from_shape_fn((map.nrows() / (s * s), map.ncols()), |(row, c)| {
                let (image, i, j) = place(row, pooled);
                let element =
                    |k: usize| map[((image * size[0] + i * s + k / s) * size[1] + j * s + k % s, c)];
                (0..s * s).map(element).fold(f64::NEG_INFINITY, f64::max)
            })
        }
        other => panic!("{other:?} for patches of {p} and stride {stride}"),
    }
}

/// The blocks' outputs, from the tokens of all patches.
pub(super) fn blocks(vit: &Vit<f64>, images: &Array4<f64>, cx: &mut Exec<f64>) -> Vec<Array2<f64>> {
    let (patches, tokens) = (vit.patch_embed.forward(images.view(), cx).0, vit.config.tokens());
    let mut x = Array2::from_shape_fn((IMAGES * tokens, patches.ncols()), |(row, d)| {
        let token = match (row % tokens).checked_sub(1) {
            None => vit.cls_token[(0, 0, d)],
            Some(patch) => patches[(row / tokens * (tokens - 1) + patch, d)],
        };
        token + vit.pos_embed[(0, row % tokens, d)]
    });
    let blocks = vit.blocks.iter();
    blocks
        .map(|block| {
            x = block.forward(x.clone(), tokens, cx).0;
            x.clone()
        })
        .collect()
}

pub(super) fn linear(x: &Array2<f64>, layer: &Linear<f64>) -> Array2<f64> {
    x.dot(&layer.weight.t().view) + &layer.bias
}

/// The network, step by step; its layers have checks of their own.
fn upernet(
    net: &UperNet<f64>,
    behind: &[Array2<f64>],
    c: &SegmenterConfig,
    cx: &mut Exec<f64>,
) -> (Array2<f64>, Array2<f64>) {
    fn apply<C: Convolution<f64>>(
        layer: &ConvNormRelu<f64, C>,
        x: &Array2<f64>,
        size: [usize; 2],
        cx: &mut Exec<f64>,
    ) -> Array2<f64> {
        layer.forward(x.clone(), size, cx).0
    }
    let beside = |parts: &[Array2<f64>]| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(1), &views).expect("of one size").as_standard_layout().to_owned()
    };
    let (sizes, patches) = (levels::sizes(c.img_size), c.vit().num_patches());
    let level: Vec<Array2<f64>> = (0..4)
        .map(|k| {
            adapted(&net.pyramid, k, c.patch_size, &map(&behind[(k + 1) * c.depth / 4 - 1], patches), cx)
        })
        .collect();
    let decode = &net.decode;
    let mut parts = vec![level[3].clone()];
    for (&cells, layer) in c.pool_scales.iter().zip(&decode.pooling.ppm) {
        let averaged = resized("average", &level[3], sizes[3], [cells; 2]);
        parts.push(resized("bilinear", &apply(layer, &averaged, [cells; 2], cx), [cells; 2], sizes[3]));
    }
    let bottleneck = apply(&decode.pooling.bottleneck, &beside(&parts), sizes[3], cx);
    let lateral = |k: usize, cx: &mut _| apply(&decode.lateral[k], &level[k], sizes[k], cx);
    let topdown2 = lateral(2, cx) + resized("bilinear", &bottleneck, sizes[3], sizes[2]);
    let topdown1 = lateral(1, cx) + resized("bilinear", &topdown2, sizes[2], sizes[1]);
    let topdown0 = lateral(0, cx) + resized("bilinear", &topdown1, sizes[1], sizes[0]);
    let mut outputs: Vec<Array2<f64>> = [topdown0, topdown1, topdown2]
        .iter()
        .enumerate()
        .map(|(k, x)| apply(&decode.fpn[k], x, sizes[k], cx))
        .collect();
    outputs.push(bottleneck);
    let finest: Vec<_> =
        outputs.iter().zip(sizes).map(|(x, size)| resized("bilinear", x, size, sizes[0])).collect();
    let fused = apply(&decode.fuse, &beside(&finest), sizes[0], cx);
    let hidden = apply(&net.aux.hidden, &level[2], sizes[2], cx);
    (linear(&fused, &decode.classify.0), linear(&hidden, &net.aux.classify.0))
}

/// Trunk, head, logits of pixels, losses.
pub(super) fn formula(check: &GradCheck, head: HeadKind) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (model, images) = (model(check, head), batch_of(check, head));
    let (c, behind) = (&model.config, blocks(&model.vit, &images, cx));
    let (main, auxiliary) = match &model.head {
        Head::Upernet(net) => {
            let (main, auxiliary) = upernet(net, &behind, c, cx);
            (main, Some(auxiliary))
        }
        Head::Linear(head) => {
            let tokens = map(&behind[c.depth - 1], c.vit().num_patches());
            (linear(&head.norm.forward(tokens, cx).0, &head.classify), None)
        }
    };
    let labels = sparse_labels(c.img_size);
    let views: Vec<_> = labels.axis_iter(Axis(0)).collect();
    let logits = resized("bilinear", &main, c.logits_size(), c.img_size);
    let mut loss = cross_entropy(&logits, &labels);
    if let Some(auxiliary) = &auxiliary {
        let size = levels::sizes(c.img_size)[2];
        loss += 0.4 * cross_entropy(&resized("bilinear", auxiliary, size, c.img_size), &labels);
    }
    let found = model.forward(images.view(), &ForwardOptions::default(), cx).0;
    let (losses, _) = model.losses(&found, &views, LABELLED_IN_BATCH, cx);
    let found_logits = found.main.iter().chain(found.auxiliary.iter().flatten());
    all([
        agree(
            "logits of both heads",
            found_logits,
            main.iter().copied().chain(auxiliary.into_iter().flatten()),
        ),
        agree("losses", &[losses.total(c)], [loss]),
        agree("logits of pixels in evaluation", &model.logits(images.view(), cx), logits),
        agree("logits in evaluation", &model.infer(images.view(), cx), main),
    ])
}
