//! The parsers of files from outside, each as a function of bytes. Shared with `fuzz/`, where cargo-fuzz drives them.

use std::fs;
use std::path::Path;
use vit_mae::base::files::read_text;
use vit_mae::base::guard::GAVE_UP;
use vit_mae::checkpoint::{State, tensors};
use vit_mae::config::Settings;
use vit_mae::data::rle::Rle;
use vit_mae::data::{self, Split};
use vit_mae::mae::mask_from_file;
use vit_mae::tasks::Config;
use vit_mae::tasks::detect::coco::results;
use vit_mae::train::metrics;

/// A parser, by name.
pub(crate) struct Target {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The name under which the bytes are put into a folder of their own.
    pub(crate) file: &'static str,
    /// Reads the file.
    pub(crate) read: fn(&Path),
    /// It may allocate this many times the file's length …
    pub(crate) per_byte: usize,
    /// … and this much besides.
    pub(crate) besides: usize,
}

const MIB: usize = 1 << 20;

/// All of them. Compressed formats have the factor of their compression, times the copies that are made of the
/// result (palettes become colours: up to 24 bytes for one bit of 8 pixels).
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "idx", file: "train-images-idx3-ubyte", read: dataset, per_byte: 8, besides: 3 * MIB },
    Target {
        name: "idx.gz",
        file: "train-images-idx3-ubyte.gz",
        read: dataset,
        per_byte: 3 * 1032,
        besides: 3 * MIB,
    },
    Target { name: "cifar-10", file: "data.bin", read: dataset, per_byte: 8, besides: MIB },
    Target { name: "cifar-100", file: "train.bin", read: dataset, per_byte: 8, besides: MIB },
    Target { name: "npy", file: "images.npy", read: dataset, per_byte: 8, besides: 2 * MIB },
    Target { name: "npy-labels", file: "labels/labels.npy", read: labels, per_byte: 200, besides: 8 * MIB },
    // A member may be a PNG file, see there.
    Target { name: "tar", file: "shard.tar", read: dataset, per_byte: 3 * 24 * 1032, besides: 8 * MIB },
    // For the page that a header announces the crate reserves up to 2 GiB, and touches what it then writes.
    #[cfg(feature = "parquet")]
    Target {
        name: "parquet",
        file: "train.parquet",
        read: dataset,
        per_byte: 3 * 24 * 1032,
        besides: 2 * 1024 * MIB + 8 * MIB,
    },
    Target { name: "text", file: "text.txt", read: text, per_byte: 16, besides: MIB },
    Target { name: "config", file: "config.toml", read: config, per_byte: 1000, besides: MIB },
    Target { name: "safetensors", file: "model.safetensors", read: safetensors, per_byte: 200, besides: MIB },
    Target { name: "state", file: "state.bin", read: state, per_byte: 40, besides: MIB },
    Target { name: "mask", file: "mask.json", read: mask, per_byte: 200, besides: MIB },
    Target { name: "metrics", file: "metrics.jsonl", read: log, per_byte: 100, besides: MIB },
    Target { name: "png", file: "image.png", read: image, per_byte: 3 * 24 * 1032, besides: 4 * MIB },
    Target { name: "jpeg", file: "image.jpg", read: image, per_byte: 6 * 3 * 512, besides: 4 * MIB },
    Target { name: "jpeg-layouts", file: "layout.jpg", read: image, per_byte: 6 * 3 * 512, besides: 4 * MIB },
    Target {
        name: "folder",
        file: "folder/class/image.png",
        read: folder,
        per_byte: 3 * 24 * 1032,
        besides: 4 * MIB,
    },
    // Indices of one bit: eight a byte, deflated to 1/1032.
    Target {
        name: "label-map",
        file: "set/annotations/train/map.png",
        read: label_map,
        per_byte: 3 * 24 * 1032,
        besides: 4 * MIB,
    },
    Target { name: "rle", file: "rle.txt", read: rle, per_byte: 100, besides: MIB },
    Target { name: "coco", file: "set/annotations.json", read: coco, per_byte: 300, besides: 2 * MIB },
    Target { name: "voc", file: "set/Annotations/a.xml", read: voc, per_byte: 300, besides: 2 * MIB },
    Target { name: "detections", file: "detections.json", read: detections, per_byte: 300, besides: MIB },
];

/// A grey picture of 6 × 8 pixels, as PNG.
const PICTURE: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x08\x00\x00\x00\x06\x08\
    \x00\x00\x00\x00\xdb\x6e\x80\x27\x00\x00\x00\x0e\x49\x44\x41\x54\x78\xda\x63\x88\x82\x02\x06\x52\x18\
    \x00\xc7\xe5\x10\xe1\xdf\x95\x34\xce\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

impl Target {
    /// Puts the bytes into `dir` and reads them.
    pub(crate) fn run(&self, dir: &Path, bytes: &[u8]) {
        let path = dir.join(self.file);
        fs::create_dir_all(path.parent().unwrap_or(dir)).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        (self.read)(&path);
    }
}

fn dataset(path: &Path) {
    let set = match data::open(path, None, Split::Train) {
        Ok(set) => set,
        // A panic behind the guard, which only the crate for Parquet is known for.
        Err(error) => {
            let parquet = path.extension().is_some_and(|extension| extension == "parquet");
            assert!(parquet || !error.to_string().ends_with(GAVE_UP), "{error}");
            return;
        }
    };
    let _ = (set.digest(), set.describe(), set.classes());
    for index in [0, set.len() - 1] {
        if let Ok(image) = set.image(index) {
            assert_eq!(image.pixels.len(), image.height * image.width * image.channels);
        }
        let _ = (set.label(index), set.source(index));
    }
}

/// As the labels of two images.
fn labels(path: &Path) {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1), }\n";
    let len = u8::try_from(header.len()).expect("a short header");
    let images = [b"\x93NUMPY\x01\x00", &[len, 0][..], header.as_bytes(), &[1, 2]].concat();
    let path = path.with_file_name("images.npy");
    fs::write(&path, images).expect("a file");
    dataset(&path);
}

/// As a label map alone, and as that of an image of its size: itself. Then again with checksums that fit.
fn label_map(path: &Path) {
    let set = path.ancestors().nth(3).expect("set/annotations/train/map");
    let image = set.join("images/train/map.png");
    fs::create_dir_all(image.parent().unwrap_or(set)).expect("a folder");
    let mut bytes = fs::read(path).expect("a file");
    for fitting in [false, true] {
        if fitting && bytes.starts_with(b"\x89PNG") {
            fit_checksums(&mut bytes);
            fs::write(path, &bytes).expect("a file");
        }
        fs::write(&image, &bytes).expect("a file");
        let _ = data::load_label_map(path);
        dataset(set);
        if let Ok(set) = data::open(set, None, Split::Train) {
            let _ = set.target(0);
        }
    }
}

/// As the runs of a mask of 6 × 8 pixels.
fn rle(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    if let Ok(mask) = Rle::of_string(&String::from_utf8_lossy(&bytes), [6, 8]) {
        assert_eq!(Rle::of_string(&mask.string(), [6, 8]).as_ref(), Ok(&mask));
        assert_eq!(Rle::of_mask(mask.mask().view()), mask);
        assert_eq!((mask.iou(&mask, false) > 0.0, mask.bbox()[2] > 0.0), (mask.area() > 0, mask.area() > 0));
    }
}

/// As the document of images that are all there is, and the objects of each.
fn coco(path: &Path) {
    objects(path, path.parent().unwrap_or(path), "a.png");
}

/// As the annotation of the one image.
fn voc(path: &Path) {
    objects(path, path.ancestors().nth(2).expect("set/Annotations/a"), "JPEGImages/a.png");
}

/// All objects of a set with this image.
fn objects(file: &Path, set: &Path, image: &str) {
    let image = set.join(image);
    fs::create_dir_all(image.parent().unwrap_or(set)).expect("a folder");
    fs::write(image, PICTURE).expect("a file");
    let Ok(data) = data::open(set, None, Split::Train) else { return };
    for index in 0..data.len() {
        let _ = (data.source(index), data.image_id(index));
        let Ok(data::Target::Instances(found)) = data.target(index) else { continue };
        for object in found {
            let [x1, y1, x2, y2] = object.bbox;
            assert!(
                0.0 <= x1 && x1 < x2 && x2 <= 8.0 && 0.0 <= y1 && y1 < y2 && y2 <= 6.0,
                "{}: {object:?}",
                file.display()
            );
            assert!(
                object.class < data.classes().len() && object.area >= 0.0,
                "{}: {object:?}",
                file.display()
            );
        }
    }
}

fn detections(path: &Path) {
    let _ = results::read(path, &[3, 17, 90]);
}

fn folder(path: &Path) {
    dataset(path.ancestors().nth(2).expect("folder/class/image"));
}

/// As it is, and with a byte order mark in front, which changes nothing.
fn text(path: &Path) {
    let plain = read_text(path);
    let bytes = fs::read(path).expect("a file");
    fs::write(path, [b"\xef\xbb\xbf", &bytes[..]].concat()).expect("a file");
    match read_text(path) {
        Ok(text) => assert_eq!(text.as_bytes(), bytes),
        Err(_) => assert!(plain.is_err()),
    }
}

fn config(path: &Path) {
    if let Ok(config) = Config::resolve("nano", Some(path), Vec::new()) {
        config.to_toml().expect("what was read can be written");
        let _ = (config.schedule().lr_at(0.5), config.model.parameters());
    }
    let _ = Config::from_toml(&String::from_utf8_lossy(&fs::read(path).expect("a file")), path);
}

fn safetensors(path: &Path) {
    let Ok(file) = tensors::File::open(path) else { return };
    file.checksum().expect("it can be read");
    for name in file.names() {
        let _ = (file.shape(&name), file.dtype(&name), file.read::<f32>(&name), file.read_i64(&name));
    }
    let _ = file.metadata();
}

/// As it is, and with a seal that fits, so that the content is decoded, too.
fn state(path: &Path) {
    let _ = State::read(path);
    let mut bytes = fs::read(path).expect("a file");
    let seal = State::default().seal(path).expect("a small state");
    if let Some((head, content)) = bytes.split_at_mut_checked(24) {
        head[..12].copy_from_slice(&seal[..12]);
        head[12..20].copy_from_slice(&(content.len() as u64).to_le_bytes());
        head[20..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
        fs::write(path, bytes).expect("a file");
        if let Err(error) = State::read(path) {
            assert!(error.to_string().contains("content"), "the seal fits: {error}");
        }
    }
}

fn mask(path: &Path) {
    if let Ok(mask) = mask_from_file(path, 16) {
        assert!((1..16).contains(&mask.removed()));
    }
}

fn log(path: &Path) {
    if let Ok(records) = metrics::read(path) {
        let _ = metrics::check_chain(path, &records);
    }
}

/// As it is, and as a PNG whose checksums fit, so that more than its first chunk is read.
fn image(path: &Path) {
    let _ = data::load_image(path);
    let mut bytes = fs::read(path).expect("a file");
    if bytes.starts_with(b"\x89PNG") {
        fit_checksums(&mut bytes);
        fs::write(path, bytes).expect("a file");
        let _ = data::load_image(path);
    }
}

fn fit_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = png.get(at..at + 4) {
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(end) = at.checked_add(8 + len).filter(|end| end + 4 <= png.len()) else { return };
        let crc = crc32fast::hash(&png[at + 4..end]);
        png[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}
