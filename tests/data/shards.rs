//! Claim: shards are found and read whole, whatever their names: each image that a tar file holds is read or said to be left
//! out, and a pattern means what it says.

use crate::common::files::{put, refusal};
use crate::common::shards::{Member, png, tar};
use std::sync::Arc;
use tempfile::TempDir;
use vit_mae::data::{Dataset, Split, open};

/// A shard with these members: pictures that are numbered in their pixels, or text.
fn shard(names: &[&str]) -> Vec<u8> {
    let content: Vec<Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(i, name)| if name.ends_with("cls") { b"1".to_vec() } else { png(u8::try_from(i).unwrap()) })
        .collect();
    let members: Vec<Member> =
        names.iter().zip(&content).map(|(name, content)| Member(name, content)).collect();
    tar(&members)
}

fn read(bytes: &[u8]) -> (TempDir, Arc<dyn Dataset>) {
    let dir = TempDir::new().unwrap();
    let data = open(put(&dir, "shard.tar", bytes), None, Split::Train).unwrap();
    (dir, data)
}

fn members(data: &dyn Dataset) -> Vec<String> {
    (0..data.len()).map(|i| data.source(i).split_once("member ").unwrap().1.to_owned()).collect()
}

/// The name of an image's class.
fn class(data: &dyn Dataset, index: usize) -> Option<&str> {
    data.label(index).map(|class| data.classes()[class].as_str())
}

#[test]
fn images_with_dots_in_their_keys_are_all_read_and_it_is_said() {
    let names = [
        "0.png",
        "0.cls",
        "v1.2-0.png",
        "v1.2-0.cls",
        "v1.2-1.png",
        "v1.2-1.cls",
        "a/b.c.d.jpg",
        "a/b.c.d.cls",
    ];
    let (_dir, data) = read(&shard(&names));
    assert_eq!(members(&*data), ["0.png", "v1.2-0.png", "v1.2-1.png", "a/b.c.d.jpg"]);
    assert_eq!([0, 1, 2, 3].map(|i| class(&*data, i)), [Some("1"); 4]);
    assert_eq!(data.image(2).unwrap().pixels[0], 4);
    assert!(data.notes()[0].contains("3 images with dots in the key") && data.notes()[0].contains("v1.2-0"));
}

#[test]
fn another_kind_of_an_image_is_left_out_and_said_and_a_numbered_one_is_read() {
    let names =
        ["0.png", "0.seg.png", "0.cls", "1.left_mask.png", "1.png", "1.cls", "1.2.png", "seg.png", "seg.cls"];
    let (_dir, data) = read(&shard(&names));
    assert_eq!(members(&*data), ["0.png", "1.png", "1.2.png", "seg.png"]);
    assert_eq!(class(&*data, 2), Some("1"), "of the key 1, up to the first dot");
    assert!(
        data.notes()[0].contains("2 images left out") && data.notes()[0].contains("0.seg.png"),
        "{:?}",
        data.notes()
    );
    let (_dir, data) = read(&shard(&["7.left.png", "7.right.png", "7.cls"]));
    assert_eq!((data.len(), class(&*data, 0), class(&*data, 1)), (2, Some("1"), Some("1")));
}

#[test]
fn a_class_without_an_image_is_refused_also_under_a_key_with_dots() {
    let dir = TempDir::new().unwrap();
    let message = refusal(&put(&dir, "shard.tar", &shard(&["0.png", "0.cls", "v1.2-0.cls"])), Split::Train);
    assert!(message.contains("member v1.2-0.cls: expected an image"), "{message}");
}

#[test]
fn pictures_that_are_not_read_are_counted() {
    let (_dir, data) = read(&shard(&["0.png", "1.webp", "2.webp", "3.txt"]));
    assert_eq!(data.len(), 1);
    assert!(
        data.notes()[0].contains("2 files *.webp") && data.notes()[0].contains("not read"),
        "{:?}",
        data.notes()
    );
}

#[test]
fn shards_that_were_put_behind_one_another_are_read_to_the_end() {
    let parts = [shard(&["a.png", "a.cls"]), shard(&["b.png", "b.cls"]), shard(&["c.png", "c.cls"])];
    let (_dir, data) = read(&parts.concat());
    assert_eq!(members(&*data), ["a.png", "b.png", "c.png"]);
    assert!((0..3).all(|i| data.image(i).is_ok()));
    // Archives are often padded to 10 KiB; more empty blocks do not matter either.
    let padded = [&parts[0][..], &[0; 9 * 512], &parts[1]].concat();
    assert_eq!(read(&padded).1.len(), 2);
    let dir = TempDir::new().unwrap();
    let cut = [&parts[0][..], &parts[1][..600]].concat();
    assert!(refusal(&put(&dir, "cut.tar", &cut), Split::Train).contains("cut short"));
    let twice = [&parts[0][..], &parts[0]].concat();
    assert!(refusal(&put(&dir, "twice.tar", &twice), Split::Train).contains("a second one"));
}

#[test]
fn patterns_with_braces_and_brackets_name_their_files() {
    let dir = TempDir::new().unwrap();
    for i in 0..12 {
        put(&dir, &format!("set [v2]/train-{i:03}.tar"), &shard(&["0.png"]));
        put(&dir, &format!("set {{x}}/train-{i:03}.tar"), &shard(&["0.png"]));
    }
    put(&dir, "set [v2]/val-000.tar", &shard(&["0.png"]));
    for (pattern, files) in [
        ("set [v2]/train-{000..002}.tar", 3),
        ("set [v2]/train-{009..011}.tar", 3),
        ("set [v2]/train-*.tar", 12),
        ("set [v2]/train-01[01].tar", 2),
        ("set [v2]/{train,val}-00?.tar", 11),
        ("set [v2]/{train-{000,00{1..3}},val-000}.tar", 5),
        ("*/train-000.tar", 2),
        ("*[[]v2]/train-*.tar", 12),
        ("s*t [v2]/train-{000,001}.tar", 2),
        ("set {x}/train-00*.tar", 10),
        ("set [v2]/train-{000,000,00*}.tar", 10),
    ] {
        let data = open(dir.path().join(pattern), None, Split::Train).unwrap();
        assert_eq!(data.len(), files, "{pattern}");
    }
    assert_eq!(open(dir.path().join("set [v2]/train-000.tar"), None, Split::Train).unwrap().len(), 1);
    let message = refusal(&dir.path().join("set [v2]/train-{010..012}.tar"), Split::Train);
    assert!(message.contains("none for train-012.tar"), "{message}");
    let message = refusal(&dir.path().join("set [v2]/train-{0..99999999}.tar"), Split::Train);
    assert!(message.contains("names in its braces"), "{message}");
    assert!(refusal(&dir.path().join("set [v3]/train-*.tar"), Split::Train).contains("found none"));
}

#[test]
fn a_folder_tells_its_splits_by_any_usual_word_and_names_what_it_leaves_out() {
    let dir = TempDir::new().unwrap();
    for name in ["Training/0.tar", "x-dev.tar", "data/pets_EVAL-00001.tar", "test-dev2017-0.tar", "extra.tar"]
    {
        put(&dir, name, &shard(&["0.png"]));
    }
    let [train, validation, test] = Split::ALL.map(|split| open(dir.path(), None, split).unwrap());
    assert_eq!([train.len(), validation.len(), test.len()], [1, 1, 2]);
    assert!(train.source(0).contains("Training/0.tar"));
    assert!(
        train.notes()[0].contains("extra.tar") && train.notes()[0].contains("not read"),
        "{:?}",
        train.notes()
    );
}

#[test]
fn the_only_data_set_below_a_folder_is_read_and_one_of_several_must_be_named() {
    let dir = TempDir::new().unwrap();
    put(&dir, "plain_text/train-00000-of-00001.tar", &shard(&["0.png"]));
    put(&dir, "plain_text/test/0.tar", &shard(&["0.png", "1.png"]));
    assert_eq!(open(dir.path(), None, Split::Train).unwrap().len(), 1);
    assert_eq!(open(dir.path(), None, Split::Test).unwrap().len(), 2);
    put(&dir, "cropped/train-0.tar", &shard(&["0.png"]));
    let message = refusal(dir.path(), Split::Train);
    assert!(message.contains("one data set") && message.contains("cropped, plain_text"), "{message}");
}
