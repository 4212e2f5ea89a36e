//! Numbers and names as a person reads them.

/// How many names a sentence lists before it says "and n more".
const LISTED: usize = 3;

/// Three or four significant digits: `0.207`, `1.53e-5`, `12.4`, `48000`.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if x == 0.0 => "0".to_owned(),
        _ if !x.is_finite() => "not finite".to_owned(),
        _ if !(1e-3..1e6).contains(&size) => format!("{x:.2e}"),
        _ if size < 1.0 => format!("{x:.4}"),
        _ if size < 100.0 => format!("{x:.3}"),
        _ => format!("{x:.0}"),
    }
}

/// `12 %`, and `0.4 %` where whole numbers say too little.
pub(super) fn percent(share: f64) -> String {
    let digits = usize::from(share.abs() < 0.1 && share != 0.0);
    format!("{:.digits$} %", 100.0 * share)
}

/// `a, b, c and 4 more`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() <= LISTED => names.join(", "),
        names => format!("{} and {} more", names[..LISTED].join(", "), names.len() - LISTED),
    }
}

/// `1 tensor`, `2 tensors`.
pub(super) fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// The value in the middle; the upper one of two. Not finite values sort last. 0 for an empty list.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
