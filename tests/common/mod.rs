//! What the tests of the program share: a folder of its own for each, made images, a tiny model.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod files;
pub(crate) mod run;
pub(crate) mod shards;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// A model of a few thousand numbers for images of 8 × 8, one channel, in 16 patches.
pub(crate) const TINY: &str = "
[model]
img_size = [8, 8]
patch_size = 2
embed_dim = 16
depth = 1
num_heads = 2
decoder_embed_dim = 16
decoder_depth = 1
decoder_num_heads = 2
[data]
val_fraction = 0.0
[optim]
epochs = 2
batch_size = 8
micro_batch = 2
[run]
held_out_images = 16
";

/// The same without a decoder, which only masked autoencoders have.
pub(crate) fn tiny_trunk() -> String {
    let lines: Vec<_> = TINY.lines().filter(|line| !line.starts_with("decoder_")).collect();
    lines.join("\n")
}

/// A folder in which the program runs; it goes away with the value.
pub(crate) struct Place(TempDir);

impl Place {
    /// Holds `tiny.toml`, `trunk.toml` and the folder `images` with 16 grey pictures of 8 × 8.
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// As [`Place::new`], in memory where the system has a file system there: for tests that write thousands of
    /// files and do not ask what a disk does.
    pub(crate) fn in_memory() -> Self {
        Self::in_folder(memory_dir())
    }

    fn in_folder(folder: TempDir) -> Self {
        let place = Self(folder);
        place.write("tiny.toml", TINY);
        place.write("trunk.toml", tiny_trunk());
        place.images("images", 16, (8, 8), 1);
        place
    }

    /// As [`Place::new`], with a finished run in `run`.
    pub(crate) fn trained(args: &[&str]) -> Self {
        let place = Self::new();
        place.pretrain(&[&["--out", "run"], args].concat());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// `count` pictures `folder/00.png`, … of (height, width), each another mixture of waves.
    pub(crate) fn images(&self, folder: &str, count: u32, size: (u32, u32), channels: u32) {
        for i in 0..count {
            self.image(&format!("{folder}/{i:02}.png"), i, size, channels);
        }
    }

    /// One picture; the name's ending says in which format.
    pub(crate) fn image(&self, name: &str, i: u32, (height, width): (u32, u32), channels: u32) {
        let wave = |at: u32| u8::try_from((at * (7 + i) + i * i * 31) % 256).unwrap();
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if channels == 1 {
            let draw = |x, y| image::Luma([wave(x * 3 + y * 5)]);
            image::GrayImage::from_fn(width, height, draw).save(path).unwrap();
        } else {
            let draw = |x, y| image::Rgb([wave(x * 3), wave(y * 5), wave(x + y)]);
            image::RgbImage::from_fn(width, height, draw).save(path).unwrap();
        }
    }

    /// Runs the program here.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
        command.current_dir(self.0.path()).args(args).output().unwrap()
    }

    /// Runs it and expects success; what it printed.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Trains the tiny model on `images`, or as `args` say.
    pub(crate) fn pretrain(&self, args: &[&str]) -> String {
        let data: &[&str] = if args.contains(&"--data") { &[] } else { &["--data", "images"] };
        let config: &[&str] = if args.contains(&"--config") { &[] } else { &["--config", "tiny.toml"] };
        self.done(&[&["pretrain"], data, config, args].concat())
    }

    /// Runs it and expects a refusal: exit code 2, one line on stderr that has all `words` (or several from
    /// the parser of flags, which ends with a pointer to --help), and not a file more, less or changed.
    pub(crate) fn refused(&self, args: &[&str], words: &[&str]) {
        let before = self.listing();
        let output = self.run(args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.starts_with("error: "), "{args:?}: {message}");
        assert!(message.lines().count() == 1 || message.contains("try '--help'"), "{args:?}: {message}");
        for word in words {
            assert!(message.contains(word), "{args:?}: no {word:?} in: {message}");
        }
        assert!(self.listing() == before, "{args:?} left something behind: {:?}", self.listing().keys());
    }

    /// As [`Place::refused`], for `pretrain` with the tiny model.
    pub(crate) fn pretrain_refused(&self, args: &[&str], words: &[&str]) {
        let data: &[&str] = if args.contains(&"--data") { &[] } else { &["--data", "images"] };
        let config: &[&str] = if args.contains(&"--config") { &[] } else { &["--config", "tiny.toml"] };
        self.refused(&[&["pretrain"], data, config, args].concat(), words);
    }

    /// Every file with its content, and every folder.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        list(self.0.path(), &mut all);
        all
    }
}

/// A temporary folder, in memory where the system has a file system there.
pub(crate) fn memory_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn list(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, into);
            into.insert(path, Vec::new());
        } else {
            let content = fs::read(&path).unwrap();
            into.insert(path, content);
        }
    }
}
