//! A border of zeros around the maps of a batch, in which the neighbours of a pixel stand at fixed distances.
//!
//! Two neighbouring lines share one zero between them, and so do two neighbouring images share a line of zeros: with a
//! pitch of `W + 1` rows from one line to the next, the pixel left of a line's first one is the zero behind the line above.

use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array2, ArrayView2, ShapeBuilder, s};

/// Where the pixels of `B` maps of `H × W` stand among the rows of the padded matrix: pixel `(b, i, j)` at
/// `P + 1 + (b (H + 1) + i) P + j`, `P = W + 1`.
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    images: usize,
    height: usize,
    width: usize,
}

impl Padding {
    /// For a matrix of so many rows that are maps of `size = [H, W]`.
    ///
    /// # Panics
    /// If the rows are not whole maps.
    #[must_use]
    pub fn new(rows: usize, [height, width]: [usize; 2]) -> Self {
        let pixels = height * width;
        assert!(
            pixels > 0 && rows > 0 && rows.is_multiple_of(pixels),
            "{rows} rows of maps of {height}×{width}"
        );
        Self { images: rows / pixels, height, width }
    }

    /// `P`.
    fn pitch(&self) -> usize {
        self.width + 1
    }

    /// Rows before the first pixel: the line above it and the pixel left of it.
    fn lead(&self) -> usize {
        self.pitch() + 1
    }

    /// Rows from one image to the next.
    fn image(&self) -> usize {
        (self.height + 1) * self.pitch()
    }

    /// Rows from the first pixel to the last one, with the zeros between them.
    fn span(&self) -> usize {
        self.images * self.image() - self.pitch() - 1
    }

    /// `x: [B·H·W, C]` with zeros around and between the maps.
    pub fn pad<F: Real>(&self, x: ArrayView2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let channels = x.ncols();
        let mut padded = cx.take(self.lead() + self.images * self.image(), channels);
        let rows = padded.as_slice_mut().expect("activations are row-major");
        let (lead, rows) = rows.split_at_mut(self.lead() * channels);
        lead.fill(F::zero());
        let maps = x.as_slice().expect("activations are row-major");
        let maps = maps.chunks_exact(self.height * self.width * channels);
        cx.each(rows.chunks_exact_mut(self.image() * channels).zip(maps), |(padded, map)| {
            let (lines, between) = padded.split_at_mut(self.height * self.pitch() * channels);
            let lines = lines.chunks_exact_mut(self.pitch() * channels);
            for (line, pixels) in lines.zip(map.chunks_exact(self.width * channels)) {
                let (inside, zero) = line.split_at_mut(pixels.len());
                inside.copy_from_slice(pixels);
                zero.fill(F::zero());
            }
            between.fill(F::zero());
        });
        padded
    }

    /// The rows from the first pixel to the last one, `[span, C]`.
    pub fn inside<'a, F: Real>(&self, padded: &'a Array2<F>) -> ArrayView2<'a, F> {
        padded.slice(s![self.lead()..self.lead() + self.span(), ..])
    }

    /// `[span, 3·C]`: for each row from the first pixel to the last one, the three pixels that follow each other in the
    /// line above (`line = 0`), in its own (1) or in the line below (2), from the one on the left to the one on the right.
    ///
    /// Nothing is copied: each row of the view begins one pixel behind the row before, and overlaps it.
    ///
    /// # Panics
    /// If this is not a matrix that [`Padding::pad`] gave.
    pub fn neighbours<'a, F: Real>(&self, padded: &'a Array2<F>, line: usize) -> ArrayView2<'a, F> {
        let channels = padded.ncols();
        let rows = padded.as_slice().expect("activations are row-major");
        let shape = (self.span(), 3 * channels).strides((channels, 1));
        ArrayView2::from_shape(shape, &rows[line * self.pitch() * channels..]).expect("the border is inside")
    }

    /// The adjoint of padding: `wide: [span, C] → [B·H·W, C]`, without what stands between the lines.
    pub fn crop<F: Real>(&self, wide: &Array2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let channels = wide.ncols();
        let mut y = cx.take(self.images * self.height * self.width, channels);
        let maps = y.as_slice_mut().expect("activations are row-major");
        let maps = maps.chunks_exact_mut(self.height * self.width * channels);
        // The last image ends with its last pixel.
        let rows = wide.as_slice().expect("activations are row-major").chunks(self.image() * channels);
        cx.each(maps.zip(rows), |(map, wide)| {
            let lines = map.chunks_exact_mut(self.width * channels);
            for (line, wide) in lines.zip(wide.chunks(self.pitch() * channels)) {
                line.copy_from_slice(&wide[..line.len()]);
            }
        });
        y
    }
}
