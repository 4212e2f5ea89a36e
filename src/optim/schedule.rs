//! The learning rate: linear warm-up, then half a cosine, set before every step.

use std::f64::consts::PI;

/// Warm-up from 0, then half a cosine down to `min_lr`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate (absolute, not per 256 images).
    pub lr: f64,
    /// The rate at the end.
    pub min_lr: f64,
    /// Epochs of warm-up.
    pub warmup_epochs: f64,
    /// Epochs in all.
    pub epochs: f64,
}

impl Schedule {
    /// The rate at a fractional epoch, `epoch + iteration / iterations per epoch`; the very first is 0.
    ///
    /// `lr · at / warmup`, then `min_lr + (lr − min_lr) · ½ (1 + cos(π (at − warmup) / (epochs − warmup)))`.
    #[must_use]
    pub fn lr_at(&self, at: f64) -> f64 {
        if at < self.warmup_epochs {
            return self.lr * at / self.warmup_epochs;
        }
        let progress = (at - self.warmup_epochs) / (self.epochs - self.warmup_epochs);
        self.min_lr + (self.lr - self.min_lr) * 0.5 * (1.0 + (PI * progress).cos())
    }

    /// `lr = blr · effective batch / 256` (Goyal et al. 2017); the effective batch counts accumulation.
    #[must_use]
    pub fn absolute_lr(blr: f64, effective_batch: usize) -> f64 {
        blr * effective_batch as f64 / 256.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper: blr 1.5e-4 at an effective batch of 4096 is an absolute rate of 2.4e-3 (He et al. 2022,
    /// Table 8).
    #[test]
    fn the_papers_base_rate_gives_the_papers_rate() {
        assert_eq!(Schedule::absolute_lr(1.5e-4, 4096), 2.4e-3);
    }
}
