//! Where the images of a run come from: the embedded data or a path, its statistics, its held-out split.

use super::config::Config;
use crate::base::{Error, Result};
use crate::data::{self, Augment, Dataset, Format, LoaderConfig, Split, channel_stats};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images that the statistics are measured on, at most.
const STATS_IMAGES: usize = 1000;

/// The images of a run.
pub struct Source {
    /// What the model learns from.
    pub train: Arc<dyn Dataset>,
    /// What it is judged on, or why there is nothing.
    pub held_out: std::result::Result<Arc<dyn Dataset>, String>,
}

impl Source {
    /// Opens the data set that the configuration names.
    ///
    /// # Errors
    /// If there is no training data, or a test split is there but damaged.
    pub fn open(config: &Config) -> Result<Self> {
        let path = locate(config.data.path.as_deref())?;
        let format = config.data.format.as_deref().map(str::parse::<Format>).transpose()?;
        let train = data::open(&path, format, Split::Train)?;
        let held_out = if config.run.held_out_images == 0 {
            Err("run.held_out_images is 0".to_owned())
        } else if path.is_file() {
            Err("a single file has no test split".to_owned())
        } else {
            match data::open(&path, format, Split::Test) {
                Err(error) if !is_absence(&error) => return Err(error),
                other => other.map_err(|error| error.to_string()),
            }
        };
        Ok(Self { train, held_out })
    }

    /// Writes the measured mean and standard deviation into a configuration that does not give them.
    ///
    /// # Errors
    /// If an image that is looked at cannot be read.
    pub fn complete(&self, config: &mut Config) -> Result<()> {
        if config.data.mean.is_none() || config.data.std.is_none() {
            let skip = config.data.skip_bad_images;
            let stats = channel_stats(&*self.train, config.model.in_chans, STATS_IMAGES, skip)?;
            config.data.mean.get_or_insert(stats.mean);
            config.data.std.get_or_insert(stats.std);
        }
        Ok(())
    }
}

/// How the loader prepares the training images of a completed configuration.
#[must_use]
pub fn loader_config(config: &Config) -> LoaderConfig {
    let data = &config.data;
    let crop_area = data.crop.map(|[low, high]| (low, high));
    let augment = Augment { crop_area, flip: data.flip, ..Augment::NONE };
    LoaderConfig {
        height: config.model.img_size[0],
        width: config.model.img_size[1],
        channels: config.model.in_chans,
        mean: data.mean.clone().unwrap_or_default(),
        std: data.std.clone().unwrap_or_default(),
        batch_size: config.optim.batch_size,
        repeats: data.repeats,
        augment: Some(augment),
        seed: config.run.seed,
        skip_bad_images: data.skip_bad_images,
        cache_bytes: data.cache_mib.saturating_mul(1 << 20),
    }
}

/// Whether a data set was not found, rather than found and found wrong.
fn is_absence(error: &Error) -> bool {
    match error {
        Error::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        Error::Input { found, .. } => found == "none",
        _ => false,
    }
}

/// The data's path. A relative one below `data` that is not here may be the embedded data, which lies where
/// the program was built.
fn locate(path: Option<&Path>) -> Result<PathBuf> {
    let Some(path) = path else {
        let expected = "a folder of images, IDX or CIFAR files; data/README.md says where to get CIFAR-10";
        return Err(Error::setting("--data", expected, "none, and this preset brings none"));
    };
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Ok(if path.starts_with("data") && !path.exists() && embedded.exists() {
        embedded
    } else {
        path.to_path_buf()
    })
}
