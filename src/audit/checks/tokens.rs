//! What patches are to be predicted as, and which: k-means and block-wise masking, against plain loops.

use super::formulas::{agree, all};
use super::shapes::random;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::base::rng::{Purpose, below, rng, uniform};
use crate::exec::{Backend, Exec};
use crate::models::beit::{BlockMasking, Codebook, Tokenizer, kmeans};
use crate::models::mae::loss::PixelTarget;
use ndarray::{Array1, Array2, Array4, Axis};

fn numbers(ids: &[usize]) -> Vec<f64> {
    ids.iter().map(|&id| id as f64).collect()
}

/// Squared distances as plain loops.
fn square(x: &[f64], c: &[f64]) -> f64 {
    x.iter().zip(c).map(|(x, c)| (x - c) * (x - c)).sum()
}

/// The first of the nearest.
fn nearest(x: &[f64], centroids: &[Vec<f64>]) -> usize {
    (1..centroids.len())
        .fold(0, |best, k| if square(x, &centroids[k]) < square(x, &centroids[best]) { k } else { best })
}

fn rows(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.outer_iter().map(|row| row.to_vec()).collect()
}

/// Three iterations from centroids of which two are equal and one is far away from all patches.
pub(super) fn k_means(check: &GradCheck) -> Report {
    let patches: Array2<f64> = random(check, (50, 3));
    let mut start = patches.slice(ndarray::s![..6, ..]).to_owned();
    let first = start.row(1).to_owned();
    start.row_mut(4).assign(&first);
    start.row_mut(5).fill(100.0);
    let (mut codebook, mut centroids) = (Codebook::new(start.clone()), rows(&start));
    let (points, mut reports) = (rows(&patches), Vec::new());
    for _ in 0..3 {
        let found = kmeans::iterate(patches.view(), &codebook, &Backend::default().into());
        let ids: Vec<usize> = points.iter().map(|x| nearest(x, &centroids)).collect();
        let inertia = points.iter().zip(&ids).map(|(x, &id)| square(x, &centroids[id])).sum();
        let counts: Vec<usize> = (0..6).map(|k| ids.iter().filter(|id| **id == k).count()).collect();
        for (k, centroid) in centroids.iter_mut().enumerate().filter(|(k, _)| counts[*k] > 0) {
            for (j, c) in centroid.iter_mut().enumerate() {
                let mine = points.iter().zip(&ids).filter(|(_, id)| **id == k);
                *c = mine.map(|(x, _)| x[j]).sum::<f64>() / counts[k] as f64;
            }
        }
        codebook = found.next;
        reports.push(agree("assigned", &numbers(&found.ids), numbers(&ids)));
        reports.push(agree("counts", &numbers(&found.counts), numbers(&counts)));
        reports.push(agree("inertia", &[found.inertia], [inertia]));
        reports.push(agree("centroids", &codebook.centroids, centroids.concat()));
    }
    all(reports)
}

/// On whole numbers every distance is exact: of equally near centroids the lowest, and the distances themselves.
pub(super) fn ties(_: &GradCheck) -> Report {
    let centroids =
        Array2::from_shape_fn((6, 2), |(k, j)| [[0, 2], [2, 0], [4, 2], [2, 0], [2, 4], [0, 2]][k][j].into());
    let patches = Array2::from_shape_fn((25, 2), |(row, j)| [row / 5, row % 5][j] as f64);
    let found = Codebook::new(centroids.clone()).nearest(patches.view(), &mut Exec::new(Backend::default()));
    let (points, centroids) = (rows(&patches), rows(&centroids));
    let ids: Vec<usize> = points.iter().map(|x| nearest(x, &centroids)).collect();
    let distance: Vec<f64> = points.iter().zip(&ids).map(|(x, &id)| square(x, &centroids[id])).collect();
    all([
        agree("the lowest of the nearest", &numbers(&found.ids), numbers(&ids)),
        agree("squared distance", &found.distance, distance),
    ])
}

/// The first centroid is a patch at random, each next one a patch with probability in proportion to its squared distance.
pub(super) fn plus_plus(check: &GradCheck) -> Report {
    let patches: Array2<f64> = random(check, (40, 3));
    let points = rows(&patches);
    let found = kmeans::first_centroids(patches.view(), 7, 3);
    let mut rng = rng(3, Purpose::Codebook, 0, 0);
    let mut chosen = vec![below(&mut rng, 40)];
    while chosen.len() < 7 {
        let least =
            |x: &Vec<f64>| chosen.iter().map(|&c| square(x, &points[c])).fold(f64::INFINITY, f64::min);
        let weights = Array1::from_iter(points.iter().map(least));
        let mut sums = weights.clone();
        sums.accumulate_axis_inplace(Axis(0), |before, sum| *sum += before);
        let target = uniform(&mut rng) * weights.sum();
        chosen.push(sums.iter().position(|sum| *sum > target).expect("below the whole"));
    }
    agree("patches far from those chosen", &found.centroids, chosen.iter().flat_map(|&c| points[c].clone()))
}

/// Normalised with divisor P − 1 and 1e-6, pixels in the order row, column, channel, then the nearest centroid; one patch is
/// almost constant, so that the 1e-6 decides.
pub(super) fn tokenizer(check: &GradCheck) -> Report {
    let mut images: Array4<f64> = random(check, (2, 3, 4, 6));
    images.slice_mut(ndarray::s![0, .., ..2, ..2]).mapv_inplace(|x| 0.3 + 2e-4 * x);
    let centroids = random(check, (9, 12)).mapv(|x: f64| (5.0 * x).sin());
    let patches = PixelTarget { patch_size: 2, norm_pix_loss: true };
    let tokenizer = Tokenizer { codebook: Codebook::new(centroids.clone()), patches };
    let cx = &mut Exec::new(Backend::default());
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    for (image, patch) in (0..2).flat_map(|image| (0..6).map(move |patch| (image, patch))) {
        let pixel = |i: usize| images[(image, i % 3, patch / 3 * 2 + i / 6, patch % 3 * 2 + i / 3 % 2)];
        let mean = (0..12).map(pixel).sum::<f64>() / 12.0;
        let variance = (0..12).map(|i| (pixel(i) - mean).powi(2)).sum::<f64>() / 11.0;
        let normed: Vec<f64> = (0..12).map(|i| (pixel(i) - mean) / (variance + 1e-6).sqrt()).collect();
        ids.push(nearest(&normed, &rows(&centroids)));
        values.extend(normed);
    }
    all([
        agree("normalised patches", &tokenizer.patches(images.view(), cx), values),
        agree("tokens", &numbers(&tokenizer.ids(images.view(), cx)), numbers(&ids)),
    ])
}

/// `tests/golden/blockmask_v.json`, `algorithm`, sentence by sentence, with the same random numbers.
pub(super) fn block_mask(check: &GradCheck) -> Report {
    let mut reports = Vec::new();
    let cases =
        [((7, 5), 14, 4, None), ((5, 8), 30, 3, Some(6)), ((14, 14), 75, 16, None), ((3, 3), 8, 4, Some(2))];
    for (grid, target, min_area, max_area) in cases {
        let masking = BlockMasking { grid, target, min_area, max_area, aspect: [0.3, 1.0 / 0.3], tries: 10 };
        for sample in 0..20 {
            let found = masking.mask(check.seed, 2, sample);
            let mut numbers = rng(check.seed, Purpose::Mask, 2, sample);
            let (masked, blocks) = by_the_book(&masking, &mut numbers);
            let found: Vec<f64> = found
                .masked
                .iter()
                .map(|&m| f64::from(u8::from(m)))
                .chain([found.blocks.len() as f64])
                .collect();
            reports.push(agree("masked patches", &found, masked.into_iter().flatten().chain([blocks])));
        }
    }
    all(reports)
}

/// Rows of 0 and 1, and the number of blocks.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "roots of areas")]
fn by_the_book(masking: &BlockMasking, numbers: &mut impl rand::Rng) -> (Vec<Vec<f64>>, f64) {
    let (rows, columns) = masking.grid;
    let (mut mask, mut count, mut blocks) = (vec![vec![0.0; columns]; rows], 0, 0.0);
    'blocks: while count < masking.target {
        let room = (masking.target - count).min(masking.max_area.unwrap_or(usize::MAX));
        for _ in 0..10 {
            let area = masking.min_area as f64 + uniform(numbers) * (room as f64 - masking.min_area as f64);
            let log_aspect = libm::log(0.3) + uniform(numbers) * (libm::log(1.0 / 0.3) - libm::log(0.3));
            let aspect = libm::exp(log_aspect);
            let (height, width) = ((area * aspect).sqrt().round(), (area / aspect).sqrt().round());
            if height >= rows as f64 || width >= columns as f64 {
                continue;
            }
            let (height, width) = (height as usize, width as usize);
            let (top, left) = (below(numbers, rows - height + 1), below(numbers, columns - width + 1));
            let cells =
                || (top..top + height).flat_map(|row| (left..left + width).map(move |column| (row, column)));
            let new = cells().filter(|&(row, column)| mask[row][column] == 0.0).count();
            if new > 0 && new <= room {
                cells().for_each(|(row, column)| mask[row][column] = 1.0);
                (count, blocks) = (count + new, blocks + 1.0);
                continue 'blocks;
            }
        }
        break;
    }
    (mask, blocks)
}
