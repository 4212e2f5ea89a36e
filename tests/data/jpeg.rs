//! Claim: a JPEG of any layout decodes to the pixels of libjpeg (Pillow) within rounding, or is refused with the reason;
//! never to other pixels, and never with a panic.
//!
//! `tests/golden/jpeg` has files of random layouts and what Pillow made of them; `JPEG_LAYOUTS=FOLDER` tries a folder of
//! any number that `tests/interop/jpeg_layouts.py` wrote.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use vit_mae::data::{Image, load_image};

/// Two decoders' inverse transforms, upsampling and colours, each rounded.
const ROUNDING: u8 = 5;
/// In the last row and column, where libjpeg blends with the last pixel of a plane, and the decoder of usual layouts
/// with the next one, which lies in the padding that encoders make of the last, quantised anew.
const AT_THE_BORDER: u8 = 16;

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    tried: usize,
    right: usize,
    refused: usize,
    /// That Pillow refuses.
    unknown: usize,
}

/// The largest difference inside and at the border, if the pictures are of one kind.
fn differences(image: &Image, expected: &Image) -> [u8; 2] {
    let shape = |image: &Image| (image.height, image.width, image.channels);
    assert_eq!(shape(image), shape(expected));
    let mut worst = [0; 2];
    for (i, (a, b)) in image.pixels.iter().zip(&expected.pixels).enumerate() {
        let (row, column) = (i / image.channels / image.width, i / image.channels % image.width);
        let at_the_border = row + 1 == image.height || column + 1 == image.width;
        let worst = &mut worst[usize::from(at_the_border)];
        *worst = a.abs_diff(*b).max(*worst);
    }
    worst
}

/// Decodes every `N.jpg` of a folder and compares it with `N.png`.
fn compare(folder: &Path) -> Counts {
    let mut counts = Counts::default();
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.extension().is_some_and(|extension| extension == "jpg"));
    names.sort();
    for name in names {
        counts.tried += 1;
        let png = name.with_extension("png");
        match load_image(&name) {
            Err(error) => {
                let error = error.to_string();
                let (path, reason) = error.split_once(": ").unwrap();
                assert_eq!(path, name.display().to_string());
                counts.refused += 1;
                *reasons.entry(reason.split(", found").last().unwrap().to_owned()).or_default() += 1;
            }
            Ok(_) if !png.exists() => counts.unknown += 1,
            Ok(image) => {
                let [inside, border] = differences(&image, &load_image(png).unwrap());
                assert!(
                    inside <= ROUNDING && border <= AT_THE_BORDER,
                    "{}: {inside}, {border} at the border",
                    name.display()
                );
                counts.right += 1;
            }
        }
    }
    for (reason, files) in reasons {
        println!("refused {files}:{reason}");
    }
    counts
}

#[test]
fn random_layouts_decode_as_pillow_decodes_them_or_are_refused() {
    if let Ok(folder) = std::env::var("JPEG_LAYOUTS") {
        println!("{:?}", compare(Path::new(&folder)));
    }
    let folder = recorded();
    let counts = compare(folder.path());
    println!("{counts:?}");
    // The rest has scans that end early, tables that change too late, or planes of odd proportions.
    assert!(counts.tried >= 60 && 5 * counts.right >= 4 * counts.tried, "{counts:?}");
}

#[test]
fn a_layout_that_is_refused_is_named() {
    let folder = recorded();
    let message = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.path().join("changed.jpg");
        let mut bytes = fs::read(folder.path().join(name)).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let message = load_image(&path).unwrap_err().to_string();
        assert!(message.starts_with(&*format!("{}: JPEG layout: expected", path.display())), "{message}");
        message
    };
    let frame = |bytes: &[u8]| {
        bytes.windows(2).position(|two| two[0] == 0xFF && (0xC0..=0xC2).contains(&two[1])).unwrap()
    };
    let baseline = "plain.jpg";
    for (at, value, words) in [
        (1, 0xC9, "arithmetic"),
        (1, 0xC3, "lossless"),
        (4, 12, "12 bits a sample, not 8"),
        (9, 2, "2 components"),
        (11, 0x31, "sampling factors 3×1"),
        (11, 0x00, "sampling factors 0×0"),
        (13, 1, "two components of one name"),
    ] {
        let message = message(baseline, &|bytes| {
            let frame = frame(bytes);
            bytes[frame + at] = value;
        });
        assert!(message.contains(words), "{message}");
    }
    let no_scan = message(baseline, &|bytes| {
        let scan = bytes.windows(2).position(|two| two == [0xFF, 0xDA]).unwrap();
        bytes.truncate(scan);
        bytes.extend([0xFF, 0xD9]);
    });
    assert!(no_scan.contains("coefficients that no scan brings"), "{no_scan}");
}

/// The recorded files, in a folder.
fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = fs::File::open("tests/golden/jpeg/layouts.tar").unwrap();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        fs::write(folder.path().join(entry.path().unwrap()), bytes).unwrap();
    }
    folder
}
