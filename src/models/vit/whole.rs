//! Whole images: every patch through the trunk and back, and another trunk's weights for images of any size.

use super::blocks::{Encoded, ForwardOptions, StackCache};
use super::trunk::Vit;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::pos_interp;
use ndarray::{Array2, ArrayView4, Axis, s};

/// What [`Vit::encode_images_backward`] needs: the caches of what is trained.
#[must_use]
pub struct ImagesCache<F> {
    patch_embed: Option<PatchEmbedCache<F>>,
    blocks: StackCache<F>,
}

impl<F: Real> Vit<F> {
    /// `images: [B, C, H, W]` to the tokens behind the last block and behind those that are tapped.
    ///
    /// # Panics
    /// If drop path's factors are not those of as many blocks and images.
    pub fn encode_images(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Encoded<F>, ImagesCache<F>) {
        let (mut patches, patch_embed) = self.embed(images, o, cx);
        self.add_positions(&mut patches);
        let all = self.every_patch();
        let x = self.tokens(&patches, |_| &all, cx);
        cx.recycle(patches);
        let (encoded, blocks) = self.encode(x, self.config.tokens(), o, cx);
        (encoded, ImagesCache { patch_embed, blocks })
    }

    /// Adds the gradient of everything that is trained, from that of the last block's output and of the taps'. Returns the
    /// gradient with respect to the patch embedding's output, `[B·L, D]`, if that is trained.
    pub fn encode_images_backward(
        &self,
        cache: ImagesCache<F>,
        dx: Array2<F>,
        dtaps: Vec<Array2<F>>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Option<Array2<F>> {
        let dx = self.encode_backward(cache.blocks, dx, &dtaps, grad, cx);
        for dtap in dtaps {
            cx.recycle(dtap);
        }
        let Some(patch_embed) = cache.patch_embed else {
            cx.recycle(dx);
            return None;
        };
        let all = self.every_patch();
        let dpatches = self.tokens_backward(dx.view(), |_| &all, grad, cx);
        cx.recycle(dx);
        self.embed_backward(patch_embed, dpatches.view(), grad, cx);
        Some(dpatches)
    }

    /// Takes over all weights of another trunk. Positions are interpolated where the images have another size.
    ///
    /// # Panics
    /// If it is of another architecture: [`super::VitConfig::fits`] says so in words.
    pub fn take_over(&mut self, trunk: &Self) {
        self.config.fits(&trunk.config).expect("a trunk of this architecture");
        let positions = trunk.pos_embed.slice(s![0, .., ..]);
        let positions = pos_interp::interpolate(positions, trunk.config.grid(), self.config.grid());
        self.pos_embed = positions.insert_axis(Axis(0));
        self.cls_token.clone_from(&trunk.cls_token);
        self.patch_embed.clone_from(&trunk.patch_embed);
        self.blocks.clone_from(&trunk.blocks);
    }
}
