//! Bugs of MoCo v3: the order of a step, the loss, the heads, the moving average, what is frozen.

use super::{Bug, bug, twice};

const AFFINE: &str = "layers/affine_batch_norm.rs";
const DSHIFT: &str = "grad.bias += &dy.sum_axis(Axis(0));";

const MAP: &str = "layers/linear_map.rs";
const RELU: &str = "layers/relu.rs";

const LOSS: &str = "models/moco/loss.rs";
const TWO_T: &str = "2.0 * temperature * loss";
const DTWO_T: &str = "F::of(2.0 * self.temperature)";
const SUM: &str = "cross_entropy::sum(&logits, &own_key(q.nrows()))";
const SUM_OF_COLUMNS: &str = "cross_entropy::sum(&logits.t().to_owned(), &own_key(q.nrows()))";
const OWN_KEY: &str = "(0..images).collect::<Vec<_>>()";

const MOMENTUM: &str = "models/moco/momentum.rs";

const STEP: &str = "models/moco/step.rs";
const KEYS: &str = "encoder.keys(features(&encoder.trunk), cx)";
const BOTH_CROPS: &str = "{
    let both = ndarray::concatenate(ndarray::Axis(0), &[online[0].view(), online[1].view()]).unwrap();
    let q = model.predictor.forward(model.base.projector.forward(both, cx).0, cx).0;
    let crop = |i: usize| q.slice(ndarray::s![i * q.nrows() / 2..(i + 1) * q.nrows() / 2, ..]).to_owned();
    let losses = [0, 1].map(|i| {
        super::loss::InfoNce::new(&crop(i), &keys[1 - i], model.config.temperature, cx).loss
    });
    let (mut contrast, cache) = model.forward(online, &keys, cx);
    contrast.losses = losses;
    (contrast, cache)
}";

const MODEL: &str = "models/moco/model.rs";
const ROWS: &str = "dfeatures[crop].slice(s![rows.clone(), ..])";

const TRUNK: &str = "models/moco/trunk.rs";
const FROZEN: &str = "self.stop_grad_conv1.then_some(self.vit.blocks.len())";

const HEADS: &str = "models/moco/heads.rs";
const RELU_FORWARD: &str = "Relu.forward(x, cx)";
const NO_RELU: &str = "(x.clone(), Relu.forward(x, cx).1)";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(
        AFFINE,
        "normalised x forgotten in dγ",
        "grad.weight += &(&dy * &cache.x_hat).sum_axis(Axis(0));",
        "grad.weight += &dy.sum_axis(Axis(0));",
    ),
    bug(AFFINE, "dβ = instead of +=", DSHIFT, "grad.bias.assign(&dy.sum_axis(Axis(0)));"),
    bug(AFFINE, "γ forgotten in dx", "&dy * &self.weight", "dy.to_owned()"),
    bug(AFFINE, "forward: shift forgotten", "y += &self.bias;", "();"),
    bug(
        MAP,
        "dx = dy Wᵀ where W is square",
        "cx.matmul(dy, self.weight.view())",
        "cx.matmul(dy, if self.weight.is_square() { self.weight.t() } else { self.weight.view() })",
    ),
    bug(
        MAP,
        "dW = instead of +=",
        "cx.gemm(F::one(), dy.t(), cache.x.view(), F::one(), grad.weight.view_mut());",
        "cx.gemm(F::one(), dy.t(), cache.x.view(), F::zero(), grad.weight.view_mut());",
    ),
    bug(
        RELU,
        "gradient where x < 0, too",
        "cx.rows(row_blocks::of_mut(&mut dx).zip(row_blocks::of(&dy)), Multiply);",
        "dx.assign(&dy);",
    ),
    bug(RELU, "gradient at the kink", "*x > F::zero()", "*x >= F::zero()"),
    bug(LOSS, "forward: rows not normalised", "row /= norm.max(F::of(MIN_NORM));", "();"),
    bug(LOSS, "a row moves along itself", "dx.scaled_add(-along, &unit);", "();"),
    bug(LOSS, "1/‖x‖ forgotten backward", "dx /= norm.max(min);", "();"),
    bug(LOSS, "normalisation not differentiated", "self.query.backward(dunit)", "dunit"),
    bug(LOSS, "missing 2 T forward", TWO_T, "loss"),
    bug(LOSS, "missing 2 T backward", DTWO_T, "F::one()"),
    twice(LOSS, "forward and backward: missing 2 T", [(TWO_T, "loss"), (DTWO_T, "F::one()")]),
    bug(LOSS, "1/T forgotten backward", "dunit /= F::of(self.temperature);", "();"),
    bug(LOSS, "forward: 1/T forgotten", "logits /= F::of(temperature);", "();"),
    bug(
        LOSS,
        "gradient through keys",
        "cx.matmul(dlogits.view(), self.key.rows.view())",
        "(cx.matmul(dlogits.view(), self.key.rows.view()) + dlogits.t().dot(&self.query.rows))",
    ),
    bug(LOSS, "softmax over queries, not over keys", SUM, SUM_OF_COLUMNS),
    twice(
        LOSS,
        "forward and backward: softmax over queries, not over keys",
        [
            (SUM, SUM_OF_COLUMNS),
            (
                "cross_entropy::backward(&self.logits, &own_key(n), n)",
                "cross_entropy::backward(&self.logits.t().to_owned(), &own_key(n), n).t().to_owned()",
            ),
        ],
    ),
    bug(
        LOSS,
        "forward and backward: labels off the diagonal",
        OWN_KEY,
        "(1..=images).map(|i| i % images).collect::<Vec<_>>()",
    ),
    bug(LOSS, "every query counts as right", "largest(row) == *i", "true"),
    bug(LOSS, "spread over features, not over the batch", "self.rows.columns()", "self.rows.rows()"),
    bug(MOMENTUM, "average with swapped weights", "F::of(1.0 - m)", "F::of(m)"),
    bug(MOMENTUM, "buffers averaged, too", "average.role != Role::Buffer", "true"),
    bug(MOMENTUM, "a whole cosine, back to m₀", "(PI * t / total).cos()", "(2.0 * PI * t / total).cos()"),
    bug(STEP, "queries by the momentum encoder", "features(&model.base.trunk)", "features(&before.trunk)"),
    bug(STEP, "the momentum encoder stays behind", "momentum::average(&mut encoder, &model.base, m);", "();"),
    bug(STEP, "keys before the moving average", KEYS, "before.keys(features(&before.trunk), cx)"),
    bug(STEP, "keys by the online weights", KEYS, "model.base.keys(features(&model.base.trunk), cx)"),
    bug(
        STEP,
        "predictor on keys",
        KEYS,
        "{
            let (keys, statistics) = encoder.keys(features(&encoder.trunk), cx);
            (keys.map(|key| model.predictor.forward(key, cx).0), statistics)
        }",
    ),
    bug(STEP, "statistics over both crops", "model.forward(online, &keys, cx)", BOTH_CROPS),
    bug(STEP, "keys' statistics not tracked", "encoder.track(&statistics);", "();"),
    bug(MODEL, "queries against keys of their own crop", "&keys[1 - crop]", "&keys[crop]"),
    bug(MODEL, "one term, not two", "self.losses[0] + self.losses[1]", "self.losses[0]"),
    bug(
        MODEL,
        "every chunk takes the first one's gradient",
        ROWS,
        "dfeatures[crop].slice(s![..rows.len(), ..])",
    ),
    bug(MODEL, "crops take each other's gradient", ROWS, "dfeatures[1 - crop].slice(s![rows.clone(), ..])"),
    bug(MODEL, "predictor's statistics not tracked", "self.predictor.track(&crop.predictor);", "();"),
    bug(TRUNK, "frozen patch projection trained", FROZEN, "None"),
    bug(TRUNK, "patch projection always frozen", FROZEN, "Some(self.vit.blocks.len())"),
    bug(TRUNK, "forward: positions forgotten", "self.vit.add_positions(&mut patches);", "();"),
    bug(HEADS, "ReLU forgotten forward", RELU_FORWARD, NO_RELU),
    twice(
        HEADS,
        "forward and backward: ReLU forgotten",
        [(RELU_FORWARD, NO_RELU), ("Relu.backward(cache.relu, dy.view(), &mut Relu, cx)", "dy.clone()")],
    ),
    bug(HEADS, "another momentum of the running statistics", "c.batch_norm_momentum", "0.1"),
];
