//! Block-wise masking: the statistics of `blockmask_v`, of 200,000 masks by microsoft/unilm's own code.

use serde_json::Value;
use vit_mae::models::beit::block_mask::{Block, BlockMask, BlockMasking};

/// Masks that are drawn here; a mean may be off by five standard errors.
const MASKS: usize = 20_000;
const STANDARD_ERRORS: f64 = 5.0;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/blockmask_v.json");
    let mut all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(all["cases"].take()).unwrap()
}

fn masking(case: &Value) -> BlockMasking {
    let whole = |value: &Value| value.as_u64().unwrap() as usize;
    BlockMasking {
        grid: (whole(&case["grid"][0]), whole(&case["grid"][1])),
        target: whole(&case["target"]),
        min_area: whole(&case["min_area"]),
        max_area: case["max_area"].as_u64().map(|area| area as usize),
        aspect: [0, 1].map(|i| case["aspect"][i].as_f64().unwrap()),
        tries: whole(&case["tries"]),
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> (f64, f64) {
    let n = values.len() as f64;
    (values.sum::<f64>() / n, n)
}

#[test]
fn block_masks_have_the_statistics_of_the_original() {
    for case in cases() {
        let masking = masking(&case);
        let expected = &case["expected"];
        let masks: Vec<BlockMask> = (0..MASKS as u64).map(|sample| masking.mask(11, 0, sample)).collect();
        let blocks: Vec<Block> = masks.iter().flat_map(|mask| mask.blocks.clone()).collect();
        let counts: Vec<usize> =
            masks.iter().map(|mask| mask.masked.iter().filter(|masked| **masked).count()).collect();

        let within = |name: &str, (found, n): (f64, f64), recorded: f64, sd: f64| {
            let error = (found - recorded) / (sd / n.sqrt());
            assert!(
                error.abs() < STANDARD_ERRORS,
                "{} {name}: {found}, {recorded} expected: {error:.1} standard errors",
                case["grid"]
            );
        };
        let of_blocks = |name: &str, of: &dyn Fn(&Block) -> f64| {
            let sd = expected[name]["sd"].as_f64().unwrap();
            within(name, mean(blocks.iter().map(of)), expected[name]["mean"].as_f64().unwrap(), sd);
        };
        of_blocks("block_area", &|b| (b.height * b.width) as f64);
        of_blocks("block_new", &|b| b.new as f64);
        of_blocks("block_height", &|b| b.height as f64);
        of_blocks("block_width", &|b| b.width as f64);
        let log_aspect = |b: &Block| (b.height as f64 / b.width as f64).ln();
        of_blocks("block_log_aspect", &log_aspect);
        of_blocks("block_abs_log_aspect", &|b| log_aspect(b).abs());
        of_blocks("attempts_per_block", &|b| b.attempts as f64);
        let of_masks = |name: &str, values: &mut dyn ExactSizeIterator<Item = f64>| {
            let sd = expected[name]["sd"].as_f64().unwrap();
            within(name, mean(values), expected[name]["mean"].as_f64().unwrap(), sd);
        };
        of_masks("count", &mut counts.iter().map(|&count| count as f64));
        of_masks("blocks_per_mask", &mut masks.iter().map(|mask| mask.blocks.len() as f64));
        let binary = |name: &str, hits: usize, p: f64| {
            within(name, (hits as f64 / MASKS as f64, MASKS as f64), p, (p * (1.0 - p)).sqrt());
        };
        let full = counts.iter().filter(|&&count| count == masking.target).count();
        binary("share_at_target", full, expected["share_at_target"].as_f64().unwrap());
        let shares = flat(&expected["cell_share"]);
        assert_eq!(shares.len(), masking.grid.0 * masking.grid.1);
        for (cell, share) in shares.into_iter().enumerate() {
            let masked = masks.iter().filter(|mask| mask.masked[cell]).count();
            binary(&format!("cell {cell}"), masked, share);
        }
        assert!(counts.iter().all(|&count| count <= masking.target), "never above the target");
    }
}

fn flat(value: &Value) -> Vec<f64> {
    value.as_array().map_or_else(|| vec![value.as_f64().unwrap()], |all| all.iter().flat_map(flat).collect())
}

/// The test of the test: other masks do not have these statistics.
#[test]
fn a_least_area_of_one_more_would_be_seen() {
    let case = &cases()[0];
    let recorded = &case["expected"]["block_area"];
    let other = BlockMasking { min_area: masking(case).min_area + 1, ..masking(case) };
    let blocks: Vec<Block> = (0..MASKS as u64).flat_map(|sample| other.mask(11, 0, sample).blocks).collect();
    let (found, n) = mean(blocks.iter().map(|b| (b.height * b.width) as f64));
    let error = (found - recorded["mean"].as_f64().unwrap()) / (recorded["sd"].as_f64().unwrap() / n.sqrt());
    assert!(error > 3.0 * STANDARD_ERRORS, "{error}");
}
