//! Weights on the device: copied when their content is new, once, and never otherwise.

use super::{agree, expected, fake::offload, random};
use ndarray::{Array2, s};
use std::sync::atomic::Ordering;
use vit_mae::exec::gemm::Gemm;
use vit_mae::exec::matrix::Matrix;

#[test]
fn a_weight_is_copied_once_and_again_only_when_it_was_written() {
    let (gemm, device) = offload::<f64>(1);
    let x = random::<f64>(6, 5, 1);
    let (mut w, frozen): (Matrix<_>, Matrix<_>) = (random(4, 5, 2).into(), random(4, 5, 3).into());
    for step in 1..=3 {
        for w in [&w, &frozen] {
            let mut y = Array2::zeros((6, 4));
            gemm.gemm(1.0, x.view().into(), w.t(), 0.0, y.view_mut()); // forward
            agree(y.view(), &expected(1.0, x.view(), w.t().view, 0.0, y.view()), 1e-14);
            let mut dx = Array2::zeros((6, 5));
            gemm.gemm(1.0, y.view().into(), w.view(), 0.0, dx.view_mut()); // backward
            agree(dx.view(), &expected(1.0, y.view(), w.view().view, 0.0, dx.view()), 1e-14);
        }
        assert_eq!(
            device.kept.load(Ordering::Relaxed),
            1 + step,
            "the frozen one once, the other in every step"
        );
        assert_eq!(gemm.traffic().weights, 1 + step as u64);
        *w *= 0.5;
    }
}

#[test]
fn a_clone_is_another_weight_also_where_the_first_one_was() {
    let (gemm, device) = offload::<f64>(1);
    let x = random::<f64>(3, 5, 1);
    let times = |w: &Matrix<f64>| {
        let mut y = Array2::zeros((3, 4));
        gemm.gemm(1.0, x.view().into(), w.t(), 0.0, y.view_mut());
        agree(y.view(), &expected(1.0, x.view(), w.t().view, 0.0, y.view()), 1e-14);
    };
    let mut w = Matrix::from(random::<f64>(4, 5, 2));
    times(&w);
    let mut other = w.clone();
    other.fill(7.0);
    std::mem::swap(&mut w, &mut other);
    times(&w);
    times(&other);
    assert_eq!(device.kept.load(Ordering::Relaxed), 2);
    drop((w, other));
    // The same address with other content, as a recycled buffer has.
    times(&random(4, 5, 3).into());
    assert_eq!(device.kept.load(Ordering::Relaxed), 3);
    assert_eq!(device.freed.load(Ordering::Relaxed), 2, "what nobody can ask for any more is not kept");
}

#[test]
fn parts_of_a_weight_are_read_in_place_and_what_cublas_cannot_read_is_packed() {
    let (gemm, device) = offload::<f64>(1);
    let w = Matrix::from(random::<f64>(12, 10, 2));
    for part in
        [w.slice(s![3..8, 2..9]), w.slice(s![3.., ..4]), w.slice(s![..; -1, ..]), w.slice(s![..;2, ..;3])]
    {
        for part in [part, part.reversed_axes()] {
            let a = random::<f64>(3, part.nrows(), 5);
            let mut c = Array2::zeros((3, part.ncols()));
            gemm.gemm(1.0, a.view().into(), w.view().seen(part), 0.0, c.view_mut());
            agree(c.view(), &expected(1.0, a.view(), part, 0.0, c.view()), 1e-14);
        }
    }
    assert_eq!(device.kept.load(Ordering::Relaxed), 1, "whole, once");
}

#[test]
fn threads_that_need_the_same_weight_at_once_copy_it_once() {
    let (gemm, device) = offload::<f64>(1);
    let (x, w) = (random::<f64>(6, 50, 1), Matrix::from(random::<f64>(40, 50, 2)));
    let right = expected(1.0, x.view(), w.t().view, 0.0, Array2::<f64>::zeros((6, 40)).view());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut y = Array2::zeros((6, 40));
                gemm.gemm(1.0, x.view().into(), w.t(), 0.0, y.view_mut());
                agree(y.view(), &right, 1e-14);
            });
        }
    });
    assert_eq!(device.kept.load(Ordering::Relaxed), 1);
    assert!(device.lanes.load(Ordering::Relaxed) <= 8, "lanes are used again");
}
