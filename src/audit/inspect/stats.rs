//! The values of a tensor in seven numbers.

use serde::Serialize;

/// Statistics of the finite values, and how many are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Values.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with divisor n.
    pub std: f64,
    /// Least value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Share of values that are exactly 0.
    pub zeros: f64,
    /// Values that are NaN or infinite; the others' statistics leave them out.
    pub not_finite: usize,
}

impl Stats {
    /// Of these values.
    #[must_use]
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x));
        let n = finite().count();
        if n == 0 {
            return Self { count: values.len(), not_finite: values.len(), ..Self::default() };
        }
        let mean = finite().sum::<f64>() / n as f64;
        let variance = finite().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        Self {
            count: values.len(),
            mean,
            std: variance.sqrt(),
            min: finite().fold(f64::INFINITY, f64::min),
            max: finite().fold(f64::NEG_INFINITY, f64::max),
            zeros: values.iter().filter(|x| **x == 0.0).count() as f64 / values.len() as f64,
            not_finite: values.len() - n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_a_calculation_by_hand() {
        let stats = Stats::of(&[0.0, 2.0, 4.0, f32::NAN, 6.0, f32::INFINITY]);
        assert_eq!((stats.count, stats.not_finite), (6, 2));
        assert_eq!((stats.mean, stats.std), (3.0, 5.0f64.sqrt()));
        assert_eq!((stats.min, stats.max, stats.zeros), (0.0, 6.0, 1.0 / 6.0));
        assert_eq!(Stats::of(&[f32::NAN]).not_finite, 1);
        assert_eq!(Stats::of(&[]), Stats::default());
    }
}
