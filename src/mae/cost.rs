//! What a training step costs, counted from the shapes alone: floating-point operations and bytes.

use super::config::MaeConfig;

/// The products and the memory of one architecture with `len_keep` visible patches.
#[derive(Clone, Copy, Debug)]
pub struct Cost<'a> {
    /// The architecture.
    pub config: &'a MaeConfig,
    /// `K`, patches the encoder sees.
    pub len_keep: usize,
}

/// Floating-point operations of `[rows, d_in] → [rows, d_out]`, forward.
#[must_use]
pub fn linear(rows: usize, d_in: usize, d_out: usize) -> f64 {
    2.0 * (rows * d_in * d_out) as f64
}

/// Those of a block on the `n` tokens of an image, forward: qkv, proj, fc1, fc2; then Q Kᵀ and P V of all heads together.
#[must_use]
pub fn block(n: usize, d: usize, hidden: usize) -> f64 {
    linear(n, d, 4 * d) + 2.0 * linear(n, d, hidden) + 2.0 * linear(n, d, n)
}

/// What a block on the `n` tokens of an image holds, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct BlockMemory {
    /// Until the backward pass: two norms keep `x̂` and hand on `y`; qkv, the context, the probabilities; GELU's value and
    /// slope.
    pub kept: usize,
    /// The largest buffers that come and go on the way.
    pub passing: usize,
}

/// Of a block of width `d` with `heads` heads.
#[must_use]
pub fn block_memory(n: usize, d: usize, hidden: usize, heads: usize) -> BlockMemory {
    BlockMemory { kept: n * (8 * d + 2 * hidden + heads * n + 2), passing: n * (2 * hidden + 4 * d) }
}

impl Cost<'_> {
    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training
    /// step. The backward pass of a product costs two of its size; only the patch projection, whose input
    /// is data, costs one.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let c = self.config;
        let [l, d, e, p] = [c.num_patches(), c.embed_dim, c.decoder_embed_dim, c.patch_len()];
        let block = |n: usize, d: usize| block(n, d, c.hidden(d));
        let (encoder_tokens, decoder_tokens) = (1 + self.len_keep, 1 + l);
        2.0 * linear(l, p, d)
            + 3.0 * c.depth as f64 * block(encoder_tokens, d)
            + 3.0 * linear(encoder_tokens, d, e)
            + 3.0 * c.decoder_depth as f64 * block(decoder_tokens, e)
            + 3.0 * linear(l, e, p)
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
        let block = |n: usize, d: usize, heads: usize| block_memory(n, d, c.hidden(d), heads);
        [
            block(1 + self.len_keep, c.embed_dim, c.num_heads),
            block(1 + c.num_patches(), c.decoder_embed_dim, c.decoder_num_heads),
        ]
    }

    /// Numbers before, between and behind the blocks: patches and their embedding, the latent, the decoder's tokens,
    /// prediction, target and their difference.
    fn outside_blocks(&self) -> usize {
        let c = self.config;
        let [l, d, e, p] = [c.num_patches(), c.embed_dim, c.decoder_embed_dim, c.patch_len()];
        l * (p + d) + (1 + self.len_keep) * 2 * d + (1 + l) * 4 * e + 3 * l * p
    }
}
