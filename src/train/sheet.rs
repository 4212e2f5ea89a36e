//! A sheet of pictures as one PNG: captions above the columns, equal tiles in rows, a note below.
//!
//! Small pictures are enlarged by a whole factor without smoothing, so that each pixel of a 28 × 28 image
//! stays a visible square; large ones are reduced to at most 256 pixels.

use crate::base::{Error, Result};
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use std::io::Cursor;

/// Small pictures are enlarged to about this side.
const TILE: u32 = 160;
/// Pictures larger than this are reduced to it.
const MAX_TILE: u32 = 256;
/// Around the sheet, and between its tiles.
const MARGIN: u32 = 24;
const GAP: u32 = 10;
/// The height of a line of text.
const LINE: u32 = 16;
/// Between a text and the tiles.
const TEXT_GAP: u32 = 10;

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const EDGE: Rgb<u8> = Rgb([214, 218, 224]);
const INK: [u8; 3] = [38, 43, 52];
const QUIET: [u8; 3] = [112, 120, 132];

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
    rows: Vec<Vec<RgbImage>>,
}

impl Sheet {
    /// A sheet with one column per caption, and a line below the pictures.
    #[must_use]
    pub fn new(captions: &[&str], note: Option<&str>) -> Self {
        let captions = captions.iter().map(|&caption| caption.to_owned()).collect();
        Self { captions, note: note.map(str::to_owned), rows: Vec::new() }
    }

    /// Adds a row, one picture for each column.
    ///
    /// # Panics
    /// If the number of pictures is not that of the captions.
    pub fn push_row(&mut self, pictures: impl IntoIterator<Item = Picture>) {
        let row: Vec<RgbImage> = pictures.into_iter().map(|picture| picture.at_display_size()).collect();
        assert_eq!(row.len(), self.captions.len(), "pictures in a row, columns of the sheet");
        self.rows.push(row);
    }

    /// The sheet as a PNG file's bytes.
    ///
    /// # Errors
    /// If the encoder fails, which takes a sheet too large for a PNG.
    pub fn to_png_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        self.draw()
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(|e| Error::write("sheet.png")(std::io::Error::other(e)))?;
        Ok(bytes.into_inner())
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
        for (row, pictures) in self.rows.iter().enumerate() {
            for (column, picture) in pictures.iter().enumerate() {
                let x = at.x(column) + (at.tile.0 - picture.width()) / 2;
                let y = at.y(row) + (at.tile.1 - picture.height()) / 2;
                outline(&mut sheet, (x, y), picture.dimensions());
                imageops::replace(&mut sheet, picture, x.into(), y.into());
            }
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
    captions: Vec<Vec<String>>,
    note: Vec<String>,
    first_row: u32,
    note_top: u32,
    width: u32,
    height: u32,
}

impl Layout {
    fn of(sheet: &Sheet) -> Self {
        let pictures = || sheet.rows.iter().flatten();
        let tile = (
            pictures().map(RgbImage::width).max().unwrap_or(TILE),
            pictures().map(RgbImage::height).max().unwrap_or(TILE),
        );
        let along = |count: usize, side: u32| (side + GAP) * to_u32(count).max(1) - GAP;
        let inner = along(sheet.captions.len(), tile.0);
        let captions: Vec<_> = sheet.captions.iter().map(|caption| wrapped(caption, tile.0)).collect();
        let note = sheet.note.as_ref().map_or_else(Vec::new, |note| wrapped(note, inner));
        let caption_height = captions.iter().map(|lines| height(lines)).max().unwrap_or(0);
        let first_row = MARGIN + caption_height + TEXT_GAP;
        let note_top = first_row + along(sheet.rows.len(), tile.1) + TEXT_GAP;
        let bottom = if note.is_empty() { note_top - TEXT_GAP } else { note_top + height(&note) };
        let (width, height) = (inner + 2 * MARGIN, bottom + MARGIN);
        Self { tile, captions, note, first_row, note_top, width, height }
    }

    fn x(&self, column: usize) -> u32 {
        MARGIN + to_u32(column) * (self.tile.0 + GAP)
    }

    fn y(&self, row: usize) -> u32 {
        self.first_row + to_u32(row) * (self.tile.1 + GAP)
    }
}

/// Breaks a text at spaces into lines of at most `limit` pixels; a longer word stays whole.
fn wrapped(text: &str, limit: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn height(lines: &[String]) -> u32 {
    LINE * to_u32(lines.len())
}

fn width(text: &str) -> u32 {
    to_u32(text.chars().count() * get_raster_width(WEIGHT, SIZE))
}

/// Mixes the letters' ink into the paper; what would fall off the sheet is left out.
fn write(sheet: &mut RgbImage, text: &str, (left, top): (u32, u32), ink: [u8; 3]) {
    for (i, letter) in text.chars().enumerate() {
        // The font has Latin letters; anything else shows as a question mark.
        let Some(glyph) = get_raster(letter, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE)) else {
            continue;
        };
        let left = left + to_u32(i * glyph.width());
        for (y, row) in (top..).zip(glyph.raster()) {
            for (x, &strength) in (left..).zip(*row) {
                if let Some(pixel) = sheet.get_pixel_mut_checked(x, y) {
                    for (paper, ink) in pixel.0.iter_mut().zip(ink) {
                        *paper = mixed(*paper, ink, strength);
                    }
                }
            }
        }
    }
}

/// `paper` at strength 0, `ink` at strength 255.
fn mixed(paper: u8, ink: u8, strength: u8) -> u8 {
    let (paper, ink, strength) = (u32::from(paper), u32::from(ink), u32::from(strength));
    u8::try_from((paper * (255 - strength) + ink * strength + 127) / 255).unwrap_or(u8::MAX)
}

/// A thin line around a picture, so that a white one still shows its border.
fn outline(sheet: &mut RgbImage, (x, y): (u32, u32), (width, height): (u32, u32)) {
    let border = RgbImage::from_pixel(width + 2, height + 2, EDGE);
    imageops::replace(sheet, &border, i64::from(x) - 1, i64::from(y) - 1);
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
