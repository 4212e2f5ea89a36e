//! Claim: the data that travels in the program is the repository's `data` folder to the last bit, in any folder; what the disk
//! has under the same path is what is meant instead, as a whole.

mod common;

use common::Place;
use std::path::Path;
use vit_mae::Result;
use vit_mae::data::{Dataset, Format, Split, load_image, open};

/// `path` in the repository, of which the disk has the files.
fn on_disk(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Everything about a data set but where it lies.
fn content(set: &dyn Dataset) -> Result<(usize, u32, Vec<String>)> {
    Ok((set.len(), set.digest()?, set.classes().to_vec()))
}

/// One test in a process of its own, because the current folder is the whole process's.
#[test]
fn embedded_data_is_that_of_the_repository_and_gives_way_to_what_the_disk_has() {
    let place = Place::new();
    std::env::set_current_dir(place.path("")).unwrap();
    for (path, splits) in
        [("data/fashion-mini", &[Split::Train, Split::Test][..]), ("data/photos", &[Split::Train])]
    {
        for &split in splits {
            let disk = open(on_disk(path), None, split).unwrap();
            for spelling in [path.to_owned(), format!("./{path}"), format!("{path}/")] {
                let embedded = open(&spelling, None, split).unwrap();
                assert_eq!(content(&*embedded).unwrap(), content(&*disk).unwrap(), "{spelling}");
                assert!(embedded.describe().contains("(embedded)"), "{}", embedded.describe());
            }
            let embedded = open(path, None, split).unwrap();
            for i in 0..disk.len() {
                assert!(embedded.image(i).unwrap() == disk.image(i).unwrap(), "{}", embedded.source(i));
                assert_eq!(embedded.label(i), disk.label(i));
                assert!(disk.source(i).ends_with(&embedded.source(i)), "{}", embedded.source(i));
            }
        }
    }
    assert_eq!(
        load_image("data/photos/cat.jpg").unwrap(),
        load_image(on_disk("data/photos/cat.jpg")).unwrap()
    );
    let single = "data/fashion-mini/t10k-images-idx3-ubyte.gz";
    assert_eq!(open(single, None, Split::Train).unwrap().len(), 1000);
    for nothing in
        ["data", "data/photos/dog.jpg", "data/fashion", "photos", "x/data/photos", "data/photos/../photos"]
    {
        assert!(open(nothing, None, Split::Train).is_err(), "{nothing}");
    }

    let scenes = open("scenes", None, Split::Test).unwrap();
    assert!(scenes.describe().contains("(embedded)"), "{}", scenes.describe());
    let before = (scenes.digest().unwrap(), scenes.image(0).unwrap());

    place.image("data/photos/mine.png", 3, (8, 8), 1);
    let mine = open("data/photos", None, Split::Train).unwrap();
    assert!(mine.len() == 1 && !mine.describe().contains("embedded"), "{}", mine.describe());
    assert!(load_image("data/photos/cat.jpg").is_err(), "not there any more");
    let test = place.path("data/fashion-mini");
    std::fs::create_dir_all(&test).unwrap();
    std::fs::copy(on_disk(single), place.path(single)).unwrap();
    assert!(open("data/fashion-mini", None, Split::Train).is_err(), "half of each is no data set");
    // Scenes are made of what is embedded, whatever lies there, and give way to what is called like them.
    let scenes = open("scenes", None, Split::Test).unwrap();
    assert_eq!((scenes.digest().unwrap(), scenes.image(0).unwrap()), before);
    place.image("scenes/mine.png", 3, (8, 8), 1);
    assert_eq!(open("scenes", None, Split::Train).unwrap().len(), 1);
    assert_eq!(open("scenes", Some(Format::Scenes), Split::Test).unwrap().digest().unwrap(), before.0);
    assert_eq!(open("data/fashion-mini", None, Split::Test).unwrap().len(), 1000);
}

/// A short run on photographs.
fn run<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args = vec!["--preset", "photo", "--config", "tiny.toml", "--set", "model.in_chans=3"];
    args.extend(["--set", "data.repeats=1", "--set", "data.crop=[0.2, 1.0]", "--epochs", "1"]);
    args.extend(["--data", data, "--out", out]);
    args
}

#[test]
fn a_run_on_embedded_data_has_the_bits_of_one_on_files_and_resumes_in_any_folder() {
    let place = Place::new();
    let disk = on_disk("data/photos");
    place.pretrain(&run(&disk, "disk"));
    place.pretrain(&run("data/photos", "embedded"));
    let elsewhere = place.path("else/where");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    let resume = ["pretrain", "--resume", "../../embedded", "--epochs", "2"];
    let output = program.current_dir(elsewhere).args(resume).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let weights =
        |out: &str| place.read(&Path::new(out).join("checkpoint/model.safetensors").to_string_lossy());
    place.done(&["pretrain", "--resume", "disk", "--epochs", "2"]);
    assert!(weights("disk") == weights("embedded"));
}
