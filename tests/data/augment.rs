//! Claim: what changes a training image stays within its limits, comes as often as it should, is a function of the
//! sample's address, and leaves every earlier random number as it was.

use std::sync::Arc;

use proptest::prelude::*;
use vit_mae::Result;
use vit_mae::base::rng::{Purpose, rng};
use vit_mae::data::augment::{erase, shift};
use vit_mae::data::{Augment, AugmentConfig, Dataset, Image, Loader, LoaderConfig, RandAugment};

/// Eight pictures of the same size.
struct Pictures;

impl Dataset for Pictures {
    fn len(&self) -> usize {
        8
    }

    fn image(&self, index: usize) -> Result<Image> {
        Ok(picture(12, 10, 3, index))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn source(&self, index: usize) -> String {
        format!("picture {index}")
    }

    fn describe(&self) -> String {
        "pictures".to_owned()
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((12, 10))
    }

    fn digest(&self) -> Result<u32> {
        Ok(0)
    }
}

/// Values from 1 to 255, so that 0 tells a pixel that comes from outside.
fn picture(height: usize, width: usize, channels: usize, index: usize) -> Image {
    let value = |i: usize| ((i * (2 * index + 7) + i * i * 13) % 255 + 1).to_le_bytes()[0];
    Image::new(height, width, channels, (0..height * width * channels).map(value).collect())
}

/// All values of an epoch's images, by sample.
fn epoch(augment: Augment, threads: usize) -> Vec<(u64, Vec<u32>)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let config = LoaderConfig {
        height: 12,
        width: 10,
        channels: 3,
        mean: vec![0.5, 0.4, 0.3],
        std: vec![0.25; 3],
        batch_size: 4,
        repeats: 3,
        views: vec![augment],
        seed: 3,
        skip_bad_images: false,
        cache_bytes: 0,
    };
    let mut samples = Vec::new();
    let loader = pool.install(|| Loader::new(Arc::new(Pictures), config).unwrap());
    for batch in loader.epoch(1, 0) {
        let batch = batch.unwrap();
        let bits = |image: ndarray::ArrayView3<f32>| image.iter().map(|x| x.to_bits()).collect();
        samples.extend(batch.samples.iter().copied().zip(batch.views[0].outer_iter().map(bits)));
    }
    samples
}

const ALL: Augment = Augment {
    crop_area: Some((0.3, 1.0)),
    flip: true,
    pad_crop: Some(2),
    rand_augment: Some(RandAugment::REFERENCE),
    erasing_prob: 0.25,
    ..Augment::NONE
};

#[test]
fn augmented_batches_have_the_same_bits_for_any_number_of_threads() {
    assert_eq!(epoch(ALL, 1), epoch(ALL, 3));
}

#[test]
fn what_is_switched_on_later_leaves_the_earlier_changes_as_they_were() {
    // With probabilities of almost 0 the later changes draw, but do nothing.
    let idle = RandAugment { prob: f64::MIN_POSITIVE, ..RandAugment::REFERENCE };
    let drawing = Augment { rand_augment: Some(idle), erasing_prob: f64::MIN_POSITIVE, ..Augment::REFERENCE };
    assert_eq!(epoch(drawing, 2), epoch(Augment::REFERENCE, 2));
    let off = RandAugment { ops: 0, ..RandAugment::REFERENCE };
    assert_eq!(
        epoch(Augment { rand_augment: Some(off), erasing_prob: 0.25, ..Augment::REFERENCE }, 2),
        epoch(Augment { erasing_prob: 0.25, ..Augment::REFERENCE }, 2)
    );
    // A shift of at most 0 pixels draws, and shifts by 0.
    assert_eq!(epoch(Augment { pad_crop: Some(0), ..Augment::REFERENCE }, 2), epoch(Augment::REFERENCE, 2));
    assert_ne!(epoch(ALL, 2), epoch(Augment { erasing_prob: 0.0, ..ALL }, 2));
}

proptest! {
    #[test]
    fn a_shift_moves_all_pixels_alike_and_brings_in_black(
        (height, width, channels) in (1usize..9, 1usize..9, 1usize..4),
        pad in 0usize..12,
        seed: u64,
    ) {
        let before = picture(height, width, channels, 5);
        let mut view = before.clone();
        shift(&mut view, pad, &mut rng(seed, Purpose::Augment, 0, 0));
        let at = |image: &Image, y: isize, x: isize| {
            let inside = (0..height.cast_signed()).contains(&y) && (0..width.cast_signed()).contains(&x);
            let start = (y * width.cast_signed() + x) * channels.cast_signed();
            inside.then(|| image.pixels[start.cast_unsigned()..][..channels].to_vec())
        };
        let steps = -pad.cast_signed()..=pad.cast_signed();
        let places = || (0..height.cast_signed()).flat_map(|y| (0..width.cast_signed()).map(move |x| (y, x)));
        // Some step between −pad and pad explains every pixel.
        let explains = |dy: isize, dx: isize| places().all(|(y, x)| {
            at(&view, y, x) == Some(at(&before, y + dy, x + dx).unwrap_or_else(|| vec![0; channels]))
        });
        prop_assert!(steps.clone().any(|dy| steps.clone().any(|dx| explains(dy, dx))));
    }

    #[test]
    fn erasing_fills_one_rectangle_of_the_right_size_in_all_channels(
        (height, width, channels) in (2usize..40, 2usize..40, 1usize..4),
        seed: u64,
    ) {
        let mut planes = vec![f32::INFINITY; channels * height * width];
        erase(&mut planes, height, width, 1.0, &mut rng(seed, Purpose::Augment, 0, 0));
        let erased: Vec<usize> = (0..height * width).filter(|&i| planes[i].is_finite()).collect();
        for plane in planes.chunks_exact(height * width) {
            let of_plane: Vec<usize> = (0..height * width).filter(|&i| plane[i].is_finite()).collect();
            prop_assert_eq!(&of_plane, &erased);
        }
        let (rows, columns) = (erased.iter().map(|i| i / width), erased.iter().map(|i| i % width));
        let span = |mut values: Box<dyn Iterator<Item = usize> + '_>| {
            let first = values.next().unwrap_or(0);
            let (low, high) = values.fold((first, first), |(low, high), v| (low.min(v), high.max(v)));
            high - low + 1
        };
        if !erased.is_empty() {
            let (h, w) = (span(Box::new(rows)), span(Box::new(columns)));
            prop_assert_eq!(h * w, erased.len());
            prop_assert!(h < height && w < width);
            // Rounding moves each side by at most half a pixel.
            let area = (height * width) as f64;
            let (h, w) = (h as f64, w as f64);
            prop_assert!((h + 0.5) * (w + 0.5) >= 0.02 * area && (h - 0.5) * (w - 0.5) <= area / 3.0);
            prop_assert!((h - 0.5) / (w + 0.5) <= 1.0 / 0.3 && (h + 0.5) / (w - 0.5) >= 0.3);
        }
    }
}

#[test]
fn shifts_in_all_directions_are_equally_likely() {
    let mut counts = [0; 9];
    for sample in 0..4500 {
        let mut view = Image::new(3, 3, 1, vec![0, 0, 0, 0, 1, 0, 0, 0, 0]);
        shift(&mut view, 1, &mut rng(1, Purpose::Augment, 0, sample));
        counts[view.pixels.iter().position(|&x| x == 1).unwrap()] += 1;
    }
    // 500 each; five standard deviations are 105.
    assert!(counts.iter().all(|n| (395..=605).contains(n)), "{counts:?}");
}

#[test]
fn erasing_has_its_probability_and_its_noise_is_normal() {
    let (mut erased, mut values) = (0, Vec::new());
    for sample in 0..2000 {
        let mut planes = vec![f32::INFINITY; 3 * 16 * 16];
        erase(&mut planes, 16, 16, 0.25, &mut rng(2, Purpose::Augment, 0, sample));
        let noise: Vec<f64> = planes.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x)).collect();
        erased += u32::from(!noise.is_empty());
        values.extend(noise);
    }
    assert!((403..=597).contains(&erased), "{erased} of 2000"); // 500 ± five standard deviations
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| x * x).sum::<f64>() / n;
    let beyond = values.iter().filter(|x| x.abs() > 1.959_964).count() as f64 / n;
    assert!(n > 20_000.0 && mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{n}: {mean}, {variance}");
    assert!((beyond - 0.05).abs() < 0.007, "{beyond} beyond 1.96");
}

#[test]
fn settings_are_a_section_of_toml() {
    let reference = AugmentConfig::reference();
    reference.validate(224, 224, 3).unwrap();
    let text = toml::to_string(&reference).unwrap();
    assert_eq!(toml::from_str::<AugmentConfig>(&text).unwrap(), reference);
    assert_eq!(toml::from_str::<AugmentConfig>("").unwrap(), AugmentConfig::default());
    assert_eq!(AugmentConfig::default().augment(None, false), Augment::NONE);
    let some = "pad_crop = 4\n[rand_augment]\nops = 1\nmagnitude = 5.0\nmagnitude_std = 0.0\nprob = 1.0";
    let some: AugmentConfig = toml::from_str(some).unwrap();
    assert_eq!((some.pad_crop, some.rand_augment.unwrap().magnitude), (Some(4), 5.0));
    assert!(toml::from_str::<AugmentConfig>("cutout = 1.0").is_err());
}

#[test]
fn settings_out_of_range_are_refused_by_key() {
    type Change = fn(&mut AugmentConfig);
    let refusal = |change: Change, channels| {
        let mut config = AugmentConfig::reference();
        change(&mut config);
        let error = config.validate(32, 28, channels).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let cases: [(Change, &str); 10] = [
        (
            |c| c.pad_crop = Some(28),
            "augment.pad_crop: expected less than the sides of the 32×28 images, found 28",
        ),
        (|c| c.erasing_prob = 1.5, "augment.erasing_prob: expected 0 to 1, found 1.5"),
        (|c| c.mixup_alpha = -1.0, "augment.mixup_alpha"),
        (|c| c.cutmix_alpha = f64::INFINITY, "augment.cutmix_alpha"),
        (|c| c.mix_prob = f64::NAN, "augment.mix_prob"),
        (|c| c.mix_switch_prob = -0.1, "augment.mix_switch_prob"),
        (|c| c.smoothing = 1.0, "augment.smoothing: expected at least 0 and less than 1, found 1"),
        (|c| c.rand_augment.as_mut().unwrap().ops = 101, "augment.rand_augment.ops"),
        (
            |c| c.rand_augment.as_mut().unwrap().magnitude = 11.0,
            "augment.rand_augment.magnitude: expected 0 to 10",
        ),
        (|c| c.rand_augment.as_mut().unwrap().magnitude_std = f64::NAN, "augment.rand_augment.magnitude_std"),
    ];
    for (change, expected) in cases {
        let message = refusal(change, 3);
        assert!(message.starts_with(expected), "{message}");
    }
    assert!(
        refusal(|c| c.rand_augment.as_mut().unwrap().prob = 2.0, 1).starts_with("augment.rand_augment.prob")
    );
    let message = refusal(|_| {}, 5);
    assert!(message.contains("augment.rand_augment: expected images of 1 or 3 channels"), "{message}");
    let off = |c: &mut AugmentConfig| c.rand_augment.as_mut().unwrap().ops = 0;
    let mut config = AugmentConfig::reference();
    off(&mut config);
    config.validate(32, 28, 5).unwrap();
}
