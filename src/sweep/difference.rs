//! The difference between two values of an ablation, with the interval that its seeds support.

use super::resample::Resampled;
use super::table::{Column, Row, Spread};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The mean of differences of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Pairs.
    pub pairs: usize,
    /// `d̄ = Σ dᵢ / n`.
    pub mean: f64,
    /// The 95 % interval of the mean is `d̄ ± t(0.975, ν) · √(s² / n + v)`; none of a single pair. `s²` is the variance of the pairs, `v`
    /// that of the mean over samples of the test pictures, and `ν` Welch and Satterthwaite's number of degrees of freedom; without
    /// such samples `v = 0` and `ν = n − 1`.
    pub half_width: Option<f64>,
    /// Whether it is one over test pictures, too.
    pub over_pictures: bool,
}

impl Difference {
    /// `first − other` in a column, pair by pair of the same seed and sample by sample of the test pictures; none without a pair. The rows
    /// have one task and one fraction of the labels.
    #[must_use]
    pub fn between(rows: &[Row], first: &str, other: &str, column: &Column) -> Option<Self> {
        let of = |value: &str, seed: u64| {
            let row = rows.iter().find(|row| row.value == value && row.seed == seed)?;
            Some((row, (column.of)(row)?))
        };
        let seeds = rows.iter().filter(|row| row.value == first).map(|row| row.seed);
        let pairs: Vec<_> = seeds.filter_map(|seed| Some([of(first, seed)?, of(other, seed)?])).collect();
        let differences: Vec<f64> = pairs.iter().map(|[(_, first), (_, other)]| first - other).collect();
        let Spread { mean, std } = Spread::of(&differences)?;
        let (n, rows) = (pairs.len() as f64, pairs.iter().map(|pair| pair.map(|(row, _)| row)));
        let pictures = of_pictures(&rows.collect::<Vec<_>>(), column);
        let half_width = std.map(|std| {
            let seeds = std * std / n;
            let (pictures, freedom) = pictures.map_or((0.0, n - 1.0), |(variance, groups)| {
                let terms = seeds * seeds / (n - 1.0) + variance * variance / (groups as f64 - 1.0);
                (variance, (seeds + variance).powi(2) / terms)
            });
            let deviation = (seeds + pictures).sqrt();
            if deviation == 0.0 { 0.0 } else { student(freedom) * deviation }
        });
        Some(Self { pairs: pairs.len(), mean, half_width, over_pictures: pictures.is_some() })
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

/// The variance of the mean difference of pairs over samples of the test pictures, and in how many groups these are; none where not all
/// runs were judged on samples of the same pictures.
fn of_pictures<'a>(pairs: &[[&'a Row; 2]], column: &Column) -> Option<(f64, usize)> {
    let of = |row: &&'a Row| row.resampled.iter().find(|resampled| resampled.column == column.name);
    let runs: Vec<&Resampled> = pairs.iter().flatten().map(of).collect::<Option<_>>()?;
    let kind = |run: &Resampled| (run.pictures, run.groups, run.scores.len());
    let (_, groups, samples) = kind(runs[0]);
    if groups < 2 || runs.iter().any(|run| kind(run) != kind(runs[0])) {
        return None;
    }
    let mean = |sample: usize| {
        let difference = |pair: &[&Resampled]| pair[0].scores[sample] - pair[1].scores[sample];
        runs.chunks(2).map(difference).sum::<f64>() / pairs.len() as f64
    };
    let means: Vec<f64> = (0..samples).map(mean).filter(|mean| mean.is_finite()).collect();
    // Samples of G groups vary by (G − 1)/G of what a set of other groups would.
    let unbiased = groups as f64 / (groups as f64 - 1.0);
    Spread::of(&means)?.std.map(|std| (std * std * unbiased, groups))
}

/// `t(0.975, ν)`: what 97.5 % of Student's distribution with `ν` degrees of freedom, whole or not, lie below.
fn student(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| student.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::super::table::COLUMNS;
    use super::*;

    fn row(value: &str, seed: u64, finetune: f64) -> Row {
        Row { finetune: Some(finetune), ..Row::of(value, "classify", 1.0, seed) }
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
        // s = 1 point, ν = 2.
        assert!((found.half_width.unwrap() - 0.01 * student(2.0) / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(found.points(), "+2.00 [-0.48, +4.48]");
        assert_eq!(Difference::between(&rows[..2], "a", "b", &COLUMNS[0]).unwrap().points(), "+1.00");
        assert_eq!(Difference::between(&rows, "a", "c", &COLUMNS[0]), None);
    }

    #[test]
    fn the_quantile_of_students_distribution_is_that_of_tables_and_of_scipy() {
        for (freedom, t) in [
            (1.0, 12.706_204_736),
            (1.51, 5.961_175_162),
            (2.0, 4.302_652_730),
            (2.64, 3.442_611_057),
            (3.229_299_363_057_325, 3.058_350_792),
            (5.0, 2.570_581_836),
            (30.0, 2.042_272_456),
            (894.6, 1.962_619_282),
        ] {
            assert!((student(freedom) - t).abs() < 1e-8 * t, "{freedom}: {}", student(freedom));
        }
        // With as many as that the library is less exact.
        assert!((student(1e6) - 1.959_966_357).abs() < 1e-4 * 1.959_966_357);
    }

    /// Two runs of each value, on four pictures of which both values are right on other ones.
    #[test]
    fn pictures_widen_an_interval_by_what_the_difference_hangs_on_them() {
        let resampled = |scores: [f64; 3]| Resampled {
            column: "fine-tuning".to_owned(),
            pictures: 4,
            groups: 4,
            scores: scores.into(),
        };
        let row = |value, seed, finetune, scores| Row {
            resampled: vec![resampled(scores)],
            ..row(value, seed, finetune)
        };
        let mut rows = vec![
            row("a", 0, 0.52, [0.5, 0.6, 0.7]),
            row("b", 0, 0.50, [0.5, 0.5, 0.5]),
            row("a", 1, 0.54, [0.7, 0.6, 0.5]),
            row("b", 1, 0.50, [0.3, 0.4, 0.5]),
        ];
        let found = |rows: &[Row]| Difference::between(rows, "a", "b", &COLUMNS[0]).unwrap();
        // Means of the samples: (0.0 + 0.4) / 2, (0.1 + 0.2) / 2, (0.2 + 0.0) / 2; their variance is 0.0025, which is 3/4 of that of four
        // other pictures. That of the pairs, 2 and 4 points, is 0.0002, half of it of their mean.
        let pictures = 0.0025 * 4.0 / 3.0;
        let wide = found(&rows);
        assert!(wide.over_pictures && (wide.mean - 0.03).abs() < 1e-12);
        let variance: f64 = 0.0001 + pictures;
        let freedom = variance * variance / (0.0001 * 0.0001 + pictures * pictures / 3.0);
        assert!((wide.half_width.unwrap() - student(freedom) * variance.sqrt()).abs() < 1e-12);
        // Without samples of all runs, or of other pictures, seeds are all there is.
        rows[1].resampled[0].groups = 3;
        let narrow = found(&rows);
        assert!(!narrow.over_pictures && (narrow.half_width.unwrap() - student(1.0) * 0.01).abs() < 1e-12);
        rows[1].resampled.clear();
        assert_eq!(found(&rows), narrow);
    }
}
