//! The one loop over blocks, there and back: an encoder's, a decoder's, in training and in inference.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::Block;
use crate::layers::block::BlockCache;
use crate::layers::drop_path::Branches;
use ndarray::Array2;
use std::mem;

/// What a forward pass does beyond the model: how far backward will go, what is left out, and what is handed out.
#[derive(Clone, Copy, Debug)]
pub struct ForwardOptions<'a, F> {
    /// How many of the last blocks are trained, with what is behind them; 0 for what is behind them alone (He et al.
    /// 2022, §4.3, "Partial Fine-tuning"). Everything is trained if absent, also what comes before the blocks.
    pub tune_blocks: Option<usize>,
    /// Factors of every block's branches for every image; also in blocks that are not trained.
    pub drop_path: Option<&'a Branches<F>>,
    /// The blocks whose outputs are handed out beside the last one's, in ascending order.
    pub taps: &'a [usize],
    /// The only rows of the last block's output that are needed, if not all: it computes no others behind its attention.
    pub rows: Option<&'a [usize]>,
}

impl<F> Default for ForwardOptions<'_, F> {
    /// Everything is computed and trained, nothing handed out.
    fn default() -> Self {
        Self { tune_blocks: None, drop_path: None, taps: &[], rows: None }
    }
}

impl<F> ForwardOptions<'_, F> {
    /// No backward pass will follow: nothing is kept for one, so memory does not grow with the depth.
    #[must_use]
    pub fn inference() -> Self {
        Self { tune_blocks: Some(0), ..Self::default() }
    }

    /// The first block that is trained.
    fn first_block(&self, depth: usize) -> usize {
        self.tune_blocks.map_or(0, |last| depth.saturating_sub(last))
    }
}

/// What blocks give.
#[derive(Debug)]
pub struct Encoded<F> {
    /// `[B·N, D]`: behind the last block; `[M, D]` if only these [`ForwardOptions::rows`] were needed.
    pub x: Array2<F>,
    /// `[B·N, D]` each: behind the blocks that [`ForwardOptions::taps`] names.
    pub taps: Vec<Array2<F>>,
}

/// What [`backward`] needs: the caches of the blocks that are trained.
#[must_use]
pub struct StackCache<F> {
    /// Of the last blocks.
    blocks: Vec<BlockCache<F>>,
    /// Whose outputs were handed out.
    taps: Vec<usize>,
}

/// `x: [B·N, D]` through all blocks, `N = tokens`; `name` is what the stack is called in a checkpoint.
///
/// # Panics
/// If drop path's factors are not those of as many blocks and images, or a tap is no block, or one that does not
/// compute all rows.
pub fn forward<F: Real>(
    blocks: &[Block<F>],
    name: &str,
    mut x: Array2<F>,
    tokens: usize,
    o: &ForwardOptions<F>,
    cx: &mut Exec<F>,
) -> (Encoded<F>, StackCache<F>) {
    let first = o.first_block(blocks.len());
    let untapped = blocks.len() - usize::from(o.rows.is_some());
    assert!(o.taps.is_sorted() && o.taps.iter().all(|&i| i < untapped), "taps {:?}", o.taps);
    let (mut caches, mut taps) = (Vec::with_capacity(blocks.len() - first), Vec::new());
    for (i, block) in blocks.iter().enumerate() {
        let branches = o.drop_path.map_or([None; 2], |branches| branches.of_block(i));
        let rows = o.rows.filter(|_| i + 1 == blocks.len());
        let (y, cache) =
            cx.inside(format_args!("{name}.{i}"), |cx| block.forward_with(x, tokens, branches, rows, cx));
        if i < first {
            cache.recycle(cx);
        } else {
            caches.push(cache);
        }
        if o.taps.contains(&i) {
            taps.push(cx.copy(&y));
        }
        x = y;
    }
    (Encoded { x, taps }, StackCache { blocks: caches, taps: o.taps.to_vec() })
}

/// Adds the gradient of the blocks that are trained; `dx` is the gradient of the last block's output, `dtaps` those of the
/// outputs that were handed out. Returns the gradient of the first trained block's input.
///
/// A tap below the first trained block is a constant: its gradient goes nowhere.
pub fn backward<F: Real>(
    blocks: &[Block<F>],
    name: &str,
    cache: StackCache<F>,
    mut dx: Array2<F>,
    dtaps: &[Array2<F>],
    grad: &mut [Block<F>],
    cx: &mut Exec<F>,
) -> Array2<F> {
    assert_eq!(dtaps.len(), cache.taps.len(), "a gradient for every tap");
    let first = blocks.len() - cache.blocks.len();
    for (i, block_cache) in cache.blocks.into_iter().enumerate().rev() {
        let i = first + i;
        if let Some(tap) = cache.taps.iter().position(|&tap| tap == i) {
            // The output went two ways  ⇒  its gradient is the sum of both
            cx.add_assign(&mut dx, &dtaps[tap]);
        }
        let (block, grad) = (&blocks[i], &mut grad[i]);
        let below =
            cx.inside(format_args!("{name}.{i}"), |cx| block.backward(block_cache, dx.view(), grad, cx));
        cx.recycle(mem::replace(&mut dx, below));
    }
    dx
}
