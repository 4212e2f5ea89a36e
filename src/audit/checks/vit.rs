//! The trunk with positions that are trained, and outputs of its blocks that are handed out: gradient and formula.

use super::formulas::{agree, all};
use super::shapes::{IMAGES, config, filled, images};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::patch_embed::PatchEmbedCache;
use crate::models::vit::{Encoded, ForwardOptions, Positions, StackCache, Vit, VitConfig};
use ndarray::{Array2, Array4, Axis, concatenate};

/// The blocks that are tapped, of three: neither the first alone nor the last.
const TAPS: [usize; 2] = [0, 1];

const SCALE: f64 = 1.0 / 16.0;

/// Of the patch embedding and of the blocks.
type Cache = (Option<PatchEmbedCache<f64>>, StackCache<f64>);

fn trunk(check: &GradCheck) -> Vit<f64> {
    filled(check, Vit::new(&VitConfig { depth: 3, ..config(3, false).vit() }, Positions::Trained))
}

fn forward(vit: &Vit<f64>, images: &Array4<f64>, cx: &mut Exec<f64>) -> (Encoded<f64>, Cache) {
    let o = ForwardOptions { taps: &TAPS, ..ForwardOptions::default() };
    let (mut patches, embed) = vit.embed(images.view(), &o, cx);
    vit.add_positions(&mut patches);
    let every: Vec<usize> = (0..vit.config.num_patches()).collect();
    let x = vit.tokens(&patches, |_| &every, cx);
    let (encoded, blocks) = vit.encode(x, vit.config.tokens(), &o, cx);
    (encoded, (embed, blocks))
}

/// The last block's output and the taps, one below the other, scaled: at a loss of several hundreds the rounding of a
/// difference quotient would be as large as what a key's bias, whose true gradient is 0, may have.
fn outputs(Encoded { x, taps }: Encoded<f64>) -> Array2<f64> {
    let views: Vec<_> = std::iter::once(&x).chain(&taps).map(|matrix| matrix.view()).collect();
    concatenate(Axis(0), &views).expect("matrices of one width") * SCALE
}

pub(super) fn gradient(check: &GradCheck) -> Report {
    check.layer(
        &trunk(check),
        &images(check, &config(3, false)),
        |vit, images, cx| {
            let (encoded, cache) = forward(vit, images, cx);
            (outputs(encoded), cache)
        },
        |vit, (embed, blocks), dy, grad, cx| {
            let rows = dy.nrows() / (1 + TAPS.len());
            let mut parts = dy.axis_chunks_iter(Axis(0), rows).map(|part| &part * SCALE);
            let dx = parts.next().expect("the last block's");
            let dx = vit.encode_backward(blocks, dx, &parts.collect::<Vec<_>>(), grad, cx);
            let every: Vec<usize> = (0..vit.config.num_patches()).collect();
            let dpatches = vit.tokens_backward(dx.view(), |_| &every, grad, cx);
            vit.embed_backward(embed.expect("everything is trained"), dpatches.view(), grad, cx);
            vit.images_gradient(&dpatches, cx)
        },
    )
}

/// A tap is what stands behind its block.
pub(super) fn formula(check: &GradCheck) -> Report {
    let (vit, cx) = (trunk(check), &mut Exec::new(Backend::default()));
    let images = images(check, &config(3, false));
    let found = forward(&vit, &images, cx).0;
    let (len, tokens) = (vit.config.num_patches(), vit.config.tokens());
    let patches = vit.patch_embed.forward(images.view(), cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * tokens, patches.ncols()), |(row, d)| {
        let token = match (row % tokens).checked_sub(1) {
            None => vit.cls_token[(0, 0, d)],
            Some(patch) => patches[(row / tokens * len + patch, d)],
        };
        token + vit.pos_embed[(0, row % tokens, d)]
    });
    let mut behind = Vec::new();
    for block in &vit.blocks {
        x = block.forward(x, tokens, cx).0;
        behind.push(x.clone());
    }
    all([
        agree("behind the first block", &found.taps[0], behind[TAPS[0]].clone()),
        agree("behind the second block", &found.taps[1], behind[TAPS[1]].clone()),
        agree("behind the last block", &found.x, behind[2].clone()),
    ])
}
