//! Claim: folders of images and label maps are read in both layouts, indices as they are in the file; what does not fit is
//! refused with the file's name, or left out where bad images may be.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, arr2};
use tempfile::TempDir;
use vit_mae::Error;
use vit_mae::data::{
    Augment, Contents, Dataset, Format, Loader, LoaderConfig, ReduceZeroLabel, Split, Target, TargetKind,
    load_label_map, open, recognise, verify,
};
use vit_mae::draw::palette::label_map_png;

use crate::common::files::{put, refusal};

/// A grey image of a size.
fn image(height: usize, width: usize) -> Vec<u8> {
    png(png::ColorType::Grayscale, 8, (height, width), &vec![100; height * width])
}

/// A PNG file of any kind.
fn png(colour: png::ColorType, depth: u8, (height, width): (usize, usize), rows: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let side = |side: usize| u32::try_from(side).unwrap();
    let mut encoder = png::Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::from_u8(depth).unwrap());
    if colour == png::ColorType::Indexed {
        // All colours the same: only the index tells classes apart.
        encoder.set_palette(vec![9; 3 << depth]);
    }
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    bytes
}

/// A set with one image of 2 × 3 and its map in this split.
fn put_pair(dir: &TempDir, split: &str, name: &str, map: [[u8; 3]; 2]) {
    put(dir, &format!("images/{split}/{name}.png"), &image(2, 3));
    put(dir, &format!("annotations/{split}/{name}.png"), &label_map_png(&arr2(&map)).unwrap());
}

const MAP: [[u8; 3]; 2] = [[0, 1, 2], [2, 255, 0]];

fn names(data: &dyn Dataset, dir: &TempDir) -> Vec<String> {
    let root = format!("{}/", dir.path().display());
    (0..data.len()).map(|i| data.source(i).replace(&root, "")).collect()
}

fn map(data: &dyn Dataset, index: usize) -> Array2<u8> {
    match data.target(index).unwrap() {
        Target::LabelMap(map) => map,
        other => panic!("{other:?}"),
    }
}

#[test]
fn grey_values_and_palette_indices_of_any_depth_are_the_classes() {
    let dir = TempDir::new().unwrap();
    for depth in [1u8, 2, 4, 8] {
        // Five values in a row, which do not fill a whole byte below 8 bits, from the highest down.
        let most = u8::try_from((1u16 << depth) - 1).unwrap();
        let values: Vec<u8> = (0..10u8).map(|i| most.wrapping_sub(i * 3) & most).collect();
        let rows: Vec<u8> = values
            .chunks(5)
            .flat_map(|row| {
                let bits: Vec<String> =
                    row.iter().map(|v| format!("{v:0width$b}", width = depth.into())).collect();
                let bits = bits.concat();
                let bits = format!("{bits:0<width$}", width = bits.len().next_multiple_of(8));
                let byte = |at: usize| u8::from_str_radix(&bits[at..at + 8], 2).unwrap();
                (0..bits.len()).step_by(8).map(byte).collect::<Vec<u8>>()
            })
            .collect();
        let expected = Array2::from_shape_vec((2, 5), values).unwrap();
        let file = put(&dir, "map.png", &png(png::ColorType::Indexed, depth, (2, 5), &rows));
        assert_eq!(load_label_map(&file).unwrap(), expected, "{depth} bits");
    }
    let file = put(&dir, "grey.png", &png(png::ColorType::Grayscale, 8, (1, 3), &[7, 0, 255]));
    assert_eq!(load_label_map(&file).unwrap(), arr2(&[[7, 0, 255]]));
}

#[test]
fn other_kinds_of_files_are_refused_with_what_to_save_instead() {
    let dir = TempDir::new().unwrap();
    let cases = [
        (png::ColorType::Rgb, 8, 6, "replace each colour by the number of its class"),
        (png::ColorType::Rgba, 8, 8, "replace each colour by the number of its class"),
        (png::ColorType::GrayscaleAlpha, 8, 4, "without alpha"),
        (png::ColorType::Grayscale, 16, 4, "16 bits: save the classes as 8 bits"),
        (png::ColorType::Grayscale, 1, 1, "1 bit: save the classes as 8 bits"),
    ];
    for (colour, depth, len, words) in cases {
        let file = put(&dir, "map.png", &png(colour, depth, (1, 2), &vec![0; len]));
        let message = load_label_map(&file).unwrap_err().to_string();
        assert!(message.contains("map.png: label map") && message.contains(words), "{message}");
    }
    let whole = label_map_png(&Array2::from_elem((40, 40), 3)).unwrap();
    for (bytes, words) in [
        (&whole[..whole.len() - 30], "a sound Png"),
        (&whole[..20], "no header with a size"),
        (b"\xff\xd8\xff\xe0", "expected PNG, as other formats change values"),
        (b"", "an empty file"),
    ] {
        let message = load_label_map(put(&dir, "map.png", bytes)).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn both_layouts_give_each_split_its_images_and_maps() {
    for [train, validation] in [["training", "validation"], ["train", "val"], ["Train", "valid"]] {
        let dir = TempDir::new().unwrap();
        put_pair(&dir, train, "b", MAP);
        put_pair(&dir, train, "a.v1", [[1; 3]; 2]);
        put_pair(&dir, validation, "c", MAP);
        put(&dir, "classes.txt", "sky\r\nroad\r\ncar\r\n".as_bytes());
        assert_eq!(recognise(dir.path()).unwrap(), Format::LabelMaps);
        let data = open(dir.path(), None, Split::Train).unwrap();
        let expected = [format!("images/{train}/a.v1.png"), format!("images/{train}/b.png")];
        assert_eq!(names(&*data, &dir), expected);
        assert_eq!(
            (data.classes(), data.target_kind()),
            (&["sky", "road", "car"].map(String::from)[..], TargetKind::LabelMap)
        );
        assert_eq!((map(&*data, 0), map(&*data, 1)), (arr2(&[[1; 3]; 2]), arr2(&MAP)));
        assert_eq!(open(dir.path(), None, Split::Validation).unwrap().len(), 1);
        assert!(open(dir.path(), None, Split::Test).is_err_and(|error| error.is_absence()));
    }
    let dir = TempDir::new().unwrap();
    for name in ["2007_1", "2007_2", "2007_3"] {
        put(&dir, &format!("JPEGImages/{name}.png"), &image(2, 3));
        put(&dir, &format!("SegmentationClass/{name}.png"), &label_map_png(&arr2(&MAP)).unwrap());
    }
    put(&dir, "ImageSets/Segmentation/train.txt", b"2007_3\n2007_1\n");
    put(&dir, "ImageSets/Segmentation/val.txt", b"2007_2\n");
    put(&dir, "ImageSets/Segmentation/trainval.txt", b"2007_1\n2007_2\n2007_3\n");
    assert_eq!(recognise(dir.path()).unwrap(), Format::LabelMaps);
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(names(&*data, &dir), ["JPEGImages/2007_3.png", "JPEGImages/2007_1.png"]);
    assert_eq!(map(&*data, 1), arr2(&MAP));
    assert_eq!(open(dir.path(), None, Split::Validation).unwrap().len(), 1);
    assert!(open(dir.path(), None, Split::Test).is_err_and(|error| error.is_absence()));
}

#[test]
fn without_folders_for_splits_all_images_train_also_those_further_down() {
    let dir = TempDir::new().unwrap();
    put(&dir, "images/city/1.png", &image(2, 3));
    put(&dir, "annotations/city/1.PNG", &label_map_png(&arr2(&MAP)).unwrap());
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((names(&*data, &dir), map(&*data, 0)), (vec!["images/city/1.png".to_owned()], arr2(&MAP)));
}

#[test]
fn without_names_the_classes_are_the_values_of_the_training_set() {
    let dir = TempDir::new().unwrap();
    put_pair(&dir, "train", "a", MAP);
    put_pair(&dir, "val", "b", [[0, 0, 3], [0, 0, 0]]);
    for split in [Split::Train, Split::Validation] {
        let data = open(dir.path(), None, split).unwrap();
        assert_eq!(data.classes(), ["class 0", "class 1", "class 2"].map(String::from), "{split}");
        assert!(data.notes()[0].contains("classes.txt: the values are called class 0 to class 2"));
    }
    let message = open(dir.path(), None, Split::Validation).unwrap().target(0).unwrap_err().to_string();
    let expected =
        "label of row 0, column 2: expected less than 3, the number of classes, or 255 (ignored), found 3";
    assert!(message.contains("annotations/val/b.png") && message.ends_with(expected), "{message}");
}

#[test]
fn reduced_maps_ignore_0_and_shift_the_rest_with_the_names() {
    let dir = TempDir::new().unwrap();
    put_pair(&dir, "train", "a", MAP);
    put(&dir, "classes.txt", b"other\nwall\nfloor\n");
    let whole = open(dir.path(), None, Split::Train).unwrap();
    let digest = whole.digest().unwrap();
    let data = ReduceZeroLabel::new(whole).unwrap();
    assert_eq!(data.classes(), ["wall", "floor"].map(String::from));
    assert_eq!(map(&data, 0), arr2(&[[255, 0, 1], [1, 255, 255]]));
    assert_ne!(data.digest().unwrap(), digest);
    let classes = TempDir::new().unwrap();
    put(&classes, "cat/1.png", &image(2, 2));
    let refused = ReduceZeroLabel::new(open(classes.path(), None, Split::Train).unwrap());
    let message = refused.map(|_| ()).unwrap_err().to_string();
    assert!(message.starts_with("data.reduce_zero_label: expected data with label maps"), "{message}");
}

/// A set with six good images, and one for each thing that can be wrong with a map.
fn spoilt() -> TempDir {
    let dir = TempDir::new().unwrap();
    put(&dir, "classes.txt", b"sky\nroad\ncar\n");
    for i in 0..6 {
        put_pair(&dir, "train", &format!("good-{i}"), MAP);
    }
    put(&dir, "images/train/missing.png", &image(2, 3));
    for (name, map) in [
        ("size", label_map_png(&Array2::zeros((3, 2))).unwrap()),
        ("value", label_map_png(&arr2(&[[0, 1, 2], [0, 7, 0]])).unwrap()),
        ("colours", png(png::ColorType::Rgb, 8, (2, 3), &[0; 18])),
        ("deep", png(png::ColorType::Grayscale, 16, (2, 3), &[0; 12])),
        ("cut", label_map_png(&arr2(&MAP)).unwrap()[..800].to_vec()),
    ] {
        put(&dir, &format!("images/train/{name}.png"), &image(2, 3));
        put(&dir, &format!("annotations/train/{name}.png"), &map);
    }
    dir
}

fn loader(dir: &Path, skip_bad_images: bool) -> Result<Vec<String>, Error> {
    let config = LoaderConfig {
        height: 2,
        width: 3,
        channels: 1,
        mean: vec![0.5],
        std: vec![0.5],
        batch_size: 4,
        repeats: 1,
        views: vec![Augment::NONE],
        seed: 1,
        skip_bad_images,
        cache_bytes: 1 << 20,
    };
    let loader = Loader::new(open(dir, None, Split::Train)?, config)?;
    for batch in loader.epoch(0, 0) {
        let expected = Target::LabelMap(arr2(&MAP));
        assert!(batch?.targets.iter().all(|target| *target == expected), "of the image that is shown");
    }
    Ok(loader.skipped())
}

#[test]
fn a_map_that_does_not_fit_makes_its_image_a_bad_one() {
    let dir = spoilt();
    let data = open(dir.path(), None, Split::Train).unwrap();
    let bad = verify(&*data, &|| ()).bad;
    let expected = [
        ("colours.png", "replace each colour"),
        ("cut.png", "a sound Png"),
        ("deep.png", "16 bits"),
        ("missing.png", "label map: expected an 8-bit PNG file for"),
        ("size.png", "size of the label map: expected 2×3 (height × width), as"),
        ("value.png", "label of row 1, column 1"),
    ];
    assert_eq!(bad.len(), expected.len(), "{bad:?}");
    for ((_, reason), (file, words)) in bad.iter().zip(expected) {
        assert!(reason.contains(&format!("annotations/train/{file}")) && reason.contains(words), "{reason}");
    }
    assert_eq!(loader(dir.path(), true).unwrap().len(), 6);
    assert_eq!(loader(dir.path(), false).unwrap_err().exit_code(), 2);
}

#[test]
fn what_is_there_and_not_read_is_said() {
    let dir = TempDir::new().unwrap();
    put_pair(&dir, "train", "a", MAP);
    put(&dir, "images/test/1.png", &image(2, 3));
    put(&dir, "annotations/train/alone.png", &label_map_png(&arr2(&MAP)).unwrap());
    let Contents { splits, notes } = Contents::open(dir.path(), None).unwrap();
    assert_eq!(splits.len(), 1);
    let notes = notes.join("\n");
    for words in [
        "no test images",
        "annotations: split: expected a sub-folder for test",
        "1 label map without an image",
        "alone.png",
    ] {
        assert!(notes.contains(words), "no {words:?} in {notes}");
    }
}

#[test]
fn what_cannot_be_a_data_set_of_label_maps_is_refused() {
    let dir = TempDir::new().unwrap();
    put_pair(&dir, "train", "a", MAP);
    for (content, words) in [
        (&b"sky\n\nroad\n"[..], "classes.txt: line 2: expected the name of a class"),
        (b"sky\nroad\nsky\n", "classes.txt: line 3: expected a name of its own"),
        (b"", "classes.txt: class names: expected 1 to 255 lines"),
    ] {
        put(&dir, "classes.txt", content);
        let message = refusal(dir.path(), Split::Train);
        assert!(message.contains(words), "{message}");
    }
    let voc = TempDir::new().unwrap();
    put(&voc, "JPEGImages/1.png", &image(2, 3));
    put(&voc, "SegmentationClass/1.png", &image(2, 3));
    let message = refusal(voc.path(), Split::Train);
    assert!(message.contains("ImageSets/Segmentation: split: expected train.txt"), "{message}");
    let plain = TempDir::new().unwrap();
    put(&plain, "cat/1.png", &image(2, 3));
    let error = open(plain.path(), Some(Format::LabelMaps), Split::Train).map(|d| d.len()).unwrap_err();
    assert!(error.to_string().contains("label maps: expected the folders images and annotations"), "{error}");
    // JPEG files are no maps, and the message says which.
    let jpeg = TempDir::new().unwrap();
    put(&jpeg, "images/1.png", &image(2, 3));
    put(&jpeg, "annotations/1.jpg", &image(2, 3));
    assert_eq!(recognise(jpeg.path()).unwrap(), Format::LabelMaps);
    let message = refusal(jpeg.path(), Split::Train);
    assert!(message.contains("1.png: label map: expected an 8-bit PNG file for"), "{message}");
    assert!(message.ends_with("found 1.jpg, and JPEG does not keep the values of classes"), "{message}");
    #[cfg(unix)]
    {
        // A link to nothing is no absent file.
        std::fs::remove_file(dir.path().join("classes.txt")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("classes.txt")).unwrap();
        let message = refusal(dir.path(), Split::Train);
        assert!(message.contains("cannot read") && message.contains("classes.txt"), "{message}");
    }
    // Annotations of boxes only are none.
    let coco = TempDir::new().unwrap();
    put(&coco, "images/1.png", &image(2, 3));
    put(&coco, "annotations/instances.json", b"{}");
    assert_eq!(recognise(coco.path()).unwrap(), Format::Folder);
}

#[test]
fn digests_tell_files_and_names_apart() {
    let dir = TempDir::new().unwrap();
    put_pair(&dir, "train", "a", MAP);
    let digest = || open(dir.path(), None, Split::Train).unwrap().digest().unwrap();
    put(&dir, "classes.txt", b"a\nb\nc\n");
    let first = digest();
    assert_eq!(first, digest());
    put(&dir, "classes.txt", b"a\nb\nd\n");
    assert_ne!(first, digest());
    put(&dir, "classes.txt", b"a\nb\nc\n");
    put_pair(&dir, "train", "b", MAP);
    assert_ne!(first, digest());
    let shared: Arc<dyn Dataset> = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(shared.label(0), None);
    assert!(shared.labels().is_err(), "a map is no class");
}
