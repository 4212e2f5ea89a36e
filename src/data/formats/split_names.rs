//! What data sets call their splits: one table for all formats.
//!
//! ```text
//! train       train · training
//! validation  val · valid · validation · dev
//! test        test · testing · eval · evaluation · t10k
//! ```
//!
//! Letters may be large or small, and `set`, a year or a number may follow: `Train`, `trainset`, `train2017`, `test1`. In
//! longer names, which are words between signs, the first such word decides: `pets-train-000.tar`, `test-dev2017` (test).

use std::path::Path;

use super::super::Split;
use super::file_name;

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
    let bare = bare.strip_suffix("set").unwrap_or(bare);
    WORDS.iter().find(|(_, words)| words.iter().any(|&w| w == word || w == bare)).map(|&(split, _)| split)
}

/// The split that a name of several words tells, if it tells one.
pub(super) fn in_name(name: &str) -> Option<Split> {
    words(name).find_map(of_word)
}

/// The split that a folder's name tells, and what else is in the name: nothing for `train`, `train2017` and `train_set`,
/// `pets` for `pets_train`.
pub(super) fn of_folder(name: &str) -> Option<(Split, String)> {
    let split = in_name(name)?;
    let mut told = false;
    let rest = words(name).filter(|word| {
        let tells = !told && of_word(word).is_some();
        told |= tells;
        let filler = FILLERS.iter().any(|filler| word.eq_ignore_ascii_case(filler));
        !tells && !filler && !word.bytes().all(|b| b.is_ascii_digit())
    });
    let rest: Vec<String> = rest.map(str::to_lowercase).collect();
    Some((split, rest.join(" ")))
}

/// The split that a folder is called like, whatever else is in its name.
pub(super) fn of_path(folder: &Path) -> Option<Split> {
    of_folder(&file_name(folder)).map(|(split, _)| split)
}

/// Words of folders' names that say nothing.
const FILLERS: [&str; 9] = ["set", "data", "dataset", "split", "folder", "image", "images", "img", "imgs"];

/// The parts of a name between signs.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The words for a split, for messages: `val, valid, validation, dev`.
pub(super) fn spelt(split: Split) -> String {
    WORDS.iter().find(|(found, _)| *found == split).map_or(String::new(), |(_, words)| words.join(", "))
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
            ("trainset", Split::Train),
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

    #[test]
    fn what_else_is_in_a_folders_name_tells_which_folders_go_together() {
        for (name, split, rest) in [
            ("train2017", Split::Train, ""),
            ("Test_Set", Split::Test, ""),
            ("val-images", Split::Validation, ""),
            ("ASL_alphabet_train", Split::Train, "asl alphabet"),
            ("test_tube", Split::Test, "tube"),
            ("train 2 val", Split::Train, "val"),
        ] {
            assert_eq!(of_folder(name), Some((split, rest.to_owned())), "{name}");
        }
        assert_eq!(of_folder("heldout"), None);
    }
}
