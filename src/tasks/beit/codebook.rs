//! The codebook of a run: made by k-means of its training images' patches, or read from a file; and that file.

use super::config::BeitSettings;
use crate::base::disk::{Disk, Os};
use crate::base::rng::{Purpose, permutation, rng};
use crate::base::{Error, Result};
use crate::checkpoint::atomic::replace_on;
use crate::checkpoint::tensors::{self, File};
use crate::data::{Dataset, none_usable};
use crate::models::beit::kmeans::{Iteration, first_centroids, fit};
use crate::models::beit::{Codebook, Tokenizer};
use crate::models::mae::loss::PixelTarget;
use crate::train::source::measure;
use ndarray::{Array2, Axis, s};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// A codebook file's one tensor, and its one entry of metadata.
const CENTROIDS: &str = "centroids";
const ABOUT: &str = "codebook";

/// A tokenizer with what its pixels are normalised by.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Patches to tokens.
    pub tokenizer: Tokenizer<f32>,
    /// Of which images.
    pub about: About,
}

/// What a codebook is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Channels of a pixel.
    pub in_chans: usize,
    /// Whether each patch has its own mean and standard deviation taken out.
    pub normalised: bool,
    /// Per-channel mean of pixels in [0, 1], taken out before.
    pub mean: Vec<f32>,
    /// Per-channel standard deviation.
    pub std: Vec<f32>,
}

/// Receives what making a codebook is at.
pub trait Making {
    /// So many of so many patches are read.
    fn read(&self, patches: usize, of: usize);

    /// An iteration of k-means is done, of at most so many.
    fn iterated(&self, number: usize, most: usize, iteration: &Iteration<f32>);
}

/// Nobody looks.
impl Making for () {
    fn read(&self, _: usize, _: usize) {}

    fn iterated(&self, _: usize, _: usize, _: &Iteration<f32>) {}
}

/// The codebook that the settings name, or one of the training images; fills in the settings that follow from it, and the
/// pixels' statistics.
///
/// A run that is resumed makes its codebook again, to the same bits: k-means is a function of settings, data and seed.
///
/// # Errors
/// If the file is none of a codebook, or of other patches than the settings say; if there are fewer patches than tokens; or
/// if the codebook is not the one that the settings' digest is of.
pub fn of_run(train: &dyn Dataset, config: &mut BeitSettings, making: &dyn Making) -> Result<Tokens> {
    let began = config.beit.codebook_crc;
    let given = config.beit.codebook.clone().map(|path| Tokens::open(&path).map(|tokens| (path, tokens)));
    let given = given.transpose()?;
    if let Some((path, tokens)) = &given {
        tokens.adopt(path, config)?;
    }
    measure(train, &mut config.data, config.model.in_chans)?;
    let tokens = given.map_or_else(|| make(train, config, making), |(_, tokens)| Ok(tokens))?;
    let crc = tokens.crc();
    if let Some(began) = began.filter(|&began| began != crc) {
        let expected = format!("{began:08x}, that of the codebook which the run began with");
        return Err(Error::setting("beit.codebook_crc", expected, format!("{crc:08x}")));
    }
    config.beit.codebook_crc = Some(crc);
    Ok(tokens)
}

/// k-means of the training images' patches, as the model sees images in evaluation; the settings have the statistics.
///
/// # Errors
/// If there are fewer patches than tokens, or an image cannot be read.
pub fn make(train: &dyn Dataset, config: &BeitSettings, making: &dyn Making) -> Result<Tokens> {
    let patches = patches(train, config, making)?;
    let (tokens, most) = (config.beit.tokens, config.beit.kmeans_iterations);
    if tokens > patches.nrows() {
        let expected = format!("at most {}, the patches that the training images have", patches.nrows());
        return Err(Error::setting("beit.tokens", expected, tokens));
    }
    let first = first_centroids(patches.view(), tokens, config.run.seed);
    let codebook = fit(patches.view(), first, most, &config.run.gemm.into(), &mut |number, iteration| {
        making.iterated(number, most, iteration);
        ControlFlow::Continue(())
    });
    let about = About {
        patch_size: config.model.patch_size,
        in_chans: config.model.in_chans,
        normalised: config.beit.normalised,
        mean: config.data.mean.clone().unwrap_or_default(),
        std: config.data.std.clone().unwrap_or_default(),
    };
    Ok(Tokens { tokenizer: Tokenizer { codebook, patches: about.patches() }, about })
}

/// `[n, P]`: all patches of so many training images, in an order by the seed, as make up `beit.kmeans_patches`.
fn patches(train: &dyn Dataset, config: &BeitSettings, making: &dyn Making) -> Result<Array2<f32>> {
    let (most, per_image) = (config.beit.kmeans_patches, config.model.num_patches());
    let most = most.min(train.len().saturating_mul(per_image));
    let (input, mut cx) = (config.input(), crate::exec::Exec::new(config.run.gemm));
    let mut all = Array2::zeros((most, config.model.patch_len()));
    let (mut filled, mut skipped) = (0, None);
    for index in permutation(&mut rng(config.run.seed, Purpose::Codebook, 1, 0), train.len()) {
        if filled == most {
            break;
        }
        let image = train.image(index).and_then(|image| input.image(&train.source(index), &image));
        let image = match image {
            Ok(image) => image.insert_axis(Axis(0)),
            Err(error) if config.data.skip_bad_images => {
                skipped = Some(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let of_image = config.patches().target(image.view(), &mut cx);
        let rows = per_image.min(most - filled);
        all.slice_mut(s![filled..filled + rows, ..]).assign(&of_image.slice(s![..rows, ..]));
        cx.recycle(of_image);
        filled += rows;
        making.read(filled, most);
    }
    match skipped.filter(|_| filled == 0) {
        Some(first) => Err(none_usable(train, &first)),
        None => Ok(all.slice_move(s![..filled, ..])),
    }
}

impl About {
    /// What of a patch is compared with centroids.
    #[must_use]
    pub fn patches(&self) -> PixelTarget {
        PixelTarget { patch_size: self.patch_size, norm_pix_loss: self.normalised }
    }

    fn patch_len(&self) -> usize {
        self.patch_size.saturating_mul(self.patch_size).saturating_mul(self.in_chans)
    }
}

impl Tokens {
    /// CRC-32 of the centroids.
    #[must_use]
    pub fn crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        self.tokenizer.codebook.centroids.iter().for_each(|x| crc.update(&x.to_le_bytes()));
        crc.finalize()
    }

    /// Reads a codebook's file.
    ///
    /// # Errors
    /// If it cannot be read, or is no codebook.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let expected = "an entry `codebook` that says of which patches: a file of `vit-mae tokenizer`";
        let wrong = |found: String| Error::input(path, "metadata", expected, found);
        let text = file.metadata().remove(ABOUT).ok_or_else(|| wrong("none".to_owned()))?;
        let about: About = serde_json::from_str(&text).map_err(|e| wrong(format!("`{e}`")))?;
        let &[tokens, len] = file.shape(CENTROIDS)? else {
            let found = format!("{:?}", file.shape(CENTROIDS)?);
            return Err(Error::input(path, CENTROIDS, "a matrix", found));
        };
        let channels = about.in_chans;
        if tokens < 2 || len != about.patch_len() || [about.mean.len(), about.std.len()] != [channels; 2] {
            let expected =
                format!("2 or more centroids of {} numbers, as its metadata says", about.patch_len());
            return Err(Error::input(path, CENTROIDS, expected, format!("{tokens} × {len}")));
        }
        let values: Vec<f32> = file.read(CENTROIDS)?;
        if let Some(value) = values.iter().chain(&about.mean).chain(&about.std).find(|x| !x.is_finite()) {
            return Err(Error::input(path, CENTROIDS, "finite numbers", value));
        }
        let centroids = Array2::from_shape_vec((tokens, len), values).expect("as many as the shape says");
        Ok(Self {
            tokenizer: Tokenizer { codebook: Codebook::new(centroids), patches: about.patches() },
            about,
        })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_on(&Os, path)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// As [`Tokens::write`].
    pub fn write_on(&self, disk: &dyn Disk, path: &Path) -> Result<()> {
        let about = serde_json::to_string(&self.about).map_err(|e| Error::write(path)(e.into()))?;
        let metadata = BTreeMap::from([(ABOUT.to_owned(), about)]);
        let centroids = &self.tokenizer.codebook.centroids;
        let values = centroids.as_slice().expect("made in standard layout");
        let tensor = (CENTROIDS.to_owned(), centroids.shape().to_vec(), values);
        replace_on(disk, path, |partial| tensors::write_on(disk, partial, [tensor], &metadata))?;
        Ok(())
    }

    /// Takes over what follows from the codebook, and refuses one of other patches than the settings say.
    fn adopt(&self, path: &Path, config: &mut BeitSettings) -> Result<()> {
        let (about, model) = (&self.about, &config.model);
        for (key, mine, theirs) in [
            ("model.patch_size", model.patch_size, about.patch_size),
            ("model.in_chans", model.in_chans, about.in_chans),
        ] {
            if mine != theirs {
                let expected = format!("{theirs}, as the codebook {} has it", path.display());
                return Err(Error::setting(key, expected, mine));
            }
        }
        let data = &mut config.data;
        for (key, mine, theirs) in
            [("data.mean", &mut data.mean, &about.mean), ("data.std", &mut data.std, &about.std)]
        {
            if mine.get_or_insert_with(|| theirs.clone()) != theirs {
                let expected = format!("{theirs:?}, as the codebook {} was made with", path.display());
                return Err(Error::setting(key, expected, format!("{:?}", mine.clone().unwrap_or_default())));
            }
        }
        config.beit.tokens = self.tokenizer.codebook.tokens();
        config.beit.normalised = about.normalised;
        config.beit.kmeans_patches = config.beit.kmeans_patches.max(config.beit.tokens);
        Ok(())
    }
}
