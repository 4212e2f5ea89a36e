//! A sheet of what encoders make of images: a row for each image and encoder, the class token's attention as heat maps, and the patches
//! coloured by their first three principal components.

use super::{PatchMaps, patch_maps};
use crate::base::Result;
use crate::data::Image;
use crate::draw::heat::{heat, mosaic};
use crate::draw::sheet::{Picture, Sheet};
use crate::exec::engine::Engine;
use crate::models::mae::Encoder;
use crate::tasks::pca::Pca;
use crate::train::input::Input;
use ndarray::{ArrayView1, Axis};

/// Coordinates are shown from `−SPREAD` to `SPREAD` standard deviations.
const SPREAD: f64 = 2.0;

/// One encoder and what it makes of the images, which are as many for every encoder.
#[derive(Clone, Debug)]
pub struct EncoderMaps {
    /// What it is called below its pictures.
    pub name: String,
    /// Rows and columns of patches.
    pub grid: (usize, usize),
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// The images as it is shown them.
    pub pictures: Vec<Image>,
    /// What it makes of each.
    pub maps: Vec<PatchMaps>,
}

/// How to read the sheet, which belongs below it.
pub const READING: &str = "Attention is the class token's in the last block, light where it is largest. Components are those of the \
    patches of all images of a checkpoint, with their part of the variance; the same colour in two pictures of one checkpoint means \
    similar features.";

impl EncoderMaps {
    /// What `encoder` makes of some images, each with where it comes from.
    ///
    /// # Errors
    /// If an image cannot be brought to its input, there is too little memory, or a device failed.
    pub fn new(
        name: String,
        encoder: &Encoder<f32>,
        input: &Input,
        images: &[(String, Image)],
        engine: &Engine,
    ) -> Result<Self> {
        let shown = || images.iter();
        let pictures = shown().map(|(source, image)| input.picture(source, image)).collect::<Result<_>>()?;
        let pixels = shown().map(|(source, image)| input.image(source, image)).collect::<Result<Vec<_>>>()?;
        let (vit, maps) = (&encoder.vit.config, patch_maps(encoder, &pixels, engine)?);
        Ok(Self { name, grid: vit.grid(), patch_size: vit.patch_size, pictures, maps })
    }
}

/// Draws them as a PNG, image by image with one row an encoder; `images` are their names, `note` stands below.
///
/// Components are computed over the patches of all images of an encoder together: the same colour in two pictures of one
/// encoder means a similar feature, in pictures of two encoders nothing.
///
/// # Errors
/// If the picture cannot be encoded.
///
/// # Panics
/// If there is no encoder or no image, or an encoder has another number of images than there are names.
pub fn draw(all: &[EncoderMaps], images: &[String], note: &str) -> Result<Vec<u8>> {
    let most = all.iter().map(|encoder| encoder.maps[0].attention.nrows()).max().expect("an encoder");
    let heads = (1..=most).map(|head| format!("attention, head {head}"));
    let captions: Vec<String> = ["image".to_owned(), "components 1-3 as red, green, blue".to_owned()]
        .into_iter()
        .chain(heads)
        .collect();
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new(&captions, Some(note));
    let coloured: Vec<Coloured> = all.iter().map(Coloured::of).collect();
    for (i, image) in images.iter().enumerate() {
        for (encoder, coloured) in all.iter().zip(&coloured) {
            assert_eq!(encoder.maps.len(), images.len(), "images and their names");
            let picture = (Picture::of(&encoder.pictures[i]), vec![image.clone(), encoder.name.clone()]);
            let components = mosaic(encoder.grid, encoder.patch_size, &coloured.patches[i]);
            let heads = encoder.maps[i].attention.axis_iter(Axis(0)).map(|head| attention(encoder, head));
            let row = [picture, (components, vec![coloured.fractions.clone()])].into_iter().chain(heads);
            sheet.push_labelled_row(row);
        }
    }
    sheet.to_png_bytes()
}

/// A heat map from 0 to its largest value, which is written below.
fn attention(encoder: &EncoderMaps, head: ArrayView1<f32>) -> (Picture, Vec<String>) {
    let most = head.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let colours: Vec<_> = head.iter().map(|p| heat(p / most)).collect();
    (mosaic(encoder.grid, encoder.patch_size, &colours), vec![format!("0 to {:.1} %", 100.0 * most)])
}

/// The patches of an encoder's images in colours.
struct Coloured {
    /// A colour for each patch of each image.
    patches: Vec<Vec<[u8; 3]>>,
    /// The components' parts of the variance.
    fractions: String,
}

impl Coloured {
    fn of(encoder: &EncoderMaps) -> Self {
        let patches: Vec<_> = encoder.maps.iter().map(|maps| maps.patches.view()).collect();
        let rows = ndarray::concatenate(Axis(0), &patches).expect("features of one width");
        let pca = Pca::of(rows.view(), 3);
        let std = pca.variances.iter().map(|variance| variance.sqrt()).collect::<Vec<_>>();
        let colour = |at: ArrayView1<f64>| std::array::from_fn(|c| level(at[c], std[c]));
        let colours = |image| pca.coordinates(image).axis_iter(Axis(0)).map(colour).collect();
        let percent: Vec<String> =
            pca.fractions().iter().map(|fraction| format!("{:.0}", 100.0 * fraction)).collect();
        Self {
            patches: patches.into_iter().map(colours).collect(),
            fractions: format!("{} %", percent.join(" + ")),
        }
    }
}

/// A coordinate as a byte; half grey is the mean.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn level(coordinate: f64, std: f64) -> u8 {
    let deviations = if std > 0.0 { (coordinate / std / SPREAD).clamp(-1.0, 1.0) } else { 0.0 };
    (127.5 + 127.5 * deviations).round() as u8
}
