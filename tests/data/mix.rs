//! Claim: mixup and cutmix mix images and targets with the same weights, to the pixel, as drawn from the address of
//! the batch alone, with the distribution that the papers have.

use ndarray::{Array2, Array4, Axis, s};
use proptest::prelude::*;
use vit_mae::data::{Mix, Mixing};

/// A batch whose pixels are all different.
fn batch(images: usize, channels: usize, height: usize, width: usize) -> Array4<f32> {
    let mut next = 0.0;
    Array4::from_shape_simple_fn((images, channels, height, width), || {
        next += 1.0;
        next
    })
}

/// Distributions with all their mass on a class of their own, smoothed by 0.1.
fn targets(images: usize, classes: usize) -> Array2<f64> {
    Array2::from_shape_fn((images, classes), |(b, k)| {
        0.1 / classes as f64 + if b % classes == k { 0.9 } else { 0.0 }
    })
}

fn only(mixup_alpha: f64, cutmix_alpha: f64) -> Mixing {
    Mixing { mixup_alpha, cutmix_alpha, prob: 1.0, switch_prob: 0.5 }
}

proptest! {
    #[test]
    fn a_cutmix_box_holds_the_other_image_and_nothing_else_does(
        (images, channels, height, width) in (1usize..6, 1usize..4, 1usize..20, 1usize..20),
        alpha in 0.1f64..3.0,
        seed: u64,
    ) {
        let mix = only(0.0, alpha).draw(height, width, seed, 2, 3);
        let Mix::Cutmix(cut, pixels) = mix else { panic!("{mix:?} is no cutmix") };
        prop_assert_eq!(pixels, height * width);
        prop_assert!(cut.top + cut.height <= height && cut.left + cut.width <= width);
        let (before, mut mixed) = (batch(images, channels, height, width), batch(images, channels, height, width));
        mix.images(&mut mixed);
        let mut own = 0;
        for ((b, c, y, x), &value) in mixed.indexed_iter() {
            let inside = (cut.top..cut.top + cut.height).contains(&y) && (cut.left..cut.left + cut.width).contains(&x);
            let from = if inside { images - 1 - b } else { b };
            prop_assert_eq!(value, before[(from, c, y, x)]);
            own += usize::from(!inside);
        }
        // λ is the fraction of pixels that are the image's own, counted.
        prop_assert!((mix.lambda() - own as f64 / mixed.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn mixup_is_a_weighted_mean_of_an_image_and_its_partner(
        images in 1usize..6,
        alpha in 0.05f64..5.0,
        seed: u64,
    ) {
        let mix = only(alpha, 0.0).draw(3, 4, seed, 0, 0);
        let Mix::Mixup(lambda) = mix else { panic!("{mix:?} is no mixup") };
        prop_assert_eq!(lambda, mix.lambda());
        let (before, mut mixed) = (batch(images, 2, 3, 4), batch(images, 2, 3, 4));
        mix.images(&mut mixed);
        for ((b, c, y, x), &value) in mixed.indexed_iter() {
            let (one, other) = (before[(b, c, y, x)], before[(images - 1 - b, c, y, x)]);
            let expected = lambda * f64::from(one) + (1.0 - lambda) * f64::from(other);
            prop_assert!((f64::from(value) - expected).abs() <= 1e-6 * expected, "{value} is not {expected}");
            prop_assert!(value >= one.min(other) * 0.999_999 && value <= one.max(other) * 1.000_001);
        }
    }

    #[test]
    fn targets_stay_distributions_and_each_class_keeps_its_mass(
        images in 1usize..8,
        classes in 1usize..5,
        seed: u64,
        epoch in 0u64..9,
    ) {
        let mix = Mixing { prob: 0.8, ..Mixing::REFERENCE }.draw(9, 7, seed, epoch, 1);
        let before = targets(images, classes);
        let mixed = mix.targets(&before);
        for row in mixed.rows() {
            prop_assert!((row.sum() - 1.0).abs() < 1e-12 && row.iter().all(|&q| (0.0..=1.0).contains(&q)));
        }
        let mass = |rows: &Array2<f64>| rows.sum_axis(Axis(0));
        prop_assert!((mass(&mixed) - mass(&before)).iter().all(|d| d.abs() < 1e-12));
        let expected = &before.row(0) * mix.lambda() + &before.row(images - 1) * (1.0 - mix.lambda());
        prop_assert!((&mixed.row(0) - &expected).iter().all(|d| d.abs() < 1e-15));
    }

    #[test]
    fn any_alpha_gives_a_weight(exponent in -300i32..300, seed: u64) {
        let alpha = 10f64.powi(exponent);
        for mixing in [only(alpha, 0.0), only(0.0, alpha)] {
            let lambda = mixing.draw(8, 8, seed, 0, 0).lambda();
            prop_assert!((0.0..=1.0).contains(&lambda), "λ = {lambda}");
        }
    }
}

#[test]
fn lambda_follows_the_beta_distribution() {
    for alpha in [0.2, 0.8, 1.0, 3.0] {
        let draws = 0..20_000;
        let lambdas: Vec<f64> = draws.map(|i| only(alpha, 0.0).draw(8, 8, 5, 0, i).lambda()).collect();
        let n = lambdas.len() as f64;
        let mean = lambdas.iter().sum::<f64>() / n;
        let variance = lambdas.iter().map(|l| (l - 0.5).powi(2)).sum::<f64>() / n;
        // Var Beta(α, α) = 1 / (4 (2α + 1)), at most ¼: five standard errors of both are below 0.018.
        assert!((mean - 0.5).abs() < 0.018, "α = {alpha}: mean {mean}");
        let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
        assert!((variance - expected).abs() < 0.006, "α = {alpha}: variance {variance}, not {expected}");
    }
}

#[test]
fn probabilities_are_shares_of_batches() {
    type Wanted = fn(&Mix) -> bool;
    let count =
        |mixing: Mixing, wanted: Wanted| (0..4000).filter(|&i| wanted(&mixing.draw(8, 8, 1, 0, i))).count();
    let (is_cutmix, is_mixup): (Wanted, Wanted) =
        (|mix| matches!(mix, Mix::Cutmix(..)), |mix| matches!(mix, Mix::Mixup(_)));
    let sometimes = Mixing { prob: 0.5, switch_prob: 0.2, ..Mixing::REFERENCE };
    // 0.5 · 0.2 and 0.5 · 0.8 of 4000; five standard deviations are 95 and 155.
    assert!((305..=495).contains(&count(sometimes, is_cutmix)));
    assert!((1445..=1755).contains(&count(sometimes, is_mixup)));
    // One alone is taken whatever switch_prob says; none is none.
    assert_eq!(count(Mixing { switch_prob: 1.0, ..only(0.8, 0.0) }, is_mixup), 4000);
    assert_eq!(count(Mixing { switch_prob: 0.0, ..only(0.0, 1.0) }, is_cutmix), 4000);
    assert_eq!(count(only(0.0, 0.0), |mix| *mix == Mix::None), 4000);
    assert_eq!(count(Mixing { prob: 0.0, ..Mixing::REFERENCE }, |mix| *mix == Mix::None), 4000);
    let mut untouched = batch(4, 1, 3, 3);
    Mix::None.images(&mut untouched);
    assert_eq!((untouched, Mix::None.targets(&targets(4, 3))), (batch(4, 1, 3, 3), targets(4, 3)));
}

#[test]
fn cutmix_boxes_reach_every_pixel() {
    let mut covered = Array2::<u32>::zeros((6, 9));
    for i in 0..2000 {
        if let Mix::Cutmix(cut, _) = only(0.0, 1.0).draw(6, 9, 8, 0, i) {
            let (bottom, right) = (cut.top + cut.height, cut.left + cut.width);
            covered.slice_mut(s![cut.top..bottom, cut.left..right]).mapv_inplace(|n| n + 1);
        }
    }
    assert!(covered.iter().all(|&n| n > 100 && n < 1900), "{covered}");
}

#[test]
fn a_batch_is_mixed_by_its_address_alone_on_any_number_of_threads() {
    let draw = |seed, epoch, batch| Mixing::REFERENCE.draw(16, 16, seed, epoch, batch);
    assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
    assert!(![draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)].contains(&draw(1, 2, 3)));
    for mix in [Mix::Mixup(0.3), only(0.0, 1.0).draw(16, 16, 4, 0, 0)] {
        let mixed = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut images = batch(7, 3, 16, 16);
            pool.install(|| mix.images(&mut images));
            images.mapv(f32::to_bits)
        };
        assert_eq!(mixed(1), mixed(3));
        assert_ne!(mixed(1), batch(7, 3, 16, 16).mapv(f32::to_bits));
    }
}
