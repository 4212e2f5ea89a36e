//! Claim: a batch depends on data, configuration, seed, epoch and step alone, bad images are handled as
//! asked, and memory is bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vit_mae::data::{Augment, Batch, Dataset, Image, Loader, LoaderConfig, Part, channel_stats, normalise};
use vit_mae::{Error, Result};

/// Made-up images of the sizes given, whose reads are counted and some of which are bad.
struct Fake {
    sizes: Vec<(usize, usize)>,
    bad: Vec<usize>,
    reads: AtomicUsize,
}

impl Fake {
    fn new(n: usize, bad: &[usize]) -> Arc<Self> {
        let sizes = (0..n).map(|i| (20 + i % 7, 24 + i % 5)).collect();
        Arc::new(Self { sizes, bad: bad.to_vec(), reads: AtomicUsize::new(0) })
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Dataset for Fake {
    fn len(&self) -> usize {
        self.sizes.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.bad.contains(&index) {
            return Err(Error::input(self.source(index), "image data", "a sound image", "noise"));
        }
        let (height, width) = self.sizes[index];
        let pixels = (0..height * width * 3).map(|i| (i * (index + 3)).to_le_bytes()[0]).collect();
        Ok(Image::new(height, width, 3, pixels))
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(index)
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn source(&self, index: usize) -> String {
        format!("fake-{index}.png")
    }

    fn describe(&self) -> String {
        "made up".to_owned()
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn digest(&self) -> Result<u32> {
        Ok(0)
    }
}

fn config(batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        height: 16,
        width: 12,
        channels: 3,
        mean: vec![0.5, 0.4, 0.3],
        std: vec![0.25, 0.3, 0.2],
        batch_size,
        repeats: 1,
        views: vec![Augment::REFERENCE],
        seed: 5,
        skip_bad_images: false,
        cache_bytes: LoaderConfig::CACHE_BYTES,
    }
}

fn batches(loader: &Loader, epoch: u64, first_step: usize) -> Vec<Batch> {
    loader.epoch(epoch, first_step).map(|batch| batch.unwrap()).collect()
}

/// Every sample of the batches: its address, its label and the bits of its pixels.
fn samples(batches: &[Batch]) -> Vec<(u64, Option<usize>, Vec<u32>)> {
    let of_batch = |batch: &Batch| {
        let images = batch.views[0].outer_iter().map(|image| image.iter().map(|x| x.to_bits()).collect());
        let parts = batch.samples.iter().zip(&batch.targets).zip(images);
        parts.map(|((&address, target), bits)| (address, target.class(), bits)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

fn refusal(data: Arc<Fake>, config: LoaderConfig) -> String {
    let error = Loader::new(data, config).err().expect("must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn batches_have_the_same_bits_for_any_number_of_threads() {
    let of_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = || batches(&Loader::new(Fake::new(40, &[]), config(8)).unwrap(), 1, 0);
        samples(&pool.install(run))
    };
    let one = of_threads(1);
    assert_eq!(one.len(), 40);
    assert_eq!(one, of_threads(4));
}

#[test]
fn a_sample_does_not_depend_on_the_batch_size() {
    let of_size = |batch_size| {
        let loader = Loader::new(Fake::new(24, &[]), config(batch_size)).unwrap();
        samples(&batches(&loader, 3, 0))
    };
    assert_eq!(of_size(4), of_size(8));
    assert_eq!(of_size(1), of_size(24));
}

#[test]
fn an_epoch_continues_at_any_step() {
    let loader = Loader::new(Fake::new(30, &[]), config(4)).unwrap();
    let whole = samples(&batches(&loader, 2, 0));
    assert_eq!(loader.steps_per_epoch(), 7);
    let fresh = Loader::new(Fake::new(30, &[]), config(4)).unwrap();
    assert_eq!(samples(&batches(&fresh, 2, 5)), whole[5 * 4..]);
    assert!(batches(&fresh, 2, 7).is_empty());
}

#[test]
fn an_epoch_covers_each_sample_once_and_repeats_have_crops_of_their_own() {
    let loader = Loader::new(Fake::new(6, &[]), LoaderConfig { repeats: 4, ..config(8) }).unwrap();
    let (first, second) = (samples(&batches(&loader, 0, 0)), samples(&batches(&loader, 1, 0)));
    let mut addresses: Vec<u64> = first.iter().map(|s| s.0).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, (0..24).collect::<Vec<_>>());
    let mut views = HashMap::new();
    for (address, label, bits) in first.into_iter().chain(second) {
        assert_eq!(label, Some(usize::try_from(address / 4).unwrap()));
        assert!(views.insert(bits, address).is_none(), "sample {address} has a view that was there before");
    }
}

#[test]
fn without_crops_the_images_are_only_normalised() {
    let sizes = vec![(16, 12); 3];
    let data = Arc::new(Fake { sizes, bad: vec![], reads: AtomicUsize::new(0) });
    let loader = Loader::new(data.clone(), LoaderConfig { views: vec![Augment::NONE], ..config(3) }).unwrap();
    let batch = &batches(&loader, 0, 0)[0];
    assert_eq!(batch.views[0].dim(), (3, 3, 16, 12));
    for (image, &address) in batch.views[0].outer_iter().zip(&batch.samples) {
        let image_file = data.image(usize::try_from(address).unwrap()).unwrap();
        assert_eq!(image, normalise(&image_file, &[0.5, 0.4, 0.3], &[0.25, 0.3, 0.2]));
    }
}

#[test]
fn colour_becomes_grey_if_the_model_has_one_channel() {
    let grey = LoaderConfig { channels: 1, mean: vec![0.5], std: vec![0.5], ..config(2) };
    let loader = Loader::new(Fake::new(4, &[]), grey).unwrap();
    assert_eq!(batches(&loader, 0, 0)[1].views[0].dim(), (2, 1, 16, 12));
}

#[test]
fn an_image_of_another_size_is_refused_unless_it_is_cropped() {
    for augment in [Augment::NONE, Augment { flip: true, ..Augment::NONE }] {
        let loader =
            Loader::new(Fake::new(4, &[]), LoaderConfig { views: vec![augment], ..config(4) }).unwrap();
        let message = loader.epoch(0, 0).next().unwrap().unwrap_err().to_string();
        for word in ["fake-", "16×12", "--crop", "found 2"] {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let message = refusal(Fake::new(10, &[]), config(11));
    assert!(message.contains("at most 10") && message.contains("found 11"), "{message}");
    let message = refusal(Fake::new(10, &[]), LoaderConfig { repeats: 2, ..config(21) });
    assert!(message.contains("at most 20"), "{message}");
    assert!(refusal(Fake::new(3, &[]), config(0)).contains("optim.batch_size: expected at least 1"));
    let area = vec![Augment { crop_area: Some((0.5, 1.5)), ..Augment::NONE }];
    assert!(refusal(Fake::new(3, &[]), LoaderConfig { views: area, ..config(1) }).contains("data.crop"));
    let std = LoaderConfig { std: vec![1.0, 0.0, 1.0], ..config(1) };
    assert!(refusal(Fake::new(3, &[]), std).contains("data.std"));
    let channels = LoaderConfig { channels: 0, mean: Vec::new(), std: Vec::new(), ..config(1) };
    assert!(refusal(Fake::new(3, &[]), channels).contains("model.in_chans"));
}

#[test]
fn a_bad_image_ends_the_epoch_with_its_name() {
    let loader = Loader::new(Fake::new(12, &[7]), config(4)).unwrap();
    let items: Vec<Result<Batch>> = loader.epoch(0, 0).collect();
    let last = items.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(last.starts_with("fake-7.png: image data"), "{last}");
    assert!(items[..items.len() - 1].iter().all(Result::is_ok));
}

#[test]
fn a_skipped_image_is_replaced_by_the_next_good_one_and_listed() {
    let skipping = LoaderConfig { skip_bad_images: true, ..config(4) };
    let data = Fake::new(12, &[7, 8, 11]);
    let loader = Loader::new(data, skipping.clone()).unwrap();
    let with_bad = samples(&batches(&loader, 0, 0));
    let sound = Loader::new(Fake::new(12, &[]), skipping).unwrap();
    for (with_bad, without) in with_bad.into_iter().zip(samples(&batches(&sound, 0, 0))) {
        assert_eq!(with_bad.0, without.0, "addresses and their order stay");
        match with_bad.0 {
            7 | 8 => assert_eq!(with_bad.1, Some(9)),
            11 => assert_eq!(with_bad.1, Some(0)),
            _ => assert_eq!(with_bad, without, "no other sample changes"),
        }
    }
    let skipped = loader.skipped();
    assert_eq!(skipped.len(), 3);
    assert!(skipped[0].starts_with("fake-7.png") && skipped[2].starts_with("fake-11.png"), "{skipped:?}");
}

#[test]
fn a_data_set_of_bad_images_is_refused_even_if_they_may_be_skipped() {
    let data = Fake::new(3, &[0, 1, 2]);
    assert!(channel_stats(&*data, 3, 10, true).is_err());
    let loader = Loader::new(data, LoaderConfig { skip_bad_images: true, ..config(2) }).unwrap();
    let message = loader.epoch(0, 0).next().unwrap().unwrap_err().to_string();
    assert!(message.contains("at least one that can be read"), "{message}");
}

#[test]
fn the_cache_keeps_no_more_than_it_may_and_spares_the_rest_of_the_reads() {
    let data = Fake::new(20, &[]);
    let loader = Loader::new(data.clone(), config(5)).unwrap();
    let cached = [batches(&loader, 0, 0), batches(&loader, 1, 0)];
    assert_eq!(data.reads(), 20, "the second epoch reads nothing");
    for cache_bytes in [0, 5000] {
        let data = Fake::new(20, &[]);
        let loader = Loader::new(data.clone(), LoaderConfig { cache_bytes, ..config(5) }).unwrap();
        for (epoch, cached) in (0..).zip(&cached) {
            assert_eq!(samples(&batches(&loader, epoch, 0)), samples(cached), "caching changes no bits");
        }
        assert!(loader.cached_bytes() <= cache_bytes);
        assert!(data.reads() > 30 && data.reads() <= 40);
    }
}

#[test]
fn dropping_an_epoch_early_ends_its_work() {
    let data = Fake::new(1000, &[]);
    let loader = Loader::new(data.clone(), config(10)).unwrap();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    drop(epoch);
    let reads = data.reads();
    assert!(reads <= 60, "{reads} images were read for one batch");
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(data.reads(), reads, "somebody still works");
    assert!(loader.waited() > Duration::ZERO);
}

#[test]
fn a_consumer_on_the_only_thread_of_its_pool_is_served() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let seen = pool.install(|| {
        let loader = Loader::new(Fake::new(20, &[]), config(2)).unwrap();
        loader.epoch(0, 0).zip(loader.epoch(1, 0)).count()
    });
    assert_eq!(seen, 10);
}

#[test]
fn statistics_are_of_evenly_spaced_images_and_exact() {
    let data = Fake::new(20, &[1, 2, 3]);
    let stats = channel_stats(&*data, 3, 4, false).unwrap();
    assert_eq!((stats.images, data.reads()), (4, 4));
    let mut values: Vec<f64> = Vec::new();
    for index in [0, 5, 10, 15] {
        values.extend(data.image(index).unwrap().pixels.iter().step_by(3).map(|&x| f64::from(x) / 255.0));
    }
    let n: f64 = values.iter().map(|_| 1.0).sum();
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    assert!((f64::from(stats.mean[0]) - mean).abs() < 1e-7);
    assert!((f64::from(stats.std[0]) - std).abs() < 1e-7);
    assert!(channel_stats(&*data, 3, 100, false).is_err());
    assert_eq!(channel_stats(&*data, 3, 100, true).unwrap().images, 17);
}

#[test]
fn a_part_of_a_batch_has_the_bits_of_the_whole() {
    let data = || Fake::new(20, &[]);
    let whole = samples(&batches(&Loader::new(data(), config(10)).unwrap(), 3, 1));
    let blank = |(_, label, bits): &(u64, Option<usize>, Vec<u32>)| {
        label.is_none() && bits.iter().all(|bits| *bits == 0)
    };
    for (part, made) in [
        (Part { rows: 3..6, mirrored: false }, vec![3, 4, 5]),
        (Part { rows: 0..3, mirrored: true }, vec![0, 1, 2, 7, 8, 9]),
    ] {
        let loader = Loader::new(data(), config(10)).unwrap().only(part);
        let batches = samples(&batches(&loader, 3, 1));
        assert_eq!(batches.len(), 10);
        for (row, (sample, whole)) in batches.iter().zip(&whole).enumerate() {
            assert_eq!(sample.0, whole.0, "all addresses are there");
            if made.contains(&row) {
                assert_eq!(sample, whole);
            } else {
                assert!(blank(sample), "row {row}");
            }
        }
    }
}
