//! The part of `vit-mae bench` that speaks of GPUs: which products would gain there, and what copies cost.

use super::outln;
use vit_mae::bench::Offloaded;
use vit_mae::bench::offload::Forecast;
use vit_mae::{Error, Result};

const FLAG: &str = "--assume-gpu";

/// Three figures of a GPU that is not there: GFLOP/s, GB/s, seconds from call to result.
pub(crate) fn assumed(figures: &[f64]) -> Result<Option<[f64; 3]>> {
    let expected = "three numbers above 0: GFLOP/s, GB/s, microseconds, for example 15000,12,50";
    match *figures {
        [] => Ok(None),
        [gflops, gbps, micros] if figures.iter().all(|x| *x > 0.0 && x.is_finite()) => {
            Ok(Some([gflops, gbps, micros / 1e6]))
        }
        _ => Err(Error::setting(FLAG, expected, format!("{figures:?}"))),
    }
}

/// What was measured and counted on a GPU.
pub(crate) fn print(offloaded: &Offloaded) {
    let traffic = &offloaded.traffic;
    let mib = |bytes: u64| bytes as f64 / (1u64 << 20) as f64;
    outln!(
        "\na step sends {:.1} MiB of weights and {:.1} MiB of other operands to the GPU and takes {:.1} MiB back, for {} \
         products there",
        mib(traffic.weight_bytes),
        mib(traffic.up_bytes),
        mib(traffic.down_bytes),
        traffic.products,
    );
    print_forecast(&offloaded.forecast);
}

/// What a GPU would make of a step's products.
pub(crate) fn print_forecast(forecast: &Forecast) {
    let figures = &forecast.figures;
    outln!(
        "\nGPU, {}: {:.0} GFLOP/s, {:.1} GB/s each way, {:.0} µs from call to result; this CPU: {:.0} GFLOP/s\n",
        forecast.origin,
        figures.device_gflops,
        figures.gbps,
        1e6 * figures.latency_secs,
        figures.cpu_gflops,
    );
    outln!(
        "{:>20} {:>6} {:>5} {:>6} {:>9} {:>10} {:>10} {:>9}",
        "m × k × n",
        "weight",
        "batch",
        "times",
        "copy, µs",
        "multiply",
        "GPU, µs",
        "CPU, µs"
    );
    for row in &forecast.products {
        let ([m, k, n], p) = (row.work.shape, row.prediction);
        outln!(
            "{:>20} {:>6} {:>5} {:>6} {:>9.0} {:>10.0} {:>10.0} {:>9.0}  {}",
            format!("{m} × {k} × {n}"),
            if row.work.weight { "yes" } else { "" },
            row.work.batch,
            row.work.times,
            1e6 * p.transfer_secs,
            1e6 * p.compute_secs,
            1e6 * p.device_secs,
            1e6 * p.cpu_secs,
            if row.offloaded { "GPU" } else { "CPU" },
        );
    }
    outln!(
        "\nall products of a step on the CPU                {:>9.3} s\nfrom {:>5.1} million multiplications on the GPU      \
         {:>9.3} s predicted, {:.0} % of it waiting for copies",
        forecast.cpu_secs,
        forecast.offload_from as f64 / 1e6,
        forecast.mixed_secs,
        100.0 * forecast.waiting_share,
    );
    let gaining = forecast.gains_from.map_or("no product of this step gains there".to_owned(), |from| {
        format!("the smallest product that gains there has {from} multiplications (run.offload_from)")
    });
    outln!("{gaining}");
}
