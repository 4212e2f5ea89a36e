//! `state.bin`: everything small that a resumed run needs, in a sealed envelope.
//!
//! ```text
//! magic "VITMAE\0\n" | version u32 | length u64 | CRC-32 of the content u32 | content (bincode)
//! ```
//!
//! The seal is judged before a byte of the content is decoded, and decoding has a limit of its own, so a
//! damaged or hostile file is an error and never a crash. This is the only file that knows bincode.

use super::version_4;
use crate::base::{Error, Result};
use bincode::config;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use super::record::{Change, Checksums, EpochRecord, LogMark, Position, State};

const MAGIC: [u8; 8] = *b"VITMAE\0\n";
/// The layout of the content; to be raised when a field of [`State`] changes.
const VERSION: u32 = 5;
/// The layout before it, whose epochs had a loss and an accuracy instead of named scores; read, never written.
const VERSION_4: u32 = 4;
const ENVELOPE_BYTES: usize = 8 + 4 + 8 + 4;
/// More than a million epochs of history need.
const LIMIT_BYTES: usize = 64 << 20;

impl State {
    /// The sealed bytes of this state.
    ///
    /// # Errors
    /// If the content is larger than could be read back; `path` names the file in that error.
    pub fn seal(&self, path: &Path) -> Result<Vec<u8>> {
        let other = |e: String| Error::write(path)(std::io::Error::other(e));
        let content = bincode::encode_to_vec(self, config::standard()).map_err(|e| other(e.to_string()))?;
        if content.len() > LIMIT_BYTES {
            return Err(other(format!("a state of {} bytes, the limit is {LIMIT_BYTES}", content.len())));
        }
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + content.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(crc32fast::hash(&content).to_le_bytes());
        bytes.extend(content);
        Ok(bytes)
    }

    /// Reads a sealed state.
    ///
    /// # Errors
    /// If the file cannot be read, is no state, is from another version, cut short or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::read(path))?;
        let mut bytes = Vec::new();
        // One byte more than the largest state, so that a longer file shows as too long.
        let most = (ENVELOPE_BYTES + LIMIT_BYTES + 1) as u64;
        file.take(most).read_to_end(&mut bytes).map_err(Error::read(path))?;
        Self::unseal(path, &bytes)
    }

    /// The state of sealed bytes; `path` names them in errors.
    ///
    /// # Errors
    /// If they are no state, are from another version, cut short or damaged.
    pub fn unseal(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong =
            |field: &str, expected: String, found: String| Err(Error::input(path, field, expected, found));
        let mut rest = bytes;
        if take::<8>(&mut rest) != Some(MAGIC) {
            return wrong("magic number", "a vit-mae state".into(), "another kind of file".into());
        }
        let (Some(version), Some(length), Some(crc)) = (take(&mut rest), take(&mut rest), take(&mut rest))
        else {
            return wrong("length", format!("at least {ENVELOPE_BYTES} bytes"), cut_short(bytes.len()));
        };
        let version = u32::from_le_bytes(version);
        match version {
            VERSION | VERSION_4 => {}
            newer if newer > VERSION => {
                return wrong("version", VERSION.to_string(), format!("{newer}, written by a newer vit-mae"));
            }
            older => return wrong("version", VERSION.to_string(), older.to_string()),
        }
        let length = u64::from_le_bytes(length);
        if (rest.len() as u64) < length {
            return wrong("content", format!("{length} bytes"), cut_short(rest.len()));
        }
        if (rest.len() as u64) > length {
            return wrong("content", format!("{length} bytes"), format!("{} bytes", rest.len()));
        }
        let (expected, found) = (u32::from_le_bytes(crc), crc32fast::hash(rest));
        if expected != found {
            return wrong("checksum", format!("{expected:08x}"), format!("{found:08x}: the file is damaged"));
        }
        let limited = config::standard().with_limit::<LIMIT_BYTES>();
        let decoded = match version {
            VERSION_4 => bincode::decode_from_slice(rest, limited)
                .map(|(state, used): (version_4::State, usize)| (state.into(), used)),
            _ => bincode::decode_from_slice(rest, limited),
        };
        match decoded {
            Ok((state, used)) if used == rest.len() => Ok(state),
            Ok((_, used)) => wrong("content", format!("{} bytes", rest.len()), format!("{used} bytes used")),
            Err(e) => wrong("content", "a state".into(), e.to_string()),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn cut_short(bytes: usize) -> String {
    format!("{bytes} bytes: the file is cut short")
}
