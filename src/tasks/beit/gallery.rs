//! Pictures of tokens: original, masked, predicted tokens by their centroids, true tokens by their centroids.

use super::config::BeitSettings;
use super::eval_set::EvalSet;
use crate::base::Result;
use crate::draw::sheet::Sheet;
use crate::exec::Exec;
use crate::models::beit::model::predictions;
use crate::models::beit::{Beit, Tokenizer};
use crate::models::mae::loss::patch_stats;
use crate::models::mae::patchify::{patchify, unpatchify};
use crate::tasks::mae::gallery::{grey_out, picture, to_bytes};
use crate::train::memory;
use crate::train::workers::WorkerPool;
use ndarray::{Array2, ArrayView3, ArrayView4, Axis, s};

/// Images that go through the model at once: memory does not grow with how many are drawn.
const CHUNK: usize = 8;

/// Draws them, with workers that belong to the model.
///
/// # Errors
/// If there is too little memory, a device failed, or the picture cannot be encoded.
pub fn draw(
    model: &Beit<f32>,
    tokenizer: &Tokenizer<f32>,
    config: &BeitSettings,
    set: &EvalSet,
    workers: &WorkerPool<f32, Beit<f32>>,
) -> Result<Vec<u8>> {
    memory::require_activations(CHUNK * config.model.inference_bytes())?;
    let note =
        config.beit.normalised.then_some("patch mean and contrast: from the true patch (no part of a token)");
    let captions = ["original", "masked", "predicted tokens", "true tokens"];
    let mut sheet = Sheet::new(&captions, note);
    // An executor of its own: the workers' would keep buffers of this many images.
    let mut cx = Exec::new(workers.engine()).split(true);
    let patches = config.model.num_patches();
    workers.checked(|| {
        let images = set.of.images.axis_chunks_iter(Axis(0), CHUNK);
        for (images, masked) in images.zip(set.masked.chunks(CHUNK * patches)) {
            draw_rows(model, tokenizer, config, (images, masked), &mut sheet, &mut cx);
        }
    })?;
    sheet.to_png_bytes()
}

fn draw_rows(
    model: &Beit<f32>,
    tokenizer: &Tokenizer<f32>,
    config: &BeitSettings,
    (images, masked): (ArrayView4<f32>, &[bool]),
    sheet: &mut Sheet,
    cx: &mut Exec<f32>,
) {
    let ids = tokenizer.ids(images, cx);
    let output = model.infer(images, masked, &ids, cx);
    let pixels = patchify(images, config.model.patch_size, cx);
    let mut predicted = predictions(&output.logits).collect::<Vec<_>>().into_iter();
    let (mut mine, mut truth) = (pixels.clone(), pixels.clone());
    for (patch, &id) in ids.iter().enumerate() {
        paint(tokenizer, id, patch, &pixels, &mut truth);
        if masked[patch] {
            let token = predicted.next().expect("a prediction for every masked patch");
            paint(tokenizer, token, patch, &pixels, &mut mine);
        }
    }
    let (_, channels, height, width) = images.dim();
    let whole = |patches: &Array2<f32>| {
        unpatchify(patches.view(), (channels, height, width), config.model.patch_size)
    };
    let (mine, truth, patches) = (whole(&mine), whole(&truth), config.model.num_patches());
    for (b, image) in images.outer_iter().enumerate() {
        let bytes = |image: ArrayView3<f32>| to_bytes(&config.data, &image.to_owned());
        let original = bytes(image);
        let of_image = &masked[b * patches..][..patches];
        let masked = grey_out(&config.model, &original, |patch| of_image[patch]);
        let [mine, truth] = [&mine, &truth].map(|all| bytes(all.slice(s![b, .., .., ..])));
        sheet.push_row([&original, &masked, &mine, &truth].map(|bytes| picture(&config.model, bytes)));
    }
    cx.recycle(pixels);
    cx.recycle(output.logits);
}

/// A patch drawn as the centroid of a token. A centroid of normalised patches has no brightness of its own: it takes the true
/// patch's mean and contrast.
fn paint(tokenizer: &Tokenizer<f32>, id: usize, patch: usize, pixels: &Array2<f32>, onto: &mut Array2<f32>) {
    let centroid = tokenizer.codebook.centroids.row(id);
    let mut onto = onto.row_mut(patch);
    if tokenizer.patches.norm_pix_loss {
        let pixels = pixels.row(patch);
        let (mean, std) = patch_stats(pixels.as_slice().expect("patches are row-major"));
        onto.zip_mut_with(&centroid, |x, c| *x = mean + std * c);
    } else {
        onto.assign(&centroid);
    }
}
