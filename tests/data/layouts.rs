//! Claim: of a folder of images every image is read, each in its split and class, or it is said that it is not: whatever
//! the splits are called and whatever stands beside them.

use crate::common::shards::png;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use vit_mae::Error;
use vit_mae::data::{Contents, Dataset, Split, open};

/// A folder with a small picture, or text, in each of these files.
fn folder(files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (i, name) in files.iter().enumerate() {
        put(dir.path(), name, u8::try_from(i).unwrap());
    }
    dir
}

fn put(root: &Path, name: &str, level: u8) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, if name.ends_with("png") { png(level) } else { b"text".to_vec() }).unwrap();
}

/// Split, its images in order (paths below the folder) and their classes' names.
type Read = BTreeMap<String, Vec<(String, Option<String>)>>;

/// All that is read of a folder, and what is said.
fn read(dir: &TempDir) -> Result<(Read, Vec<String>), Error> {
    let Contents { splits, notes } = Contents::open(dir.path(), None)?;
    let images = |data: &dyn Dataset| {
        let root = format!("{}/", dir.path().display());
        let class = |i| data.label(i).map(|class: usize| data.classes()[class].clone());
        (0..data.len()).map(|i| (data.source(i).replace(&root, ""), class(i))).collect()
    };
    Ok((splits.iter().map(|(split, data)| (split.to_string(), images(&**data))).collect(), notes))
}

/// The number of images in train, validation and test.
fn counts(read: &Read) -> [usize; 3] {
    Split::ALL.map(|split| read.get(&split.to_string()).map_or(0, Vec::len))
}

fn refusal(dir: &TempDir) -> String {
    let error = read(dir).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

fn said(notes: &[String], words: &[&str]) {
    let found = notes.iter().any(|note| words.iter().all(|word| note.contains(word)));
    assert!(found, "no note with {words:?} in {notes:?}");
}

#[test]
fn every_usual_name_of_a_split_is_known_in_any_letter_case() {
    let trains =
        ["train", "Train", "TRAIN", "training", "train2017", "training_set", "train-images", "trainset"];
    let validations =
        ["val", "Valid", "VALIDATION", "dev", "val2017", "validation_set", "val-images", "valset"];
    let tests = ["test", "Testing", "TEST", "eval", "test2017", "test_set", "test-images", "testset"];
    for ((train, validation), test) in trains.iter().zip(validations).zip(tests) {
        for class in ["", "cat/"] {
            let names = [train, validation, test].map(|split| format!("{split}/{class}1.png"));
            let dir = folder(&names.each_ref().map(String::as_str));
            let (read, notes) = read(&dir).unwrap();
            let class = (!class.is_empty()).then(|| "cat".to_owned());
            for (split, image) in ["train", "validation", "test"].iter().zip(names) {
                assert_eq!(read[*split], [(image, class.clone())], "{train} {validation} {test}");
            }
            assert!(notes.is_empty(), "{notes:?}");
        }
    }
}

#[test]
fn folders_beside_the_splits_are_named_and_no_classes() {
    let images = ["train/cat/1.png", "train/dog/1.png", "test/cat/1.png"];
    for beside in ["heldout", "unlabeled", "extra", "anything at all"] {
        let dir = folder(&[&images[..], &[&format!("{beside}/1.png"), "list.txt", "loose.png"]].concat());
        let (read, notes) = read(&dir).unwrap();
        assert_eq!(counts(&read), [2, 0, 1], "{beside}");
        said(&notes, &[beside, "beside test, train", "not read"]);
        said(&notes, &["1 image", "beside test, train"]);
    }
}

#[test]
fn a_training_folder_alone_is_a_split_where_nothing_else_is_a_class() {
    for (files, beside) in [
        (&["train/1.png", "heldout/1.png"][..], "heldout"),
        (&["train/1.png", "Held-Out/1.png", "un_labeled/1.png"], "Held-Out, un_labeled"),
        (&["train/1.png", "lists/all.txt"], "lists"),
        (&["train/cat/1.png", "train/dog/1.png", "more/cat/1.png"], "more"),
    ] {
        let (read, notes) = read(&folder(files)).unwrap();
        assert!(read["train"].iter().all(|(image, _)| image.starts_with("train/")), "{files:?}: {read:?}");
        assert_eq!(read.len(), 1, "{files:?}");
        said(&notes, &[beside, "not read"]);
    }
}

#[test]
fn a_class_may_be_called_like_a_split_and_that_is_said() {
    for class in ["train", "test", "val", "Dev"] {
        let dir = folder(&["bus/1.png", "car/1.png", &format!("{class}/1.png"), "test_tube/1.png"]);
        let (read, notes) = read(&dir).unwrap();
        assert_eq!(counts(&read), [4, 0, 0], "{class}");
        assert!(read["train"].iter().all(|(image, name)| image.starts_with(name.as_deref().unwrap())));
        said(&notes, &[class, "is read as a class", "bus, car"]);
    }
}

#[test]
fn held_out_images_are_never_trained_on_where_the_training_folder_has_another_name() {
    for files in [
        &["learn/1.png", "val/1.png", "test/1.png"][..],
        &["learn/a/1.png", "learn/b/1.png", "test/a/1.png", "test/b/1.png"],
    ] {
        let dir = folder(files);
        let error = open(dir.path(), None, Split::Train).map(|data| data.describe()).unwrap_err().to_string();
        assert!(error.contains("a sub-folder called train") && error.contains("learn"), "{error}");
        let (read, notes) = read(&dir).unwrap();
        assert_eq!(counts(&read)[0], 0);
        said(&notes, &["no training images", "learn"]);
    }
}

#[test]
fn several_folders_for_one_split_are_refused_by_name() {
    for (files, words) in [
        (&["train/1.png", "val/1.png", "dev/1.png"][..], ["validation", "dev, val"]),
        (&["train2014/1.png", "train2017/1.png", "val2017/1.png"], ["train", "train2014, train2017"]),
        (
            &["a_train/1.png", "a_test/1.png", "b_train/1.png", "b_test/1.png"],
            ["one data set", "a_test, a_train, b_test"],
        ),
    ] {
        let message = refusal(&folder(files));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn splits_inside_of_classes_or_of_one_folder_are_refused_with_what_to_do() {
    for (files, advice) in [
        (&["images/train2017/1.png", "images/val2017/1.png", "labels/train2017/1.txt"][..], "/images"),
        (&["flowers/train/a/1.png", "flowers/test/a/1.png"], "/flowers"),
        (&["ILSVRC/Data/CLS-LOC/train/a/1.png", "ILSVRC/Data/CLS-LOC/val/1.png"], "/ILSVRC/Data/CLS-LOC"),
        (
            &["cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/test/1.png"],
            "train/CLASS, test/CLASS",
        ),
    ] {
        let message = refusal(&folder(files));
        assert!(message.contains(advice) && message.contains("split folders"), "{message}");
    }
    let (read, _) = read(&folder(&["seg_train/cat/1.png", "seg_test/cat/1.png", "seg_pred/1.png"])).unwrap();
    assert_eq!(counts(&read), [1, 0, 1]);
    let (read, _) =
        self::read(&folder(&["training_set/training_set/a/1.png", "test_set/test_set/a/1.png"])).unwrap();
    assert_eq!(read["test"], [("test_set/test_set/a/1.png".to_owned(), Some("a".to_owned()))]);
}

#[test]
fn what_systems_and_this_program_leave_behind_is_no_class() {
    let dir = folder(&[
        "cat/1.png",
        "dog/1.png",
        "cat/run/checkpoint/state",
        "cat/run/config.toml",
        "cat/run/reconstructions/0001.png",
        "run/metrics.jsonl",
        "run/config.toml",
        "run/confusion.png",
        "__MACOSX/cat/2.png",
        ".cache/2.png",
        "dog/.thumbs/3.png",
        "cat/@eaDir/4.png",
        "dog/Thumbs.db",
        "lists/train.txt",
    ]);
    let (read, notes) = read(&dir).unwrap();
    let cat_and_dog = ["cat", "dog"].map(|class| (format!("{class}/1.png"), Some(class.to_owned())));
    assert_eq!(read["train"], cat_and_dog);
    assert_eq!(notes.len(), 1, "{notes:?}");
    said(&notes, &["lists: no class", "1 file *.txt"]);
}

/// The order is that of torchvision 0.20's `ImageFolder` on the same files: `sorted(os.walk(class))`, in each folder
/// `sorted(files)`.
#[test]
fn deeper_images_belong_to_their_class_in_the_order_of_image_folder() {
    let dir = folder(&[
        "cat/z.png",
        "cat/b/1.png",
        "cat/b-c/1.png",
        "cat/b/d/1.png",
        "cat/b/d/0.png",
        "dog/x/y/1.png",
    ]);
    let (read, notes) = read(&dir).unwrap();
    let images: Vec<&str> = read["train"].iter().map(|(image, _)| image.as_str()).collect();
    let expected =
        ["cat/z.png", "cat/b/1.png", "cat/b-c/1.png", "cat/b/d/0.png", "cat/b/d/1.png", "dog/x/y/1.png"];
    assert_eq!(images, expected);
    said(&notes, &["5 images in folders below", "cat/b/1.png"]);
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_followed_and_loops_end() {
    use std::os::unix::fs::symlink;
    let dir = folder(&["cat/1.png", "cat/deep/2.png"]);
    let other = folder(&["3.png"]);
    symlink(other.path(), dir.path().join("dog")).unwrap();
    symlink(dir.path(), dir.path().join("cat/deep/loop")).unwrap();
    symlink("deep", dir.path().join("cat/self")).unwrap();
    symlink(".", dir.path().join("cat/deep/here")).unwrap();
    let (read, _) = read(&dir).unwrap();
    let images: Vec<&str> = read["train"].iter().map(|(image, _)| image.as_str()).collect();
    assert_eq!(images, ["cat/1.png", "cat/deep/2.png", "cat/self/2.png", "dog/3.png"]);
}

#[cfg(target_os = "linux")] // other systems refuse such names
#[test]
fn names_that_are_no_utf_8_stay_different() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = TempDir::new().unwrap();
    for name in [&b"caf\xe8"[..], b"caf\xe9", b"plain", "caf\u{e9}".as_bytes()] {
        let folder = dir.path().join(OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("1.png"), png(1)).unwrap();
    }
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!(data.classes(), ["caf\u{e9}", "caf\\xE8", "caf\\xE9", "plain"]);
    assert_eq!([0, 1, 2, 3].map(|i| data.label(i)), [0, 1, 2, 3].map(Some));
    let before = data.digest().unwrap();
    let [old, new] = [&b"caf\xe8"[..], b"caf\xea"].map(|name| dir.path().join(OsStr::from_bytes(name)));
    fs::rename(old, new).unwrap();
    assert_ne!(open(dir.path(), None, Split::Train).unwrap().digest().unwrap(), before);
    put(dir.path(), "caf\\xE9/1.png", 1);
    let data = open(dir.path(), None, Split::Train).unwrap();
    assert_eq!((data.len(), data.label(0)), (5, None), "its images are read");
    let message = data.labels().unwrap_err().to_string();
    assert!(message.contains("a name of its own"), "{message}");
}

#[test]
fn a_split_without_a_readable_image_is_said_with_what_is_there() {
    for (files, words) in [
        (
            &["train/1.png", "test/1.bmp", "test/2.bmp"][..],
            &["no test images", "2 files *.bmp", "PNG or JPEG"][..],
        ),
        (&["train/1.png", "valid/a/1.tif"], &["no validation images", "1 file *.tif", "convert"]),
        (&["train/1.png", "test/list.txt"], &["no test images", "1 file *.txt"]),
        (&["train/1.png", "test/x.zip"], &["no test images", "x.zip, an archive", "unpack"]),
    ] {
        let (read, notes) = read(&folder(files)).unwrap();
        assert_eq!(counts(&read), [1, 0, 0]);
        said(&notes, words);
    }
    let (read, _) = read(&folder(&["1.png", "2.png", "test/notes.txt"])).unwrap();
    assert_eq!(counts(&read), [2, 0, 0]);
    let (read, notes) = self::read(&folder(&["a/1.png", "a/2.webp", "b/1.png"])).unwrap();
    assert_eq!(counts(&read), [2, 0, 0]);
    said(&notes, &["1 file *.webp", "not read"]);
    let (_, notes) = self::read(&folder(&["train/a/1.png", "train/b/1.png", "val/1.png"])).unwrap();
    said(&notes, &["val: images without class folders"]);
}

#[test]
fn well_known_layouts_that_are_not_read_are_named_with_what_to_do() {
    for (files, words) in [
        (&["pathmnist.npz"][..], &["NumPy arrays", "np.load"][..]),
        (&["data_batch_1", "batches.meta", "test_batch"], &["pickled", "binary version"]),
        (&["cifar-100-python/meta", "cifar-100-python/train"], &["pickled", "binary version"]),
        (&["train.tfrecord-00000-of-00002"], &["TensorFlow", "WebDataset"]),
        (&["train_32x32.mat"], &["MATLAB", "io.loadmat"]),
        (&["lsun/data.mdb"], &["LMDB", "WebDataset"]),
        (&["camelyon.h5"], &["HDF5", "numpy.save"]),
        (&["archive.zip"], &["an archive", "unpack"]),
        (&["images.tar.gz"], &["an archive", "unpack"]),
        (&["train/data-00000-of-00001.arrow"], &["datasets", "to_parquet"]),
        (&["train.csv"], &["a table", "np.loadtxt"]),
        (&["training.pt"], &["pickled Python objects", "numpy.save"]),
        (&["scan.dcm"], &["medical images", "PNG"]),
        (&["clip.mp4"], &["a video", "ffmpeg"]),
        (&["a/1.heic", "a/2.HEIC"], &["2 files *.heic", "convert"]),
        (&["1.tiff"], &["1 file *.tiff", "convert"]),
        (&["MNIST/raw/train-images-idx3-ubyte"], &["format idx", "MNIST/raw"]),
        (&["cifar-10-batches-bin/data_batch_1.bin"], &["format cifar", "cifar-10-batches-bin"]),
    ] {
        let message = refusal(&folder(files));
        for word in words {
            assert!(message.contains(word), "{files:?}: no {word:?} in {message}");
        }
    }
    let dir = folder(&["x.npz"]);
    let message =
        open(dir.path().join("x.npz"), None, Split::Train).map(|data| data.len()).unwrap_err().to_string();
    assert!(message.contains("unpack it"), "{message}");
    let (read, notes) = read(&folder(&["train2017/1.png", "val2017/1.png", "annotations/a.json"])).unwrap();
    assert_eq!(counts(&read), [1, 1, 0]);
    said(&notes, &["annotations", "not read"]);
}
