//! A trained network for images of another size: its weights do not depend on it, but for the positions.

use super::config::{HeadKind, SegmenterConfig};
use super::segmenter::Segmenter;
use crate::base::Real;
use crate::layers::pos_interp;
use crate::models::pyramid::levels::STRIDES;
use crate::params::Params;
use ndarray::{Axis, s};

impl SegmenterConfig {
    /// What the sides of an image must be multiples of.
    #[must_use]
    pub fn granule(&self) -> usize {
        match self.head {
            HeadKind::Upernet => STRIDES[STRIDES.len() - 1],
            HeadKind::Linear => self.patch_size,
        }
    }

    /// The size at which an image of `height × width` is seen as a whole: in its own proportions, as near as granules allow, and
    /// just large enough to cover [`SegmenterConfig::img_size`].
    #[must_use]
    pub fn whole_size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let ([h, w], granule) = (self.img_size, self.granule());
        // height : width as integers, so that no rounding decides which side is the shorter one
        let nearest =
            |n: usize, of: usize, own: usize| ((2 * n * own + of * granule) / (2 * of * granule)) * granule;
        if h * width >= w * height {
            [h, nearest(width, height, h).max(w)]
        } else {
            [nearest(height, width, w).max(h), w]
        }
    }
}

impl<F: Real> Segmenter<F> {
    /// The same network for images of this size: positions are interpolated, everything else stays.
    ///
    /// # Panics
    /// If a side is no multiple of [`SegmenterConfig::granule`].
    #[must_use]
    pub fn for_images_of(&self, img_size: [usize; 2]) -> Self {
        let config = SegmenterConfig { img_size, ..self.config.clone() };
        assert!(img_size.iter().all(|side| side.is_multiple_of(config.granule())), "images of {img_size:?}");
        let mut model = Self::new(&config);
        for (mine, trained) in model.tensors_mut().into_iter().zip(self.tensors()) {
            if mine.name != "pos_embed" {
                mine.data.write().copy_from_slice(trained.data);
            }
        }
        let positions = self.vit.pos_embed.slice(s![0, .., ..]);
        let positions = pos_interp::interpolate(positions, self.vit.config.grid(), config.vit().grid());
        model.vit.pos_embed = positions.insert_axis(Axis(0));
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::vit::VitConfig;

    #[test]
    fn images_keep_their_proportions_and_cover_the_training_size() {
        let vit = VitConfig {
            img_size: [64, 96],
            in_chans: 3,
            patch_size: 8,
            embed_dim: 16,
            depth: 4,
            num_heads: 2,
            mlp_ratio: 2.0,
            layer_norm_eps: 1e-6,
        };
        let upernet = SegmenterConfig::new(&vit, 3, HeadKind::Upernet);
        let linear = SegmenterConfig::new(&vit, 3, HeadKind::Linear);
        for (image, of_upernet, of_linear) in [
            ([64, 96], [64, 96], [64, 96]),
            ([640, 960], [64, 96], [64, 96]),
            ([500, 500], [96, 96], [96, 96]),
            ([100, 200], [64, 128], [64, 128]),
            ([100, 170], [64, 96], [64, 112]),
            ([3, 1], [288, 96], [288, 96]),
        ] {
            assert_eq!(upernet.whole_size(image), of_upernet, "{image:?}");
            assert_eq!(linear.whole_size(image), of_linear, "{image:?}");
        }
        let same = Segmenter::<f64>::initialised(&upernet, 1);
        assert_eq!(same.for_images_of([64, 96]).vit.pos_embed, same.vit.pos_embed);
        assert_eq!(same.for_images_of([96, 64]).vit.pos_embed.dim(), (1, 1 + 96, 16));
    }
}
