//! Worked examples: the numbers in a block behind `<!-- example: NAME -->`, read from the page.
//!
//! A line is `name = formula = value`, where the formula may be missing. A value is a number or rows in brackets;
//! further rows stand on lines of their own:
//!
//! ```text
//! x           = [ 1  2 ]
//!               [ 3  0 ]
//! y = x Wᵀ + b = [ 5/3  0.3333 ]
//! ```
//!
//! A test takes what is *given* and compares all the rest. A number printed with four decimals or more is rounded and
//! may differ by half of its last digit; any other, and a fraction, must be exact.

use crate::page::Page;
use ndarray::{Array1, Array2, ArrayBase, Data, Dimension};
use std::collections::BTreeMap;

/// A number as printed, and how far it may be from the true one.
#[derive(Clone, Copy)]
struct Printed {
    value: f64,
    slack: f64,
}

/// One worked example. Dropped with a number left that nobody looked at, it fails.
pub(crate) struct Example {
    place: String,
    values: BTreeMap<String, Vec<Vec<Printed>>>,
    wrong: Vec<String>,
}

impl Example {
    pub(crate) fn read(page: &str, name: &str) -> Self {
        let place = format!("docs/book/{page}, example `{name}`");
        let page = Page::read(page);
        let mut values: BTreeMap<String, Vec<Vec<Printed>>> = BTreeMap::new();
        let mut current = String::new();
        for line in page.block("example", name) {
            let Some((label, value)) = line.split_once(" = ") else {
                if !line.trim().is_empty() {
                    let rows = values
                        .get_mut(&current)
                        .unwrap_or_else(|| panic!("{place}: `{line}` belongs to nothing"));
                    rows.push(row(&place, line));
                }
                continue;
            };
            label.trim().clone_into(&mut current);
            let value = value.rsplit_once(" = ").map_or(value, |(_formula, value)| value);
            let old = values.insert(current.clone(), vec![row(&place, value)]);
            assert!(old.is_none(), "{place}: `{current}` stands there twice");
        }
        Self { place, values, wrong: Vec::new() }
    }

    fn take(&mut self, name: &str) -> Vec<Vec<Printed>> {
        self.values.remove(name).unwrap_or_else(|| panic!("{}: no `{name}`", self.place))
    }

    /// A matrix that the example starts from.
    pub(crate) fn given(&mut self, name: &str) -> Array2<f64> {
        let rows = self.take(name);
        let columns = rows[0].len();
        let flat: Vec<f64> = rows.iter().flatten().map(|printed| printed.value).collect();
        Array2::from_shape_vec((rows.len(), columns), flat)
            .unwrap_or_else(|_| panic!("{}: rows of `{name}` differ in length", self.place))
    }

    /// A vector that the example starts from.
    pub(crate) fn vector(&mut self, name: &str) -> Array1<f64> {
        let matrix = self.given(name);
        assert_eq!(matrix.nrows(), 1, "{}: `{name}` has one row", self.place);
        matrix.row(0).to_owned()
    }

    /// A number that the example starts from.
    pub(crate) fn scalar(&mut self, name: &str) -> f64 {
        let vector = self.vector(name);
        assert_eq!(vector.len(), 1, "{}: `{name}` is one number", self.place);
        vector[0]
    }

    /// Compares what is printed, in reading order, with what is computed.
    pub(crate) fn check<S: Data<Elem = f64>, D: Dimension>(
        &mut self,
        name: &str,
        computed: &ArrayBase<S, D>,
    ) {
        let printed: Vec<Printed> = self.take(name).into_iter().flatten().collect();
        let same = |(printed, &x): (&Printed, &f64)| (printed.value - x).abs() <= printed.slack + 1e-9;
        if printed.len() != computed.len() || !printed.iter().zip(computed).all(same) {
            let printed: Vec<f64> = printed.iter().map(|printed| printed.value).collect();
            self.wrong.push(format!("`{name}` is printed as {printed:?}, but is\n{computed:.6}"));
        }
    }

    pub(crate) fn check_scalar(&mut self, name: &str, computed: f64) {
        self.check(name, &ndarray::arr0(computed));
    }

    /// Fails if a number was wrong or was not looked at.
    pub(crate) fn done(self) {
        let Self { place, values, wrong } = self;
        assert!(wrong.is_empty(), "{place}:\n{}", wrong.join("\n"));
        let left: Vec<&String> = values.keys().collect();
        assert!(left.is_empty(), "{place}: nothing checks {left:?}");
    }
}

fn row(place: &str, text: &str) -> Vec<Printed> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let row: Vec<Printed> = inner.split_whitespace().map(|word| number(place, word)).collect();
    assert!(!row.is_empty(), "{place}: `{text}` is no number");
    row
}

fn number(place: &str, word: &str) -> Printed {
    let word = word.replace('−', "-");
    let parse =
        |digits: &str| digits.parse::<f64>().unwrap_or_else(|_| panic!("{place}: `{digits}` is no number"));
    if let Some((over, under)) = word.split_once('/') {
        return Printed { value: parse(over) / parse(under), slack: 0.0 };
    }
    let decimals = word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let decimals = i32::try_from(decimals).expect("a short number");
    Printed { value: parse(&word), slack: if decimals >= 4 { 0.5 * 0.1f64.powi(decimals) } else { 0.0 } }
}

/// The checker checked.
mod tests {
    use super::*;
    use ndarray::arr1;

    fn example(name: &str, printed: &str) -> Example {
        let values = BTreeMap::from([(name.to_owned(), vec![row("here", printed)])]);
        Example { place: "here".to_owned(), values, wrong: Vec::new() }
    }

    #[test]
    fn a_wrong_number_in_an_example_fails() {
        let passes = |printed: &str, computed: &[f64]| {
            let mut example = example("x", printed);
            example.check("x", &arr1(computed));
            example.wrong.is_empty()
        };
        assert!(passes("[ 1  −2  5/3  0.6667 ]", &[1.0, -2.0, 5.0 / 3.0, 2.0 / 3.0]));
        assert!(!passes("[ 0.6668 ]", &[2.0 / 3.0]), "rounded wrongly");
        assert!(!passes("[ 0.667 ]", &[2.0 / 3.0]), "too few decimals to be rounded");
        assert!(!passes("[ 2 ]", &[-2.0]), "a sign");
        assert!(!passes("[ 1 ]", &[1.0, 1.0]), "a shape");
        assert!(!passes("[ 1 ]", &[f64::NAN]));
    }

    #[test]
    #[should_panic(expected = "nothing checks")]
    fn a_number_that_nobody_checks_fails() {
        example("x", "[ 1 ]").done();
    }
}
