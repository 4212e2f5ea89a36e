//! What a run takes, before it is run.

use crate::base::Result;
use crate::config::Settings;
use crate::config::resolve::varied;
use crate::config::sections::EPOCH_SAMPLES;
use crate::train::source::Source;
use crate::train::task::Task;
use toml::Value;

/// Floating-point operations of the training steps of an epoch, about: images of the epoch × operations of an image's step
/// ([`Task::flops_per_image`]).
///
/// Pre-training's images are those that its source has not held out. If labels are learnt, a fraction `finetune.label_share` of the images
/// has them, of which a fraction `data.val_fraction` validates where the data has no validation split of its own. Each image is shown
/// `data.repeats` times: as often as makes an epoch of at least [`EPOCH_SAMPLES`] where the settings leave it open. So an epoch of few
/// labels is not as short as their number says.
///
/// # Errors
/// If there is no training data, or another split is there but damaged.
pub fn epoch_flops<T: Task>(config: &T::Config) -> Result<f64> {
    let (data, table) = (config.data(), config.to_table()?);
    let share =
        table.get("finetune").and_then(|section| section.get("label_share")).and_then(Value::as_float);
    let Source { train, validation, .. } = T::source(config)?;
    let trained = if share.is_some() && validation.is_err() { 1.0 - data.val_fraction } else { 1.0 };
    let images = (trained * share.unwrap_or(1.0) * train.len() as f64).round().max(1.0);
    let repeats = data.repeats.map_or((EPOCH_SAMPLES as f64 / images).ceil(), |repeats| repeats as f64);
    // Settings know the number of classes when the data is opened, and a segmenter's maps have a channel for each.
    let names_classes = table.get("model").is_some_and(|model| model.get("num_classes").is_some());
    let classes = i64::try_from(train.classes().len()).ok().filter(|&classes| names_classes && classes > 0);
    let classes = classes.map(|classes| ("model.num_classes".to_owned(), classes.into()));
    let config: T::Config = varied(table, classes.into_iter().collect())?;
    Ok(repeats * images * T::flops_per_image(&config))
}
