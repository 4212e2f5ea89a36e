//! Claim: a fraction of the labels is the same images for the same seed, every class has its part, training and
//! validation never overlap, smaller shares lie within larger ones, and a subset shows exactly its images.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use vit_mae::Result;
use vit_mae::data::{Dataset, Image, Subset, TrainValidation, labelled_split, validation_split};

/// Images of one pixel, whose value is their index; no label for 255.
struct Labelled {
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl Labelled {
    fn new(labels: Vec<u8>, classes: usize) -> Self {
        Self { labels, classes: (0..classes).map(|class| format!("class-{class}")).collect() }
    }

    /// `sizes[c]` images of class c, the classes mixed.
    fn of_sizes(sizes: &[usize]) -> Self {
        let most = sizes.iter().max().copied().unwrap_or(0);
        let labels = (0..most).flat_map(|i| (0..sizes.len()).filter(move |&class| i < sizes[class]));
        Self::new(labels.map(|class| u8::try_from(class).unwrap()).collect(), sizes.len())
    }

    fn split(&self, label_share: f64, validation_share: f64, seed: u64) -> TrainValidation {
        labelled_split(self, label_share, validation_share, seed).unwrap()
    }

    /// How many of the images are of the class.
    fn count(&self, images: &[usize], class: usize) -> usize {
        images.iter().filter(|&&index| usize::from(self.labels[index]) == class).count()
    }

    fn refusal(&self, label_share: f64, validation_share: f64) -> String {
        let error = labelled_split(self, label_share, validation_share, 0).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }
}

impl Dataset for Labelled {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        Ok(Image::new(1, 1, 1, vec![index.to_le_bytes()[0]]))
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(usize::from(self.labels[index])).filter(|&label| label < 255)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn source(&self, index: usize) -> String {
        format!("image-{index}")
    }

    fn describe(&self) -> String {
        "made up".to_owned()
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((1, 1))
    }

    fn digest(&self) -> Result<u32> {
        Ok(7)
    }
}

fn set(images: &[usize]) -> BTreeSet<usize> {
    images.iter().copied().collect()
}

/// At most half an image from `share · n`.
fn is_rounded(part: usize, share: f64, n: usize) -> bool {
    (part as f64 - share * n as f64).abs() <= 0.5 + 1e-9
}

proptest! {
    #[test]
    fn every_class_has_its_share_and_no_image_is_used_twice(
        sizes in prop::collection::vec(20usize..80, 1..6),
        label_share in 0.1f64..=1.0,
        validation_share in prop_oneof![Just(0.0), 0.3f64..0.7],
        seed: u64,
    ) {
        let data = Labelled::of_sizes(&sizes);
        let split = data.split(label_share, validation_share, seed);
        prop_assert!(split.train.is_sorted() && split.validation.is_sorted());
        let (train, validation) = (set(&split.train), set(&split.validation));
        prop_assert!(train.is_disjoint(&validation));
        prop_assert_eq!((train.len(), validation.len()), (split.train.len(), split.validation.len()));
        for (class, &n) in sizes.iter().enumerate() {
            let (train, validation) = (data.count(&split.train, class), data.count(&split.validation, class));
            prop_assert!(is_rounded(train + validation, label_share, n));
            prop_assert!(is_rounded(validation, validation_share, train + validation));
            prop_assert!(train > 0 && (validation > 0) == (validation_share > 0.0));
        }
    }

    #[test]
    fn a_smaller_share_lies_within_a_larger_one(
        sizes in prop::collection::vec(20usize..80, 1..4),
        shares in (0.2f64..=1.0, 0.2f64..=1.0),
        validation_share in 0.2f64..0.6,
        seed: u64,
    ) {
        let data = Labelled::of_sizes(&sizes);
        let small = data.split(shares.0.min(shares.1), validation_share, seed);
        let large = data.split(shares.0.max(shares.1), validation_share, seed);
        prop_assert!(set(&small.train).is_subset(&set(&large.train)));
        prop_assert!(set(&small.validation).is_subset(&set(&large.validation)));
        // What is kept does not depend on how much of it validates.
        let all = data.split(shares.0.min(shares.1), 0.0, seed);
        prop_assert_eq!(&set(&small.train) | &set(&small.validation), set(&all.train));
    }
}

#[test]
fn a_split_is_a_function_of_its_seed_and_of_each_class_alone() {
    let data = Labelled::of_sizes(&[40, 40, 40]);
    let split = data.split(0.5, 0.2, 3);
    assert_eq!(split, data.split(0.5, 0.2, 3));
    assert_ne!(split, data.split(0.5, 0.2, 4));
    // Classes choose independently, and another class's size changes nothing: compare places within a class.
    let places = |data: &Labelled, split: &TrainValidation, class: u8| {
        let of_class: Vec<usize> = (0..data.len()).filter(|&i| data.labels[i] == class).collect();
        set(&split.train).iter().filter_map(|i| of_class.iter().position(|j| i == j)).collect::<Vec<_>>()
    };
    assert_ne!(places(&data, &split, 0), places(&data, &split, 1));
    let other = Labelled::of_sizes(&[40, 25, 31]);
    assert_eq!(places(&data, &split, 0), places(&other, &other.split(0.5, 0.2, 3), 0));
}

#[test]
fn every_image_of_a_class_is_as_likely_to_be_kept_and_to_validate() {
    let data = Labelled::of_sizes(&[10]);
    let (mut kept, mut validating) = ([0; 10], [0; 10]);
    for seed in 0..2000 {
        let split = data.split(0.5, 0.4, seed);
        split.train.iter().chain(&split.validation).for_each(|&i| kept[i] += 1);
        split.validation.iter().for_each(|&i| validating[i] += 1);
    }
    // Binomial with n = 2000, p = 0.5 and 0.2: five standard deviations are 112 and 89.
    assert!(kept.iter().all(|n| (888..=1112).contains(n)), "{kept:?}");
    assert!(validating.iter().all(|n| (311..=489).contains(n)), "{validating:?}");
}

#[test]
fn shares_that_cannot_work_are_refused_with_class_and_numbers() {
    let data = Labelled::of_sizes(&[100, 30]);
    for share in [0.0, -0.1, 1.5, f64::NAN] {
        assert!(
            data.refusal(share, 0.1).starts_with("finetune.label_share: expected more than 0 and at most 1")
        );
    }
    for share in [1.0, -0.1, f64::NAN] {
        assert!(data.refusal(1.0, share).starts_with("data.val_fraction: expected at least 0 and less"));
    }
    let message = data.refusal(0.01, 0.0);
    assert!(
        message.contains("finetune.label_share") && message.contains("an image to train on"),
        "{message}"
    );
    assert!(message.contains("0.01: 0 of the 30 images of class \"class-1\""), "{message}");
    let message = data.refusal(0.1, 0.1);
    assert!(message.contains("data.val_fraction") && message.contains("one to validate by"), "{message}");
    assert!(
        message.contains("0.1: 3 of the 30 images of class \"class-1\" are kept, 3 to train on and 0 to")
    );
    let message = data.refusal(0.1, 0.95);
    assert!(message.contains("0 to train on and 10 to validate"), "{message}");
    assert!(data.refusal(0.02, 0.5).contains("finetune.label_share"));
}

#[test]
fn unlabelled_images_and_empty_classes_are_refused() {
    let message = Labelled::new(vec![0, 255, 1], 2).refusal(1.0, 0.0);
    assert!(message.contains("labelled images") && message.contains("image-1"), "{message}");
    assert!(Labelled::new(vec![255, 255], 0).refusal(1.0, 0.0).contains("no label of image-0"));
    let message = Labelled::new(vec![0, 2, 0, 2], 3).refusal(0.5, 0.0);
    assert!(message.contains("none of class \"class-1\" (made up)"), "{message}");
}

#[test]
fn a_subset_shows_its_images_under_the_wholes_classes() {
    let whole: Arc<dyn Dataset> = Arc::new(Labelled::of_sizes(&[3, 2, 1]));
    let subset = Subset::new(Arc::clone(&whole), vec![5, 0, 3]);
    assert_eq!((subset.len(), subset.classes(), subset.size()), (3, whole.classes(), Some((1, 1))));
    for (index, of_whole) in [5, 0, 3].into_iter().enumerate() {
        assert_eq!(subset.image(index).unwrap(), whole.image(of_whole).unwrap());
        assert_eq!(subset.label(index), whole.label(of_whole));
        assert_eq!(subset.source(index), whole.source(of_whole));
    }
    assert_eq!(subset.describe(), "3 images of made up");
    assert_eq!(subset.in_memory(), whole.in_memory());
    let digest = |indices: &[usize]| Subset::new(Arc::clone(&whole), indices.to_vec()).digest().unwrap();
    assert_eq!(digest(&[5, 0, 3]), subset.digest().unwrap());
    assert!(![digest(&[5, 0]), digest(&[0, 5, 3]), 7].contains(&subset.digest().unwrap()));
}

#[test]
#[should_panic(expected = "image Some(6) of a data set of 6")]
fn an_index_past_the_end_is_a_bug() {
    let _ = Subset::new(Arc::new(Labelled::of_sizes(&[3, 2, 1])), vec![6]);
}

proptest! {
    #[test]
    fn validation_images_without_labels_are_the_fraction_and_share_none_with_training(
        images in 1..500_usize, fraction in 0.0..0.9_f64, most in 0..100_usize, seed in 0..9_u64,
    ) {
        let split = validation_split(images, fraction, most, seed);
        let wanted = (0..most).take_while(|&n| (n + 1) as f64 <= fraction * images as f64).count();
        let wanted = if wanted < 8 { 0 } else { wanted };
        prop_assert_eq!(split.validation.len(), wanted);
        let all: BTreeSet<usize> = split.train.iter().chain(&split.validation).copied().collect();
        prop_assert_eq!(all, (0..images).collect());
        prop_assert_eq!(split.train.len() + split.validation.len(), images);
        prop_assert!(split.train.is_sorted() && split.validation.is_sorted());
        prop_assert_eq!(split, validation_split(images, fraction, most, seed));
    }
}

#[test]
fn another_seed_holds_out_other_images() {
    assert_ne!(validation_split(100, 0.1, 100, 0), validation_split(100, 0.1, 100, 1));
}
