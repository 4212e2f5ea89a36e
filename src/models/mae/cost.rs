//! What a training step costs, counted from the shapes alone: floating-point operations and bytes.

use super::config::MaeConfig;
use crate::models::vit::stack::{BlockMemory, linear_flops};

/// The products and the memory of one architecture with `len_keep` visible patches.
#[derive(Clone, Copy, Debug)]
pub struct Cost<'a> {
    /// The architecture.
    pub config: &'a MaeConfig,
    /// `K`, patches the encoder sees.
    pub len_keep: usize,
}

impl Cost<'_> {
    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training
    /// step. The backward pass of a product costs two of its size; only the patch projection, whose input
    /// is data, costs one.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let c = self.config;
        let [l, d, e, p] = [c.num_patches(), c.embed_dim, c.decoder_embed_dim, c.patch_len()];
        let encoder_tokens = 1 + self.len_keep;
        c.vit().flops_per_image(encoder_tokens)
            + 3.0 * linear_flops(encoder_tokens, d, e)
            + 3.0 * c.decoder_depth as f64 * c.decoder_stack().block_flops(1 + l)
            + 3.0 * linear_flops(l, e, p)
    }

    /// Bytes of the activations that one chunk of `images` images keeps in f32 until its backward pass,
    /// with the largest buffers that come and go on the way.
    #[must_use]
    pub fn activation_bytes(&self, images: usize) -> usize {
        let [encoder, decoder] = self.blocks();
        let kept = self.config.depth * encoder.kept + self.config.decoder_depth * decoder.kept;
        images * size_of::<f32>() * (kept + self.outside_blocks() + encoder.passing.max(decoder.passing))
    }

    /// Bytes of the activations of a forward pass alone, in which one block's buffers serve the next.
    #[must_use]
    pub fn inference_bytes(&self, images: usize) -> usize {
        let [encoder, decoder] = self.blocks();
        let block = (encoder.kept + encoder.passing).max(decoder.kept + decoder.passing);
        images * size_of::<f32>() * (block + self.outside_blocks())
    }

    /// A block of the encoder and one of the decoder.
    fn blocks(&self) -> [BlockMemory; 2] {
        let c = self.config;
        [c.vit().stack().block_memory(1 + self.len_keep), c.decoder_stack().block_memory(1 + c.num_patches())]
    }

    /// Numbers before, between and behind the blocks: patches and their embedding, the latent, the decoder's tokens,
    /// prediction, target and their difference.
    fn outside_blocks(&self) -> usize {
        let c = self.config;
        let [l, e, p] = [c.num_patches(), c.decoder_embed_dim, c.patch_len()];
        c.vit().outside_blocks(1 + self.len_keep) + (1 + l) * 4 * e + 3 * l * p
    }
}
