//! Pictures of reconstructions: original, masked, reconstruction, reconstruction with the visible patches.

use super::config::Config;
use crate::base::Result;
use crate::config::sections::DataConfig;
use crate::data::Image;
use crate::draw::sheet::{Picture, Sheet};
use crate::exec::Exec;
use crate::models::mae::cost::Cost;
use crate::models::mae::patchify::patchify;
use crate::models::mae::reconstruct::{Stats, reconstruct};
use crate::models::mae::{Mae, Mask};
use crate::models::vit::VitConfig;
use crate::train::memory;
use crate::train::workers::WorkerPool;
use ndarray::{Array3, ArrayView4, Axis, s};

/// Images that go through the model at once: memory does not grow with how many are drawn.
const CHUNK: usize = 8;
/// The brightness of a removed patch in the picture of the masked image.
const REMOVED: u8 = 128;

/// What is drawn: one row an image.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// `[B, C, H, W]`.
    pub images: ArrayView4<'a, f32>,
    /// One an image.
    pub masks: &'a [Mask],
    /// Where a removed patch's mean and contrast come from.
    pub stats: Stats,
}

/// Draws them, with workers that belong to the model.
///
/// # Errors
/// If there is too little memory, a device failed, or the picture cannot be encoded.
pub fn draw(
    model: &Mae<f32>,
    config: &Config,
    rows: Rows,
    workers: &WorkerPool<f32, Mae<f32>>,
) -> Result<Vec<u8>> {
    let Rows { images, masks, stats } = rows;
    let cost = Cost { config: &config.model, len_keep: masks[0].len_keep };
    memory::require_activations(cost.inference_bytes(CHUNK.min(masks.len())))?;
    let captions = ["original", "masked", "reconstruction", "with visible"];
    let mut sheet = Sheet::new(&captions, note(config, stats));
    // An executor of its own: the workers' would keep buffers of this many images.
    let mut cx = Exec::new(workers.engine()).split(true);
    workers.checked(|| {
        for (images, masks) in images.axis_chunks_iter(Axis(0), CHUNK).zip(masks.chunks(CHUNK)) {
            draw_rows(model, config, Rows { images, masks, stats }, &mut sheet, &mut cx);
        }
    })?;
    sheet.to_png_bytes()
}

fn draw_rows(model: &Mae<f32>, config: &Config, rows: Rows, sheet: &mut Sheet, cx: &mut Exec<f32>) {
    let Rows { images, masks, stats } = rows;
    let output = model.infer(images, masks, cx);
    let pixels = patchify(images, config.model.patch_size, cx);
    let patches = config.model.num_patches();
    for (b, (image, mask)) in images.outer_iter().zip(masks).enumerate() {
        let rows = s![b * patches..(b + 1) * patches, ..];
        let (pred, pixels) = (output.pred.slice(rows), pixels.slice(rows));
        let result = reconstruct(&config.model, pred, pixels, mask, stats);
        let (data, model) = (&config.data, config.model.vit());
        let original = to_bytes(data, &image.to_owned());
        sheet.push_row([
            picture(&model, &original),
            picture(&model, &grey_out(&model, &original, |patch| mask.removes(patch))),
            picture(&model, &to_bytes(data, &result.prediction)),
            picture(&model, &to_bytes(data, &result.pasted)),
        ]);
    }
    cx.recycle(pixels);
    output.recycle(cx);
}

/// The line below the pictures: it says where a patch's mean and contrast came from.
fn note(config: &Config, stats: Stats) -> Option<&'static str> {
    match (config.model.norm_pix_loss, stats) {
        (false, _) => None,
        (true, Stats::Visible) => Some("patch mean and contrast: interpolated from visible patches"),
        (true, Stats::Oracle) => Some("patch mean and contrast: from the true patch (leaks the answer)"),
    }
}

/// `[C, H, W]` in model units → bytes `[H, W, C]`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
pub fn to_bytes(data: &DataConfig, image: &Array3<f32>) -> Vec<u8> {
    let (mean, std) = (data.mean.as_deref(), data.std.as_deref());
    let (mean, std) = (mean.unwrap_or_default(), std.unwrap_or_default());
    let (channels, height, width) = image.dim();
    let mut bytes = Vec::with_capacity(image.len());
    for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
        for c in 0..channels {
            let value = image[[c, row, column]] * std[c] + mean[c];
            bytes.push((value * 255.0).round().clamp(0.0, 255.0) as u8);
        }
    }
    bytes
}

/// Bytes `[H, W, C]` with those patches in grey that are `hidden`.
#[must_use]
pub fn grey_out(model: &VitConfig, original: &[u8], hidden: impl Fn(usize) -> bool) -> Vec<u8> {
    let (width, p) = (model.img_size[1], model.patch_size);
    let mut bytes = original.to_vec();
    for (i, pixel) in bytes.chunks_exact_mut(model.in_chans).enumerate() {
        let patch = (i / width / p) * model.grid().1 + i % width / p;
        if hidden(patch) {
            pixel.fill(REMOVED);
        }
    }
    bytes
}

/// A picture of bytes `[H, W, C]`.
#[must_use]
pub fn picture(model: &VitConfig, bytes: &[u8]) -> Picture {
    let [height, width] = model.img_size;
    Picture::of(&Image::new(height, width, model.in_chans, bytes.to_vec()))
}
