//! A disk on which something goes wrong at one chosen operation.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vit_mae::base::disk::{Disk, DiskFile, Os};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done and reports an error; everything after it works again.
    Fails,
    /// A write writes half, then reports an error; everything else as [`Fault::Fails`].
    StopsHalfWay,
    /// The process dies half-way through it: nothing after it happens.
    Kill,
    /// The machine loses power: as [`Fault::Kill`], and what was not flushed is lost: content of files that
    /// were not synced is cut in half, and renames in folders that were not synced have not happened.
    PowerCut,
    /// As [`Fault::PowerCut`], but the renames have happened: a file system may write names before content.
    PowerCutNamesKept,
}

/// Counts operations, and lets one of them go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Faulty(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    done: usize,
    at: usize,
    fault: Fault,
    dead: bool,
    /// Bytes that the disk takes in all, if it is a small one.
    room: Option<u64>,
    /// Files with content that is not on the disk yet, and how much of them is.
    unsynced: BTreeMap<PathBuf, u64>,
    /// Renames that are not on the disk yet, and the file that was replaced.
    renames: Vec<(PathBuf, PathBuf, Option<Vec<u8>>)>,
}

impl Faulty {
    /// Operation `at`, counted from 0, goes wrong.
    pub(crate) fn new(at: usize, fault: Fault) -> Self {
        let (unsynced, renames) = (BTreeMap::new(), Vec::new());
        Self(Arc::new(Mutex::new(Inner { done: 0, at, fault, dead: false, room: None, unsynced, renames })))
    }

    /// Nothing goes wrong.
    pub(crate) fn sound() -> Self {
        Self::new(usize::MAX, Fault::Fails)
    }

    /// A disk that is full after so many bytes.
    pub(crate) fn small(room: u64) -> Self {
        let disk = Self::sound();
        disk.0.lock().unwrap().room = Some(room);
        disk
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.0.lock().unwrap().done
    }

    /// Does one operation, or what is left of it.
    fn operate<T>(
        &self,
        whole: impl FnOnce(&mut Inner) -> io::Result<T>,
        half: impl FnOnce(),
    ) -> io::Result<T> {
        let mut inner = self.0.lock().unwrap();
        if inner.dead {
            return Err(io::Error::other("dead"));
        }
        inner.done += 1;
        if inner.done - 1 != inner.at {
            return whole(&mut inner);
        }
        if inner.fault != Fault::Fails {
            half();
        }
        inner.dead = !matches!(inner.fault, Fault::Fails | Fault::StopsHalfWay);
        if matches!(inner.fault, Fault::PowerCut | Fault::PowerCutNamesKept) {
            inner.lose_what_was_not_flushed();
        }
        Err(io::Error::other("the injected fault"))
    }
}

impl Inner {
    fn lose_what_was_not_flushed(&mut self) {
        for (path, synced) in &self.unsynced {
            if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
                let len = file.metadata().unwrap().len();
                let synced = len.min(*synced);
                file.set_len(synced + (len - synced) / 2).unwrap();
            }
        }
        if self.fault == Fault::PowerCut {
            for (from, to, replaced) in self.renames.drain(..).rev() {
                fs::rename(&to, from).ok();
                replaced.map(|content| fs::write(to, content));
            }
        }
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate(
            |inner| {
                let file = fs::File::create(path)?;
                inner.unsynced.insert(path.to_path_buf(), 0);
                Ok(Box::new(Open { disk: self.clone(), path: path.to_path_buf(), file }) as Box<dyn DiskFile>)
            },
            || drop(fs::File::create(path)),
        )
    }

    fn reopen(&self, path: &Path, len: u64) -> io::Result<Box<dyn DiskFile>> {
        self.operate(
            |inner| {
                let file = fs::OpenOptions::new().append(true).open(path)?;
                file.set_len(len)?;
                inner.unsynced.insert(path.to_path_buf(), len);
                Ok(Box::new(Open { disk: self.clone(), path: path.to_path_buf(), file }) as Box<dyn DiskFile>)
            },
            || (),
        )
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operate(|_| Os.create_dir_all(path), || ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(
            |inner| {
                let replaced = fs::read(to).ok();
                Os.rename(from, to)?;
                // Files are known by their name: they move with their folder.
                let moved = |path: &PathBuf| Some((path.clone(), to.join(path.strip_prefix(from).ok()?)));
                let moved: Vec<_> = inner.unsynced.keys().filter_map(moved).collect();
                for (old, new) in moved {
                    let synced = inner.unsynced.remove(&old).unwrap();
                    inner.unsynced.insert(new, synced);
                }
                inner.renames.push((from.to_path_buf(), to.to_path_buf(), replaced));
                Ok(())
            },
            || (),
        )
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(
            |inner| {
                inner.renames.retain(|(_, to, _)| to.parent() != Some(dir));
                Ok(())
            },
            || (),
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operate(|_| Os.remove_file(path), || ())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Os.remove_dir_all(path); // nothing that could go wrong
        }
        // Half-way: one of its files is gone.
        let half = || {
            let first = fs::read_dir(path).ok().and_then(|mut entries| entries.next()?.ok());
            first.map(|entry| fs::remove_file(entry.path()));
        };
        self.operate(|_| Os.remove_dir_all(path), half)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

#[derive(Debug)]
struct Open {
    disk: Faulty,
    path: PathBuf,
    file: fs::File,
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut a, mut b) = (&self.file, &self.file);
        self.disk.operate(
            |inner| {
                let room = inner.room.unwrap_or(u64::MAX);
                let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                inner.room = inner.room.map(|room| room - fits as u64);
                if fits == 0 && !bytes.is_empty() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                a.write_all(&bytes[..fits])?;
                Ok(fits)
            },
            || b.write_all(&bytes[..bytes.len() / 2]).unwrap(),
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Open {
    fn sync(&mut self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        // The real flush is left out, here and of folders: what it would do is written down.
        self.disk.operate(
            |inner| {
                if inner.unsynced.contains_key(&self.path) {
                    inner.unsynced.insert(self.path.clone(), len);
                }
                Ok(())
            },
            || (),
        )
    }
}
