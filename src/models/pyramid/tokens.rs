//! Between the tokens of images and their maps: the class token has no place on a map.

use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array2, ArrayView2};

/// `x: [B·N, D] → map: [B·(N − 1), D]`: patches without the class token, `N = tokens`.
///
/// # Panics
/// If the rows are not whole images.
pub fn to_maps<F: Real>(x: Array2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (rows, d) = x.dim();
    assert!(tokens > 1 && rows.is_multiple_of(tokens), "{rows} rows are not whole images of {tokens} tokens");
    let mut map = cx.take(rows / tokens * (tokens - 1), d);
    let images = x.as_slice().expect("activations are row-major").chunks_exact(tokens * d);
    let maps = map.as_slice_mut().expect("activations are row-major").chunks_exact_mut((tokens - 1) * d);
    cx.each(maps.zip(images), |(map, image)| map.copy_from_slice(&image[d..]));
    cx.recycle(x);
    map
}

/// The adjoint: `dx: [B·N, D]`, 0 for the class tokens.
pub fn to_maps_backward<F: Real>(dmap: ArrayView2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let (rows, d) = dmap.dim();
    let mut dx = cx.take(rows / (tokens - 1) * tokens, d);
    let images = dx.as_slice_mut().expect("activations are row-major").chunks_exact_mut(tokens * d);
    let maps = dmap.as_slice().expect("activations are row-major").chunks_exact((tokens - 1) * d);
    cx.each(images.zip(maps), |(image, dmap)| {
        let (class, patches) = image.split_at_mut(d);
        class.fill(F::zero());
        patches.copy_from_slice(dmap);
    });
    dx
}
