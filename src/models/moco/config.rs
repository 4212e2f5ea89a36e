//! MoCo v3's architecture: a trunk and two heads, checked for what cannot work, and what a step costs.

use crate::base::{Error, Result};
use crate::models::vit::VitConfig;
use crate::models::vit::config::check_parameters;
use crate::models::vit::stack::{MAX_WIDTH, in_range, linear_flops};
use serde::Serialize;

/// The architecture, in the terms of the original's `MoCo`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MocoConfig {
    /// The trunk.
    pub vit: VitConfig,
    /// `h`, hidden width of both heads; the original has 4096.
    pub mlp_dim: usize,
    /// `d`, width of queries and keys; the original has 256.
    pub out_dim: usize,
    /// `T`, by which cosines are divided; the original has 0.2.
    pub temperature: f64,
    /// Whether the patch projection stays as it was drawn, which keeps training stable (Chen et al. 2021, §4.2).
    pub stop_grad_conv1: bool,
    /// `ε` of every batch norm; the original has 1e-5.
    pub batch_norm_eps: f64,
    /// The fraction of a new batch in the running statistics; the original has 0.1.
    pub batch_norm_momentum: f64,
}

impl MocoConfig {
    /// Parameters of the projector: three linear maps without bias, scale and shift of two batch norms.
    fn projector(&self) -> usize {
        let (d, h) = (self.vit.embed_dim, self.mlp_dim);
        d * h + h * h + h * self.out_dim + 4 * h
    }

    /// Parameters of the predictor: two linear maps without bias, scale and shift of one batch norm.
    fn predictor(&self) -> usize {
        2 * self.mlp_dim * self.out_dim + 2 * self.mlp_dim
    }

    /// How many parameters the online network has, its position table included, running statistics not.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.vit.parameters() + self.projector() + self.predictor()
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step in a batch
    /// of `batch`.
    ///
    /// Each of two crops goes through the trunk three times, for its features, again for their gradient, and through
    /// the momentum encoder; a backward pass costs two forward ones. The heads go there once and back, the momentum
    /// encoder's projector there.
    #[must_use]
    pub fn flops_per_image(&self, batch: usize) -> f64 {
        let c = &self.vit;
        let (h, d) = (self.mlp_dim, self.out_dim);
        let projection = linear_flops(c.num_patches(), c.patch_len(), c.embed_dim);
        let spared = c.stack().spared_flops(c.tokens(), 1);
        let blocks = c.depth as f64 * c.stack().block_flops(c.tokens()) - spared;
        let projector = linear_flops(1, c.embed_dim, h) + linear_flops(1, h, h) + linear_flops(1, h, d);
        let predictor = 2.0 * linear_flops(1, d, h);
        let conv1 = if self.stop_grad_conv1 { 0.0 } else { projection };
        // Logits there, and back to the queries alone.
        let logits = 2.0 * linear_flops(1, d, batch);
        2.0 * (3.0 * (projection + blocks)
            + 2.0 * blocks
            + conv1
            + 4.0 * projector
            + 3.0 * predictor
            + logits)
    }

    /// Elements that heads and loss keep of each image in a batch of `batch`: of both crops, the features and their gradient;
    /// of three hidden layers the input of the next, `x̂` and ReLU's slope; queries and keys with their directions; and rows
    /// of logits, of their targets and gradients.
    #[must_use]
    pub fn whole_batch(&self, batch: usize) -> usize {
        2 * (2 * self.vit.embed_dim + 9 * self.mlp_dim + 8 * self.out_dim + 4 * batch)
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit.validate()?;
        in_range("moco.mlp_dim", self.mlp_dim, MAX_WIDTH)?;
        in_range("moco.out_dim", self.out_dim, MAX_WIDTH)?;
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("moco.temperature", "a positive number", self.temperature));
        }
        for (key, fraction) in
            [("batch_norm_eps", self.batch_norm_eps), ("batch_norm_momentum", self.batch_norm_momentum)]
        {
            if !(fraction > 0.0 && fraction < 1.0) {
                return Err(Error::setting(format!("moco.{key}"), "between 0 and 1", fraction));
            }
        }
        check_parameters(self.parameters())
    }
}
