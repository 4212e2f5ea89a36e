//! Made-up images with made-up classes, label maps or objects, of a model's size: a step takes as long on them as on real ones.

use crate::base::Result;
use crate::base::rng::{Purpose, rng, uniform};
use crate::data::rle::Rle;
use crate::data::{Dataset, Image, Instance, Target, TargetKind};
use crate::train::source::Source;
use ndarray::{Array2, s};
use std::sync::Arc;

/// Noise.
pub(super) struct MadeUp {
    images: usize,
    size: [usize; 2],
    channels: usize,
    kind: TargetKind,
    classes: Vec<String>,
}

/// Classes of label maps and of objects; images of one class each have two.
const CLASSES: usize = 11;
/// Objects of an image: enough for a detector to fill its quota of regions with one, as it does once it proposes well.
const OBJECTS: usize = 32;

impl MadeUp {
    /// So many images to train on, with targets of this kind, and none to judge by.
    pub(super) fn source(images: usize, size: [usize; 2], channels: usize, kind: TargetKind) -> Source {
        let count = if kind.is_dense() { CLASSES } else { 2 };
        let classes = (0..count).map(|class| format!("class {class}")).collect();
        let none = || Err("the images are made up".to_owned());
        let train = Arc::new(Self { images, size, channels, kind, classes });
        Source { train, validation: none(), test: none() }
    }
}

impl MadeUp {
    /// A box of a quarter to a half of the image's sides, all of it covered.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "parts of an image's sides")]
    fn object(&self, index: usize, i: usize) -> Instance {
        let mut noise = rng(1, Purpose::Synthetic, index as u64, i as u64);
        let mut edges = |side: usize| {
            let length = (0.25 + 0.25 * uniform(&mut noise)) * side as f64;
            let start = (uniform(&mut noise) * (side as f64 - length)).floor();
            [start, start + length.ceil().max(1.0)]
        };
        let ([y1, y2], [x1, x2]) = (edges(self.size[0]), edges(self.size[1]));
        let mut mask = Array2::from_elem((self.size[0], self.size[1]), false);
        mask.slice_mut(s![y1 as usize..y2 as usize, x1 as usize..x2 as usize]).fill(true);
        let area = (x2 - x1) * (y2 - y1);
        Instance {
            bbox: [x1, y1, x2, y2],
            class: (index + i) % CLASSES,
            mask: Some(Rle::of_mask(mask.view())),
            crowd: false,
            area,
        }
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
            TargetKind::Instances => Target::Instances((0..OBJECTS).map(|i| self.object(index, i)).collect()),
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
