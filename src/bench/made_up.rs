//! Made-up images with made-up classes or label maps, of a model's size: a step takes as long on them as on real ones.

use crate::base::Result;
use crate::base::rng::{Purpose, rng, uniform};
use crate::data::{Dataset, Image, Target, TargetKind};
use crate::train::source::Source;
use ndarray::Array2;
use std::sync::Arc;

/// Noise.
pub(super) struct MadeUp {
    images: usize,
    size: [usize; 2],
    channels: usize,
    kind: TargetKind,
    classes: Vec<String>,
}

/// Classes of label maps; images of one class each have two.
const CLASSES: usize = 11;

impl MadeUp {
    /// So many images to train on, with targets of this kind, and none to judge by.
    pub(super) fn source(images: usize, size: [usize; 2], channels: usize, kind: TargetKind) -> Source {
        let count = if kind == TargetKind::LabelMap { CLASSES } else { 2 };
        let classes = (0..count).map(|class| format!("class {class}")).collect();
        let none = || Err("the images are made up".to_owned());
        let train = Arc::new(Self { images, size, channels, kind, classes });
        Source { train, validation: none(), test: none() }
    }
}

impl Dataset for MadeUp {
    fn len(&self) -> usize {
        self.images
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of 256")]
    fn image(&self, index: usize) -> Result<Image> {
        let ([height, width], mut noise) = (self.size, rng(0, Purpose::Synthetic, 0, index as u64));
        let pixels = (0..height * width * self.channels).map(|_| (256.0 * uniform(&mut noise)) as u8);
        Ok(Image::new(height, width, self.channels, pixels.collect()))
    }

    fn label(&self, index: usize) -> Option<usize> {
        (self.kind == TargetKind::Class).then_some(index % 2)
    }

    #[expect(clippy::cast_possible_truncation, reason = "fewer classes than 256")]
    fn target(&self, index: usize) -> Result<Target> {
        let patchwork = |(y, x): (usize, usize)| ((index + y / 8 + x / 8) % CLASSES) as u8;
        Ok(match self.kind {
            TargetKind::LabelMap => {
                Target::LabelMap(Array2::from_shape_fn((self.size[0], self.size[1]), patchwork))
            }
            _ => Target::Class(index % 2),
        })
    }

    fn target_kind(&self) -> TargetKind {
        self.kind
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn source(&self, index: usize) -> String {
        format!("made-up image {index}")
    }

    fn describe(&self) -> String {
        format!("{} made-up images", self.images)
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some(self.size.into())
    }

    fn digest(&self) -> Result<u32> {
        Ok(0)
    }

    fn in_memory(&self) -> bool {
        true
    }
}
