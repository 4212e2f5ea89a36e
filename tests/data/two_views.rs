//! Claim: MoCo v3's two views are drawn with the published probabilities and ranges, their operations are torchvision's to the
//! byte in colour and in grey, and a batch of both is a function of seed, epoch and sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use vit_mae::Result;
use vit_mae::audit::parity::{Verdict, compare};
use vit_mae::base::rng::{Purpose, rng, uniform, view_rng};
use vit_mae::data::augment::photometric::Op;
use vit_mae::data::augment::{Photometric, random_crop};
use vit_mae::data::resample::Filter;
use vit_mae::data::{Augment, Dataset, Geometry, Image, Loader, LoaderConfig};

const DRAWS: u64 = 20_000;

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn table() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden("twocrop_v.json")).unwrap()).unwrap()
}

fn noise(height: usize, width: usize, channels: usize) -> Image {
    let mut rng = rng(5, Purpose::Synthetic, 0, (height * width) as u64);
    let pixels =
        (0..height * width * channels).map(|_| vit_mae::base::rng::below(&mut rng, 256).to_le_bytes()[0]);
    Image::new(height, width, channels, pixels.collect())
}

#[test]
fn every_byte_of_each_recorded_operation_and_view_is_torchvisions() {
    for (name, compared) in [("twocrop_v", 65), ("own/twocrop_odd", 150)] {
        let comparison = compare(golden(&format!("{name}.safetensors")).as_ref()).unwrap();
        let wrong = |verdict| !matches!(verdict, Verdict::Ok | Verdict::Input);
        let wrong: Vec<_> = comparison.rows.iter().filter(|row| wrong(row.verdict)).collect();
        assert!(comparison.passed(), "{name}: {wrong:#?}");
        assert_eq!(comparison.count(Verdict::Ok), compared, "{name}");
    }
}

/// Each operation that a grey image takes is the one of the same image in three equal channels.
#[test]
fn grey_images_take_what_applies_and_keep_what_does_not() {
    let grey = noise(9, 14, 1);
    let ops = [Op::Brightness(1.3), Op::Contrast(0.7), Op::Blur(1.4), Op::Solarize(128)];
    for op in ops.into_iter().chain([Op::Saturation(1.2), Op::Grayscale]) {
        let (mut one, mut three) = (grey.clone(), grey.to_channels(3).unwrap());
        op.apply(&mut one);
        op.apply(&mut three);
        assert_eq!(one.to_channels(3).unwrap(), three, "{op:?}");
        assert_eq!(one != grey, ops.contains(&op), "{op:?}");
    }
    let mut turned = grey.clone();
    Op::Hue(0.3).apply(&mut turned);
    assert_eq!(turned, grey);
}

#[test]
fn other_channels_than_grey_and_colour_are_refused() {
    let loader = Loader::new(Arc::new(Pictures(5)), config(5, 8, 2));
    let message = loader.err().expect("five channels have no brightness").to_string();
    assert!(message.starts_with("model.in_chans: expected 1 (grey) or 3 (colour)"), "{message}");
}

/// `counts` of `DRAWS` within five standard deviations of probability `p`.
fn is_as_likely(what: &str, count: usize, p: f64) {
    let n = DRAWS as f64;
    let deviation = (count as f64 - n * p).abs();
    assert!(deviation <= 5.0 * (n * p * (1.0 - p)).sqrt(), "{what}: {count} of {DRAWS}, expected {p}");
}

/// All within the range, the mean and the mean square those of a uniform distribution.
fn is_uniform(what: &str, values: &[f64], [low, high]: [f64; 2]) {
    let n = values.len() as f64;
    // A factor of single precision may round up to the end of its range.
    let slack = 1e-6;
    assert!(values.iter().all(|x| (low - slack..=high + slack).contains(x)), "{what} out of {low}..{high}");
    let scaled: Vec<f64> = values.iter().map(|x| (x - low) / (high - low)).collect();
    let mean = scaled.iter().sum::<f64>() / n;
    let square = scaled.iter().map(|x| x * x).sum::<f64>() / n;
    // Standard deviations of u and u²: √(1/12) and √(4/45).
    assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / n).sqrt(), "{what}: mean {mean}");
    assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / n).sqrt(), "{what}: mean square {square}");
}

#[test]
fn probabilities_ranges_and_order_are_the_published_ones() {
    let table = table();
    let number = |path: &str| table.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}"));
    let range = |path: &str| [number(&format!("{path}/0")), number(&format!("{path}/1"))];
    for (view, photometric) in Photometric::MOCO_V3.iter().enumerate() {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut orders: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for sample in 0..DRAWS {
            let generator = &mut view_rng(3, Purpose::Augment, 0, sample, u32::try_from(view).unwrap());
            let ops: Vec<(&str, f64)> = photometric.draw(generator).into_iter().map(named).collect();
            for &(name, value) in &ops {
                values.entry(name).or_default().push(value);
            }
            let names: Vec<&str> = ops.iter().map(|&(name, _)| name).collect();
            let jitter = names.iter().take_while(|name| JITTER.contains(name)).count();
            assert!(jitter == 0 || jitter == 4, "{names:?}");
            let mut rest = names[jitter..].to_vec();
            rest.sort_by_key(|name| {
                ["grayscale", "gaussian_blur", "solarize"].iter().position(|n| n == name)
            });
            assert_eq!(names[jitter..], rest, "what follows the jitter is in its order");
            if jitter == 4 {
                *orders.entry(names[..4].to_vec()).or_default() += 1;
            }
        }
        let count = |name| values.get(name).map_or(0, Vec::len);
        for name in ["grayscale", "gaussian_blur", "solarize"] {
            is_as_likely(name, count(name), number(&format!("/{name}/probability/{view}")));
        }
        let jittered = number(&format!("/colour_jitter/probability/{view}"));
        assert_eq!(orders.len(), 24, "all orders of four occur");
        for (order, n) in &orders {
            is_as_likely(&format!("{order:?}"), *n, jittered / 24.0);
        }
        for name in JITTER {
            is_as_likely(name, count(name), jittered);
            let key = if name == "hue" { "shift" } else { "factor" };
            is_uniform(name, &values[name], range(&format!("/colour_jitter/{name}/{key}")));
        }
        is_uniform("blur", &values["gaussian_blur"], range("/gaussian_blur/sigma"));
        let threshold = number("/solarize/threshold");
        assert!(values.get("solarize").is_none_or(|all| all.iter().all(|&t| t == threshold)));
    }
}

const JITTER: [&str; 4] = ["brightness", "contrast", "saturation", "hue"];

/// An operation by the table's name, and its amount.
fn named(op: Op) -> (&'static str, f64) {
    match op {
        Op::Brightness(factor) => ("brightness", factor.into()),
        Op::Contrast(factor) => ("contrast", factor.into()),
        Op::Saturation(factor) => ("saturation", factor.into()),
        Op::Hue(turns) => ("hue", turns),
        Op::Grayscale => ("grayscale", 0.0),
        Op::Blur(sigma) => ("gaussian_blur", sigma.into()),
        Op::Solarize(threshold) => ("solarize", threshold.into()),
    }
}

/// Crop, flip and colour from one generator, in this order; the crop bilinear, and nothing else.
#[test]
fn a_view_is_a_bilinear_crop_a_flip_and_the_changes_of_colour() {
    let (image, table) = (noise(30, 40, 3), table());
    assert_eq!(table["resized_crop"]["interpolation"], "bilinear");
    let area = (0.08, 1.0);
    assert_eq!(table["resized_crop"]["area_share"], serde_json::json!([area.0, area.1]));
    for (v, augment) in (0..).zip(Augment::moco_v3(area)) {
        let mut flips = 0;
        for sample in 0..500 {
            let generator = || view_rng(7, Purpose::Augment, 1, sample, v);
            let (view, geometry) = augment.apply(&image, 16, 12, &[0; 3], &mut generator());
            let mut again = generator();
            let crop = random_crop(30, 40, area, &mut again);
            let flip = uniform(&mut again) < 0.5;
            assert_eq!(geometry, Geometry { crop, scale: (16, 12), flip, out: (16, 12) });
            flips += usize::from(flip);
            let mut expected = geometry.image(&image, Filter::Bilinear, &[]);
            Photometric::MOCO_V3[v as usize]
                .draw(&mut again)
                .into_iter()
                .for_each(|op| op.apply(&mut expected));
            assert_eq!(view, expected);
        }
        // 250 ± five standard deviations.
        assert!((194..=306).contains(&flips), "{flips} of 500");
    }
}

/// Six pictures of so many channels.
struct Pictures(usize);

impl Dataset for Pictures {
    fn len(&self) -> usize {
        6
    }

    fn image(&self, index: usize) -> Result<Image> {
        Ok(noise(12 + index, 20 - index, self.0))
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
        None
    }

    fn digest(&self) -> Result<u32> {
        Ok(0)
    }
}

fn config(channels: usize, seed: u64, batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        height: 10,
        width: 8,
        channels,
        mean: vec![0.5; channels],
        std: vec![0.25; channels],
        batch_size,
        repeats: 2,
        views: Augment::moco_v3((0.2, 1.0)).to_vec(),
        seed,
        skip_bad_images: false,
        cache_bytes: 0,
    }
}

/// Both views of every sample of an epoch, as bits.
fn epoch(config: LoaderConfig, epoch: u64, threads: usize) -> BTreeMap<u64, Vec<Vec<u32>>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let pictures = Arc::new(Pictures(config.channels));
    let loader = pool.install(|| Loader::new(pictures, config).unwrap());
    let mut samples = BTreeMap::new();
    for batch in loader.epoch(epoch, 0).map(Result::unwrap) {
        for (i, &sample) in batch.samples.iter().enumerate() {
            let bits = |view: &ndarray::Array4<f32>| {
                view.index_axis(ndarray::Axis(0), i).iter().map(|x| x.to_bits()).collect()
            };
            samples.insert(sample, batch.views.iter().map(bits).collect());
        }
    }
    samples
}

#[test]
fn the_views_of_a_batch_differ_and_are_a_function_of_seed_epoch_and_sample() {
    for channels in [1, 3] {
        let all = epoch(config(channels, 8, 3), 2, 1);
        assert_eq!(all.len(), 12);
        assert!(all.values().all(|views| views.len() == 2 && views[0] != views[1]));
        assert_eq!(all, epoch(config(channels, 8, 4), 2, 3), "batches of another size on more threads");
        let view_0 = LoaderConfig { views: vec![Augment::moco_v3((0.2, 1.0))[0]], ..config(channels, 8, 3) };
        for (sample, views) in epoch(view_0, 2, 1) {
            assert_eq!(views[0], all[&sample][0], "view 0 does not depend on there being a second");
        }
        for other in [epoch(config(channels, 9, 3), 2, 1), epoch(config(channels, 8, 3), 3, 1)] {
            assert!(all.iter().all(|(sample, views)| other[sample] != *views), "another seed or epoch");
        }
    }
}
