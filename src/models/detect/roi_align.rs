//! RoIAlign: `P × P` cells of a region, each the mean of samples that are read from a map between its pixels (He et al. 2017, §3).
//!
//! Nothing is rounded. What a cell reads is the product of what its row of cells reads of the map's rows and what its column
//! reads of the map's columns; so a region is a Kronecker product of two sparse maps, and its adjoint is the transpose. Boxes
//! are constants: they have no gradient.

use super::boxes::BBox;
use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use crate::layers::SparseMap;
use ndarray::{Array2, ArrayView2};

/// How regions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoiAlign {
    /// `P`.
    pub output: usize,
    /// Samples a cell and axis; 0: as many as the cell has pixels, rounded up.
    pub sampling: usize,
}

/// A map that regions are read from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// `[H, W]`.
    pub size: [usize; 2],
    /// Pixels of the map to a pixel of the image: 1 over the stride.
    pub scale: f64,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region<F> {
    /// The number of the image in the batch.
    pub image: usize,
    /// The number of the map in the list of levels.
    pub level: usize,
    /// Where, in pixels of the image. It may leave the image.
    pub bbox: BBox<F>,
}

/// The linear map from all levels' maps to the cells of all regions.
#[derive(Clone, Debug)]
pub struct RoiMap<F> {
    /// `P²`.
    cells: usize,
    regions: Vec<Sampled<F>>,
}

/// What a region reads.
#[derive(Clone, Debug)]
struct Sampled<F> {
    image: usize,
    level: usize,
    /// `[P, H]`.
    rows: SparseMap<F>,
    /// `[P, W]`.
    columns: SparseMap<F>,
}

impl RoiAlign {
    /// The map that reads these regions.
    #[must_use]
    pub fn of<F: Real>(self, regions: &[Region<F>], levels: &[Level]) -> RoiMap<F> {
        let sampled = |region: &Region<F>| {
            let Level { size: [height, width], scale } = levels[region.level];
            // Half a pixel back: pixel 0 has its centre at ½.
            let [x1, y1, x2, y2] = region.bbox.map(|x| x.f64() * scale - 0.5);
            Sampled {
                image: region.image,
                level: region.level,
                rows: axis([y1, y2], self, height),
                columns: axis([x1, x2], self, width),
            }
        };
        RoiMap { cells: self.output * self.output, regions: regions.iter().map(sampled).collect() }
    }
}

/// `P` cells from `start` to `end`, each the mean of its samples between `pixels` pixels: `[P, pixels]`.
#[must_use]
pub fn axis<F: Real>(ends: [f64; 2], align: RoiAlign, pixels: usize) -> SparseMap<F> {
    let (cells, of_cell) = sums(ends, align, pixels);
    let mean = |terms: Vec<(usize, f64)>| {
        let count = of_cell as f64;
        terms.into_iter().map(move |(i, sum)| (i, sum / count))
    };
    SparseMap::new(pixels, cells.into_iter().map(mean))
}

/// Of each of `P` cells from `start` to `end` what its samples between `pixels` pixels read, added up, as `(pixel, weight)`; and how
/// many samples each has.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; and below `pixels`"
)]
pub fn sums([start, end]: [f64; 2], align: RoiAlign, pixels: usize) -> (Vec<Vec<(usize, f64)>>, usize) {
    let side = (end - start) / align.output as f64;
    let samples = if align.sampling > 0 { align.sampling } else { side.ceil().max(0.0) as usize };
    let of_cell = |cell: usize| {
        let mut terms: Vec<(usize, f64)> = Vec::new();
        let mut add = |pixel: usize, weight: f64| match terms.iter_mut().rev().find(|term| term.0 == pixel) {
            Some(term) => term.1 += weight,
            None => terms.push((pixel, weight)),
        };
        for sample in 0..samples {
            let at = start + cell as f64 * side + (sample as f64 + 0.5) * side / samples as f64;
            // A sample outside reads 0, and counts.
            if at < -1.0 || at > pixels as f64 {
                continue;
            }
            let at = at.max(0.0);
            let low = at.floor() as usize;
            if low + 1 < pixels {
                add(low, 1.0 - at.fract());
                add(low + 1, at.fract());
            } else {
                add(pixels - 1, 1.0);
            }
        }
        terms
    };
    ((0..align.output).map(of_cell).collect(), samples)
}

impl<F: Real> RoiMap<F> {
    /// From a map `[B·H·W, C]` a level to `[R·P·P, C]`, region by region, cell by cell, row by row.
    pub fn forward(&self, maps: &[Array2<F>], cx: &mut Exec<F>) -> Array2<F> {
        let channels = maps.first().expect("a level at least").ncols();
        let mut y = cx.take(self.regions.len() * self.cells, channels);
        let cells =
            y.as_slice_mut().expect("activations are row-major").chunks_exact_mut(self.cells * channels);
        let tasks = cells.zip(&self.regions).map(|(y, region)| {
            let x = maps[region.level].as_slice().expect("activations are row-major");
            let image = region.rows.inputs() * region.columns.inputs() * channels;
            Read { x: &x[region.image * image..][..image], y, region }
        });
        cx.rows(tasks, Forward { channels });
        y
    }

    /// *Adds* the gradient `dy: [R·P·P, C]` to those of the levels' maps. Regions of one image are added in their order, whatever
    /// the threads.
    pub fn backward(&self, dy: ArrayView2<F>, dmaps: &mut [Array2<F>], cx: &Exec<F>) {
        let channels = dy.ncols();
        let mut tasks = Vec::new();
        for (level, dmap) in dmaps.iter_mut().enumerate() {
            let Some(region) = self.regions.iter().find(|region| region.level == level) else { continue };
            let image = region.rows.inputs() * region.columns.inputs() * channels;
            let images = dmap.as_slice_mut().expect("activations are row-major").chunks_exact_mut(image);
            tasks.extend(images.enumerate().map(|(image, dx)| Written { level, image, dx }));
        }
        let dy = dy.as_slice().expect("activations are row-major");
        cx.rows(tasks.into_iter(), Backward { map: self, dy, channels });
    }
}

struct Forward {
    channels: usize,
}

/// A region's cells, and the map of its image.
struct Read<'a, F> {
    x: &'a [F],
    y: &'a mut [F],
    region: &'a Sampled<F>,
}

impl<F: Real> Kernel<Read<'_, F>> for Forward {
    #[inline(always)]
    fn run(&self, Read { x, y, region }: Read<F>) {
        region.rows.kronecker(&region.columns).rows_from(0, x, y, self.channels);
    }
}

struct Backward<'a, F> {
    map: &'a RoiMap<F>,
    dy: &'a [F],
    channels: usize,
}

/// The gradient of an image's map.
struct Written<'a, F> {
    level: usize,
    image: usize,
    dx: &'a mut [F],
}

impl<F: Real> Kernel<Written<'_, F>> for Backward<'_, F> {
    #[inline(always)]
    fn run(&self, Written { level, image, dx }: Written<F>) {
        let cells = self.dy.chunks_exact(self.map.cells * self.channels);
        for (region, dy) in self.map.regions.iter().zip(cells) {
            if region.level == level && region.image == image {
                region.rows.kronecker(&region.columns).add_adjoint(dy, dx, self.channels);
            }
        }
    }
}
