//! How many epochs a fraction of the labels is fine-tuned: fewer images take more of them.

use crate::base::{Error, Result};

const FLAG: &str = "--finetune-epochs";

/// What a plan says of the epochs of fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub enum Epochs {
    /// As many with every fraction.
    All(u64),
    /// Of each fraction of the labels, ascending.
    Each(Vec<(f64, u64)>),
}

impl Epochs {
    /// Reads `12`, or `0.01:40,0.1:12,1:3`: fraction of the labels and epochs.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let expected = "epochs, or fraction:epochs for each fraction, for example 0.01:40,0.1:12,1:3";
            Error::setting(FLAG, expected, text)
        };
        if let Ok(epochs) = text.parse() {
            return Ok(Self::All(epochs));
        }
        let entry = |entry: &str| {
            let (fraction, epochs) = entry.split_once(':')?;
            Some((fraction.trim().parse::<f64>().ok()?, epochs.trim().parse::<u64>().ok()?))
        };
        let mut each: Vec<_> = text.split(',').map(entry).collect::<Option<_>>().ok_or_else(wrong)?;
        each.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Self::Each(each))
    }
}

/// The epochs of a fraction, if the plan has some of its own.
pub(super) fn at(each: &[(f64, u64)], labels: f64) -> Option<u64> {
    each.iter().find(|(fraction, _)| fraction.total_cmp(&labels).is_eq()).map(|(_, epochs)| *epochs)
}

/// Checks that each fraction of the labels has one entry, and each entry a fraction.
///
/// # Errors
/// The first that has not.
pub(super) fn check(each: &[(f64, u64)], labels: &[f64]) -> Result<()> {
    let fractions: Vec<f64> = each.iter().map(|(fraction, _)| *fraction).collect();
    let list = labels.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    let wrong =
        |found: String| Err(Error::setting(FLAG, format!("an entry for each of --labels {list}"), found));
    let unsorted = |pair: &&[f64]| pair[0].total_cmp(&pair[1]).is_ge();
    if let Some(&[first, next]) = fractions.windows(2).find(unsorted) {
        return wrong(format!("{next} after {first}: all different, ascending"));
    }
    if let Some(missing) = labels.iter().find(|&&labels| at(each, labels).is_none()) {
        return if each.is_empty() { Ok(()) } else { wrong(format!("none for {missing}")) };
    }
    match fractions.iter().find(|fraction| !labels.contains(fraction)) {
        Some(other) => wrong(format!("one for {other}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_one_number_or_one_for_each_fraction() {
        assert_eq!(Epochs::parse("12").unwrap(), Epochs::All(12));
        let each = vec![(0.01, 40), (0.1, 12), (1.0, 3)];
        assert_eq!(Epochs::parse("1:3, 0.01:40,0.1:12").unwrap(), Epochs::Each(each.clone()));
        for wrong in ["", "x", "0.1", "0.1:12,3", "0.1:many", "a:3", "0.1:-1"] {
            let error = Epochs::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("--finetune-epochs") && error.contains("fraction:epochs"), "{error}");
        }
        assert_eq!((at(&each, 0.1), at(&each, 0.2)), (Some(12), None));
        assert!(check(&each, &[0.01, 0.1, 1.0]).is_ok() && check(&[], &[0.5]).is_ok());
        let refused = |each: &[(f64, u64)], labels: &[f64]| check(each, labels).unwrap_err().to_string();
        assert!(refused(&each, &[0.01, 0.1, 0.5, 1.0]).contains("none for 0.5"));
        assert!(refused(&each, &[0.01, 1.0]).contains("one for 0.1"));
        assert!(refused(&[(0.1, 2), (0.1, 3)], &[0.1]).contains("all different"));
    }
}
