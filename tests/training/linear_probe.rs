//! Claim: a linear probe is trained as `train::probe` says: it learns what is linear, its choice of a learning rate is the
//! best of those tried, its initial weights follow the reference's distribution, and SGD is the formula in `optim::sgd`.

use ndarray::{Array2, Axis};
use vit_mae::base::Real;
use vit_mae::base::rng::{Purpose, below, rng, uniform};
use vit_mae::exec::Backend;
use vit_mae::layers::Linear;
use vit_mae::optim::{Sgd, groups};
use vit_mae::tasks::probe::head::{Labelled, Optimizer, ProbeConfig, SWEEP, evaluate, sweep};

const CONFIG: ProbeConfig = ProbeConfig {
    optimizer: Optimizer::Sgd,
    epochs: 30,
    warmup_epochs: 3.0,
    batch_size: 50,
    blr: 0.5,
    seed: 0,
};

/// `K` = 4 classes in clouds around random centres, on axes of very different scale and offset, which batch norm undoes.
fn clouds(images: usize, sample: u64) -> Labelled {
    let centres = numbers(4, 6, 99);
    let mut draw = rng(3, Purpose::Synthetic, 1, sample);
    let labels: Vec<usize> = (0..images).map(|_| below(&mut draw, 4)).collect();
    let mut features = numbers(images, 6, sample) * 0.5 + centres.select(Axis(0), &labels);
    for (j, mut column) in features.columns_mut().into_iter().enumerate() {
        let scale = [1e-3, 1.0, 1e3][j % 3];
        column.mapv_inplace(|x| scale * (x + 5.0));
    }
    Labelled { features, labels }
}

fn numbers(rows: usize, columns: usize, sample: u64) -> Array2<f32> {
    let mut rng = rng(3, Purpose::Synthetic, 0, sample);
    Array2::from_shape_simple_fn((rows, columns), || f32::of(2.0 * uniform(&mut rng) - 1.0))
}

#[test]
fn clouds_are_told_apart_with_either_update_rule_whatever_the_scale_of_the_features() {
    let (train, test) = (clouds(400, 0), clouds(200, 1));
    for (optimizer, blr) in [(Optimizer::Sgd, 0.5), (Optimizer::Lars, 50.0)] {
        let config = ProbeConfig { optimizer, blr, ..CONFIG };
        let probe = config.train(&train, 4, Backend::default()).unwrap();
        let metrics = evaluate(&probe, &test, Backend::default());
        assert!(metrics.top1_share() > 0.9, "{optimizer:?}: {}", metrics.top1_share());
    }
}

/// Labels that have nothing to do with the features: no better than chance on other images.
#[test]
fn nothing_is_learnt_where_there_is_nothing_to_learn() {
    let [mut train, mut test] = [clouds(400, 0), clouds(400, 1)];
    let mut draw = rng(4, Purpose::Synthetic, 0, 0);
    for data in [&mut train, &mut test] {
        data.labels.iter_mut().for_each(|label| *label = below(&mut draw, 4));
    }
    let probe = CONFIG.train(&train, 4, Backend::default()).unwrap();
    let right = evaluate(&probe, &test, Backend::default()).top1_share();
    // 400 draws at 1/4 have a standard deviation of 0.022.
    assert!((right - 0.25).abs() < 0.09, "{right}");
}

#[test]
fn the_sweep_takes_the_rate_that_is_most_often_right_and_reports_all() {
    let (train, validation) = (clouds(300, 0), clouds(100, 1));
    let (chosen, tried) = sweep(&CONFIG, &train, &validation, 4, Backend::default()).unwrap();
    assert_eq!(tried.len(), SWEEP.len());
    let mut reached_all = Vec::new();
    for trial in &tried {
        let config = ProbeConfig { blr: trial.blr, ..CONFIG };
        let probe = config.train(&train, 4, Backend::default()).unwrap();
        let metrics = evaluate(&probe, &validation, Backend::default());
        let reached = trial.reached.unwrap();
        assert_eq!((reached.top1, reached.cross_entropy), (metrics.top1_share(), metrics.cross_entropy()));
        reached_all.push((reached.top1, -reached.cross_entropy));
    }
    let chosen_at = tried.iter().position(|trial| trial.blr == chosen.blr).unwrap();
    let best = reached_all[chosen_at];
    // Pairs compare by accuracy first, then by cross-entropy.
    assert!(reached_all.iter().all(|&other| other <= best), "{reached_all:?}, chosen {chosen_at}");
    assert_eq!(ProbeConfig { blr: CONFIG.blr, ..chosen }, CONFIG);
}

/// With a learning rate of next to nothing the weights stay what they were: normal with a standard deviation of 0.01, biases 0.
#[test]
fn a_probe_starts_from_the_references_distribution() {
    let config = ProbeConfig { blr: 1e-30, epochs: 1, warmup_epochs: 0.0, ..CONFIG };
    let wide = Labelled { features: numbers(100, 500, 7), labels: (0..100).map(|i| i % 10).collect() };
    let probe = config.train(&wide, 10, Backend::default()).unwrap();
    let weights: Vec<f64> = probe.head.weight.iter().map(|w| w.f64()).collect();
    let n = weights.len() as f64;
    let mean = weights.iter().sum::<f64>() / n;
    let std = (weights.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n).sqrt();
    // Of 5000 draws the mean has a standard deviation of 1.4e-4, the standard deviation one of 1e-4.
    assert!(mean.abs() < 7e-4 && (std - 0.01).abs() < 5e-4, "{mean} {std}");
    assert!(probe.head.bias.iter().all(|b| b.abs() < 1e-20));
    assert_eq!(probe.norm.num_batches_tracked[()], 2.0);
}

/// Two steps by hand: β = 0.5, η = 0.1, λ = 0.2, w = 1, g = 3. μ₁ = 3 + 0.2 = 3.2, w₁ = 1 − 0.32 = 0.68;
/// μ₂ = 1.6 + 3 + 0.136 = 4.736, w₂ = 0.68 − 0.4736 = 0.2064. The bias does not decay: μ₂ = 1.5 + 3.
#[test]
fn two_steps_of_sgd_are_those_by_hand() {
    let mut model = Linear::<f64>::new(1, 1);
    model.weight.fill(1.0);
    let mut grad = model.clone();
    grad.weight.fill(3.0);
    grad.bias.fill(3.0);
    let groups = groups::pretraining(&model, 0.2);
    let mut sgd = Sgd::new(&model, 0.5);
    for expected in [[0.68, -0.3], [0.2064, -0.75]] {
        sgd.step(&mut model, &grad, &groups, 0.1);
        assert!((model.weight[[0, 0]] - expected[0]).abs() < 1e-15, "{}", *model.weight);
        assert!((model.bias[0] - expected[1]).abs() < 1e-15, "{}", model.bias);
    }
}
