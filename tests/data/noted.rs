//! Claim: what lies in the data and is not read is counted and named: annotations of images that are not listed, images that nothing
//! lists.

use serde_json::json;
use tempfile::TempDir;
use vit_mae::data::{Contents, Split, open};

use crate::coco::{annotation, document, objects, picture, put_json};
use crate::common::files::put;

#[test]
fn annotations_of_images_that_are_not_listed_are_noted() {
    let dir = TempDir::new().unwrap();
    let mut stray = annotation(5);
    stray["image_id"] = json!(99);
    put_json(&dir, "annotations.json", &document(&[(1, "a.png")], &json!([annotation(1), stray])));
    put(&dir, "a.png", &picture());
    let Contents { splits, notes } = Contents::open(dir.path(), None).unwrap();
    assert_eq!(objects(&*splits[0].1, 0).len(), 1);
    let expected = "1 annotation of images that are not listed: not read (annotation 5: image_id 99)";
    assert!(notes.len() == 1 && notes[0].ends_with(expected), "{notes:?}");
}

#[test]
fn images_that_no_document_lists_are_noted_where_the_folder_is_one_documents_own() {
    let dir = TempDir::new().unwrap();
    let notes = || open(dir.path(), None, Split::Train).unwrap().notes().to_vec();
    let list = |names: &[(u64, &str)]| document(names, &json!([annotation(1)]));
    put_json(&dir, "annotations/instances_train.json", &list(&[(1, "./a.png"), (2, "b/c.png")]));
    for name in ["a.png", "b/c.png", "d.png"] {
        put(&dir, &format!("images/{name}"), &picture());
    }
    let noted = notes();
    assert!(
        noted.len() == 1 && noted[0].starts_with("1 image that ") && noted[0].contains("images/d.png"),
        "{noted:?}"
    );
    // What another document may list is not missed.
    put_json(&dir, "annotations/instances_val.json", &list(&[(1, "d.png")]));
    assert_eq!(notes(), [""; 0]);
    put(&dir, "train/a.png", &picture());
    put(&dir, "train/b/c.png", &picture());
    put(&dir, "train/e.png", &picture());
    let noted = notes();
    assert!(noted.len() == 1 && noted[0].contains("train/e.png"), "{noted:?}");
}
