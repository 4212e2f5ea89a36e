//! The difference between two values of an ablation, with the interval that its seeds support.

use super::table::{Column, Row, Spread};

/// The `t` that 97.5 % of Student's distribution lie below, with 1, 2, … degrees of freedom. More are taken as the last, whose interval is
/// a little too wide for them.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The mean of differences of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Pairs.
    pub pairs: usize,
    /// `d̄ = Σ dᵢ / n`.
    pub mean: f64,
    /// The 95 % interval of the mean is `d̄ ± t(0.975, n − 1) · s / √n`; none of a single pair.
    pub half_width: Option<f64>,
}

impl Difference {
    /// `first − other` in a column, pair by pair of the same seed; none without a pair. The rows have one fraction of the labels.
    #[must_use]
    pub fn between(rows: &[Row], first: &str, other: &str, column: &Column) -> Option<Self> {
        let of = |value: &str, seed: u64| {
            (column.of)(rows.iter().find(|row| row.value == value && row.seed == seed)?)
        };
        let seeds = rows.iter().filter(|row| row.value == first).map(|row| row.seed);
        let differences: Vec<f64> =
            seeds.filter_map(|seed| Some(of(first, seed)? - of(other, seed)?)).collect();
        let (pairs, Spread { mean, std }) = (differences.len(), Spread::of(&differences)?);
        let half_width = std.map(|std| T[(pairs - 2).min(T.len() - 1)] * std / (pairs as f64).sqrt());
        Some(Self { pairs, mean, half_width })
    }

    /// In points of per cent: `+1.23 [-0.40, +2.86]`.
    #[must_use]
    pub fn points(&self) -> String {
        let interval = self.half_width.map_or(String::new(), |half| {
            format!(" [{:+.2}, {:+.2}]", 100.0 * (self.mean - half), 100.0 * (self.mean + half))
        });
        format!("{:+.2}{interval}", 100.0 * self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::COLUMNS;
    use super::*;

    fn row(value: &str, seed: u64, finetune: f64) -> Row {
        Row { finetune: Some(finetune), ..Row::of(value, 1.0, seed) }
    }

    #[test]
    fn an_interval_is_that_of_the_pairs_and_not_of_the_groups() {
        // Groups overlap by far, pairs differ by 1, 2, 3 points; one seed has no partner.
        let [a, b, c] = [(0, 0.31, 0.30), (1, 0.52, 0.50), (2, 0.73, 0.70)]
            .map(|(seed, first, other)| [row("a", seed, first), row("b", seed, other)]);
        let rows = [&a[..], &b, &c, &[row("a", 3, 0.99)]].concat();
        let found = Difference::between(&rows, "a", "b", &COLUMNS[0]).unwrap();
        assert_eq!(found.pairs, 3);
        assert!((found.mean - 0.02).abs() < 1e-12);
        // s = 1 point, t(0.975, 2) = 4.303.
        assert!((found.half_width.unwrap() - 0.01 * 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(found.points(), "+2.00 [-0.48, +4.48]");
        assert_eq!(Difference::between(&rows[..2], "a", "b", &COLUMNS[0]).unwrap().points(), "+1.00");
        assert_eq!(Difference::between(&rows, "a", "c", &COLUMNS[0]), None);
    }
}
