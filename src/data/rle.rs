//! Run-length masks, as COCO and its `pycocotools` have them: the lengths of runs of pixels outside and inside by turns, down the
//! columns, from left to right, beginning outside.
//!
//! Areas, boxes, unions and overlaps are worked out on the runs; no pixel is touched. Golden: `tests/golden/rle_v.json`.

use ndarray::{Array2, ArrayView2};

use super::image::MAX_BYTES;
use crate::base::Mismatch;

mod polygon;

/// A mask of H × W pixels in runs. Equal masks have equal runs: none is empty but the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    counts: Vec<u32>,
    size: [usize; 2],
}

/// The next pixels of a mask, added run by run.
struct Runs {
    counts: Vec<u32>,
    inside: bool,
}

impl Runs {
    fn new() -> Self {
        Self { counts: vec![0], inside: false }
    }

    fn push(&mut self, pixels: u32, inside: bool) {
        if pixels == 0 {
            return;
        }
        if inside != self.inside {
            self.counts.push(0);
            self.inside = inside;
        }
        *self.counts.last_mut().expect("one to begin with") += pixels;
    }
}

impl Rle {
    /// The mask of these runs and of `[H, W]` pixels. Empty runs between others are left out.
    ///
    /// # Errors
    /// If they do not sum to H · W, or if that is more than an image may have.
    pub fn new(counts: &[u32], size: [usize; 2]) -> Result<Self, Mismatch> {
        let pixels = pixels(size)?;
        let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if sum != u64::from(pixels) {
            let [height, width] = size;
            let expected = format!("runs of {pixels} pixels in all, for {height}×{width} (height × width)");
            return Err(Mismatch::new(expected, sum));
        }
        let mut runs = Runs::new();
        counts.iter().enumerate().for_each(|(at, &count)| runs.push(count, at % 2 == 1));
        Ok(Self { counts: runs.counts, size })
    }

    /// The runs of a mask `[H, W]`.
    #[must_use]
    pub fn of_mask(mask: ArrayView2<bool>) -> Self {
        Self::of_part(mask, [0, 0], [mask.nrows(), mask.ncols()])
    }

    /// The runs of a mask of `size = [H, W]` pixels that is outside but for `part`, whose first pixel is `[line, column]`.
    ///
    /// # Panics
    /// If the part reaches out of the mask.
    #[must_use]
    pub fn of_part(part: ArrayView2<bool>, [line, column]: [usize; 2], size: [usize; 2]) -> Self {
        let ((lines, columns), [height, width]) = (part.dim(), size);
        assert!(line + lines <= height && column + columns <= width, "a part of a mask of {height}×{width}");
        let pixels = |number: usize| u32::try_from(number).expect("a mask has fewer than 2³² pixels");
        let mut runs = Runs::new();
        runs.push(pixels(column * height), false);
        for part in part.columns() {
            runs.push(pixels(line), false);
            part.iter().for_each(|&set| runs.push(1, set));
            runs.push(pixels(height - line - lines), false);
        }
        runs.push(pixels((width - column - columns) * height), false);
        Self { counts: runs.counts, size }
    }

    /// The mask that COCO's compressed string stands for. A number is five bits a character, the lowest first, in two's
    /// complement; from the fourth run on it is the difference to the run before the last.
    ///
    /// # Errors
    /// If it is no such string, or its runs do not sum to H · W.
    pub fn of_string(text: &str, size: [usize; 2]) -> Result<Self, Mismatch> {
        /// More characters than any run takes: 7 · 5 bits.
        const MOST: u32 = 7;
        let mut counts = Vec::<u32>::new();
        let (mut value, mut bits) = (0_i64, 0);
        for (at, character) in text.bytes().enumerate() {
            let wrong = || Mismatch::new("a compressed string of runs", format!("{text:.40?}, at byte {at}"));
            let six =
                character.checked_sub(48).filter(|six| *six < 64 && bits < 5 * MOST).ok_or_else(wrong)?;
            value |= i64::from(six & 0x1f) << bits;
            bits += 5;
            if six & 0x20 != 0 {
                continue;
            }
            if six & 0x10 != 0 {
                value |= -1 << bits;
            }
            if counts.len() > 2 {
                value += i64::from(counts[counts.len() - 2]);
            }
            counts.push(u32::try_from(value).map_err(|_| wrong())?);
            (value, bits) = (0, 0);
        }
        if bits > 0 {
            return Err(Mismatch::new("a compressed string of runs", format!("{text:.40?}, cut short")));
        }
        Self::new(&counts, size)
    }

    /// The lengths of the runs.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// `[H, W]`.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// COCO's compressed string.
    #[must_use]
    pub fn string(&self) -> String {
        let mut text = String::new();
        for (at, &count) in self.counts.iter().enumerate() {
            let before = if at > 2 { self.counts[at - 2] } else { 0 };
            let mut left = i64::from(count) - i64::from(before);
            loop {
                let five = u8::try_from(left & 0x1f).expect("five bits");
                left >>= 5;
                let last = left == if five & 0x10 == 0 { 0 } else { -1 };
                text.push(char::from(48 + five + if last { 0 } else { 0x20 }));
                if last {
                    break;
                }
            }
        }
        text
    }

    /// The pixels, `[H, W]`.
    #[must_use]
    pub fn mask(&self) -> Array2<bool> {
        let [height, width] = self.size;
        let mut mask = Array2::from_elem((height, width), false);
        for at in self.inside().flat_map(|(start, end)| start..end) {
            mask[[at % height, at / height]] = true;
        }
        mask
    }

    /// The number of pixels inside.
    #[must_use]
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&count| u64::from(count)).sum()
    }

    /// `[x, y, w, h]` of the box around the pixels inside; zeros if there is none.
    #[must_use]
    pub fn bbox(&self) -> [f64; 4] {
        let [height, width] = self.size;
        let (mut low, mut high) = ([width, height], [0, 0]);
        for (start, end) in self.inside() {
            let (first, last) = (start / height, (end - 1) / height);
            // A run that goes on in the next column touches the last row and the first.
            let (top, bottom) =
                if first < last { (0, height - 1) } else { (start % height, (end - 1) % height) };
            low = [low[0].min(first), low[1].min(top)];
            high = [high[0].max(last + 1), high[1].max(bottom + 1)];
        }
        if high == [0, 0] {
            return [0.0; 4];
        }
        [low[0], low[1], high[0] - low[0], high[1] - low[1]].map(|pixels| pixels as f64)
    }

    /// The pixels that are in either mask.
    ///
    /// # Panics
    /// If their sizes differ, as in all that compares two masks.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.merged(other, |a, b| a || b)
    }

    /// The pixels that are in both masks.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.merged(other, |a, b| a && b)
    }

    /// Intersection over union; if `other` is a crowd, over this mask's own area. Masks without a pixel in common have 0.
    #[must_use]
    pub fn iou(&self, other: &Self, crowd: bool) -> f64 {
        let (mut both, mut either) = (0_u64, 0_u64);
        self.walk(other, |pixels, a, b| {
            both += if a && b { u64::from(pixels) } else { 0 };
            either += if a || b { u64::from(pixels) } else { 0 };
        });
        let whole = if crowd { self.area() } else { either };
        if both == 0 { 0.0 } else { both as f64 / whole as f64 }
    }

    fn merged(&self, other: &Self, inside: fn(bool, bool) -> bool) -> Self {
        let mut runs = Runs::new();
        self.walk(other, |pixels, a, b| runs.push(pixels, inside(a, b)));
        Self { counts: runs.counts, size: self.size }
    }

    /// Visits the stretches in which neither mask changes: how many pixels, and whether they are in the one and in the other.
    fn walk(&self, other: &Self, mut visit: impl FnMut(u32, bool, bool)) {
        assert_eq!(self.size, other.size, "masks of one size");
        let (mut at, mut left) = ([0, 0], [self.counts[0], other.counts[0]]);
        loop {
            let pixels = left[0].min(left[1]);
            visit(pixels, at[0] % 2 == 1, at[1] % 2 == 1);
            for (k, counts) in [&self.counts, &other.counts].into_iter().enumerate() {
                left[k] -= pixels;
                if left[k] == 0 {
                    at[k] += 1;
                    // Both end at the last pixel.
                    let Some(&next) = counts.get(at[k]) else { continue };
                    left[k] = next;
                }
            }
            if at[0] >= self.counts.len() && at[1] >= other.counts.len() {
                break;
            }
        }
    }

    /// First pixel and last + 1 of each run inside, counted down the columns.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut end = 0;
        let spans = self.counts.iter().enumerate().map(move |(at, &count)| {
            let start = end;
            end += count as usize;
            (at % 2 == 1, (start, end))
        });
        spans.filter(|(inside, _)| *inside).map(|(_, span)| span)
    }
}

/// The pixels of an image of this size, if that is one that may be.
fn pixels([height, width]: [usize; 2]) -> Result<u32, Mismatch> {
    let product = (height as u64).checked_mul(width as u64).filter(|pixels| *pixels <= MAX_BYTES);
    product.and_then(|pixels| u32::try_from(pixels).ok()).ok_or_else(|| {
        let expected = format!("a mask of at most {MAX_BYTES} pixels");
        Mismatch::new(expected, format!("{height}×{width} (height × width)"))
    })
}

/// Intersection over union of two boxes `[x, y, w, h]`; if `b` is a crowd, over the area of `a`. Boxes that only touch have 0.
#[must_use]
pub fn box_iou(a: [f64; 4], b: [f64; 4], crowd: bool) -> f64 {
    let common = |k: usize| (a[k + 2] + a[k]).min(b[k + 2] + b[k]) - a[k].max(b[k]);
    let (w, h) = (common(0), common(1));
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let (own, both) = (a[2] * a[3], w * h);
    both / if crowd { own } else { own + b[2] * b[3] - both }
}
