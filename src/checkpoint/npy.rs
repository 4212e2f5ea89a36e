//! Arrays as `NumPy` reads them: the `.npy` format, version 1.0.
//!
//! ```text
//! 93 4E 55 4D 50 59 ("\x93NUMPY") · 01 00 · length of the header (little-endian u16)
//! header: a Python dictionary with type, order and shape, spaces, a line break; with the 10 bytes before it a
//!         multiple of 64 bytes long
//! values, little-endian, row by row
//! ```
//!
//! A header and a payload are less than a dependency; `NumPy`'s `lib/format.py` is the specification.

/// `[N, D]` in single precision.
///
/// # Panics
/// If the values do not fill the shape.
#[must_use]
pub fn matrix(shape: [usize; 2], values: &[f32]) -> Vec<u8> {
    assert_eq!(shape[0] * shape[1], values.len(), "values of {shape:?}");
    let mut bytes = header("<f4", &format!("({}, {})", shape[0], shape[1]));
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

/// `[N]` as 64-bit whole numbers.
#[must_use]
pub fn vector(values: &[i64]) -> Vec<u8> {
    let mut bytes = header("<i8", &format!("({},)", values.len()));
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

fn header(dtype: &str, shape: &str) -> Vec<u8> {
    let mut dictionary = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    let before = 10;
    let padding = (before + dictionary.len() + 1).next_multiple_of(64) - before - dictionary.len() - 1;
    dictionary.extend(std::iter::repeat_n(' ', padding));
    dictionary.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(dictionary.len()).expect("at most a few lines").to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `numpy.save` 2.x: `numpy.array([[1, 2, 3]], "<f4")` and `numpy.array([7, -1])`.
    #[test]
    fn arrays_have_the_bytes_that_numpy_writes() {
        let text = |dtype: &str, shape: &str| {
            let dictionary = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
            format!("{dictionary:<117}\n")
        };
        let bytes = matrix([1, 3], &[1.0, 2.0, 3.0]);
        assert_eq!(bytes[..10], [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, 118, 0]);
        assert_eq!(bytes[10..128], *text("<f4", "(1, 3)").as_bytes());
        assert_eq!(bytes[128..], [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64]);
        let bytes = vector(&[7, -1]);
        assert_eq!(bytes[10..128], *text("<i8", "(2,)").as_bytes());
        assert_eq!(bytes[128..], [[7, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat());
    }
}
