//! The worked examples of maps: a convolution and resizing, computed by the library's layers.

use crate::example::Example;
use ndarray::{Array2, Array4};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::{Conv3x3, Resize};
use vit_mae::params::Params;

/// A picture of one channel as a token matrix.
fn rows(picture: &Array2<f64>) -> Array2<f64> {
    picture.to_shape((picture.len(), 1)).expect("the same elements").to_owned()
}

#[test]
fn a_convolution_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("16-maps.md", "convolution");
    let (x, kernel, dy) = (e.given("x"), e.given("W"), e.given("dy"));
    let (size, cx) = ([x.nrows(), x.ncols()], &mut Exec::new(Backend::default()));
    let layer = |kernel: &Array2<f64>| Conv3x3 {
        weight: Array4::from_shape_fn((1, 1, 3, 3), |(_, _, a, b)| kernel[(a, b)]),
    };
    let conv = layer(&kernel);
    let (y, cache) = conv.forward(rows(&x), size, cx);
    e.check("y", &y);
    e.check_scalar("loss", (&rows(&dy) * &y).sum());
    let mut grad = conv.zeros_like();
    let dx = conv.backward(cache, rows(&dy).view(), &mut grad, cx);
    e.check("dW", &grad.weight);
    let turned = Array2::from_shape_fn((3, 3), |(a, b)| kernel[(2 - a, 2 - b)]);
    e.check("turned W", &turned);
    e.check("dx", &dx);
    let by_turned = layer(&turned).forward(rows(&dy), size, cx).0;
    assert!((&by_turned - &dx).iter().all(|d| d.abs() < 1e-12), "the page says that these are the same");
    e.check_scalar("⟨W, dW⟩", (&conv.weight * &grad.weight).sum());
    e.check_scalar("⟨x, dx⟩", (&rows(&x) * &dx).sum());
    e.done();
}

#[test]
fn resizing_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("16-maps.md", "resizing");
    let cx = &mut Exec::new(Backend::default());
    for (matrix, [x, y, dy, dx]) in [("A", ["x", "y", "dy", "dx"]), ("cells", ["u", "v", "dv", "du"])] {
        let (given, upstream) = (e.given(x), e.given(dy));
        let (n, m) = (given.ncols(), upstream.ncols());
        let resize =
            if matrix == "A" { Resize::bilinear([1, n], [1, m]) } else { Resize::average([1, n], [1, m]) };
        // What it does to the unit vectors are its columns.
        let columns = (0..n).map(|i| {
            let unit = Array2::from_shape_fn((n, 1), |(row, _)| f64::from(u8::from(row == i)));
            resize.forward(unit.view(), cx).into_raw_vec_and_offset().0
        });
        let columns: Vec<f64> = columns.collect::<Vec<_>>().concat();
        e.check(matrix, &Array2::from_shape_vec((n, m), columns).expect("n columns").t().to_owned());
        e.check(y, &resize.forward(rows(&given).view(), cx));
        e.check(dx, &resize.backward(rows(&upstream).view(), cx));
    }
    e.done();
}
