//! The part of `vit-mae bench` that speaks of several ranks: what they bring here, and what they would bring over a network.

use super::outln;
use vit_mae::bench::network::{Forecast, Network};
use vit_mae::bench::together::Together;
use vit_mae::{Error, Result};

/// The figures of a network that is not there: GB/s, seconds a message.
pub(crate) fn assumed(figures: &[f64]) -> Result<Option<Network>> {
    let expected = "two numbers above 0: GB/s and microseconds, for example 1.1,30 for 10-gigabit Ethernet";
    match *figures {
        [] => Ok(None),
        [gbps, micros] if figures.iter().all(|x| *x > 0.0 && x.is_finite()) => {
            Ok(Some(Network { gbps, latency_secs: micros / 1e6 }))
        }
        _ => Err(Error::setting("--assume-network", expected, format!("{figures:?}"))),
    }
}

/// What was measured on several ranks.
pub(crate) fn print(m: &Together) {
    let (method, preset, ranks, here, threads) = (m.method, &m.preset, m.ranks, m.neighbours, m.threads);
    outln!(
        "{method}, {preset}: batch {} in {} chunks, {ranks} ranks, {here} of them on this machine, {threads} threads each",
        m.batch_size,
        m.chunks
    );
    for (name, rate) in [("images/s, rank 0 alone", m.alone_images_per_s), ("images/s, all", m.images_per_s)]
    {
        outln!("{name:<28}{:.1}  (lowest {:.1}, highest {:.1})", rate.median, rate.min, rate.max);
    }
    outln!("{:<28}{:.0} %", "efficiency", 100.0 * m.efficiency);
    for (name, secs) in [
        ("a step", m.step_secs),
        ("  exchange", m.exchange_secs),
        ("  waiting for the slowest", m.waiting_secs),
    ] {
        outln!("{name:<28}{:.1} ms", 1e3 * secs);
    }
    outln!("{:<28}{:.1} MB", "sent by rank 0 in a step", m.sent_bytes as f64 / 1e6);
}

/// What several machines would bring.
pub(crate) fn print_forecast(forecast: &Forecast) {
    let (network, parts) = (forecast.network, forecast.parts);
    outln!(
        "one machine, measured: {:.1} ms a step of {} chunks, of which {:.1} ms update; {} parameters",
        1e3 * parts.step_secs,
        parts.chunks,
        1e3 * parts.update_secs,
        parts.parameters
    );
    outln!(
        "several, modelled, not measured: {} GB/s each way, {:.0} µs a message, nothing overlaps\n",
        network.gbps,
        1e6 * network.latency_secs
    );
    outln!("{:>6} {:>12} {:>14} {:>11}", "ranks", "ms a step", "of it network", "efficiency");
    for p in &forecast.predicted {
        outln!(
            "{:>6} {:>12.1} {:>14.1} {:>9.0} %",
            p.ranks,
            1e3 * p.step_secs,
            1e3 * p.network_secs,
            100.0 * p.efficiency
        );
    }
    if forecast.predicted.len() < 6 {
        outln!(
            "\nno more ranks than chunks share a batch: optim.batch_size over optim.micro_batch is {}",
            parts.chunks
        );
    }
}
