//! Claim: every preset resolves to settings that can work, and to a model of exactly as many parameters as
//! the PyTorch reference has (transformers' `ViTMAEForPreTraining` of the same configuration, counted on
//! its meta device).

use vit_mae::mae::Mae;
use vit_mae::optim::groups;
use vit_mae::params::Params;
use vit_mae::train::{Config, presets};

/// Name, all parameters with the position tables, and those that are trained.
const REFERENCE: [(&str, usize, usize); 7] = [
    ("nano", 1_311_248, 1_301_648),
    ("cifar", 5_837_904, 5_819_184),
    ("photo", 2_986_656, 2_967_936),
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

#[test]
fn the_default_preset_is_one() {
    assert!(presets::text(presets::DEFAULT).is_ok());
    let message = presets::text("vit-giant").unwrap_err().to_string();
    for (name, _) in presets::PRESETS {
        assert!(message.contains(name), "{message}");
    }
}
