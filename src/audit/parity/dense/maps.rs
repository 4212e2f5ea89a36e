//! Operations from maps to maps.

use super::case::{Case, Maps};
use crate::audit::parity::tolerance::relative;
use crate::base::{Real, Result};
use crate::exec::{Backend, Exec};
use crate::layers::{BiasedConv3x3, Conv3x3, ConvTranspose2x2, LayerNorm, MaxPool, Relu, Resize};
use crate::params::Params;
use ndarray::{Ix1, Ix4};

pub(super) fn conv3x3<F: Real>(case: &mut Case<F>) -> Result<()> {
    let Maps { rows, images, size } = case.x()?;
    let [d_out, ..] = case.shape::<4>("weight")?;
    let mut conv = BiasedConv3x3::<F>::new(rows.ncols(), d_out);
    let weight = case.input("weight", &[d_out, rows.ncols(), 3, 3])?;
    conv.map = Conv3x3 { weight: weight.into_dimensionality::<Ix4>().expect("four axes, just checked") };
    let biased = case.has("bias");
    if biased {
        conv.bias = case.input("bias", &[d_out])?.into_dimensionality::<Ix1>().expect("one axis");
    }
    let dy = case.dy(images, size, d_out)?;
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), Case::<F>::tolerance());
    let mut grad = conv.zeros_like();
    let (y, dx) = if biased {
        let (y, cache) = conv.forward(rows, size, cx);
        (y, conv.backward(cache, dy.view(), &mut grad, cx))
    } else {
        let (y, cache) = conv.map.forward(rows, size, cx);
        (y, conv.map.backward(cache, dy.view(), &mut grad.map, cx))
    };
    case.compare_maps("y", &y, size, tolerance)?;
    case.compare_maps("dx", &dx, size, tolerance)?;
    case.compare("dweight", grad.map.weight.shape(), &grad.map.weight, tolerance)?;
    if biased {
        case.compare("dbias", &[d_out], &grad.bias, tolerance)?;
    }
    Ok(())
}

pub(super) fn conv_transpose2x2<F: Real>(case: &mut Case<F>) -> Result<()> {
    let Maps { rows, images, size } = case.x()?;
    let [_, d_out, ..] = case.shape::<4>("weight")?;
    let weight = case.input("weight", &[rows.ncols(), d_out, 2, 2])?;
    let weight = weight.into_dimensionality::<Ix4>().expect("four axes, just checked");
    let bias = case.input("bias", &[d_out])?.into_dimensionality::<Ix1>().expect("one axis");
    let (conv, doubled) = (ConvTranspose2x2 { weight, bias }, size.map(|n| 2 * n));
    let dy = case.dy(images, doubled, d_out)?;
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), Case::<F>::tolerance());
    let mut grad = conv.zeros_like();
    let (y, cache) = conv.forward(rows, size, cx);
    let dx = conv.backward(cache, dy.view(), &mut grad, cx);
    case.compare_maps("y", &y, doubled, tolerance)?;
    case.compare_maps("dx", &dx, size, tolerance)?;
    case.compare("dweight", grad.weight.shape(), &grad.weight, tolerance)?;
    case.compare("dbias", &[d_out], &grad.bias, tolerance)
}

pub(super) fn max_pool<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (Maps { rows, images, size }, [window, other]) = (case.x()?, case.size()?);
    if window != other || size.iter().any(|side| !side.is_multiple_of(window)) {
        return Err(case.wrong("`size`: one that tiles the map"));
    }
    let (pool, pooled, channels) = (MaxPool { window }, size.map(|side| side / window), rows.ncols());
    let dy = case.dy(images, pooled, channels)?;
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), Case::<F>::tolerance());
    let (y, cache) = pool.forward(rows, size, cx);
    let dx = pool.backward(cache, dy.view(), &mut MaxPool { window }, cx);
    case.compare_maps("y", &y, pooled, tolerance)?;
    case.compare_maps("dx", &dx, size, tolerance)
}

pub(super) fn nearest2x<F: Real>(case: &mut Case<F>) -> Result<()> {
    resize(case, |from| Ok((Resize::nearest2x(from), from.map(|n| 2 * n))))
}

pub(super) fn subsample2<F: Real>(case: &mut Case<F>) -> Result<()> {
    resize(case, |from| Ok((Resize::subsample2(from), from.map(|n| n.div_ceil(2)))))
}

pub(super) fn bilinear<F: Real>(case: &mut Case<F>) -> Result<()> {
    let to = case.size()?;
    resize(case, |from| Ok((Resize::bilinear(from, to), to)))
}

pub(super) fn average<F: Real>(case: &mut Case<F>) -> Result<()> {
    let to = case.size()?;
    resize(case, |from| Ok((Resize::average(from, to), to)))
}

/// A linear map to another size, and its adjoint.
fn resize<F: Real>(
    case: &mut Case<F>,
    of: impl FnOnce([usize; 2]) -> Result<(Resize<F>, [usize; 2])>,
) -> Result<()> {
    let Maps { rows, images, size } = case.x()?;
    let (map, to) = of(size)?;
    let dy = case.dy(images, to, rows.ncols())?;
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), Case::<F>::tolerance());
    case.compare_maps("y", &map.forward(rows.view(), cx), to, tolerance)?;
    case.compare_maps("dx", &map.backward(dy.view(), cx), size, tolerance)
}

pub(super) fn layer_norm<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (Maps { rows, images, size }, eps) =
        (case.x()?, case.number("eps", "a small number", |eps| (0.0..1.0).contains(&eps))?);
    let channels = rows.ncols();
    let mut vector = |name: &str| {
        Ok(case.input(name, &[channels])?.into_dimensionality::<Ix1>().expect("one axis, just checked"))
    };
    let norm = LayerNorm { weight: vector("weight")?, bias: vector("bias")?, eps };
    let dy = case.dy(images, size, channels)?;
    // One pixel is almost constant.
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), relative::<F>(1e-11, 2e-4));
    let mut grad = norm.zeros_like();
    let (y, cache) = norm.forward(rows, cx);
    let dx = norm.backward(cache, dy.view(), &mut grad, cx);
    case.compare_maps("y", &y, size, tolerance)?;
    case.compare_maps("dx", &dx, size, tolerance)?;
    case.compare("dweight", &[channels], &grad.weight, tolerance)?;
    case.compare("dbias", &[channels], &grad.bias, tolerance)
}

pub(super) fn relu<F: Real>(case: &mut Case<F>) -> Result<()> {
    let Maps { rows, images, size } = case.x()?;
    let dy = case.dy(images, size, rows.ncols())?;
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), Case::<F>::tolerance());
    let (y, cache) = Relu.forward(rows, cx);
    case.compare_maps("y", &y, size, tolerance)?;
    let dx = Relu.backward(cache, dy.view(), &mut Relu, cx);
    case.compare_maps("dx", &dx, size, tolerance)
}
