//! Made-up images with made-up classes, of a model's size: a step takes as long on them as on real ones.

use crate::base::Result;
use crate::base::rng::{Purpose, rng, uniform};
use crate::data::{Dataset, Image};
use crate::train::source::Source;
use std::sync::Arc;

/// Noise.
pub(super) struct MadeUp {
    images: usize,
    size: [usize; 2],
    channels: usize,
    classes: [String; 2],
}

impl MadeUp {
    /// So many images to train on, and none to judge by.
    pub(super) fn source(images: usize, size: [usize; 2], channels: usize) -> Source {
        let classes = ["even", "odd"].map(str::to_owned);
        let none = || Err("the images are made up".to_owned());
        Source { train: Arc::new(Self { images, size, channels, classes }), validation: none(), test: none() }
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
        Some(index % 2)
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
