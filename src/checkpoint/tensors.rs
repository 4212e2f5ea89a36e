//! Named tensors in a safetensors file: streamed out, checked whole on the way in, loaded strictly.
//!
//! The format: a length `u64`, a JSON header that gives each tensor's type, shape and place, the payload.
//! The crate `safetensors` judges the header; this file streams the payload, so that a model is never
//! held twice. Names are written in sorted order: the same tensors give the same bytes.

use super::torch;
use super::values::Values;
use crate::base::disk::{Disk, Os};
use crate::base::{Error, Real, Result};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of the length that opens the file.
const LENGTH_BYTES: u64 = 8;
/// The largest header read; that of the largest model of the paper is below 100 kB.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// How much of the payload is converted at once.
const BLOCK_BYTES: usize = 64 << 10;
/// How many names an error lists before it says "and n more".
const LISTED: usize = 5;

/// Writes `(name, shape, values)` as `F32` or `F64` and waits until they are on the disk; returns the
/// CRC-32 of the whole file, header included.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If a name comes twice, or values do not fill their shape: those are bugs of the caller.
pub fn write<'a, F: Real>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [F])>,
    metadata: &BTreeMap<String, String>,
) -> Result<u32> {
    write_on(&Os, path, tensors, metadata)
}

/// [`write()`] on any disk.
///
/// # Errors
/// As [`write()`].
///
/// # Panics
/// As [`write()`].
pub fn write_on<'a, F: Real>(
    disk: &dyn Disk,
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [F])>,
    metadata: &BTreeMap<String, String>,
) -> Result<u32> {
    let tensors = tensors.into_iter();
    write_mixed(
        disk,
        path,
        tensors.map(|(name, shape, values)| (name, shape, Values::Real(values))),
        metadata,
    )
}

/// As [`write_on`], for tensors of different types in one file.
///
/// # Errors
/// As [`write()`].
///
/// # Panics
/// As [`write()`].
pub fn write_mixed<'a, F: Real>(
    disk: &dyn Disk,
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Values<'a, F>)>,
    metadata: &BTreeMap<String, String>,
) -> Result<u32> {
    let mut sorted = BTreeMap::new();
    for (name, shape, values) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}: values do not fill {shape:?}");
        let twice = format!("two tensors are named {name}");
        assert!(sorted.insert(name, (shape, values)).is_none(), "{twice}");
    }
    let header = header(&sorted, metadata).map_err(|e| Error::write(path)(e.into()))?;
    let file = disk.create(path).map_err(Error::write(path))?;
    let mut out =
        Summing { inner: BufWriter::with_capacity(BLOCK_BYTES, file), crc: crc32fast::Hasher::new() };
    let mut pour = || -> std::io::Result<()> {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.values().try_for_each(|(_, values)| values.pour(&mut out))?;
        out.flush()?;
        out.inner.get_mut().sync()
    };
    pour().map_err(Error::write(path))?;
    Ok(out.crc.finalize())
}

/// The JSON header, padded with spaces so that the payload starts at a multiple of 8.
fn header<F: Real>(
    sorted: &BTreeMap<String, (Vec<usize>, Values<F>)>,
    metadata: &BTreeMap<String, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut fields = BTreeMap::from([("__metadata__", serde_json::to_value(metadata)?)]);
    let mut offset = 0;
    for (name, (shape, values)) in sorted {
        let end = offset + values.bytes();
        let info = TensorInfo { dtype: values.dtype(), shape: shape.clone(), data_offsets: (offset, end) };
        fields.insert(name, serde_json::to_value(info)?);
        offset = end;
    }
    let mut bytes = serde_json::to_vec(&fields)?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

/// A writer that sums what passes through.
struct Summing<W> {
    inner: W,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// An open safetensors file: its header is read and fits the file, its payload waits on the disk.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    inner: fs::File,
    header: Metadata,
    payload_start: u64,
}

impl File {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// If it cannot be read, or is no safetensors file of the length that its header promises. Nothing
    /// is allocated that the file's own length does not justify.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let mut file = fs::File::open(&path).map_err(Error::read(&path))?;
        let file_bytes = file.metadata().map_err(Error::read(&path))?.len();
        let mut length = [0; 8];
        let truncated =
            |found: u64| Error::input(&path, "header", "at least 8 bytes", format!("{found} bytes"));
        if file_bytes < LENGTH_BYTES {
            return Err(truncated(file_bytes));
        }
        file.read_exact(&mut length).map_err(Error::read(&path))?;
        let header_bytes = u64::from_le_bytes(length);
        let room = (file_bytes - LENGTH_BYTES).min(MAX_HEADER_BYTES);
        if header_bytes > room && torch::is_pickle(&path, length) {
            return Err(torch::refused(&path));
        }
        if header_bytes > room {
            let expected = format!("a header of at most {room} bytes");
            return Err(Error::input(&path, "header length", expected, header_bytes));
        }
        let mut json = Vec::new();
        Read::by_ref(&mut file).take(header_bytes).read_to_end(&mut json).map_err(Error::read(&path))?;
        let header: Metadata = serde_json::from_slice(&json)
            .map_err(|e| Error::input(&path, "header", "a safetensors header", e))?;
        let payload_start = LENGTH_BYTES + header_bytes;
        let (promised, present) = (header.data_len() as u64, file_bytes - payload_start);
        if promised != present {
            return Err(Error::input(
                &path,
                "payload",
                format!("{promised} bytes"),
                format!("{present} bytes"),
            ));
        }
        Ok(Self { path, inner: file, header, payload_start })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, in the order of the payload.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The free text that came with the tensors.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// A tensor's shape.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.info(name)?.shape)
    }

    /// A tensor's number type.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn dtype(&self, name: &str) -> Result<Dtype> {
        Ok(self.info(name)?.dtype)
    }

    /// Elements of all tensors together, as the header promises them.
    ///
    /// # Errors
    /// Never: its own names are known.
    pub fn elements(&self) -> Result<usize> {
        self.names()
            .iter()
            .try_fold(0usize, |sum, name| Ok(sum.saturating_add(self.shape(name)?.iter().product())))
    }

    /// The CRC-32 of the whole file, to be compared with what [`write()`] returned.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn checksum(&self) -> Result<u32> {
        let mut crc = crc32fast::Hasher::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut file = &self.inner;
        file.seek(SeekFrom::Start(0)).map_err(Error::read(&self.path))?;
        loop {
            match file.read(&mut block).map_err(Error::read(&self.path))? {
                0 => return Ok(crc.finalize()),
                n => crc.update(&block[..n]),
            }
        }
    }

    /// A tensor's values, from `F32` or `F64`, rounded to `F` where that is narrower.
    ///
    /// # Errors
    /// If there is no such tensor, it holds other numbers, or the file cannot be read.
    pub fn read<F: Real>(&self, name: &str) -> Result<Vec<F>> {
        let info = self.real(name)?;
        let mut values = vec![F::zero(); info.shape.iter().product()];
        self.read_into(name, info, &mut values)?;
        Ok(values)
    }

    /// The values of an `I64` tensor (`ids_shuffle`, `ids_restore`, `ids_keep`).
    ///
    /// # Errors
    /// If there is no such tensor, it holds other numbers, or the file cannot be read.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.info(name)?;
        if info.dtype != Dtype::I64 {
            return Err(Error::input(&self.path, name, "numbers of type I64", info.dtype));
        }
        let mut values = Vec::new();
        self.blocks(info, |block| {
            values.extend(block.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)));
        })?;
        Ok(values)
    }

    /// A tensor of bytes, such as an image.
    ///
    /// # Errors
    /// If there is no such tensor, it holds other numbers, or the file cannot be read.
    pub fn read_u8(&self, name: &str) -> Result<Vec<u8>> {
        let info = self.info(name)?;
        if info.dtype != Dtype::U8 {
            return Err(Error::input(&self.path, name, "numbers of type U8", info.dtype));
        }
        let mut values = Vec::new();
        self.blocks(info, |block| values.extend_from_slice(block))?;
        Ok(values)
    }

    /// Checks that a tensor holds numbers that can be read.
    pub(super) fn check_real(&self, name: &str) -> Result<()> {
        self.real(name).map(|_| ())
    }

    /// Fills `values`, which have the tensor's length.
    pub(super) fn read_onto<F: Real>(&self, name: &str, values: &mut [F]) -> Result<()> {
        self.read_into(name, self.real(name)?, values)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.header.info(name).ok_or_else(|| Error::input(&self.path, name, "a tensor of this name", "none"))
    }

    fn real(&self, name: &str) -> Result<&TensorInfo> {
        let info = self.info(name)?;
        match info.dtype {
            Dtype::F32 | Dtype::F64 => Ok(info),
            other => Err(Error::input(&self.path, name, "numbers of type F32 or F64", other)),
        }
    }

    /// Rounds where the file has more digits than `F`; what is finite stays finite.
    fn read_into<F: Real>(&self, name: &str, info: &TensorInfo, values: &mut [F]) -> Result<()> {
        let (mut rest, mut too_large) = (values.iter_mut(), None);
        self.blocks(info, |block| {
            if info.dtype == Dtype::F32 {
                let numbers = block.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
                // Numbers first: a slot is taken only where one is left.
                numbers.zip(rest.by_ref()).for_each(|(x, slot)| *slot = F::of(x));
            } else {
                let numbers = block.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
                for (x, slot) in numbers.zip(rest.by_ref()) {
                    *slot = F::of(x);
                    if x.is_finite() && !slot.is_finite() {
                        too_large.get_or_insert(x);
                    }
                }
            }
        })?;
        let wrong = |x| Err(Error::input(&self.path, name, format!("numbers that {} can hold", F::NAME), x));
        too_large.map_or(Ok(()), wrong)
    }

    /// Hands a tensor's bytes to `take`, block by block; an element is never cut in two.
    fn blocks(&self, info: &TensorInfo, mut take: impl FnMut(&[u8])) -> Result<()> {
        let (start, end) = info.data_offsets;
        let mut file = &self.inner;
        let mut block = vec![0; BLOCK_BYTES.min(end - start)];
        file.seek(SeekFrom::Start(self.payload_start + start as u64)).map_err(Error::read(&self.path))?;
        let mut left = end - start;
        while left > 0 {
            let n = left.min(BLOCK_BYTES);
            file.read_exact(&mut block[..n]).map_err(Error::read(&self.path))?;
            take(&block[..n]);
            left -= n;
        }
        Ok(())
    }
}

/// Fills every slot `(name, shape, values)` from the file, strictly: the names must be the same set and
/// every shape equal. Nothing is written into any slot unless everything matches.
///
/// # Errors
/// Names the file, the tensor and both shapes; lists the first missing and unexpected names.
///
/// # Panics
/// If a slot's values do not fill its shape: that is a bug of the caller.
pub fn load_into<F: Real>(file: &File, slots: Vec<(String, Vec<usize>, &mut [F])>) -> Result<()> {
    let present = file.names();
    let wanted: BTreeSet<&str> = slots.iter().map(|s| s.0.as_str()).collect();
    let extra: Vec<&str> = present.iter().map(String::as_str).filter(|n| !wanted.contains(n)).collect();
    fill(file, slots, &extra)
}

/// As [`load_into`], from a file that may hold more: a trunk's tensors from a whole model's.
///
/// # Errors
/// As [`load_into`], but for unexpected names.
pub fn load_part<F: Real>(file: &File, slots: Vec<(String, Vec<usize>, &mut [F])>) -> Result<()> {
    fill(file, slots, &[])
}

fn fill<F: Real>(file: &File, slots: Vec<(String, Vec<usize>, &mut [F])>, extra: &[&str]) -> Result<()> {
    let missing: Vec<&str> =
        slots.iter().map(|s| s.0.as_str()).filter(|n| file.header.info(n).is_none()).collect();
    if !missing.is_empty() || !extra.is_empty() {
        let expected = format!("the model's {} tensors", slots.len());
        let found = format!("missing: {}; unexpected: {}", listed(&missing), listed(extra));
        return Err(Error::input(&file.path, "tensors", expected, found));
    }
    for (name, shape, values) in &slots {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}: values do not fill {shape:?}");
        let found = &file.real(name)?.shape;
        if found != shape {
            let (expected, found) = (format!("shape {shape:?}"), format!("shape {found:?}"));
            return Err(Error::input(&file.path, name, expected, found));
        }
    }
    for (name, _, values) in slots {
        file.read_into(&name, file.info(&name)?, values)?;
    }
    Ok(())
}

/// The first names of a list, and how many more there are.
pub(super) fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        n if n <= LISTED => names.join(", "),
        n => format!("{} and {} more", names[..LISTED].join(", "), n - LISTED),
    }
}
