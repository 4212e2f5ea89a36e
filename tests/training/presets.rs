//! Claim: every preset resolves to settings that can work, and to a model of exactly as many parameters as
//! the PyTorch reference has (transformers' `ViTMAEForPreTraining` of the same configuration, counted on
//! its meta device; `photo` by hand from the same shapes). And: of few photographs and of a folder of them the preset
//! `photo` makes runs of much the same length.

use std::path::Path;
use vit_mae::data::{self, Split, Subset};
use vit_mae::mae::Mae;
use vit_mae::optim::groups;
use vit_mae::params::Params;
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::presets;
use vit_mae::train::source;

/// Name, all parameters with the position tables, and those that are trained.
const REFERENCE: [(&str, usize, usize); 7] = [
    ("nano", 1_311_248, 1_301_648),
    ("cifar", 5_837_904, 5_819_184),
    ("photo", 1_087_712, 1_073_152),
    ("vit-tiny", 6_466_880, 6_403_840),
    ("vit-base", 111_907_840, 111_655_680),
    ("vit-large", 329_541_888, 329_239_296),
    ("vit-huge", 657_074_508, 656_613_964),
];

fn config(name: &str) -> Config {
    Config::resolve(name, None, Vec::new()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn every_preset_resolves_and_has_the_parameters_of_the_reference() {
    for (name, _) in presets::PRESETS {
        let row = REFERENCE.iter().find(|row| row.0 == *name);
        let (_, all, trained) = *row.unwrap_or_else(|| panic!("preset {name} is not in the table"));
        let parameters = config(name).model.parameters();
        assert_eq!((parameters.all, parameters.trained), (all, trained), "{name}");
    }
    assert_eq!(presets::PRESETS.len(), REFERENCE.len(), "the table has a preset that is gone");
}

#[test]
fn the_counts_are_those_of_the_tensors_themselves() {
    for name in ["nano", "cifar", "photo", "vit-tiny"] {
        let config = config(name);
        let model = Mae::<f32>::new(config.model.clone());
        let groups = groups::pretraining(&model, 0.05);
        let trained: usize = groups.iter().filter(|group| group.trained).map(|group| group.len).sum();
        let parameters = config.model.parameters();
        assert_eq!((parameters.all, parameters.trained), (model.count(), trained), "{name}");
    }
}

/// `data.repeats` of these settings once `images` images have been opened.
fn repeats(mut config: Config, images: usize) -> usize {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/photos");
    let photos = data::open(photos, None, Split::Train).unwrap();
    (config.data.mean, config.data.std) = (Some(vec![0.5; 3]), Some(vec![0.5; 3])); // measured otherwise
    source::measure(&Subset::new(photos, vec![0; images]), &mut config.data, 3).unwrap();
    config.data.repeats.expect("filled in")
}

#[test]
fn few_photographs_are_repeated_until_an_epoch_has_1600_samples_and_many_are_not() {
    for (images, expected) in [(1, 1600), (10, 160), (1000, 2), (1577, 2), (1600, 1), (1601, 1), (50_000, 1)]
    {
        assert_eq!(repeats(config("photo"), images), expected, "{images} images");
    }
}

#[test]
fn repeats_that_are_given_stay_and_every_other_preset_gives_one() {
    let given = Config::resolve("photo", None, vec![("data.repeats".to_owned(), 7.into())]).unwrap();
    assert_eq!(repeats(given, 10), 7);
    for (name, _) in presets::PRESETS.iter().filter(|(name, _)| *name != "photo") {
        assert_eq!(repeats(config(name), 10), 1, "{name}");
    }
}

#[test]
fn the_default_preset_is_one() {
    assert!(presets::text(presets::DEFAULT).is_ok());
    let message = presets::text("vit-giant").unwrap_err().to_string();
    for (name, _) in presets::PRESETS {
        assert!(message.contains(name), "{message}");
    }
}
