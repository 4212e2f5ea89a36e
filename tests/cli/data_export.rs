//! Claim: scenes in files are the scenes, read back pixel by pixel, the same bytes on any number of threads, and never half of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};
use vit_mae::data::{Dataset, Format, Split, Subset, Target, open};
use vit_mae::interop::dense_out::{self, DenseSplit};

use crate::common::Place;

/// Every file below a folder.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The mask of COCO's runs: lengths of zeros and ones by turns, column by column.
fn mask(segmentation: &Value) -> Array2<bool> {
    let numbers = |key: &str| {
        segmentation[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (size, counts) = (numbers("size"), numbers("counts"));
    let mut pixels = Vec::new();
    for (at, &count) in counts.iter().enumerate() {
        pixels.extend(std::iter::repeat_n(at % 2 == 1, usize::try_from(count).unwrap()));
    }
    let side = |at: usize| usize::try_from(size[at]).unwrap();
    Array2::from_shape_vec((side(1), side(0)), pixels).unwrap().reversed_axes()
}

/// A few scenes of the validation split, written by so many threads.
fn written(place: &Place, threads: usize) -> BTreeMap<String, Vec<u8>> {
    let few = |name: &str| -> Arc<dyn Dataset> {
        Arc::new(Subset::new(open(name, None, Split::Validation).unwrap(), (0..20).collect()))
    };
    let split =
        DenseSplit { split: Split::Validation, maps: few("scenes:32"), objects: few("scenes:instances:32") };
    let (folder, done) = (place.path(&threads.to_string()), AtomicUsize::new(0));
    let count = || _ = done.fetch_add(1, Ordering::Relaxed);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| dense_out::write(&folder, &[split], &[], &count)).unwrap();
    assert_eq!(done.into_inner(), 20);
    files(&folder)
}

#[test]
fn the_files_have_the_same_bytes_on_any_number_of_threads() {
    let place = Place::in_memory();
    let one = written(&place, 1);
    assert_eq!(one.len(), 2 * 20 + 2);
    assert!(one == written(&place, 3));
}

#[test]
fn scenes_in_files_are_the_scenes() {
    let place = Place::in_memory();
    let said = place.done(&["data", "export", "scenes:32", "--split", "val", "--out", "out"]);
    assert!(said.contains("validation  300 images"), "{said}");
    let found = files(&place.path("out"));
    assert_eq!(found.len(), 2 * 300 + 3);
    assert!(String::from_utf8_lossy(&found["LICENSE"]).contains("MIT"));

    let (written, scenes) = (place.path("out"), open("scenes:32", None, Split::Validation).unwrap());
    let back = open(&written, None, Split::Validation).unwrap();
    assert_eq!(vit_mae::data::recognise(&written).unwrap(), Format::LabelMaps);
    assert_eq!((back.len(), back.classes()), (300, scenes.classes()));
    let coco: Value = serde_json::from_slice(&found["annotations/instances_validation.json"]).unwrap();
    let objects = open("scenes:instances:32", None, Split::Validation).unwrap();
    let as_coco = open(&written, Some(Format::Coco), Split::Validation).unwrap();
    assert_eq!((as_coco.len(), as_coco.classes()), (300, objects.classes()));
    let mut annotations = coco["annotations"].as_array().unwrap().iter().enumerate();
    for index in 0..100 {
        assert!(back.image(index).unwrap() == scenes.image(index).unwrap(), "{index}");
        assert!(back.target(index).unwrap() == scenes.target(index).unwrap(), "{index}");
        assert!(as_coco.target(index).unwrap() == objects.target(index).unwrap(), "{index}");
        let about =
            json!({"id": index + 1, "file_name": format!("{index:06}.png"), "height": 32, "width": 32});
        assert_eq!(coco["images"][index], about);
        let Target::Instances(expected) = objects.target(index).unwrap() else { panic!("instances") };
        for object in expected {
            let (at, annotation) = annotations.next().unwrap();
            let [x1, y1, x2, y2] = object.bbox;
            assert_eq!(annotation["bbox"], json!([x1, y1, x2 - x1, y2 - y1]));
            assert_eq!(
                [
                    &annotation["id"],
                    &annotation["image_id"],
                    &annotation["category_id"],
                    &annotation["iscrowd"]
                ],
                [&json!(at + 1), &json!(index + 1), &json!(object.class + 1), &json!(0)]
            );
            assert_eq!(annotation["area"], object.area);
            assert_eq!(Some(mask(&annotation["segmentation"])), object.mask.map(|mask| mask.mask()));
        }
    }
    assert_eq!(annotations.next().unwrap().1["image_id"], 101);
    assert_eq!(coco["categories"][9], json!({"id": 10, "name": "ankle boot"}));
}

#[test]
fn an_export_is_whole_or_not_there() {
    let place = Place::new();
    let export =
        |name: &'static str, out: &'static str| vec!["data", "export", name, "--split", "val", "--out", out];
    place.write("there/file", "");
    place.refused(&export("scenes", "there"), &["--out", "a new folder"]);
    place.refused(&export("scenes", "no/such"), &["--out", "folder that exists"]);
    place.refused(&export("scenes:class", "new"), &["SCENES", "scenes:class"]);
    place.refused(&export("images", "new"), &["expected scenes", "images"]);
    // A file in the place of the folder that is being written cannot be replaced by one.
    #[cfg(unix)]
    {
        place.write(".new.partial", "somebody's");
        assert_ne!(place.run(&export("scenes:32", "new")).status.code(), Some(0));
        assert!(!place.path("new").exists());
    }
}
