//! Claim: figures about a classifier are what their definitions say: ranks, shares, cross-entropy, the confusion
//! matrix, and the vote of the nearest neighbours, each compared with a count by hand or with plain loops.

use ndarray::{Array2, array};
use std::collections::BTreeMap;
use vit_mae::base::Real;
use vit_mae::base::rng::{Purpose, below, rng, uniform};
use vit_mae::exec::Backend;
use vit_mae::tasks::Metrics;
use vit_mae::tasks::confusion::mistakes;
use vit_mae::tasks::knn::Knn;
use vit_mae::tasks::metrics::judge;

fn noise(rows: usize, columns: usize, sample: u64) -> Array2<f32> {
    let mut rng = rng(1, Purpose::Synthetic, 0, sample);
    Array2::from_shape_simple_fn((rows, columns), || f32::of(uniform(&mut rng) - 0.5))
}

/// Four images of three classes: right, wrong by one, right by a tie, wrong by a tie.
#[test]
fn metrics_are_those_counted_by_hand() {
    let logits = array![[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]];
    let judgements = judge::<f64>(logits.view(), &[0, 1, 0, 1]);
    assert_eq!(judgements.iter().map(|j| j.rank).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!(judgements.iter().map(|j| j.predicted).collect::<Vec<_>>(), [0, 2, 0, 0]);
    let e = std::f64::consts::E;
    assert!((judgements[0].confidence - e.powi(2) / (e.powi(2) + 2.0)).abs() < 1e-15);
    let losses = [(e.powi(2) + 2.0).ln() - 2.0, (1.0 + e + e.powi(3)).ln() - 1.0, (2.0 * e + 1.0).ln() - 1.0];
    let mean = (losses[0] + losses[1] + 2.0 * losses[2]) / 4.0;

    let metrics = Metrics::of(&judgements, 3);
    assert_eq!(metrics.confusion, array![[2, 0, 0], [1, 0, 1], [0, 0, 0]]);
    assert_eq!((metrics.images(), metrics.top1_share(), metrics.top5_share()), (4, 0.5, 1.0));
    assert!((metrics.cross_entropy() - mean).abs() < 1e-15);
    assert_eq!([0, 1, 2].map(|k| metrics.recall(k)), [Some(1.0), Some(0.0), None]);
    assert_eq!([0, 1, 2].map(|k| metrics.precision(k)), [Some(2.0 / 3.0), None, Some(0.0)]);
    assert_eq!(metrics.mean_recall(), 0.5);
    assert_eq!(mistakes(&metrics.confusion, 5), [(1, 0, 1), (1, 2, 1)]);
}

#[test]
fn top_5_counts_the_classes_before_the_true_one() {
    let logits = Array2::from_shape_fn((8, 8), |(_, class)| -(class as f64));
    let metrics = Metrics::of(&judge(logits.view(), &[0, 1, 2, 3, 4, 5, 6, 7]), 8);
    assert_eq!((metrics.top1, metrics.top5), (1, 5));
}

#[test]
fn what_was_not_predicted_at_all_is_never_right() {
    let logits = array![[f64::NEG_INFINITY, 0.0], [f64::NAN, 0.0], [0.0, f64::NAN]];
    let judgements = judge(logits.view(), &[0, 0, 0]);
    assert_eq!(judgements.iter().map(|j| j.rank).collect::<Vec<_>>(), [usize::MAX, usize::MAX, 1]);
    let metrics = Metrics::of(&judgements, 2);
    assert_eq!((metrics.top1, metrics.top5), (0, 1));
}

/// Large logits, which a naive softmax would overflow.
#[test]
fn cross_entropy_is_that_of_shifted_logits() {
    let small = array![[0.5, -1.0, 0.25]];
    let large = &small + 5000.0;
    let [small, large] = [small, large].map(|logits| judge(logits.view(), &[2])[0].cross_entropy);
    assert!((small - large).abs() < 1e-9, "{small} {large}");
}

/// The definition as plain loops: all cosines, sorted, `k` of them, their votes.
fn neighbours_vote(knn: Knn, bank: &Array2<f32>, labels: &[usize], query: &[f32]) -> BTreeMap<usize, f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let cosine = |row: &[f32]| dot(row, query) / (dot(row, row) * dot(query, query)).sqrt();
    let mut all: Vec<(f64, usize)> =
        bank.outer_iter().zip(labels).map(|(row, &l)| (cosine(row.as_slice().unwrap()), l)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut votes = BTreeMap::new();
    for &(cosine, label) in &all[..knn.k] {
        *votes.entry(label).or_insert(0.0) += (cosine / knn.temperature).exp();
    }
    let sum: f64 = votes.values().sum();
    for vote in votes.values_mut() {
        *vote /= sum;
    }
    votes
}

#[test]
fn neighbours_vote_as_plain_loops_have_it() {
    // More than one block of the bank, more than one task, and neither whole.
    let (bank, queries) = (noise(5000, 7, 0), noise(70, 7, 1));
    let mut draw = rng(2, Purpose::Synthetic, 0, 0);
    let labels: Vec<usize> = (0..5000).map(|_| below(&mut draw, 6)).collect();
    for knn in [Knn { k: 20, temperature: 0.07 }, Knn { k: 1, temperature: 1.0 }] {
        let scores = knn.scores(bank.view(), &labels, 6, queries.view(), Backend::default());
        for (scores, query) in scores.outer_iter().zip(queries.outer_iter()) {
            let votes = neighbours_vote(knn, &bank, &labels, query.as_slice().unwrap());
            for (class, &score) in scores.iter().enumerate() {
                let expected = votes.get(&class).copied().unwrap_or(0.0);
                assert!((score.exp() - expected).abs() < 2e-5, "{class}: {} {expected}", score.exp());
            }
        }
    }
}

#[test]
fn equally_near_neighbours_are_taken_in_the_order_of_the_bank() {
    let bank = array![[0.0, 1.0], [2.0, 0.0], [1.0, 0.0], [3.0, 0.0]];
    let query = array![[5.0, 0.0]];
    let scores = |k| {
        let knn = Knn { k, temperature: 1e-9 };
        knn.scores::<f64>(bank.view(), &[0, 1, 2, 3], 4, query.view(), Backend::default())
    };
    let exp = |k| scores(k).mapv(f64::exp).row(0).to_vec();
    assert_eq!(exp(1), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(exp(2), [0.0, 0.5, 0.5, 0.0]);
    // The fourth has a cosine of 0: e^(−1e9) of a vote.
    assert!((exp(4)[3] - 1.0 / 3.0).abs() < 1e-15 && exp(4)[0] == 0.0);
}

#[test]
fn a_vote_has_the_same_bits_alone_and_among_others_and_on_any_number_of_threads() {
    let (bank, queries) = (noise(300, 9, 2), noise(130, 9, 3));
    let labels: Vec<usize> = (0..300).map(|i| i % 5).collect();
    let knn = Knn { k: 11, temperature: 0.07 };
    let votes = |queries: ndarray::ArrayView2<f32>, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| knn.scores(bank.view(), &labels, 5, queries, Backend::default()))
    };
    let all = votes(queries.view(), 1);
    assert_eq!(all, votes(queries.view(), 3));
    for i in [0, 63, 64, 129] {
        let alone = votes(queries.slice(ndarray::s![i..=i, ..]), 2);
        assert_eq!(alone.row(0), all.row(i), "query {i}");
    }
}
