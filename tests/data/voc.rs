//! Claim: boxes of Pascal VOC's annotations are read as they stand there, pixels counted from 1, difficult objects as crowds; what
//! does not fit is refused with file, object, field, expected and found.

use tempfile::TempDir;
use vit_mae::data::{Dataset, Format, Instance, Split, open, recognise, verify};

use crate::coco::{names, objects, picture};
use crate::common::files::put;

const VOC: &str = "<annotation><filename>x.jpg</filename><size><width>8</width><height>6</height><depth>1</depth></size>\
    <object><name>dog</name><pose>Left</pose><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>\
    <part><name>head</name><bndbox><xmin>2</xmin><ymin>1</ymin><xmax>3</xmax><ymax>2</ymax></bndbox></part></object><segmented>0</segmented>\
    <object><name> cat </name><difficult>1</difficult><bndbox><ymin>1.5</ymin><xmin>0</xmin><xmax>8</xmax><ymax>7</ymax></bndbox></object></annotation>";

#[test]
fn boxes_of_pascal_voc_count_pixels_from_1() {
    let dir = TempDir::new().unwrap();
    for name in ["1", "2", "3"] {
        put(&dir, &format!("JPEGImages/{name}.png"), &picture());
        put(&dir, &format!("Annotations/{name}.xml"), VOC.as_bytes());
    }
    assert_eq!(recognise(dir.path()).unwrap(), Format::Voc);
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((data.len(), data.classes()), (3, &["cat", "dog"].map(String::from)[..]));
    let dog = Instance { bbox: [1.0, 0.0, 4.0, 6.0], class: 1, mask: None, crowd: false, area: 18.0 };
    let cat = Instance { bbox: [0.0, 0.5, 8.0, 6.0], class: 0, crowd: true, area: 44.0, ..dog.clone() };
    assert_eq!(objects(&*data, 0), [dog, cat]);
    assert_eq!((data.image_id(2), data.category_ids()), (3, vec![1, 2]));
    assert_eq!(data.notes(), [""; 0]);
    put(&dir, "JPEGImages/4.png", &picture());
    let note = |data: &dyn Dataset| data.notes()[0].replace(&dir.path().display().to_string(), "");
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(note(&*data), "1 image without an annotation: not read (/JPEGImages/4.png)");

    put(&dir, "ImageSets/Main/train.txt", b"3\n");
    put(&dir, "ImageSets/Main/dog_train.txt", b"3  1\n");
    put(&dir, "ImageSets/Main/val.txt", b"2\n1\n");
    let other = VOC.replace(">dog<", ">cow<");
    put(&dir, "Annotations/1.xml", other.as_bytes());
    let (train, validation) =
        (open(dir.path(), None, Split::Train).unwrap(), open(dir.path(), None, Split::Validation).unwrap());
    assert_eq!(names(&*train, &dir), ["JPEGImages/3.png"]);
    assert_eq!(names(&*validation, &dir), ["JPEGImages/2.png", "JPEGImages/1.png"]);
    for data in [&train, &validation] {
        assert_eq!(note(&**data), "1 image in no list of /ImageSets/Main: not read (/JPEGImages/4.png)");
    }
    assert!(open(dir.path(), None, Split::Test).is_err_and(|error| error.is_absence()));
    let bad = verify(&*validation, &|| ()).bad;
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].1.ends_with(
            "Annotations/1.xml: object 1: name: expected a class of the training set, found \"cow\""
        ),
        "{bad:?}"
    );
    put(&dir, "ImageSets/Main/train.txt", b"3\n2\n3\n");
    let twice = open(dir.path(), None, Split::Train).err().unwrap().to_string();
    assert!(twice.ends_with("train.txt: list of names: expected each once, found 3 twice"), "{twice}");
    put(&dir, "ImageSets/Main/train.txt", b"3\n");
    put(&dir, "classes.txt", b"dog\ncow\ncat\n");
    assert!(verify(&*open(dir.path(), None, Split::Validation).unwrap(), &|| ()).bad.is_empty());
}

#[test]
fn annotations_may_lie_beside_their_images() {
    let dir = TempDir::new().unwrap();
    for name in ["train/a.b", "train/c", "valid/d"] {
        put(&dir, &format!("{name}.png"), &picture());
        put(&dir, &format!("{name}.xml"), VOC.as_bytes());
    }
    put(&dir, "valid/e.png", &picture());
    put(&dir, "stray.xml", b"<note/>");
    assert_eq!(recognise(dir.path()).unwrap(), Format::Voc);
    let open = |split| open(dir.path(), None, split);
    let (train, validation) = (open(Split::Train).unwrap(), open(Split::Validation).unwrap());
    assert_eq!(names(&*train, &dir), ["train/a.b.png", "train/c.png"]);
    assert_eq!(objects(&*train, 0).len(), 2);
    assert_eq!(names(&*validation, &dir), ["valid/d.png"]);
    assert!(validation.notes()[0].contains("valid/e.png"), "{:?}", validation.notes());
    assert!(open(Split::Test).is_err_and(|error| error.is_absence()));
    let alone = vit_mae::data::open(dir.path().join("train"), None, Split::Train).unwrap();
    assert_eq!((alone.len(), alone.classes().len()), (2, 2));
    // A stray file makes no annotations.
    let other = TempDir::new().unwrap();
    put(&other, "a.png", &picture());
    put(&other, "stray.xml", b"<note/>");
    assert_eq!(recognise(other.path()).unwrap(), Format::Folder);
}

#[test]
fn what_is_wrong_in_an_annotation_of_pascal_voc_is_named() {
    let dir = TempDir::new().unwrap();
    put(&dir, "JPEGImages/1.png", &picture());
    put(&dir, "classes.txt", b"cat\ndog\n");
    for (from, to, expected) in [
        (
            "<xmax>4</xmax>",
            "<xmax>20</xmax>",
            "object 1: bndbox: expected a box in the image's 6×8 pixels (height × width), found xmin 2, ymin 1, xmax 20, ymax 6 (pixels from 1 on)",
        ),
        (
            "<xmax>4</xmax>",
            "<xmax>1</xmax>",
            "object 1: bndbox: expected a box whose width and height are above 0, found xmin 2, ymin 1, xmax 1, ymax 6 (pixels from 1 on)",
        ),
        ("<xmax>4</xmax>", "<xmax>NaN</xmax>", "object 1: xmax: expected a number, found \"NaN\""),
        ("<xmax>4</xmax>", "<xmax>1e999</xmax>", "object 1: xmax: expected a number, found \"1e999\""),
        ("<xmax>4</xmax>", "", "object 1: xmax: expected a number, found \"\""),
        ("<difficult>1", "<difficult>2", "object 2: difficult: expected 0 or 1, found \"2\""),
        (">dog<", "><", "object 1: name: expected a class of the training set, found \"\""),
        ("<width>8", "<width>9", "size: width: expected 8, as "),
        (
            "<annotation>",
            "<?xml version=\"1.0\"?><note>",
            "XML: expected an annotation as Pascal VOC has it, found ",
        ),
        ("</annotation>", "", "XML: expected an annotation as Pascal VOC has it, found "),
        ("<name>dog", "<name>&bomb;dog", "XML: expected an annotation as Pascal VOC has it, found "),
    ] {
        let path = put(&dir, "Annotations/1.xml", VOC.replacen(from, to, 1).as_bytes());
        let error =
            open(dir.path(), None, Split::Train).unwrap().target(0).map(|target| format!("{target:?}"));
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: {expected}", path.display())), "{message}");
    }
    let deep =
        VOC.replacen("<pose>Left</pose>", &format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)), 1);
    put(&dir, "Annotations/1.xml", deep.as_bytes());
    assert_eq!(objects(&*open(dir.path(), None, Split::Train).unwrap(), 0).len(), 2);
}
