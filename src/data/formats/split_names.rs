//! What data sets call their splits: one table for all formats.
//!
//! ```text
//! train       train · training
//! validation  val · valid · validation · dev
//! test        test · testing · eval · evaluation · t10k
//! ```
//!
//! Letters may be large or small, and a year or number may follow: `Train`, `train2017`, `test1`. Longer names are words
//! between signs, of which the first in the table decides: `pets-train-000.tar`, `test-dev2017` (test).

use super::super::Split;

/// The words for each split.
const WORDS: [(Split, &[&str]); 3] = [
    (Split::Train, &["train", "training"]),
    (Split::Validation, &["val", "valid", "validation", "dev"]),
    (Split::Test, &["test", "testing", "eval", "evaluation", "t10k"]),
];

/// The split that a single word stands for.
pub(super) fn of_word(word: &str) -> Option<Split> {
    let word = word.to_lowercase();
    let bare = word.trim_end_matches(|c: char| c.is_ascii_digit());
    WORDS.iter().find(|(_, words)| words.iter().any(|&w| w == word || w == bare)).map(|&(split, _)| split)
}

/// The split that a name of several words tells, if it tells one.
pub(super) fn in_name(name: &str) -> Option<Split> {
    words(name).find_map(of_word)
}

/// The parts of a name between signs.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The words for a split.
pub(super) fn words_for(split: Split) -> &'static [&'static str] {
    WORDS.iter().find(|(found, _)| *found == split).map_or(&[], |(_, words)| words)
}

/// The words for a split, for messages: `val, valid, validation, dev`.
pub(super) fn spelt(split: Split) -> String {
    words_for(split).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_a_split_in_any_letter_case_and_with_a_year() {
        for (word, split) in [
            ("train", Split::Train),
            ("TRAINING", Split::Train),
            ("train2017", Split::Train),
            ("Valid", Split::Validation),
            ("dev", Split::Validation),
            ("val2014", Split::Validation),
            ("Testing", Split::Test),
            ("test1", Split::Test),
            ("eval", Split::Test),
            ("t10k", Split::Test),
        ] {
            assert_eq!(of_word(word), Some(split), "{word}");
        }
        for word in ["heldout", "unlabeled", "extra", "trained", "protest", "value", "2017", "", "тест"] {
            assert_eq!(of_word(word), None, "{word}");
        }
    }

    #[test]
    fn the_first_word_of_a_longer_name_decides() {
        assert_eq!(in_name("pets-train-000.tar"), Some(Split::Train));
        assert_eq!(in_name("test-dev2017"), Some(Split::Test));
        assert_eq!(in_name("pets_Validation.v2"), Some(Split::Validation));
        assert_eq!(in_name("contest-strain"), None);
    }
}
