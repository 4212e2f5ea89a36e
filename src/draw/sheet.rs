//! A sheet of pictures as one PNG: captions above the columns, equal tiles in rows, perhaps a label below each, a legend
//! and a note at the end.
//!
//! Small pictures are enlarged by a whole factor without smoothing, so that each pixel of a 28 × 28 image
//! stays a visible square; large ones are reduced to at most 256 pixels.

use crate::base::{Error, Result};
use crate::data::Image;
use crate::draw::lettering::{INK, LINE, PAPER, QUIET, height, shortened, to_u32, width, wrapped, write};
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// Small pictures are enlarged to about this side.
const TILE: u32 = 160;
/// Pictures larger than this are reduced to it.
const MAX_TILE: u32 = 256;
/// Around the sheet, and between its tiles.
const MARGIN: u32 = 24;
const GAP: u32 = 10;
/// Between a text and the tiles.
const TEXT_GAP: u32 = 10;
/// Between a tile and the text below it.
const LABEL_GAP: u32 = 4;
/// The side of a colour in a legend.
const SWATCH: u32 = 10;

const EDGE: Rgb<u8> = Rgb([214, 218, 224]);

/// An 8-bit colour picture.
#[derive(Clone, Debug)]
pub struct Picture(RgbImage);

impl Picture {
    /// From rows of `(red, green, blue)`.
    ///
    /// # Panics
    /// If the bytes do not fill `width × height` pixels, or there are none.
    #[must_use]
    pub fn rgb(width: u32, height: u32, bytes: Vec<u8>) -> Self {
        let pixels = width as usize * height as usize;
        assert!(pixels > 0, "a picture of {width} × {height} pixels");
        assert_eq!(bytes.len(), 3 * pixels, "bytes for {width} × {height} pixels of 3");
        Self(RgbImage::from_raw(width, height, bytes).expect("the bytes fill the picture"))
    }

    /// From rows of gray levels.
    ///
    /// # Panics
    /// If the bytes do not fill `width × height` pixels, or there are none.
    #[must_use]
    pub fn gray(width: u32, height: u32, bytes: &[u8]) -> Self {
        Self::rgb(width, height, bytes.iter().flat_map(|&level| [level; 3]).collect())
    }

    /// A decoded image: the first three of 3 or 4 channels as red, green and blue, else the first as grey.
    ///
    /// # Panics
    /// If it has no pixels.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let (width, height) = (to_u32(image.width), to_u32(image.height));
        let pixels = image.pixels.chunks_exact(image.channels);
        if matches!(image.channels, 3 | 4) {
            return Self::rgb(
                width,
                height,
                pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            );
        }
        let first: Vec<u8> = pixels.map(|pixel| pixel[0]).collect();
        Self::gray(width, height, &first)
    }

    /// The picture itself as a PNG file's bytes.
    ///
    /// # Errors
    /// If the encoder fails, which takes a picture too large for a PNG.
    pub fn to_png_bytes(&self) -> Result<Vec<u8>> {
        png_bytes(&self.0)
    }

    /// Writes a text on a strip of paper that stands on the point `[x, y]`, or hangs below it where there is no room above.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is meant"
    )]
    pub fn label(&mut self, text: &str, [x, y]: [f64; 2]) {
        let left = (x as u32).min(self.0.width().saturating_sub(width(text)));
        let top = (y as u32).checked_sub(LINE).unwrap_or(y as u32);
        let strip = RgbImage::from_pixel(width(text).max(1), LINE, PAPER);
        imageops::replace(&mut self.0, &strip, left.into(), top.into());
        write(&mut self.0, text, (left, top), INK);
    }

    /// The picture at the size at which it is shown, within a tile of at most 256 pixels.
    fn at_display_size(&self) -> RgbImage {
        let (width, height) = self.0.dimensions();
        let side = width.max(height);
        if side > MAX_TILE {
            let scaled = |length: u32| (length * MAX_TILE).div_ceil(side);
            return imageops::resize(&self.0, scaled(width), scaled(height), FilterType::Triangle);
        }
        // The whole factor that comes nearest to TILE, and never past MAX_TILE.
        let factor = ((TILE + side / 2) / side).clamp(1, MAX_TILE / side);
        imageops::resize(&self.0, width * factor, height * factor, FilterType::Nearest)
    }
}

/// Rows of pictures under captions.
#[derive(Clone, Debug)]
pub struct Sheet {
    captions: Vec<String>,
    note: Option<String>,
    legend: Vec<([u8; 3], String)>,
    rows: Vec<Vec<Tile>>,
}

/// A picture at its size on the sheet, and the lines below it.
#[derive(Clone, Debug)]
struct Tile {
    picture: RgbImage,
    label: Vec<String>,
}

impl Sheet {
    /// A sheet with one column per caption, and a line below the pictures.
    #[must_use]
    pub fn new(captions: &[&str], note: Option<&str>) -> Self {
        let captions = captions.iter().map(|&caption| caption.to_owned()).collect();
        Self { captions, note: note.map(str::to_owned), legend: Vec::new(), rows: Vec::new() }
    }

    /// Says below the pictures what colours stand for.
    pub fn set_legend(&mut self, legend: impl IntoIterator<Item = ([u8; 3], String)>) {
        self.legend = legend.into_iter().collect();
    }

    /// Adds a row, one picture for each column.
    ///
    /// # Panics
    /// If the number of pictures is not that of the captions.
    pub fn push_row(&mut self, pictures: impl IntoIterator<Item = Picture>) {
        let tiles: Vec<_> = pictures.into_iter().map(|picture| (picture, Vec::new())).collect();
        assert_eq!(tiles.len(), self.captions.len(), "pictures in a row, columns of the sheet");
        self.push_labelled_row(tiles);
    }

    /// Adds a row of pictures with lines of text below each; the row may be shorter than the sheet is wide.
    ///
    /// # Panics
    /// If there are more pictures than captions.
    pub fn push_labelled_row(&mut self, tiles: impl IntoIterator<Item = (Picture, Vec<String>)>) {
        let tile = |(picture, label): (Picture, _)| Tile { picture: picture.at_display_size(), label };
        let row: Vec<Tile> = tiles.into_iter().map(tile).collect();
        assert!(row.len() <= self.captions.len(), "pictures in a row, columns of the sheet");
        self.rows.push(row);
    }

    /// The sheet as a PNG file's bytes.
    ///
    /// # Errors
    /// If the encoder fails, which takes a sheet too large for a PNG.
    pub fn to_png_bytes(&self) -> Result<Vec<u8>> {
        png_bytes(&self.draw())
    }

    fn draw(&self) -> RgbImage {
        let at = Layout::of(self);
        let mut sheet = RgbImage::from_pixel(at.width, at.height, PAPER);
        for (column, lines) in at.captions.iter().enumerate() {
            // Captions stand on the tiles: a short one beside a long one keeps its distance to them.
            let top = at.first_row - TEXT_GAP - height(lines);
            for (line, y) in lines.iter().zip((top..).step_by(LINE as usize)) {
                let x = at.x(column) + at.tile.0.saturating_sub(width(line)) / 2;
                write(&mut sheet, line, (x, y), INK);
            }
        }
        for (row, tiles) in self.rows.iter().enumerate() {
            for (column, Tile { picture, label }) in tiles.iter().enumerate() {
                let x = at.x(column) + (at.tile.0 - picture.width()) / 2;
                let y = at.y(row) + (at.tile.1 - picture.height()) / 2;
                outline(&mut sheet, (x, y), picture.dimensions());
                imageops::replace(&mut sheet, picture, x.into(), y.into());
                let below = at.y(row) + at.tile.1 + LABEL_GAP;
                for (line, y) in label.iter().zip((below..).step_by(LINE as usize)) {
                    write(&mut sheet, &shortened(line, at.tile.0), (at.x(column), y), INK);
                }
            }
        }
        for ((colour, text), &(x, y)) in self.legend.iter().zip(&at.legend) {
            let swatch = RgbImage::from_pixel(SWATCH, SWATCH, Rgb(*colour));
            let top = y + (LINE - SWATCH) / 2;
            outline(&mut sheet, (x, top), (SWATCH, SWATCH));
            imageops::replace(&mut sheet, &swatch, x.into(), top.into());
            write(&mut sheet, text, (x + SWATCH + LABEL_GAP, y), INK);
        }
        for (line, y) in at.note.iter().zip((at.note_top..).step_by(LINE as usize)) {
            write(&mut sheet, line, (MARGIN, y), QUIET);
        }
        sheet
    }
}

/// Where everything stands, in pixels.
struct Layout {
    tile: (u32, u32),
    /// Room below each tile.
    label: u32,
    captions: Vec<Vec<String>>,
    note: Vec<String>,
    /// Where each entry of the legend begins.
    legend: Vec<(u32, u32)>,
    first_row: u32,
    note_top: u32,
    width: u32,
    height: u32,
}

impl Layout {
    fn of(sheet: &Sheet) -> Self {
        let tiles = || sheet.rows.iter().flatten();
        let pictures = || tiles().map(|tile| &tile.picture);
        let tile = (
            pictures().map(RgbImage::width).max().unwrap_or(TILE),
            pictures().map(RgbImage::height).max().unwrap_or(TILE),
        );
        let label = tiles().map(|tile| height(&tile.label)).max().filter(|&label| label > 0);
        let label = label.map_or(0, |label| label + LABEL_GAP);
        let along = |count: usize, side: u32| (side + GAP) * to_u32(count).max(1) - GAP;
        let inner = along(sheet.captions.len(), tile.0);
        let captions: Vec<_> = sheet.captions.iter().map(|caption| wrapped(caption, tile.0)).collect();
        let note = sheet.note.as_ref().map_or_else(Vec::new, |note| wrapped(note, inner));
        let caption_height = captions.iter().map(|lines| height(lines)).max().unwrap_or(0);
        let first_row = MARGIN + caption_height + TEXT_GAP;
        let legend_top = first_row + along(sheet.rows.len(), tile.1 + label) + TEXT_GAP;
        let legend = flow(sheet.legend.iter().map(|(_, text)| text), inner, legend_top);
        let note_top = legend.last().map_or(legend_top, |(_, y)| y + LINE + TEXT_GAP);
        let bottom = if note.is_empty() { note_top - TEXT_GAP } else { note_top + height(&note) };
        let (width, height) = (inner + 2 * MARGIN, bottom + MARGIN);
        Self { tile, label, captions, note, legend, first_row, note_top, width, height }
    }

    fn x(&self, column: usize) -> u32 {
        MARGIN + to_u32(column) * (self.tile.0 + GAP)
    }

    fn y(&self, row: usize) -> u32 {
        self.first_row + to_u32(row) * (self.tile.1 + self.label + GAP)
    }
}

/// Where the entries of a legend begin that flows in lines as wide as the pictures, and a longer one in a line of its own.
fn flow<'a>(texts: impl Iterator<Item = &'a String>, inner: u32, top: u32) -> Vec<(u32, u32)> {
    let (mut x, mut y) = (0, top);
    let place = |text: &String| {
        let wide = SWATCH + LABEL_GAP + width(text);
        if x > 0 && x + wide > inner {
            (x, y) = (0, y + LINE);
        }
        let at = (MARGIN + x, y);
        x += wide + MARGIN;
        at
    };
    texts.map(place).collect()
}

/// A thin line around a picture, so that a white one still shows its border.
fn outline(sheet: &mut RgbImage, (x, y): (u32, u32), (width, height): (u32, u32)) {
    let border = RgbImage::from_pixel(width + 2, height + 2, EDGE);
    imageops::replace(sheet, &border, i64::from(x) - 1, i64::from(y) - 1);
}

/// A picture as a PNG file's bytes.
///
/// # Errors
/// If the encoder fails, which takes a picture too large for a PNG.
pub(crate) fn png_bytes(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Error::write("picture.png")(std::io::Error::other(e)))?;
    Ok(bytes.into_inner())
}
