//! What networks on a pyramid cost: the products behind the trunk, and what these compute, hold and keep.

use super::levels::STRIDES;
use crate::models::vit::stack::{linear_flops, norm_parameters};

/// A product of such a network: how many rows of how many inputs, each `taps` times, give how many outputs.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    rows: usize,
    taps: usize,
    inputs: usize,
    outputs: usize,
}

/// `[rows, inputs] → [rows, outputs]`.
pub(crate) fn product(rows: usize, inputs: usize, outputs: usize) -> Product {
    Product { rows, taps: 1, inputs, outputs }
}

/// A 3 × 3 convolution, which reads each pixel's neighbours.
pub(crate) fn conv3x3(rows: usize, inputs: usize, outputs: usize) -> Product {
    Product { rows, taps: 9, inputs, outputs }
}

/// Floating-point operations, a multiply-add being two.
pub(crate) fn flops(products: &[Product]) -> f64 {
    products.iter().map(|p| linear_flops(p.rows, p.taps * p.inputs, p.outputs)).sum()
}

/// Numbers that products keep: of every layer its input, what its norm keeps and ReLU's slope. The neighbours of a convolution are
/// not copied, but its input is padded, by a third on small maps.
pub(crate) fn kept(products: &[Product]) -> usize {
    let inputs = |p: &Product| if p.taps > 1 { 4 * p.inputs / 3 } else { p.inputs };
    products.iter().map(|p| p.rows * (inputs(p) + 2 * p.outputs)).sum()
}

/// Numbers that pass through the largest of the products, there and back, beside what is kept.
pub(crate) fn passing(products: &[Product]) -> usize {
    products.iter().map(|p| 2 * p.rows * (p.inputs + p.outputs)).max().unwrap_or(0)
}

/// Parameters of a convolution of so many taps without bias, and of the norm behind it.
pub(crate) fn conv_parameters(taps: usize, inputs: usize, outputs: usize) -> usize {
    taps * inputs * outputs + norm_parameters(outputs)
}

/// How often the map of patches is doubled for each level.
fn doublings(patch_size: usize) -> impl Iterator<Item = usize> {
    STRIDES.into_iter().map(move |stride| (patch_size / stride).checked_ilog2().unwrap_or(0) as usize)
}

/// Parameters of the adapters of patches of `d` channels.
pub(crate) fn adapter_parameters(patch_size: usize, d: usize) -> usize {
    let norm = |n: usize| if n == 2 { norm_parameters(d) } else { 0 };
    doublings(patch_size).map(|n| n * (4 * d * d + d) + norm(n)).sum()
}

/// Products of the adapters.
pub(crate) fn adapters(patch_size: usize, patches: usize, d: usize) -> impl Iterator<Item = Product> {
    doublings(patch_size)
        .flat_map(move |times| (0..times).map(move |n| product(patches << (2 * n), d, 4 * d)))
}
