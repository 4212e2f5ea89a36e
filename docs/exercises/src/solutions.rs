//! The solutions, as short as ndarray allows. The library's layers compute the same faster.

/// Linear.
pub mod linear {
    use ndarray::{Array2, Axis};
    use vit_mae::layers::Linear;

    /// `dW += dyᵀ x`, `db += Σ_r dy_r`, `dx = dy W`.
    pub fn backward(
        layer: &Linear<f64>,
        x: &Array2<f64>,
        dy: &Array2<f64>,
        grad: &mut Linear<f64>,
    ) -> Array2<f64> {
        *grad.weight += &dy.t().dot(x);
        grad.bias += &dy.sum_axis(Axis(0));
        dy.dot(&*layer.weight)
    }
}

/// Layer norm.
pub mod layer_norm {
    use ndarray::{Array1, Array2, Axis};
    use vit_mae::layers::LayerNorm;

    /// `dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂ ⊙ x̂)) / √(σ² + ε)`.
    pub fn backward(
        layer: &LayerNorm<f64>,
        x_hat: &Array2<f64>,
        inv_std: &Array1<f64>,
        dy: &Array2<f64>,
        grad: &mut LayerNorm<f64>,
    ) -> Array2<f64> {
        grad.weight += &(dy * x_hat).sum_axis(Axis(0));
        grad.bias += &dy.sum_axis(Axis(0));
        let dx_hat = dy * &layer.weight;
        let mean = |a: &Array2<f64>| (a.sum_axis(Axis(1)) / a.ncols() as f64).insert_axis(Axis(1));
        let projected = &dx_hat - &mean(&dx_hat) - x_hat * &mean(&(&dx_hat * x_hat));
        projected * inv_std.view().insert_axis(Axis(1))
    }
}

/// Softmax.
pub mod softmax {
    use ndarray::{Array2, Axis};

    /// `ds = p ⊙ (dp − Σ_j dp_j p_j)`.
    pub fn backward(p: &Array2<f64>, dp: &Array2<f64>) -> Array2<f64> {
        let sums = (dp * p).sum_axis(Axis(1)).insert_axis(Axis(1));
        p * &(dp - &sums)
    }
}

/// Attention.
pub mod attention {
    use ndarray::Array2;

    /// `dV = Pᵀ do`, `dP = do Vᵀ`, `dQ = dS K / √d_h`, `dK = dSᵀ Q / √d_h`.
    pub fn backward(
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
        p: &Array2<f64>,
        dout: &Array2<f64>,
    ) -> [Array2<f64>; 3] {
        let ds = super::softmax::backward(p, &dout.dot(&v.t())) / (q.ncols() as f64).sqrt();
        [ds.dot(k), ds.t().dot(q), p.t().dot(dout)]
    }
}

/// MLP.
pub mod mlp {
    use super::linear;
    use ndarray::Array2;
    use vit_mae::Real;
    use vit_mae::layers::Mlp;

    /// `dh = (Φ(h) + h φ(h)) ⊙ da` between the two linear layers.
    pub fn backward(
        layer: &Mlp<f64>,
        x: &Array2<f64>,
        h: &Array2<f64>,
        a: &Array2<f64>,
        dy: &Array2<f64>,
        grad: &mut Mlp<f64>,
    ) -> Array2<f64> {
        let da = linear::backward(&layer.fc2, a, dy, &mut grad.fc2);
        let slope = h.mapv(|h| {
            let (cdf, density) = h.normal();
            cdf + h * density
        });
        linear::backward(&layer.fc1, x, &(slope * da), &mut grad.fc1)
    }
}

/// Block.
pub mod block {
    use ndarray::Array2;

    /// Past each branch and through it.
    pub fn backward(
        dy: &Array2<f64>,
        mlp: &mut dyn FnMut(&Array2<f64>) -> Array2<f64>,
        attention: &mut dyn FnMut(&Array2<f64>) -> Array2<f64>,
    ) -> Array2<f64> {
        let dmid = dy + &mlp(dy);
        &dmid + &attention(&dmid)
    }
}

/// Patch embedding.
pub mod patch_embed {
    use ndarray::{Array2, Array4};

    /// The inverse permutation: windows in the order in which they were cut.
    pub fn images_gradient(dpatches: &Array2<f64>, shape: [usize; 4], p: usize) -> Array4<f64> {
        let mut images = Array4::zeros(shape);
        let mut rows = dpatches.outer_iter();
        for mut image in images.outer_iter_mut() {
            for mut window in image.exact_chunks_mut((shape[1], p, p)) {
                let row = rows.next().expect("a row for every patch");
                window.iter_mut().zip(row).for_each(|(pixel, &value)| *pixel = value);
            }
        }
        images
    }
}

/// Positions.
pub mod positions {
    use ndarray::{Array2, Axis};

    /// The table gathers all images; `z` was only added to.
    pub fn backward(dz: &Array2<f64>, dtable: &mut Array2<f64>) -> Array2<f64> {
        for image in dz.axis_chunks_iter(Axis(0), dtable.nrows()) {
            *dtable += &image;
        }
        dz.clone()
    }
}

/// Masking.
pub mod masking {
    use ndarray::{Array1, Array2};
    use vit_mae::mae::Mask;

    /// `dz = Gᵀ dx`, and the class token gathers its rows.
    pub fn backward(dx: &Array2<f64>, masks: &[Mask], dcls_token: &mut Array1<f64>) -> Array2<f64> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let mut dz = Array2::zeros((masks.len() * len, dx.ncols()));
        for (b, mask) in masks.iter().enumerate() {
            *dcls_token += &dx.row(b * (1 + keep));
            for (i, &patch) in mask.ids_keep().iter().enumerate() {
                dz.row_mut(b * len + patch).assign(&dx.row(b * (1 + keep) + 1 + i));
            }
        }
        dz
    }
}

/// Unshuffle.
pub mod unshuffle {
    use ndarray::{Array1, Array2};
    use vit_mae::mae::Mask;

    /// `dy = G dx`, and the mask token gathers the rows in which it stood.
    pub fn backward(dx: &Array2<f64>, masks: &[Mask], dmask_token: &mut Array1<f64>) -> Array2<f64> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let mut dy = Array2::zeros((masks.len() * (1 + keep), dx.ncols()));
        for (b, mask) in masks.iter().enumerate() {
            dy.row_mut(b * (1 + keep)).assign(&dx.row(b * (1 + len)));
            for (l, &place) in mask.ids_restore.iter().enumerate() {
                let row = dx.row(b * (1 + len) + 1 + l);
                if place < keep {
                    dy.row_mut(b * (1 + keep) + 1 + place).assign(&row);
                } else {
                    *dmask_token += &row;
                }
            }
        }
        dy
    }
}

/// The loss.
pub mod loss {
    use ndarray::Array2;
    use vit_mae::mae::Mask;

    /// `dpred = 2 m (pred − t) / (P M)`.
    pub fn backward(
        pred: &Array2<f64>,
        target: &Array2<f64>,
        masks: &[Mask],
        removed_in_batch: usize,
    ) -> Array2<f64> {
        let len = masks[0].ids_shuffle.len();
        let mut dpred = (pred - target) * (2.0 / (pred.ncols() * removed_in_batch) as f64);
        for (i, mut row) in dpred.outer_iter_mut().enumerate() {
            if !masks[i / len].removes(i % len) {
                row.fill(0.0);
            }
        }
        dpred
    }
}

/// AdamW.
pub mod adamw {
    use crate::checks::Settings;
    use ndarray::{Array1, Zip};

    /// The moments, their corrections, decay, step.
    pub fn step(
        settings: Settings,
        k: i32,
        g: &Array1<f64>,
        m: &mut Array1<f64>,
        v: &mut Array1<f64>,
        w: &mut Array1<f64>,
    ) {
        let Settings { lr, weight_decay, betas: (beta1, beta2), eps } = settings;
        Zip::from(w).and(m).and(v).and(g).for_each(|w, m, v, &g| {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let (m_hat, v_hat) = (*m / (1.0 - beta1.powi(k)), *v / (1.0 - beta2.powi(k)));
            *w -= lr * weight_decay * *w + lr * m_hat / (v_hat.sqrt() + eps);
        });
    }
}

/// Batch norm.
pub mod batch_norm {
    use ndarray::{Array1, Array2, Axis};
    use vit_mae::layers::AffineBatchNorm;

    fn mean(a: &Array2<f64>) -> Array1<f64> {
        a.sum_axis(Axis(0)) / a.nrows() as f64
    }

    /// `x̂ = (x − μ) / √(σ² + ε)` by column, `y = γ ⊙ x̂ + β`.
    pub fn forward(layer: &AffineBatchNorm<f64>, x: &Array2<f64>) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
        let centred = x - &mean(x);
        let inv_std = mean(&(&centred * &centred)).mapv(|v| 1.0 / (v + layer.norm.eps).sqrt());
        let x_hat = centred * &inv_std;
        (&x_hat * &layer.weight + &layer.bias, x_hat, inv_std)
    }

    /// `dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂ ⊙ x̂)) / √(σ² + ε)`, means over the batch.
    pub fn backward(
        layer: &AffineBatchNorm<f64>,
        x_hat: &Array2<f64>,
        inv_std: &Array1<f64>,
        dy: &Array2<f64>,
        grad: &mut AffineBatchNorm<f64>,
    ) -> Array2<f64> {
        grad.weight += &(dy * x_hat).sum_axis(Axis(0));
        grad.bias += &dy.sum_axis(Axis(0));
        let dx_hat = dy * &layer.weight;
        (&dx_hat - &mean(&dx_hat) - x_hat * &mean(&(&dx_hat * x_hat))) * inv_std
    }
}

/// InfoNCE.
pub mod info_nce {
    use ndarray::{Array1, Array2, Axis};

    /// `dS = 2 T (P − I) / B`, `dq̂ = dS k̂ / T`, `dq = (dq̂ − q̂ ⟨q̂, dq̂⟩) / ‖q‖`.
    pub fn backward(
        query: &Array2<f64>,
        norms: &Array1<f64>,
        key: &Array2<f64>,
        p: &Array2<f64>,
        temperature: f64,
    ) -> Array2<f64> {
        let images = p.nrows();
        let ds = (p - &Array2::<f64>::eye(images)) * (2.0 * temperature / images as f64);
        let dunit = ds.dot(key) / temperature;
        let along = (&dunit * query).sum_axis(Axis(1)).insert_axis(Axis(1));
        (dunit - query * &along) / norms.view().insert_axis(Axis(1))
    }
}

/// A 3 × 3 convolution.
pub mod conv3x3 {
    use ndarray::Array3;
    use vit_mae::layers::Conv3x3;

    /// Whatever `y[i, j]` read, with the weight that it was read with.
    pub fn backward(
        layer: &Conv3x3<f64>,
        x: &Array3<f64>,
        dy: &Array3<f64>,
        grad: &mut Conv3x3<f64>,
    ) -> Array3<f64> {
        let (height, width, _) = x.dim();
        let mut dx = Array3::zeros(x.dim());
        for ((i, j, o), &dy) in dy.indexed_iter() {
            for ((_, c, a, b), w) in layer.weight.indexed_iter().filter(|((of, ..), _)| *of == o) {
                let (row, column) = (i + a, j + b); // moved by one: the border has no index below 0
                if (1..=height).contains(&row) && (1..=width).contains(&column) {
                    grad.weight[(o, c, a, b)] += dy * x[(row - 1, column - 1, c)];
                    dx[(row - 1, column - 1, c)] += dy * w;
                }
            }
        }
        dx
    }
}

/// RoIAlign of one region.
pub mod roi_align {
    use ndarray::{Array2, Array3};

    /// To the four pixels that each sample read, with the weights that it read them with.
    pub fn backward(
        rows: &Array2<f64>,
        columns: &Array2<f64>,
        size: [usize; 2],
        dy: &Array3<f64>,
    ) -> Array3<f64> {
        let mut dx = Array3::zeros((size[0], size[1], dy.dim().2));
        let samples = (rows.ncols() * columns.ncols()) as f64;
        for ((p, q, c), dy) in dy.indexed_iter() {
            for (&s, &t) in rows.row(p).iter().flat_map(|s| columns.row(q).into_iter().map(move |t| (s, t))) {
                for (i, down) in read(s, size[0]) {
                    for (j, across) in read(t, size[1]) {
                        dx[(i, j, c)] += dy * down * across / samples;
                    }
                }
            }
        }
        dx
    }

    /// The pixels of a line that a sample reads, and their weights.
    fn read(at: f64, pixels: usize) -> Vec<(usize, f64)> {
        if at < -1.0 || at > pixels as f64 {
            return Vec::new();
        }
        let at = at.clamp(0.0, (pixels - 1) as f64);
        let weight = |pixel: usize| 1.0 - (at - pixel as f64).abs();
        (0..pixels).map(|pixel| (pixel, weight(pixel))).filter(|(_, weight)| *weight > 0.0).collect()
    }
}
