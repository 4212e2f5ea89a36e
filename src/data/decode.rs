//! From a PNG or JPEG file to an [`Image`], refusing whatever is cut, oversized or something else.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::image::MAX_BYTES;
use super::jpeg::Layout;
use super::{Image, embedded};
use crate::base::guard::guarded;
use crate::base::{Error, Result};

/// The longest side of an image, in pixels.
const MAX_SIDE: u32 = 16_384;

/// Reads one PNG or JPEG file; the format is told from the content, not from the name.
///
/// 16 bits become 8, a palette becomes colours, an orientation noted in EXIF data is not applied (as in
/// torchvision's loader).
///
/// # Errors
/// If the file cannot be read, is neither PNG nor JPEG, is damaged or cut short, or is larger than
/// 16384 pixels a side or 512 MiB.
pub fn load_image(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    match embedded::file(path) {
        Some(bytes) => decode(path, bytes),
        None => decode(path, &read_file(path, MAX_BYTES)?),
    }
}

/// A regular file and its length (a pipe or a device has no end to wait for).
pub(super) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let metadata = fs::metadata(path).map_err(Error::read(path))?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(Error::input(path, "file type", "a regular file", found));
    }
    Ok((File::open(path).map_err(Error::read(path))?, metadata.len()))
}

/// All bytes of a regular file of at most `limit` bytes.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    if len > limit {
        let expected = format!("at most {limit} bytes");
        return Err(Error::input(path, "file length", expected, format!("{len} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(bytes)
}

/// [`load_image`] for bytes that are in memory; `path` is for messages.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Image> {
    let Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(bytes) else {
        return Err(Error::input(path, "image format", "PNG or JPEG", describe_start(bytes)));
    };
    let damaged = |error: ImageError| Error::input(path, "image data", format!("a sound {format:?}"), error);
    if format == ImageFormat::Jpeg {
        let layout = Layout::of(path, bytes)?;
        let total = u64::from(layout.width) * u64::from(layout.height) * layout.channels() as u64;
        check_size(path, format, bytes, (layout.height, layout.width), total)?;
        if !layout.is_usual() {
            return layout.decode(path, bytes);
        }
    }
    guarded(path, "image data", || {
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits.clone());
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        check_size(path, format, bytes, (height, width), decoder.total_bytes())?;
        decoder.set_limits(limits).map_err(damaged)?;
        DynamicImage::from_decoder(decoder).map(to_image).map_err(damaged)
    })
}

/// Refuses a picture of `(height, width)` that decodes to so many bytes in all, if that is too many for this program or
/// for its file.
pub(super) fn check_size(
    path: &Path,
    format: ImageFormat,
    bytes: &[u8],
    (height, width): (u32, u32),
    total: u64,
) -> Result<()> {
    let size = format!("{height}×{width} (height × width)");
    if width.max(height) > MAX_SIDE || total > MAX_BYTES {
        let expected = format!("at most {MAX_SIDE} pixels a side and {} MiB decoded", MAX_BYTES >> 20);
        return Err(Error::input(path, "image size", expected, format!("{size}, {} MiB", total >> 20)));
    }
    let (pixels, most) = (u64::from(width) * u64::from(height), most_pixels(format, bytes));
    if pixels > most {
        let expected = format!("at most {most} pixels, all that {} bytes can hold", bytes.len());
        return Err(Error::input(path, "image size", expected, size));
    }
    Ok(())
}

/// The most pixels that a file of this length can hold, so that a header cannot claim memory for more.
///
/// Deflate shrinks to 1/1032 at best, and a PNG's header says how many bits a pixel has. A JPEG spends at least
/// one bit on the mean of a block of 8 × 8.
fn most_pixels(format: ImageFormat, bytes: &[u8]) -> u64 {
    let len = bytes.len() as u64;
    if format == ImageFormat::Jpeg {
        return len * 8 * 64;
    }
    let (depth, colour) = match bytes.get(24..26) {
        Some(&[depth, colour]) => (u64::from(depth), colour),
        _ => return 0,
    };
    let channels = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    len * 1032 * 8 / (depth * channels).max(1)
}

/// The pixels in 8 bits, in as many channels as the file has.
fn to_image(decoded: DynamicImage) -> Image {
    let (height, width) = (decoded.height() as usize, decoded.width() as usize);
    let (channels, pixels) = match decoded.color() {
        ColorType::L8 | ColorType::L16 => (1, decoded.into_luma8().into_raw()),
        ColorType::La8 | ColorType::La16 => (2, decoded.into_luma_alpha8().into_raw()),
        ColorType::Rgba8 | ColorType::Rgba16 => (4, decoded.into_rgba8().into_raw()),
        _ => (3, decoded.into_rgb8().into_raw()),
    };
    Image { alpha: matches!(channels, 2 | 4), ..Image::new(height, width, channels, pixels) }
}

/// Rows and columns of a PNG or JPEG file, by its header.
///
/// # Errors
/// If the file cannot be read, has no header of these formats, or is too large or too short for what its header claims.
pub(super) fn image_size(path: &Path) -> Result<(usize, usize)> {
    let bytes = read_file(path, MAX_BYTES)?;
    let (format, (height, width)) = match image::guess_format(&bytes) {
        Ok(format @ ImageFormat::Jpeg) => {
            let layout = Layout::of(path, &bytes)?;
            (format, (layout.height, layout.width))
        }
        Ok(format @ ImageFormat::Png) => (format, png_size(path, &bytes)?),
        _ => return Err(Error::input(path, "image format", "PNG or JPEG", describe_start(&bytes))),
    };
    // Of one channel at least: what masks of this size take depends on it.
    check_size(path, format, &bytes, (height, width), u64::from(height) * u64::from(width))?;
    Ok((height as usize, width as usize))
}

/// Rows and columns by a PNG file's first chunk.
pub(super) fn png_size(path: &Path, bytes: &[u8]) -> Result<(u32, u32)> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes);
    match (bytes.get(12..16), number(20), number(16)) {
        (Some(b"IHDR"), Some(height @ 1..), Some(width @ 1..)) => Ok((height, width)),
        _ => Err(Error::input(path, "image data", "a sound Png", "no header with a size")),
    }
}

/// What a file that is no image begins with.
pub(super) fn describe_start(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
    format!("a file that begins with the bytes {}", start.join(" "))
}
