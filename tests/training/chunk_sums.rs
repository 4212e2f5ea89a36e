//! What the tests share that compare a batch's gradient with the sum of its chunks'.

/// Adds a chunk's gradient, tensor by tensor.
pub(crate) fn add(summed: &mut [Vec<f64>], part: &[Vec<f64>]) {
    for (sum, part) in summed.iter_mut().flatten().zip(part.iter().flatten()) {
        *sum += part;
    }
}

/// Each tensor of the sum is the whole's but for rounding.
pub(crate) fn assert_same(whole: &[Vec<f64>], summed: &[Vec<f64>]) {
    let largest = |numbers: &[f64]| numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let of_all = whole.iter().map(|tensor| largest(tensor)).fold(0.0, f64::max);
    for (whole, summed) in whole.iter().zip(summed) {
        let off: Vec<f64> = whole.iter().zip(summed).map(|(a, b)| a - b).collect();
        assert!(
            largest(&off) <= 1e-12 * largest(whole).max(1e-3 * of_all),
            "{} of {}",
            largest(&off),
            largest(whole)
        );
    }
}
