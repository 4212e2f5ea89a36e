//! The sizes of a stack of blocks, and what follows from them: bounds, parameters, floating-point operations, bytes.

use crate::base::{Error, Result};

/// Bounds far above every model that has been trained, so that a slip of the keyboard is an error and not
/// an attempt to take all memory.
pub(crate) const MAX_WIDTH: usize = 1 << 16;
const MAX_DEPTH: usize = 1 << 10;

/// `depth` blocks of one width.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// What its settings begin with: `model.` or `model.decoder_`.
    pub prefix: &'static str,
    /// `D`.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// `H`.
    pub heads: usize,
    /// Hidden width of an MLP relative to `D`.
    pub mlp_ratio: f64,
}

/// What a block on the tokens of an image holds, in elements.
#[derive(Clone, Copy, Debug)]
pub struct BlockMemory {
    /// Until the backward pass: two norms keep `x̂` and hand on `y`; qkv, the context, the probabilities; GELU's value and
    /// slope.
    pub kept: usize,
    /// The largest buffers that come and go on the way.
    pub passing: usize,
}

impl Stack {
    /// Hidden width of the MLPs.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn hidden(&self) -> usize {
        (self.width as f64 * self.mlp_ratio) as usize
    }

    /// How many parameters the blocks have.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (d, hidden) = (self.width, self.hidden());
        let attention = linear_parameters(d, 3 * d) + linear_parameters(d, d);
        let mlp = linear_parameters(d, hidden) + linear_parameters(hidden, d);
        self.depth * (2 * norm_parameters(d) + attention + mlp)
    }

    /// Floating-point operations of the products of one block on the `n` tokens of an image, forward: qkv, proj, fc1, fc2;
    /// then Q Kᵀ and P V of all heads together.
    #[must_use]
    pub fn block_flops(&self, n: usize) -> f64 {
        let (d, hidden) = (self.width, self.hidden());
        linear_flops(n, d, 4 * d) + 2.0 * linear_flops(n, d, hidden) + 2.0 * linear_flops(n, d, n)
    }

    /// What a block on the `n` tokens of an image is spared, forward, if only `rows` of them are needed behind its attention: proj,
    /// fc1 and fc2 of the others.
    #[must_use]
    pub fn spared_flops(&self, n: usize, rows: usize) -> f64 {
        let (d, hidden) = (self.width, self.hidden());
        linear_flops(n - rows, d, d) + 2.0 * linear_flops(n - rows, d, hidden)
    }

    /// Of one block on the `n` tokens of an image.
    #[must_use]
    pub fn block_memory(&self, n: usize) -> BlockMemory {
        let (d, hidden) = (self.width, self.hidden());
        BlockMemory { kept: n * (8 * d + 2 * hidden + self.heads * n + 2), passing: n * (2 * hidden + 4 * d) }
    }

    /// Checks depth and number of heads.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key.
    pub(crate) fn validate_counts(&self) -> Result<()> {
        in_range(format!("{}depth", self.prefix), self.depth, MAX_DEPTH)?;
        in_range(format!("{}num_heads", self.prefix), self.heads, MAX_WIDTH)
    }

    /// Checks what depends on the width.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key.
    pub(crate) fn validate_width(&self) -> Result<()> {
        let Self { prefix, width, .. } = *self;
        if width == 0 || width % 4 != 0 || width > MAX_WIDTH {
            let why = format!("a positive multiple of 4 (2-D sine-cosine positions), at most {MAX_WIDTH}");
            return Err(Error::setting(format!("{prefix}embed_dim"), why, width));
        }
        self.validate_any_width()
    }

    /// As [`Stack::validate_width`], for positions that are no sines and cosines.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key.
    pub(crate) fn validate_any_width(&self) -> Result<()> {
        let Self { prefix, width, heads, .. } = *self;
        in_range(format!("{prefix}embed_dim"), width, MAX_WIDTH)?;
        if width % heads != 0 {
            let why = format!("a divisor of the width {width}");
            return Err(Error::setting(format!("{prefix}num_heads"), why, heads));
        }
        if !(1..=MAX_WIDTH).contains(&self.hidden()) {
            let why = format!("one that makes a hidden width of 1 to {MAX_WIDTH}");
            return Err(Error::setting("model.mlp_ratio", why, self.mlp_ratio));
        }
        Ok(())
    }
}

/// Checks `1 ≤ found ≤ most`.
pub(crate) fn in_range(key: impl Into<String>, found: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::setting(key, format!("1 to {most}"), found))
}

/// Parameters of a linear layer.
#[must_use]
pub fn linear_parameters(inputs: usize, outputs: usize) -> usize {
    inputs * outputs + outputs
}

/// Parameters of a layer norm.
#[must_use]
pub fn norm_parameters(width: usize) -> usize {
    2 * width
}

/// Floating-point operations (a multiply-add is two) of `[rows, d_in] → [rows, d_out]`, forward.
#[must_use]
pub fn linear_flops(rows: usize, d_in: usize, d_out: usize) -> f64 {
    2.0 * (rows * d_in * d_out) as f64
}
