//! The exercises: where each is, what to read, and a hint for each tensor.

use crate::answers;
use crate::checks;
use crate::grader::{Grade, Measured, Trial, grade};

/// One exercise.
pub struct Exercise {
    /// Its name, and its file in `docs/exercises/src/yours`.
    pub name: &'static str,
    /// The function to write, or both.
    pub function: &'static str,
    /// The chapter to read, in `docs/book`.
    pub chapter: &'static str,
    /// Exercises to solve before.
    pub needs: &'static [&'static str],
    /// A tensor as the check names it, as the chapter names it, and a hint.
    pub hints: &'static [(&'static str, &'static str, &'static str)],
    check: fn(Trial) -> Vec<Measured>,
    factors: &'static [(f64, &'static str)],
}

impl Exercise {
    /// Grades the answer that is compiled in.
    #[must_use]
    pub fn grade(&self) -> Grade {
        let mut factors = self.factors.to_vec();
        if self.name == "loss" {
            factors.push((
                checks::chunk_for_batch(),
                "it divides by this chunk's removed patches, not the batch's",
            ));
        }
        grade(self.check, &factors)
    }

    /// The chapter's name for a tensor, and the hint.
    #[must_use]
    pub fn hint(&self, tensor: &str) -> (&str, &str) {
        let found = self.hints.iter().find(|(name, _, _)| *name == tensor);
        found.map_or(("", ""), |&(_, shown, hint)| (shown, hint))
    }
}

/// `1/√3` and `√3`, for the head of width 3 that the check has.
const SCALE: &[(f64, &str)] = &[
    (0.577_350_269_189_625_8, "1/√d_h is missing"),
    (1.732_050_807_568_877_2, "it is scaled by 1/√d_h once too often"),
    (3.0, "it is scaled by 1/√d_h twice too often, or by 1/d_h"),
];

/// For a loss of patches of 4 numbers.
const PIXELS: &[(f64, &str)] =
    &[(0.25, "it is not averaged over the P numbers of a patch"), (4.0, "it is averaged over P twice")];

/// All exercises, in the order of the book.
pub const ALL: [Exercise; 16] = [
    Exercise {
        name: "linear",
        function: "backward",
        chapter: "02-linear.md",
        needs: &[],
        hints: &[
            ("weight", "dW", "one outer product a row, dy_r with x_r, summed; its shape is [out, in]"),
            ("bias", "db", "b is added to every row: rule (4)"),
            ("input", "dx", "free δx from ⟨dy, δx Wᵀ⟩: rule (1)"),
        ],
        check: |trial| checks::linear(trial, answers::linear::backward),
        factors: &[],
    },
    Exercise {
        name: "layer_norm",
        function: "backward",
        chapter: "03-layer-norm.md",
        needs: &[],
        hints: &[
            ("weight", "dγ", "γ multiplies x̂ in every row"),
            ("bias", "dβ", "β is added to every row"),
            ("input", "dx", "start from dy ⊙ γ; each row of dx must sum to 0, and be orthogonal to x̂"),
        ],
        check: |trial| checks::layer_norm(trial, answers::layer_norm::backward),
        factors: &[],
    },
    Exercise {
        name: "softmax",
        function: "backward",
        chapter: "04-attention.md",
        needs: &[],
        hints: &[(
            "input",
            "ds",
            "the denominator depends on all scores of the row; each row of ds must sum to 0",
        )],
        check: |trial| checks::softmax(trial, answers::softmax::backward),
        factors: &[],
    },
    Exercise {
        name: "attention",
        function: "backward",
        chapter: "04-attention.md",
        needs: &["softmax"],
        hints: &[
            ("q", "dq", "from S = Q Kᵀ / √d_h by rule (1), after ds"),
            ("k", "dk", "from S = Q Kᵀ / √d_h by rule (2); ds is transposed here and not in dq"),
            ("v", "dv", "from o = P V by rule (2); P is not symmetric"),
        ],
        check: |trial| checks::attention(trial, answers::attention::backward),
        factors: SCALE,
    },
    Exercise {
        name: "mlp",
        function: "backward",
        chapter: "05-mlp.md",
        needs: &["linear"],
        hints: &[
            ("fc1.weight", "dW₁", "from dh and x; is dh = GELU′(h) ⊙ da?"),
            ("fc1.bias", "db₁", "from dh; is dh = GELU′(h) ⊙ da?"),
            ("fc2.weight", "dW₂", "the second linear layer's input was a, not h"),
            ("fc2.bias", "db₂", "from dy alone"),
            ("input", "dx", "what the first linear layer returns for dh"),
        ],
        check: |trial| checks::mlp(trial, answers::mlp::backward),
        factors: &[],
    },
    Exercise {
        name: "block",
        function: "backward",
        chapter: "06-block.md",
        needs: &[],
        hints: &[("input", "dx", "past each branch and through it; the attention branch gets dmid, not dy")],
        check: |trial| checks::block(trial, answers::block::backward),
        factors: &[],
    },
    Exercise {
        name: "patch_embed",
        function: "images_gradient",
        chapter: "07-patch-embedding.md",
        needs: &[],
        hints: &[(
            "input",
            "dimages",
            "the adjoint of a permutation is its inverse; the order is (channel, row, column)",
        )],
        check: |trial| checks::patch_embed(trial, answers::patch_embed::images_gradient),
        factors: &[],
    },
    Exercise {
        name: "positions",
        function: "backward",
        chapter: "08-positions.md",
        needs: &[],
        hints: &[
            ("table", "dtable", "one table serves all images: rule (4), image by image"),
            ("input", "dz", "z was only added to"),
        ],
        check: |trial| checks::positions(trial, answers::positions::backward),
        factors: &[],
    },
    Exercise {
        name: "masking",
        function: "backward",
        chapter: "09-masking.md",
        needs: &[],
        hints: &[
            ("token", "dcls_token", "row 0 of every image, summed over images"),
            (
                "input",
                "dz",
                "Gᵀ dx: each row back to the patch it came from, 0 for removed ones; mind the class row",
            ),
        ],
        check: |trial| checks::masking(trial, answers::masking::backward),
        factors: &[],
    },
    Exercise {
        name: "unshuffle",
        function: "backward",
        chapter: "09-masking.md",
        needs: &[],
        hints: &[
            ("token", "dmask_token", "the rows of removed patches only, of all images"),
            (
                "input",
                "dy",
                "the class row passes; a kept patch l goes back to place ids_restore[l], behind it",
            ),
        ],
        check: |trial| checks::unshuffle(trial, answers::unshuffle::backward),
        factors: &[],
    },
    Exercise {
        name: "loss",
        function: "backward",
        chapter: "10-loss.md",
        needs: &[],
        hints: &[("input", "dpred", "2 m (pred − t) over P and the whole batch's M; kept patches get 0")],
        check: |trial| checks::loss(trial, answers::loss::backward),
        factors: PIXELS,
    },
    Exercise {
        name: "adamw",
        function: "step",
        chapter: "11-adamw.md",
        needs: &[],
        hints: &[
            ("m", "m", "a running mean of g, before any correction"),
            ("v", "v", "a running mean of g², before any correction"),
            (
                "w",
                "w",
                "both corrections with βᵏ, ϵ outside of the root, decay by η λ w that is not part of g",
            ),
        ],
        check: |trial| checks::adamw(trial, answers::adamw::step),
        factors: &[],
    },
    Exercise {
        name: "batch_norm",
        function: "forward, backward",
        chapter: "14-contrastive.md",
        needs: &[],
        hints: &[
            ("y", "y", "γ ⊙ x̂ + β, the same γ and β in every row"),
            ("x_hat", "x̂", "each column has mean 0; the variance has the divisor B"),
            ("inv_std", "1/√(σ² + ε)", "one value a column; ε is inside of the root"),
            ("weight", "dγ", "γ multiplies x̂ in every row"),
            ("bias", "dβ", "β is added to every row"),
            ("input", "dx", "layer norm's backward pass with rows and columns exchanged; start from dy ⊙ γ"),
        ],
        check: |trial| checks::batch_norm(trial, answers::batch_norm::forward, answers::batch_norm::backward),
        factors: &[],
    },
    Exercise {
        name: "info_nce",
        function: "backward",
        chapter: "14-contrastive.md",
        needs: &[],
        hints: &[(
            "input",
            "dq",
            "dS from P and the diagonal, dq̂ by rule (1), and no part of dq along q: each row has ⟨q, dq⟩ = 0",
        )],
        check: |trial| checks::info_nce(trial, answers::info_nce::backward),
        factors: checks::INFO_NCE,
    },
    Exercise {
        name: "conv3x3",
        function: "backward",
        chapter: "16-maps.md",
        needs: &["linear"],
        hints: &[
            (
                "weight",
                "dW",
                "a linear layer's dW for each of the nine neighbours; those outside of the map are 0",
            ),
            (
                "input",
                "dx",
                "each dy goes back to the nine pixels that it was made from; what it read above goes above",
            ),
        ],
        check: |trial| checks::conv3x3(trial, answers::conv3x3::backward),
        factors: &[],
    },
    Exercise {
        name: "roi_align",
        function: "backward",
        chapter: "17-boxes.md",
        needs: &[],
        hints: &[(
            "input",
            "dx",
            "each dy goes back to the pixels that its samples read, by the same weights; samples outside read nothing, but count",
        )],
        check: |trial| checks::roi_align(trial, answers::roi_align::backward),
        factors: &[(0.25, "it is not divided by the n² samples of a cell")],
    },
];
