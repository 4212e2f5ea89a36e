//! Named values in their order: what a task measures, under names of its own.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::marker::PhantomData;

/// What the names of scores on validation images begin with in the log and in checkpoints.
pub const VALIDATION: &str = "held_out_";

/// Names and values. In JSON they are fields of the record that holds them.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Named<V = f64>(pub Vec<(String, V)>);

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl Named<f64> {
    /// Scores on validation images, the one that selects the best checkpoint first.
    #[must_use]
    pub fn scores<const N: usize>(scores: [(&str, f64); N]) -> Self {
        Self::known_scores(scores.map(|(name, score)| (name, Some(score))))
    }

    /// Those of the scores that there are.
    #[must_use]
    pub fn known_scores<const N: usize>(scores: [(&str, Option<f64>); N]) -> Self {
        let known =
            scores.into_iter().filter_map(|(name, score)| Some((format!("{VALIDATION}{name}"), score?)));
        Self(known.collect())
    }

    /// The scores on validation images, without the prefix of their names.
    pub fn validation(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().filter_map(|(name, score)| Some((name.strip_prefix(VALIDATION)?, *score)))
    }

    /// The first score as checkpoints are compared by it, the lower the better: a loss as it is, any other negated.
    #[must_use]
    pub fn selection_metric(&self) -> Option<f64> {
        let (name, score) = self.validation().next()?;
        Some(if name.ends_with("loss") { score } else { -score })
    }
}

impl<V: Serialize> Serialize for Named<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What `null` stands for, by which JSON has numbers that are not finite.
pub trait OfNull {
    /// That value.
    fn of_null() -> Self;
}

impl OfNull for f64 {
    fn of_null() -> Self {
        Self::NAN
    }
}

impl<'de, V: Deserialize<'de> + OfNull> Deserialize<'de> for Named<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de> + OfNull> Visitor<'de> for Fields<V> {
            type Value = Named<V>;

            fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
                out.write_str("named values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<V>, A::Error> {
                let mut named = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Option<V>>()? {
                    named.push((name, value.unwrap_or_else(V::of_null)));
                }
                Ok(Named(named))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}
