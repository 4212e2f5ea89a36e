//! Sound files of every format, from which the mutator starts, and the mutator.

use rand::Rng;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use vit_mae::base::rng::below;
use vit_mae::checkpoint::{EpochRecord, Named, State, tensors};

/// Sound files for a target.
pub(crate) fn seeds(target: &str, dir: &Path) -> Vec<Vec<u8>> {
    match target {
        "idx" => vec![idx(&[5, 3, 4]), idx(&[2, 3, 4, 5])],
        "idx.gz" => vec![gzip(&idx(&[5, 3, 4])), gzip(&vec![0; 5000])],
        "cifar-10" => vec![(0..=9).cycle().take(2 * 3073).collect()],
        "cifar-100" => vec![(0..=99).cycle().take(2 * 3074).collect()],
        "npy" => vec![
            npy("|u1", "(2, 3, 4)", &[7; 24]),
            npy("<f4", "(1, 2, 2, 3)", &[0.5f32.to_le_bytes(); 12].concat()),
        ],
        "npy-labels" => {
            vec![
                npy("|u1", "(2,)", &[0, 9]),
                npy("<i8", "(2, 1)", &[[3, 0, 0, 0, 0, 0, 0, 0]; 2].concat()),
                npy("<U2", "(2,)", &[[b'a', 0, 0, 0, b'b', 0, 0, 0]; 2].concat()),
            ]
        }
        "tar" => vec![shard()],
        "parquet" => vec![include_bytes!("../golden/hub/train-00000-of-00001.parquet").to_vec()],
        "config" => [
            include_str!("../../src/tasks/mae/presets/nano.toml"),
            include_str!("../../src/tasks/mae/presets/photo.toml"),
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "safetensors" => vec![model(dir), with_metadata(dir)],
        "state" => vec![state(), State::default().seal(dir).unwrap()],
        "text" => {
            vec![b"cat\r\ndog\r\n".to_vec(), b"\xef\xbb\xbfcat\r\n".to_vec(), b"\xff\xfec\0a\0t\0".to_vec()]
        }
        "mask" => vec![
            b"\xef\xbb\xbf[0, 1,\r\n2, 8]".to_vec(),
            b"0 1,2\n3\t8".to_vec(),
            b"{\"a\": [1.5e3, null]}".to_vec(),
        ],
        "metrics" => {
            vec![LOG.as_bytes().to_vec(), format!("\u{feff}{}", LOG.replace('\n', "\r\n")).into_bytes()]
        }
        "png" | "folder" => vec![png(1), png(3), png(4), palette()],
        "label-map" => vec![png(1), palette(), label_map()],
        "rle" => ["`1", "0`1", "8240l0", "11124N??"].map(|text| text.as_bytes().to_vec()).to_vec(),
        "coco" => [
            r#""segmentation": [[1, 2, 4, 2, 4, 4, 1, 4], [0.5, 0.5, 3, 1, 2, 2.5]]"#,
            r#""area": 6.5, "iscrowd": 1, "segmentation": {"size": [6, 8], "counts": [8, 2, 4, 2, 32]}"#,
            r#""area": 6.5, "iscrowd": 0, "segmentation": {"counts": "8240l0", "size": [6, 8]}"#,
        ]
        .map(coco)
        .to_vec(),
        "voc" => vec![VOC.as_bytes().to_vec()],
        "detections" => vec![DETECTIONS.as_bytes().to_vec()],
        "jpeg" => vec![jpeg(1), jpeg(3)],
        "jpeg-layouts" => layouts(),
        other => panic!("no corpus for {other}"),
    }
}

const LOG: &str = r#"{"kind":"step","step":1,"epoch":0.0,"loss":1.0,"lr":0.0,"grad_norm":null,"images_per_s":2.5,"weights_digest":"ab","chain":"00"}
{"kind":"skipped","step":2,"tensor":"the loss"}
{"kind":"epoch","epoch":1,"step":2,"train_loss":0.5,"held_out_loss":null,"wall_secs":1.0,"images_per_s":3.0,"data_wait_secs":0.0}
{"kind":"change","step":2,"key":"optim.epochs","from":"1","to":"2"}
"#;

/// A document of one image and one object.
fn coco(more: &str) -> Vec<u8> {
    format!(
        r#"{{"images": [{{"id": 7, "file_name": "a.png", "height": 6, "width": 8}}], "annotations":
        [{{"id": 1, "image_id": 7, "category_id": 17, "bbox": [1, 2, 3, 2], {more}}}],
        "categories": [{{"id": 17, "name": "dog"}}, {{"id": 3, "name": "car"}}]}}"#
    )
    .into_bytes()
}

const VOC: &str = "<annotation><size><width>8</width><height>6</height></size><object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object></annotation>";

const DETECTIONS: &str = r#"[{"image_id": 7, "category_id": 17, "bbox": [1, 2, 3.5, 2], "score": 0.75,
"segmentation": {"size": [6, 8], "counts": "8240l0"}}, {"image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 1e-3}]"#;

fn idx(dims: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
    bytes.extend(dims.iter().flat_map(|&dim| u32::from(dim).to_be_bytes()));
    let len: usize = dims.iter().map(|&dim| usize::from(dim)).product();
    bytes.extend((0..=255).cycle().take(len));
    bytes
}

/// As `numpy.save` writes it.
fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let len = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), values].concat()
}

/// Two images with labels of both kinds.
fn shard() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let long = "folder/".repeat(20);
    let members: [(&str, &[u8]); 4] = [
        ("1.png", &png(1)),
        ("1.cls", b"\xef\xbb\xbf3\r\n"),
        ("2.jpg", &jpeg(3)),
        ("2.json", b"{\"label\": 0}"),
    ];
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, format!("{long}{name}"), content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn model(dir: &Path) -> Vec<u8> {
    let values = [1.0f32; 6];
    let both =
        [("a.weight".to_owned(), vec![2, 3], &values[..]), ("a.bias".to_owned(), vec![2], &values[..2])];
    written(dir, |path| tensors::write(path, both, &BTreeMap::new()).unwrap())
}

fn with_metadata(dir: &Path) -> Vec<u8> {
    let about = BTreeMap::from([("adamw_steps".to_owned(), "17".to_owned())]);
    written(dir, |path| tensors::write::<f64>(path, [("x".to_owned(), vec![0], &[][..])], &about).unwrap())
}

fn written(dir: &Path, write: impl FnOnce(&Path) -> u32) -> Vec<u8> {
    let path = dir.join("seed");
    write(&path);
    std::fs::read(path).unwrap()
}

fn state() -> Vec<u8> {
    let epoch = EpochRecord {
        epoch: 1,
        step: 2,
        train_loss: 0.5,
        scores: Named::scores([("loss", 0.25)]),
        skipped_steps: 0,
        wall_secs: 1.0,
        images_per_s: 2.0,
        data_wait_secs: 0.0,
    };
    let config_toml = include_str!("../../src/tasks/mae/presets/nano.toml").to_owned();
    let state = State { step: 2, epoch: 1, history: vec![epoch; 3], config_toml, ..State::default() };
    state.seal(Path::new("state.bin")).unwrap()
}

fn png(channels: u8) -> Vec<u8> {
    let pixel = |x: u32, y: u32| u8::try_from(x * 7 + y * 31).unwrap();
    let image = image::RgbaImage::from_fn(6, 5, |x, y| image::Rgba([pixel(x, y), 2, 3, 200]));
    let image = image::DynamicImage::from(image);
    let image = match channels {
        1 => image.to_luma8().into(),
        3 => image.to_rgb8().into(),
        _ => image,
    };
    encoded(&image, image::ImageFormat::Png)
}

/// 8 × 8 pixels of one bit each, two colours: written by hand, as the crate writes none.
fn palette() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let body = [kind, content].concat();
        bytes.extend(&body);
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 1, 3, 0, 0, 0]);
    chunk(b"PLTE", &[1, 2, 3, 250, 240, 230]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&[0, 0b1010_1010].repeat(8)).unwrap();
    chunk(b"IDAT", &zlib.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

/// As this program writes one.
fn label_map() -> Vec<u8> {
    let map = ndarray::Array2::from_shape_fn((7, 9), |(y, x)| u8::try_from(y * 9 + x).unwrap());
    vit_mae::draw::palette::label_map_png(&map).unwrap()
}

fn jpeg(channels: u8) -> Vec<u8> {
    let byte = |n: u32| u8::try_from(n).unwrap();
    let image = image::RgbImage::from_fn(17, 9, |x, y| image::Rgb([byte(x * 9), byte(y * 20), 7]));
    let image = image::DynamicImage::from(image);
    let image = if channels == 1 { image.to_luma8().into() } else { image };
    encoded(&image, image::ImageFormat::Jpeg)
}

/// Files of many scan scripts, sampling factors, tables and markers.
fn layouts() -> Vec<Vec<u8>> {
    let archive = &include_bytes!("../golden/jpeg/layouts.tar")[..];
    let mut archive = tar::Archive::new(archive);
    let files = archive.entries().unwrap().map(Result::unwrap);
    let jpegs = files.filter(|file| file.path().unwrap().extension().is_some_and(|ending| ending == "jpg"));
    let read = |mut file: tar::Entry<_>| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    jpegs.map(read).collect()
}

fn encoded(image: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Changes a file in 1 to 8 places: bits, bytes, numbers of 2 to 8 bytes set to what overflows, pieces removed,
/// doubled, moved, the end cut off.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut impl Rng) {
    const NUMBERS: [u64; 10] =
        [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX.cast_unsigned(), u64::MAX];
    for _ in 0..=below(random, 8) {
        if bytes.is_empty() {
            return bytes.push((random.next_u32() & 0xff) as u8);
        }
        // Half of the changes near the start, where the headers are.
        let reach = if below(random, 2) == 0 { bytes.len().min(64) } else { bytes.len() };
        let at = below(random, reach);
        let len = 1 + below(random, (bytes.len() - at).min(32));
        match below(random, 7) {
            0 => bytes[at] ^= 1 << below(random, 8),
            1 => bytes[at] = (random.next_u32() & 0xff) as u8,
            2 => {
                let number = NUMBERS[below(random, NUMBERS.len())];
                let number = if below(random, 2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let width = len.min(1 << below(random, 4));
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let piece = bytes[at..at + len].to_vec();
                let to = below(random, bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => bytes.truncate(at),
            _ => {
                let digit = b"0123456789-[]{},.\"e"[below(random, 19)];
                bytes.insert(at, digit);
            }
        }
    }
}
