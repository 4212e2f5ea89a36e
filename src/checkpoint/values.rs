//! A tensor's values on their way into a file.

use crate::base::Real;
use safetensors::Dtype;
use std::io::Write;

/// How much of a tensor is converted at once.
const BLOCK_BYTES: usize = 64 << 10;

/// A tensor's values, in the type in which they are written.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a, F> {
    /// `F32` or `F64`, as `F` is.
    Real(&'a [F]),
    /// `F64`, whatever `F` is.
    Double(&'a [f64]),
    /// `I64`: indices.
    Whole(&'a [i64]),
}

impl<F: Real> Values<'_, F> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Real(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Whole(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the file names the type.
    pub(super) fn dtype(&self) -> Dtype {
        match self {
            Self::Real(_) if F::NAME == "f32" => Dtype::F32,
            Self::Real(_) | Self::Double(_) => Dtype::F64,
            Self::Whole(_) => Dtype::I64,
        }
    }

    /// Bytes in the file.
    pub(super) fn bytes(&self) -> usize {
        let one = if self.dtype() == Dtype::F32 { size_of::<f32>() } else { size_of::<f64>() };
        self.len() * one
    }

    /// Writes the elements, little-endian, some at a time.
    pub(super) fn pour(&self, out: &mut impl Write) -> std::io::Result<()> {
        let numbers = BLOCK_BYTES / size_of::<f64>();
        match self {
            Self::Real(values) => values.chunks(numbers).try_for_each(|c| out.write_all(&to_bytes(c))),
            Self::Double(values) => values.chunks(numbers).try_for_each(|c| out.write_all(&to_bytes(c))),
            Self::Whole(values) => values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an f32 comes back from f64 unchanged")]
fn to_bytes<F: Real>(values: &[F]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(values));
    for x in values {
        if F::NAME == "f32" {
            bytes.extend_from_slice(&(x.f64() as f32).to_le_bytes());
        } else {
            bytes.extend_from_slice(&x.f64().to_le_bytes());
        }
    }
    bytes
}
