//! k-means: Lloyd's iterations on patches as they are and on normalised ones, nearest centroids of other patches, ties.

use super::recording::Recording;
use super::tolerance::{EXACT, Tolerance, relative};
use crate::base::{Real, Result};
use crate::exec::{Backend, Exec};
use crate::models::beit::{Codebook, kmeans};
use crate::models::mae::loss::normalise;
use ndarray::{Array2, ArrayD, Ix2};

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let size = |key: &str| {
        let key = format!("config.{key}");
        match recording.whole(&key)? {
            0 => Err(recording.wrong(&key, "1 or more", 0)),
            size => Ok(size),
        }
    };
    let (points, new, dim) = (size("points")?, size("new_points")?, size("dim")?);
    let (clusters, iterations) = (size("clusters")?, size("iterations")?);
    if dim == 1 {
        return Err(recording.wrong("config.dim", "2 or more: one number has no variance", dim));
    }
    let patches = matrix(recording.input("patches", &[points, dim])?);
    let others = matrix(recording.input("new_patches", &[new, dim])?);
    run(recording, "raw", &patches, &others, [clusters, iterations])?;

    let cx = &Exec::new(Backend::default());
    let [mut normed, mut others_normed] = [patches, others];
    for (key, patches, in_f32) in [("patches", &mut normed, 5e-6), ("new_patches", &mut others_normed, 1e-4)]
    {
        normalise(patches, cx);
        let numbers = patches.iter().map(|x| x.f64());
        recording.compare(&format!("norm.{key}"), patches.shape(), numbers, tolerance::<F>(in_f32))?;
    }
    run(recording, "norm", &normed, &others_normed, [clusters, iterations])?;
    if recording.below("ties.").is_empty() { Ok(()) } else { ties(recording) }
}

/// `in_f32` relative, 1e-10 in f64.
fn tolerance<F: Real>(in_f32: f64) -> Tolerance {
    relative::<F>(1e-10, in_f32).or(if F::NAME == "f64" { 1e-14 } else { 0.0 })
}

fn matrix<F: Real>(array: ArrayD<F>) -> Array2<F> {
    array.into_dimensionality::<Ix2>().expect("two axes, just checked")
}

/// All iterations from the recorded first centroids, each from what the one before gave.
fn run<F: Real>(
    recording: &mut Recording<F>,
    name: &str,
    patches: &Array2<F>,
    others: &Array2<F>,
    [clusters, iterations]: [usize; 2],
) -> Result<()> {
    let key = |what: &str| format!("{name}.{what}");
    // Before so many iterations are run: one number each.
    recording.stored(&key("inertia"), &[iterations + 1])?;
    let init = recording.input(&key("init"), &[clusters, patches.ncols()])?;
    let mut codebook = Codebook::new(matrix(init));
    let (mut inertia, mut empty) = (Vec::new(), Vec::new());
    for t in 1..=iterations {
        let found = kmeans::iterate(patches.view(), &codebook, &Backend::default().into());
        compare_ids(recording, &key(&format!("assign.{t}")), &found.ids)?;
        compare_ids(recording, &key(&format!("counts.{t}")), &found.counts)?;
        codebook = found.next;
        compare_centroids(recording, &key(&format!("centroids.{t}")), &codebook, tolerance::<F>(5e-6))?;
        inertia.push(found.inertia);
        empty.push(found.counts.iter().filter(|count| **count == 0).count());
    }
    let last = kmeans::iterate(patches.view(), &codebook, &Backend::default().into());
    compare_ids(recording, &key("assign.final"), &last.ids)?;
    inertia.push(last.inertia);
    recording.compare(&key("inertia"), &[iterations + 1], inertia, tolerance::<F>(5e-6))?;

    let nearest = codebook.nearest(others.view(), &mut Exec::new(Backend::default()));
    compare_ids(recording, &key("new_ids"), &nearest.ids)?;
    let distance = nearest.distance.iter().map(|d| d.f64());
    // One of the normalised patches is almost constant, so its rounding is a larger part of it.
    let in_f32 = if name == "norm" { 1e-4 } else { 5e-6 };
    recording.compare(&key("new_distance"), &[others.nrows()], distance, tolerance::<F>(in_f32))?;
    compare_empty(recording, name, &serde_json::json!(empty));
    Ok(())
}

/// One iteration on whole numbers, exact in either precision: equal distances go to the lowest index.
fn ties<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let points = recording.given("ties.points")?;
    let Ok(points) = points.into_dimensionality::<Ix2>() else {
        return Err(recording.wrong_tensor("ties.points", "a matrix", "another shape"));
    };
    let clusters = recording.tensor("ties.init").map_or(0, |init| init.shape().first().copied().unwrap_or(0));
    let init = recording.input("ties.init", &[clusters.max(1), points.ncols()])?;
    let codebook = Codebook::new(matrix(init));
    let nearest = codebook.nearest(points.view(), &mut Exec::new(Backend::default()));
    let found = kmeans::iterate(points.view(), &codebook, &Backend::default().into());
    compare_ids(recording, "ties.assign.1", &found.ids)?;
    compare_ids(recording, "ties.counts.1", &found.counts)?;
    let distance = nearest.distance.iter().map(|d| d.f64());
    recording.compare("ties.distance", &[points.nrows()], distance, EXACT)?;
    let rounding = if F::NAME == "f64" { tolerance::<F>(0.0) } else { relative::<F>(0.0, 1e-6) };
    compare_centroids(recording, "ties.centroids.1", &found.next, rounding)?;
    let empty = found.counts.iter().filter(|count| **count == 0).count();
    compare_empty(recording, "ties", &serde_json::json!(empty));
    Ok(())
}

fn compare_ids<F: Real>(recording: &mut Recording<F>, key: &str, ids: &[usize]) -> Result<()> {
    recording.compare(key, &[ids.len()], ids.iter().map(|&id| id as f64), EXACT)
}

fn compare_centroids<F: Real>(
    recording: &mut Recording<F>,
    key: &str,
    codebook: &Codebook<F>,
    tolerance: Tolerance,
) -> Result<()> {
    let centroids = &codebook.centroids;
    recording.compare(key, centroids.shape(), centroids.iter().map(|x| x.f64()), tolerance)
}

/// How many centroids had no patch, where the metadata says so.
fn compare_empty<F: Real>(recording: &mut Recording<F>, run: &str, ours: &serde_json::Value) {
    let key = format!("empty_clusters.{run}");
    if let Some(theirs) = recording.find(&key).cloned() {
        recording.compare_metadata(&key, theirs == *ours, format!("centroids without patches: {ours}"));
    }
}
