//! All four levels, from the outputs of four blocks.

use super::adapter::{Adapter, AdapterCache};
use super::levels::{STRIDES, taps};
use super::tokens::{to_maps, to_maps_backward};
use crate::base::Real;
use crate::exec::Exec;
use crate::models::vit::VitConfig;
use crate::params;
use ndarray::Array2;

params! {
    /// An adapter a level.
    pub struct Pyramid {
        layers {
            /// Of strides 4, 8, 16, 32.
            adapters: Vec<Adapter<F>>,
        }
        plain {
            /// The blocks whose outputs are taken, the last one among them.
            blocks: [usize; 4],
            /// Patches in a column and in a row of the image.
            grid: [usize; 2],
        }
    }
}

/// What [`Pyramid::backward`] needs.
#[must_use]
pub struct PyramidCache<F>(Vec<AdapterCache<F>>);

impl<F: Real> PyramidCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.0.into_iter().for_each(|cache| cache.recycle(cx));
    }
}

impl<F: Real> Pyramid<F> {
    /// All zeros.
    ///
    /// # Panics
    /// If the trunk has no pyramid: [`super::levels::validate`] says so in words.
    #[must_use]
    pub fn new(vit: &VitConfig) -> Self {
        let adapter = |stride| Adapter::new(vit.patch_size, stride, vit.embed_dim, vit.layer_norm_eps);
        let (rows, columns) = vit.grid();
        let adapters = STRIDES.into_iter().map(adapter).collect();
        Self { adapters, blocks: taps(vit.depth), grid: [rows, columns] }
    }

    /// `N`: the class token and the patches.
    fn tokens(&self) -> usize {
        1 + self.grid[0] * self.grid[1]
    }

    /// `[B·N, D]` each, behind [`Pyramid::blocks`], to maps of strides 4, 8, 16, 32.
    pub fn forward(&self, tokens: Vec<Array2<F>>, cx: &mut Exec<F>) -> (Vec<Array2<F>>, PyramidCache<F>) {
        assert_eq!(tokens.len(), self.adapters.len(), "the output of a block for every level");
        let (mut levels, mut caches) = (Vec::new(), Vec::new());
        for (k, (adapter, x)) in self.adapters.iter().zip(tokens).enumerate() {
            let map = to_maps(x, self.tokens(), cx);
            cx.inside("taps", |cx| cx.trace(&k.to_string(), &map));
            let (level, cache) = adapter.forward(map, self.grid, cx);
            cx.inside("adapters", |cx| cx.trace(&k.to_string(), &level));
            levels.push(level);
            caches.push(cache);
        }
        (levels, PyramidCache(caches))
    }

    /// Adds the adapters' gradient; returns that of the blocks' outputs, 0 for class tokens. What flows through later blocks
    /// is not in it.
    pub fn backward(
        &self,
        cache: PyramidCache<F>,
        dlevels: Vec<Array2<F>>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Vec<Array2<F>> {
        let layers = self.adapters.iter().zip(cache.0).zip(&mut grad.adapters);
        let mut dtokens = Vec::with_capacity(dlevels.len());
        for (k, (((adapter, cache), grad), dlevel)) in layers.zip(dlevels).enumerate() {
            cx.inside("adapters", |cx| cx.trace_gradient(&k.to_string(), &dlevel));
            let dmap = adapter.backward(cache, dlevel, grad, cx);
            cx.inside("taps", |cx| cx.trace_gradient(&k.to_string(), &dmap));
            dtokens.push(to_maps_backward(dmap.view(), self.tokens(), cx));
            cx.recycle(dmap);
        }
        dtokens
    }
}
