//! Weights on the device: copied when their content is new, once, and never otherwise.

use super::{agree, expected, fake::offload, random};
use ndarray::{Array2, s};
use std::sync::atomic::Ordering;
use vit_mae::exec::gemm::Gemm;
use vit_mae::exec::kept::Version;

#[test]
fn a_weight_is_copied_once_and_again_only_when_its_version_changes() {
    let (gemm, device) = offload::<f64>(1);
    let x = random::<f64>(6, 5, 1);
    let (mut w, frozen) = (random::<f64>(4, 5, 2), random::<f64>(4, 5, 3));
    let kept = gemm.kept().expect("a device keeps weights");
    let (mut version, of_frozen) = (Version::fresh(), Version::fresh());
    for step in 1..=3 {
        let weights =
            [(w.as_slice().expect("row-major"), version), (frozen.as_slice().expect("row-major"), of_frozen)];
        kept.with(&weights, || {
            for w in [&w, &frozen] {
                let mut y = Array2::zeros((6, 4));
                gemm.gemm(1.0, x.view(), w.t(), 0.0, y.view_mut()); // forward
                agree(y.view(), &expected(1.0, x.view(), w.t(), 0.0, y.view()), 1e-14);
                let mut dx = Array2::zeros((6, 5));
                gemm.gemm(1.0, y.view(), w.view(), 0.0, dx.view_mut()); // backward
                agree(dx.view(), &expected(1.0, y.view(), w.view(), 0.0, dx.view()), 1e-14);
            }
        });
        assert_eq!(
            device.kept.load(Ordering::Relaxed),
            1 + step,
            "the frozen one once, the other in every step"
        );
        assert_eq!(gemm.traffic().weights, 1 + step as u64);
        w *= 0.5;
        version = Version::fresh();
    }
}

#[test]
fn memory_that_is_no_weight_any_more_is_not_taken_for_one() {
    let (gemm, device) = offload::<f64>(1);
    let x = random::<f64>(3, 5, 1);
    let mut memory = random::<f64>(4, 5, 2);
    let kept = gemm.kept().expect("a device keeps weights");
    kept.with(&[(memory.as_slice().expect("row-major"), Version::fresh())], || {
        let mut y = Array2::zeros((3, 4));
        gemm.gemm(1.0, x.view(), memory.t(), 0.0, y.view_mut());
    });
    memory.fill(7.0); // the same address with other content, as a recycled buffer has
    let mut y = Array2::zeros((3, 4));
    gemm.gemm(1.0, x.view(), memory.t(), 0.0, y.view_mut());
    agree(y.view(), &expected(1.0, x.view(), memory.t(), 0.0, y.view()), 1e-14);
    assert_eq!(device.kept.load(Ordering::Relaxed), 1);
}

#[test]
fn parts_of_a_weight_are_read_in_place_and_what_cublas_cannot_read_is_packed() {
    let (gemm, device) = offload::<f64>(1);
    let w = random::<f64>(12, 10, 2);
    let kept = gemm.kept().expect("a device keeps weights");
    kept.with(&[(w.as_slice().expect("row-major"), Version::fresh())], || {
        for b in
            [w.slice(s![3..8, 2..9]), w.slice(s![3.., ..4]), w.slice(s![..; -1, ..]), w.slice(s![..;2, ..;3])]
        {
            for b in [b, b.reversed_axes()] {
                let a = random::<f64>(3, b.nrows(), 5);
                let mut c = Array2::zeros((3, b.ncols()));
                gemm.gemm(1.0, a.view(), b, 0.0, c.view_mut());
                agree(c.view(), &expected(1.0, a.view(), b, 0.0, c.view()), 1e-14);
            }
        }
    });
    assert_eq!(device.kept.load(Ordering::Relaxed), 1, "whole, once");
}

#[test]
fn threads_that_need_the_same_weight_at_once_copy_it_once() {
    let (gemm, device) = offload::<f64>(1);
    let (x, w) = (random::<f64>(6, 50, 1), random::<f64>(40, 50, 2));
    let right = expected(1.0, x.view(), w.t(), 0.0, Array2::<f64>::zeros((6, 40)).view());
    let kept = gemm.kept().expect("a device keeps weights");
    kept.with(&[(w.as_slice().expect("row-major"), Version::fresh())], || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut y = Array2::zeros((6, 40));
                    gemm.gemm(1.0, x.view(), w.t(), 0.0, y.view_mut());
                    agree(y.view(), &right, 1e-14);
                });
            }
        });
    });
    assert_eq!(device.kept.load(Ordering::Relaxed), 1);
    assert!(device.lanes.load(Ordering::Relaxed) <= 8, "lanes are used again");
}

#[test]
#[should_panic(expected = "one weight, two versions")]
fn a_weight_cannot_have_two_versions_at_once() {
    let (gemm, _) = offload::<f64>(1);
    let w = random::<f64>(2, 2, 1);
    let data = w.as_slice().expect("row-major");
    let kept = gemm.kept().expect("a device keeps weights");
    kept.with(&[(data, Version::fresh())], || kept.with(&[(data, Version::fresh())], || ()));
}
