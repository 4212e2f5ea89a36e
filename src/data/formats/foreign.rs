//! Well-known ways to store images that are not read: what marks them, what they are called, and what to do.

use super::listing::{Listing, Unread, list};
use super::{Format, file_name, recognise};
use glob::{MatchOptions, Pattern};
use std::path::{Path, PathBuf};

/// A way to store images.
struct Foreign {
    /// Names of files, with `*`.
    marks: &'static [&'static str],
    what: &'static str,
    /// What to do; `{}` is the file.
    advice: &'static str,
}

/// The first whose mark is found is named.
#[rustfmt::skip]
const TABLE: [Foreign; 14] = [
    Foreign { marks: &["*.npz"], what: "an archive of NumPy arrays, as MedMNIST's", advice: "unpack it: python3 -c \"import numpy as np; d = np.load('{}'); [np.save(name, d[name]) for name in d]\"" },
    Foreign { marks: &["data_batch_?", "batches.meta", "meta", "cifar-10*-python*"], what: "CIFAR's version for Python, which is pickled", advice: "get the binary version, with files *.bin (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)" },
    Foreign { marks: &["*.tfrecord", "*.tfrecords", "*.tfrecord-*", "*.array_record*"], what: "TensorFlow's records", advice: "write the images into one folder per class, or into WebDataset shards (*.tar)" },
    Foreign { marks: &["*.mat"], what: "a MATLAB file, as SVHN's", advice: "save its arrays: python3 -c \"import numpy as np, scipy.io as io; d = io.loadmat('{}'); np.save('train-images', d['X'].transpose(3, 0, 1, 2)); np.save('train-labels', d['y'])\"" },
    Foreign { marks: &["*.mdb", "*.lmdb"], what: "an LMDB database, as LSUN's", advice: "export the images into a folder, or into WebDataset shards (*.tar)" },
    Foreign { marks: &["*.h5", "*.hdf5", "*.hdf"], what: "an HDF5 file", advice: "save its arrays of pixels, [N, H, W, C] in uint8, with numpy.save as train-images.npy, and labels as train-labels.npy" },
    Foreign { marks: &["*.arrow", "dataset_dict.json"], what: "what the library datasets saves to disk", advice: "save it with to_parquet('train.parquet'), which a program built with --features parquet reads" },
    Foreign { marks: &["*.beton", "*.mds", "*.rec"], what: "records of FFCV, MosaicML or MXNet", advice: "write the images into one folder per class, or into WebDataset shards (*.tar)" },
    Foreign { marks: &["*.pt", "*.pth", "*.pkl", "*.pickle"], what: "pickled Python objects", advice: "save the arrays of pixels, [N, H, W, C] in uint8, with numpy.save as train-images.npy, and labels as train-labels.npy" },
    Foreign { marks: &["*.dcm", "*.nii", "*.nii.gz", "*.svs", "*.ndpi"], what: "medical images", advice: "convert them to PNG" },
    Foreign { marks: &["*.mp4", "*.avi", "*.mov", "*.mkv", "*.webm"], what: "a video", advice: "take pictures from it: ffmpeg -i '{}' -r 1 frame-%05d.png" },
    Foreign { marks: &["*.zip", "*.tar.*", "*.tgz", "*.tbz", "*.txz", "*.7z", "*.rar"], what: "an archive", advice: "unpack it and name the folder (uncompressed *.tar shards are read as they are)" },
    Foreign { marks: &["*.bin"], what: "a binary file of no known name", advice: "CIFAR's are called data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin and test.bin; STL-10's pixels can be saved with numpy.save as train-images.npy" },
    Foreign { marks: &["*.csv", "*.tsv"], what: "a table", advice: "if its columns are pixels, as in Kaggle's digits: python3 -c \"import numpy as np; t = np.loadtxt('{}', delimiter=',', skiprows=1, dtype='u1'); np.save('train-images', t[:, 1:].reshape(-1, 28, 28)); np.save('train-labels', t[:, 0])\"" },
];

/// Folders beside images in which well-known layouts keep what is not read.
#[rustfmt::skip]
const BESIDE: [(&str, &str); 6] = [
    ("annotations", "boxes and masks, as COCO and Pascal VOC have them"),
    ("labels", "boxes, as YOLO has them"),
    ("imagesets", "lists, as Pascal VOC has them"),
    ("segmentationclass", "masks, as Pascal VOC has them"),
    ("segmentationobject", "masks, as Pascal VOC has them"),
    ("masks", "masks"),
];

/// How far below a folder marks are looked for, and at how many names at most.
const DEPTH: usize = 2;
const MOST_NAMES: usize = 2000;

/// What was found in a folder without images, for an error: `none`, or `none, but …` and what to do.
pub(super) fn instead_of_images(folder: &Path, unread: &Unread) -> String {
    let held = unread.all();
    let found = unread
        .pictures()
        .or_else(|| deeper(folder))
        .or_else(|| names_below(folder).iter().find_map(|path| of_file(path)))
        .or((!held.is_empty()).then_some(held));
    found.map_or_else(|| "none".to_owned(), |found| format!("none, but {found}"))
}

/// What a file of a well-known kind is called, and what to do with it.
pub(super) fn of_file(path: &Path) -> Option<String> {
    let Foreign { what, advice, .. } =
        TABLE.iter().find(|kind| kind.marks.iter().any(|mark| is(mark, path)))?;
    let advice = advice.replace("{}", &path.display().to_string());
    Some(format!("{}, {what}, which is not read: {advice}", file_name(path)))
}

/// What a folder beside images holds in a well-known layout.
pub(super) fn beside_images(folder: &Path) -> Option<&'static str> {
    let name = file_name(folder).to_lowercase();
    BESIDE.iter().find(|(mark, _)| *mark == name).map(|(_, what)| *what)
}

fn is(mark: &str, path: &Path) -> bool {
    let options = MatchOptions { case_sensitive: false, ..MatchOptions::new() };
    Pattern::new(mark).is_ok_and(|pattern| pattern.matches_with(&file_name(path), options))
}

/// A sub-folder in which another format is recognised.
fn deeper(folder: &Path) -> Option<String> {
    let mut folders = names_below(folder).into_iter().filter(|path| path.is_dir());
    folders.find_map(|path| {
        let format = recognise(&path).ok().filter(|format| *format != Format::Folder)?;
        Some(format!("data of the format {format} in a sub-folder: --data {}", path.display()))
    })
}

/// What lies in a folder and not far below it, the nearest first.
fn names_below(folder: &Path) -> Vec<PathBuf> {
    let (mut names, mut level) = (Vec::new(), vec![folder.to_path_buf()]);
    for _ in 0..=DEPTH {
        let mut next = Vec::new();
        for folder in &level {
            let Ok(Listing { folders, others, .. }) = list(folder) else { continue };
            names.extend(folders.iter().cloned().chain(others));
            next.extend(folders);
            if names.len() > MOST_NAMES {
                return names;
            }
        }
        level = next;
    }
    names
}
