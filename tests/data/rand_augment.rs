//! Claim: RandAugment draws the reference's operations evenly, at magnitudes with the reference's meaning, and keeps
//! the size of whatever image it gets.

use proptest::prelude::*;
use vit_mae::base::rng::{Purpose, rng};
use vit_mae::data::augment::fill_colour;
use vit_mae::data::augment::rand_augment::{Kind, Op};
use vit_mae::data::{Image, RandAugment};

/// A picture with some detail.
fn picture(height: usize, width: usize, channels: usize, index: usize) -> Image {
    let value = |i: usize| ((i * (2 * index + 7) + i * i * 13) % 255 + 1).to_le_bytes()[0];
    Image::new(height, width, channels, (0..height * width * channels).map(value).collect())
}

#[test]
fn operations_at_a_magnitude_are_the_references() {
    // rand-m9 of the increasing set, worked out by hand from timm's `*_level_to_arg`.
    let at = |kind: Kind, negative| kind.at(9.0, negative);
    assert_eq!(at(Kind::Rotate, false), Op::Rotate(27.0));
    assert_eq!(at(Kind::Posterize, false), Op::Posterize(1)); // 4 − int(3.6)
    assert_eq!(at(Kind::Solarize, true), Op::Solarize(26)); // 256 − int(230.4)
    assert_eq!(at(Kind::SolarizeAdd, false), Op::SolarizeAdd(99));
    let Op::Color(factor) = at(Kind::Color, true) else { panic!("Color") };
    assert!((factor - 0.19).abs() < 1e-6);
    let Op::Sharpness(factor) = at(Kind::Sharpness, false) else { panic!("Sharpness") };
    assert!((factor - 1.81).abs() < 1e-6);
    let (Op::ShearX(shear), Op::TranslateY(share)) = (at(Kind::ShearX, true), at(Kind::TranslateY, true))
    else {
        panic!("ShearX, TranslateY")
    };
    assert!((shear + 0.27).abs() < 1e-12 && (share + 0.405).abs() < 1e-12);
    // The ends of the scale: nothing at 0, no bits, threshold 0 and a factor of at least 0.1 at 10.
    assert_eq!(Kind::Posterize.at(0.0, false), Op::Posterize(4));
    assert_eq!(
        (Kind::Solarize.at(0.0, false), Kind::Contrast.at(0.0, true)),
        (Op::Solarize(256), Op::Contrast(1.0))
    );
    assert_eq!(
        (Kind::Posterize.at(10.0, false), Kind::Solarize.at(10.0, false)),
        (Op::Posterize(0), Op::Solarize(0))
    );
    assert_eq!(Kind::Brightness.at(10.0, true), Op::Brightness(0.1));
}

/// An image that each operation changes in its own way, in either direction.
fn sensitive() -> Image {
    Image::new(20, 20, 3, (0..1200).map(|i: u32| (3 + i * i % 97 * 2).to_le_bytes()[0]).collect())
}

/// What 3000 samples see.
fn views(augment: RandAugment) -> impl Iterator<Item = Image> {
    (0..3000).map(move |sample| {
        let mut view = sensitive();
        augment.apply(&mut view, &[1, 2, 3], &mut rng(4, Purpose::Augment, 0, sample));
        view
    })
}

#[test]
fn all_operations_are_equally_likely_in_both_directions() {
    let results = [false, true].map(|negative| {
        Kind::ALL.map(|kind| {
            let mut view = sensitive();
            kind.at(9.0, negative).apply(&mut view, &[1, 2, 3]);
            assert_ne!(view, sensitive(), "{kind:?} changes nothing");
            view
        })
    });
    let mut counts = [[0; 15]; 2];
    for view in views(RandAugment { ops: 1, prob: 1.0, magnitude: 9.0, magnitude_std: 0.0 }) {
        let side = usize::from(!results[0].contains(&view));
        counts[side][results[side].iter().position(|result| *result == view).expect("one of them")] += 1;
    }
    for (kind, (&positive, &negative)) in Kind::ALL.iter().zip(counts[0].iter().zip(&counts[1])) {
        // 3000 / 15 = 200 ± five standard deviations of 13.7; half of it on each side, ± 49.
        assert!((132..=268).contains(&(positive + negative)), "{kind:?}: {positive} + {negative}");
        let has_sides = kind.at(9.0, false) != kind.at(9.0, true);
        assert!((51..=149).contains(&negative) == has_sides, "{kind:?}: {negative} negative");
    }
}

#[test]
fn an_operation_is_applied_with_its_probability() {
    let changed = |ops, prob| {
        let augment = RandAugment { ops, prob, magnitude: 9.0, magnitude_std: 0.0 };
        views(augment).filter(|view| *view != sensitive()).count()
    };
    // ½ of 3000, and 1 − ¼ of 3000 but for the few pairs that cancel out; five standard deviations are 137 and 119.
    assert!((1363..=1637).contains(&changed(1, 0.5)), "{}", changed(1, 0.5));
    assert!((2100..=2369).contains(&changed(2, 0.5)), "{}", changed(2, 0.5));
    assert_eq!((changed(0, 1.0), changed(5, 0.0)), (0, 0));
}

#[test]
fn magnitudes_are_normal_and_clipped() {
    // One pixel of 200: nothing but a darker brightness, 200 (1 − 0.09 m), brings it between 60 and 180.
    let levels = |magnitude: f64, magnitude_std: f64| -> Vec<f64> {
        let augment = RandAugment { ops: 1, prob: 1.0, magnitude, magnitude_std };
        let level = |sample| {
            let mut pixel = Image::new(1, 1, 1, vec![200]);
            augment.apply(&mut pixel, &[0], &mut rng(4, Purpose::Augment, 0, sample));
            f64::from(pixel.pixels[0])
        };
        (0..30_000).map(level).filter(|level| (60.0..=180.0).contains(level)).collect()
    };
    let some = levels(5.0, 0.5);
    let n = some.len() as f64;
    let mean = some.iter().sum::<f64>() / n;
    let std = (some.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / n).sqrt();
    // A thirtieth of the samples; mean 110 less half a level of truncation, standard deviation 200 · 0.09 · 0.5.
    assert!((840.0..1160.0).contains(&n), "{n}");
    assert!((mean - 109.5).abs() < 1.5 && (std - 9.0).abs() < 1.1, "{mean} ± {std}");
    // 289 of 1000 magnitudes of 0 ± 2 are beyond 1.11, which brings the pixel below 180. Were they not clipped at 0,
    // the negative ones would turn the other way and double it.
    let clipped = levels(0.0, 2.0).len();
    assert!((200..400).contains(&clipped), "{clipped}");
}

#[test]
fn colour_operations_leave_grey_alone() {
    let grey = picture(7, 5, 1, 0);
    for factor in [0.1, 0.5, 1.9] {
        let mut view = grey.clone();
        Op::Color(factor).apply(&mut view, &[0]);
        assert_eq!(view, grey);
    }
}

#[test]
fn what_comes_from_outside_has_the_fill_colour() {
    assert_eq!(fill_colour(&[0.5, 0.0, 1.0, 0.4914]), [128, 0, 255, 125]); // 127.5 to the even 128
    let mut view = picture(8, 8, 3, 1);
    Op::TranslateX(0.5).apply(&mut view, &[7, 8, 9]);
    for row in view.pixels.chunks_exact(24) {
        assert_eq!(row[12..], [7, 8, 9].repeat(4));
    }
}

proptest! {
    #[test]
    fn operations_keep_the_size_whatever_the_image(
        (height, width) in (1usize..9, 1usize..9),
        colour: bool,
        magnitude in 0.0f64..=10.0,
        (kind, negative) in (0usize..15, any::<bool>()),
        index in 0usize..50,
    ) {
        let before = picture(height, width, if colour { 3 } else { 1 }, index);
        let mut view = before.clone();
        Kind::ALL[kind].at(magnitude, negative).apply(&mut view, &[0, 0, 0][..before.channels]);
        prop_assert_eq!((view.height, view.width, view.channels), (height, width, before.channels));
        prop_assert_eq!(view.pixels.len(), before.pixels.len());
    }
}
