//! A JPEG's headers: whether the file is whole, and which decoder reads a picture of its layout as libjpeg does.
//!
//! The standard allows far more layouts than encoders usually write, and a decoder made for the usual ones takes the
//! others for them, without a word. So the headers are read first. What one decoder or the other was measured to decode
//! within rounding of libjpeg is decoded; the rest is refused (`tests/golden/jpeg/README.md` has the figures).

use std::path::Path;

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use super::Image;
use crate::base::guard::guarded;
use crate::base::{Error, Result};

/// More scans than any encoder writes: each visits all of the picture, so a small file could take hours.
const MOST_SCANS: usize = 100;
/// That no scan has brought a coefficient yet.
const MISSING: u8 = u8::MAX;

/// A value, or what stands in the headers that cannot be read.
type OrReason<T> = std::result::Result<T, String>;

/// What the headers say.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the headers")]
pub(super) struct Layout {
    pub(super) height: u32,
    pub(super) width: u32,
    progressive: bool,
    components: Vec<Component>,
    scans: usize,
    /// Whether the first scan holds all components, as usual decoders take for granted.
    interleaved: bool,
    /// Whether quantisation tables stand between the scans.
    quantisation_between: bool,
    /// Whether a scan uses Huffman tables that the file leaves out.
    standard_tables: bool,
    jfif: bool,
    /// The colour transform that Adobe's marker names.
    adobe: Option<u8>,
}

/// A plane of the picture.
struct Component {
    id: u8,
    /// Sampling factors, across and down.
    factors: [u8; 2],
    /// The lowest bit of each coefficient that a scan has brought.
    bits: [u8; 64],
}

/// What has been defined so far, as sets of table numbers.
#[derive(Default)]
struct Tables {
    quantisation: u16,
    /// For means and for the other coefficients.
    huffman: [u16; 2],
}

impl Layout {
    /// Reads the headers of a file from its start marker to its end marker.
    ///
    /// # Errors
    /// If it is cut short or damaged, or of a layout that no decoder at hand reads as libjpeg does.
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Result<Self> {
        let refuse = |found: String| {
            let expected = "a layout that decodes to the pixels of libjpeg (saving the picture anew with a usual program \
                            makes it so)";
            Error::input(path, "JPEG layout", expected, found)
        };
        let cut = || {
            let found = format!("none in {} bytes: the file is cut short or damaged", bytes.len());
            Error::input(path, "end of image", "the JPEG end marker FF D9", found)
        };
        let mut segments = Vec::new();
        for segment in (Segments { bytes, at: 2 }) {
            segments.push(segment.ok_or_else(cut)?);
        }
        let mut layout = None::<Self>;
        let (mut jfif, mut adobe, mut tables) = (false, None, Tables::default());
        for (marker, content) in segments {
            let scanned = layout.as_ref().is_some_and(|layout| layout.scans > 0);
            match (marker, &mut layout) {
                (0xE0, _) if content.len() >= 14 && content.starts_with(b"JFIF\0") => jfif |= !scanned,
                (0xEE, _) if content.len() >= 12 && content.starts_with(b"Adobe") && !scanned => {
                    adobe = Some(content[11]);
                }
                (0xC0..=0xC2, None) => layout = Some(Self::frame(marker, content).map_err(refuse)?),
                (0xC0..=0xC2, Some(_)) => return Err(refuse("a second frame".to_owned())),
                (0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF, _) => {
                    return Err(refuse(format!(
                        "a lossless, hierarchical or arithmetic frame (FF {marker:02X})"
                    )));
                }
                (0xC4, _) => {
                    tables.define_huffman(content).ok_or_else(|| refuse(damaged("Huffman tables")))?;
                }
                (0xDB, layout) => {
                    let new = tables.define(content).ok_or_else(|| refuse(damaged("quantisation tables")))?;
                    if let Some(layout) = layout.as_mut().filter(|_| scanned) {
                        layout.quantisation_between = true;
                        if !new {
                            return Err(refuse("a quantisation table that changes between scans".to_owned()));
                        }
                    }
                }
                (0xDA, Some(layout)) => layout.scan(content, &tables).map_err(refuse)?,
                (0xDA, None) => return Err(refuse("a scan before its frame".to_owned())),
                _ => {}
            }
        }
        let mut layout = layout.ok_or_else(|| refuse("no frame".to_owned()))?;
        (layout.jfif, layout.adobe) = (jfif, adobe);
        layout.check().map_err(refuse)?;
        Ok(layout)
    }

    /// From a frame header: bits a sample, height, width, components.
    fn frame(marker: u8, content: &[u8]) -> OrReason<Self> {
        let &[depth, h1, h0, w1, w0, n, ref components @ ..] = content else { return Err(damaged("frame")) };
        if depth != 8 {
            return Err(format!("{depth} bits a sample, not 8"));
        }
        if !matches!(n, 1 | 3 | 4) || components.len() < 3 * usize::from(n) {
            return Err(format!("{n} components, not 1, 3 or 4"));
        }
        let component =
            |c: &[u8]| Component { id: c[0], factors: [c[1] >> 4, c[1] & 15], bits: [MISSING; 64] };
        let components: Vec<_> = components.chunks_exact(3).take(n.into()).map(component).collect();
        if (1..components.len()).any(|i| components[..i].iter().any(|other| other.id == components[i].id)) {
            return Err("two components of one name".to_owned());
        }
        let (height, width) = (u16::from_be_bytes([h1, h0]).into(), u16::from_be_bytes([w1, w0]).into());
        if height == 0 || width == 0 {
            return Err(format!("{height}×{width} pixels (height × width) in the frame header"));
        }
        Ok(Self {
            height,
            width,
            progressive: marker == 0xC2,
            components,
            scans: 0,
            interleaved: false,
            quantisation_between: false,
            standard_tables: false,
            jfif: false,
            adobe: None,
        })
    }

    /// Follows a scan: which coefficients of which components it brings, down to which bit.
    fn scan(&mut self, content: &[u8], tables: &Tables) -> OrReason<()> {
        let n = usize::from(content.first().copied().unwrap_or(0));
        let Some(&[first, last, bits]) = content.get(1 + 2 * n..4 + 2 * n) else {
            return Err(damaged("scan"));
        };
        let (high, low) = (bits >> 4, bits & 15);
        let (first, last) = (usize::from(first), usize::from(last));
        let whole = (first, last, bits) == (0, 63, 0);
        // Means come apart from the other coefficients, which come one component at a time.
        let part = first <= last && last < 64 && if first == 0 { last == 0 } else { n == 1 };
        if n == 0 || !(if self.progressive { part } else { whole }) {
            return Err(format!("a scan of coefficients {first} to {last}, bits {high} to {low}"));
        }
        let mut before = None;
        for selector in content[1..=2 * n].chunks_exact(2) {
            let at = self.components.iter().position(|component| component.id == selector[0]);
            let at = at.filter(|_| before < at).ok_or("a scan of other components, or in another order")?;
            before = Some(at);
            let expected = if high == 0 { MISSING } else { high };
            let bits = &mut self.components[at].bits;
            let follows =
                bits[first..=last].iter().all(|&bit| bit == expected) && (high == 0 || low + 1 == high);
            if !follows || first > 0 && bits[0] == MISSING {
                return Err("scans that do not follow on one another".to_owned());
            }
            bits[first..=last].fill(low);
            for (kind, table) in [(0, selector[1] >> 4), (1, selector[1] & 15)] {
                // Refined means are plain bits.
                let used = if kind == 0 { first == 0 && high == 0 } else { last > 0 };
                if used && tables.huffman[kind] >> table & 1 == 0 {
                    if self.progressive || table > 1 {
                        return Err(format!("a scan whose Huffman table {table} is missing"));
                    }
                    self.standard_tables = true;
                }
            }
        }
        self.scans += 1;
        self.interleaved |= self.scans == 1 && n == self.components.len();
        if self.scans > MOST_SCANS { Err(format!("more than {MOST_SCANS} scans")) } else { Ok(()) }
    }

    /// Refuses what is not there in full, and what the decoders were measured to bring to other sizes than libjpeg.
    fn check(&self) -> OrReason<()> {
        let components = &self.components;
        if components.iter().any(|component| component.bits != [0; 64]) {
            return Err("coefficients that no scan brings down to their last bit".to_owned());
        }
        let factors: Vec<[u8; 2]> = components.iter().map(|component| component.factors).collect();
        let all = |allowed: &[u8]| factors.iter().flatten().all(|factor| allowed.contains(factor));
        let luma_alone = factors[1..].iter().all(|&factors| factors == [1, 1]);
        if !(all(&[1, 2]) || luma_alone && all(&[1, 2, 4])) {
            let factors: Vec<String> = factors.iter().map(|[h, v]| format!("{h}×{v}")).collect();
            return Err(format!("sampling factors {}", factors.join(", ")));
        }
        // libjpeg repeats such a plane's pixels, decoders here blend them.
        let widest = factors.iter().map(|[h, _]| *h).max().unwrap_or(1);
        if self.width <= 4 && factors.iter().any(|[h, _]| 2 * h == widest) {
            return Err(format!("{} pixels across with planes of half as many", self.width));
        }
        Ok(())
    }

    /// Values per decoded pixel: grey or colour.
    pub(super) fn channels(&self) -> usize {
        if self.components.len() == 1 { 1 } else { 3 }
    }

    /// Whether the layout is one that encoders usually write, which the usual decoder reads.
    pub(super) fn is_usual(&self) -> bool {
        let [luma, chroma @ ..] = &self.components[..] else { return false };
        let colours = match (self.jfif, self.adobe, self.named_rgb()) {
            (true, None | Some(1), named_rgb) | (false, Some(0 | 1), named_rgb) => !named_rgb,
            (false, None, _) => true,
            _ => false,
        };
        let sampled = [[1, 1], [2, 1], [1, 2], [2, 2], [4, 1]].contains(&luma.factors)
            && chroma.iter().all(|component| component.factors == [1, 1]);
        let scans = self.progressive || self.interleaved;
        let tables = !self.quantisation_between && !self.standard_tables;
        scans && tables && (chroma.is_empty() || chroma.len() == 2 && colours && sampled)
    }

    /// Whether the components are called R, G and B.
    fn named_rgb(&self) -> bool {
        self.components.iter().map(|component| component.id).eq(*b"RGB")
    }

    /// What the components mean, by libjpeg's rules.
    fn colours(&self) -> ColorTransform {
        match (self.components.len(), self.jfif, self.adobe) {
            (1, ..) => ColorTransform::Grayscale,
            (3, false, Some(0)) => ColorTransform::RGB,
            (3, false, None) if self.named_rgb() => ColorTransform::RGB,
            (3, ..) => ColorTransform::YCbCr,
            (_, _, None | Some(0)) => ColorTransform::CMYK,
            _ => ColorTransform::YCCK,
        }
    }

    /// Decodes a file of this layout, if it is not the usual one.
    ///
    /// # Errors
    /// If its compressed data is damaged.
    pub(super) fn decode(&self, path: &Path, bytes: &[u8]) -> Result<Image> {
        // The decoder knows the tables that motion JPEGs leave out, and takes for one what this marker says is one.
        let marker =
            if self.standard_tables { &b"\xFF\xE0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0"[..] } else { &[] };
        let bytes = [&bytes[..2], marker, &bytes[2..]].concat();
        let mut decoder = Decoder::new(&bytes[..]);
        decoder.set_color_transform(self.colours());
        let pixels = guarded(path, "image data", || {
            decoder.decode().map_err(|error| Error::input(path, "image data", "a sound JPEG", error))
        })?;
        let pixels = match decoder.info().map(|info| info.pixel_format) {
            Some(PixelFormat::CMYK32) => pixels.chunks_exact(4).flat_map(colour_of_inks).collect(),
            _ => pixels,
        };
        let (height, width, channels) = (self.height as usize, self.width as usize, self.channels());
        if pixels.len() != height * width * channels {
            let expected = format!("{height}×{width} pixels (height × width) of {channels} values");
            return Err(Error::input(path, "image data", expected, format!("{} values", pixels.len())));
        }
        Ok(Image::new(height, width, channels, pixels))
    }
}

/// `R = (255 − C)(255 − K) / 255` to the nearest, and so on: black takes away from all three.
#[expect(clippy::cast_possible_truncation, reason = "at most 255")]
fn colour_of_inks(inks: &[u8]) -> [u8; 3] {
    let left = |ink: u8| u32::from(255 - ink);
    [0, 1, 2].map(|i| ((left(inks[i]) * left(inks[3]) + 127) / 255) as u8)
}

fn damaged(what: &str) -> String {
    format!("a damaged header ({what})")
}

impl Tables {
    /// Takes up a segment of quantisation tables; whether all of them are new, or nothing if it is damaged.
    fn define(&mut self, mut content: &[u8]) -> Option<bool> {
        let mut new = true;
        while let Some(&kind) = content.first() {
            let len = if kind >> 4 == 0 { 65 } else { 129 };
            content = content.get(len..)?;
            let bit = 1 << (kind & 15);
            new &= self.quantisation & bit == 0;
            self.quantisation |= bit;
        }
        Some(new)
    }

    /// Takes up a segment of Huffman tables; nothing if it is damaged.
    fn define_huffman(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some(&kind) = content.first() {
            let symbols: usize = content.get(1..17)?.iter().map(|&count| usize::from(count)).sum();
            content = content.get(17 + symbols..)?;
            *self.huffman.get_mut(usize::from(kind >> 4))? |= 1 << (kind & 15);
        }
        Some(())
    }
}

/// The segments of a file, each a marker and its content, up to the end marker; `None` where the file is cut short.
///
/// Decoders fill the missing part of a cut file with grey, so it has to be found here. Searching for `FF D9` would not
/// do, as an embedded thumbnail has one too: this walks the segments by their lengths, and the compressed data, where
/// `FF` stands only before `00` (a data byte) or a restart marker `D0…D7`. What follows the end marker (padding, a
/// camera's own appendix) is not looked at.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // In segments a marker stands right here; in compressed data, somewhere ahead.
            while self.bytes.get(self.at).is_some_and(|&byte| byte != 0xFF) {
                self.at += 1;
            }
            match self.bytes.get(self.at + 1) {
                None => return Some(None),
                Some(0xD9) => return None,
                Some(0xFF) => self.at += 1, // a fill byte before a marker
                Some(0x00 | 0x01 | 0xD0..=0xD7) => self.at += 2, // no segment follows these
                Some(&marker) => {
                    let start = self.at + 4;
                    let Some(&[high, low]) = self.bytes.get(self.at + 2..start) else { return Some(None) };
                    self.at += 2 + usize::from(u16::from_be_bytes([high, low]));
                    return Some(self.bytes.get(start..self.at).map(|content| (marker, content)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(bytes: &[u8]) -> bool {
        Segments { bytes, at: 2 }.all(|segment| segment.is_some())
    }

    #[test]
    fn a_jpeg_ends_where_its_segments_lead_and_not_in_its_thumbnail() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0, 2, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56];
        let cut = [&[0xFF, 0xD8][..], &thumbnail, &scan].concat();
        assert!(!is_whole(&cut));
        assert!(is_whole(&[&cut[..], &[0xFF, 0xD9]].concat()));
        assert!(is_whole(&[&cut[..], &[0xFF, 0xFF, 0xD9, 0, 0, 0]].concat()), "padding is no damage");
        for end in
            [&[][..], &[0xFF], &[0xFF, 0xE0], &[0xFF, 0xE0, 0], &[0xFF, 0xE0, 0, 9], &[0xFF, 0xE0, 0, 1]]
        {
            assert!(!is_whole(&[&[0xFF, 0xD8], end].concat()), "{end:02X?}");
        }
    }
}
