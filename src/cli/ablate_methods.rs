//! The settings of pre-training by each method of a study, and the epochs with which all take the same compute.

use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};
use vit_mae::Result;
use vit_mae::config::resolve::varied;
use vit_mae::config::{Overrides, Settings, keys};
use vit_mae::sweep::{METHOD, Plan, cost};
use vit_mae::tasks::all_keys;
use vit_mae::tasks::pretraining::{Method, WithMethod, with_method};

/// What the settings of all methods follow from.
pub(super) struct Methods<'a> {
    pub(super) preset: &'a str,
    pub(super) config: Option<&'a Path>,
    pub(super) overrides: &'a Overrides,
    /// The key that is varied.
    pub(super) vary: &'a str,
    /// Fractions of the labels, ascending.
    pub(super) labels: &'a [f64],
    /// Whether all take the operations of the first with the most labels.
    pub(super) equal_compute: bool,
}

/// The settings of one method.
struct Resolved {
    table: Table,
    /// With where each came from, in TOML.
    text: String,
    epochs: u64,
    warmup_epochs: f64,
    /// Floating-point operations of an epoch, where compute is to be equal.
    epoch_flops: f64,
}

impl Methods<'_> {
    /// The settings by the names that a plan has for them, and in TOML with where they came from.
    ///
    /// # Errors
    /// If there is no such method, a setting cannot work, or there is no data to count an epoch by.
    pub(super) fn resolve(&self, methods: &[String]) -> Result<(BTreeMap<String, Table>, Vec<String>)> {
        let (mut settings, mut texts, mut budget) = (BTreeMap::new(), Vec::new(), None);
        for method in methods {
            for &labels in self.labels.iter().rev() {
                let resolve = |overrides: &Overrides| {
                    with_method(method, Resolving { methods: self, labels, overrides })
                };
                let mut resolved = resolve(self.overrides)?;
                if self.equal_compute {
                    let budget = *budget.get_or_insert(resolved.epochs as f64 * resolved.epoch_flops);
                    resolved = resolve(&resolved.for_operations(budget, self.overrides))?;
                }
                let Resolved { table, text, .. } = resolved;
                // With fewer labels the same operations may be more epochs.
                let one_of_several =
                    self.equal_compute && self.labels.len() > 1 && table.contains_key("finetune");
                let name = if one_of_several { Plan::name_at(method, labels) } else { method.clone() };
                texts.push(if self.several() { format!("# {name}\n\n{text}") } else { text });
                settings.insert(name, table);
                if !one_of_several {
                    break;
                }
            }
        }
        Ok((settings, texts))
    }

    /// Whether several methods are tried: then a setting that only others have is theirs alone.
    fn several(&self) -> bool {
        self.vary == METHOD
    }
}

impl Resolved {
    /// The overrides with which it takes `budget` operations, as nearly as whole epochs come to it.
    #[expect(clippy::cast_possible_truncation, reason = "epochs are far fewer")]
    fn for_operations(&self, budget: f64, overrides: &Overrides) -> Overrides {
        let mut overrides = overrides.clone();
        let epochs = (budget / self.epoch_flops).round().max(1.0);
        if epochs != self.epochs as f64 {
            let warmup = self.warmup_epochs * epochs / self.epochs as f64;
            let flags = [("optim.epochs", (epochs as i64).into()), ("optim.warmup_epochs", warmup.into())];
            overrides.flags.extend(flags.map(|(key, value): (&str, Value)| (key.to_owned(), value)));
        }
        overrides
    }
}

/// Resolves the settings of pre-training by one method.
struct Resolving<'a> {
    methods: &'a Methods<'a>,
    /// The fraction of the labels that it learns from, if it learns from labels.
    labels: f64,
    overrides: &'a Overrides,
}

impl WithMethod for Resolving<'_> {
    type Output = Resolved;

    fn run<M: Method>(self) -> Result<Resolved> {
        let Self { methods, labels, overrides } = self;
        let (all, own) = (all_keys(), keys::<M::Config>());
        let mut overrides = overrides.clone();
        overrides.flags.retain(|(key, _)| !methods.several() || own.contains(key) || !all.contains(key));
        let mut resolved = M::layered(methods.preset, methods.config, &overrides)?;
        if !methods.several() {
            resolved.origins.set(methods.vary, "varied by --vary");
        }
        let optim = resolved.config.optim();
        let (epochs, warmup_epochs) = (optim.epochs, optim.warmup_epochs);
        let (table, text) = (resolved.config.to_table()?, resolved.to_toml()?);
        let mut epoch_flops = 0.0;
        if methods.equal_compute {
            let learns = table.contains_key("finetune");
            let share = learns.then(|| ("finetune.label_share".to_owned(), labels.into()));
            epoch_flops = cost::epoch_flops::<M>(&varied(table.clone(), share.into_iter().collect())?)?;
        }
        Ok(Resolved { table, text, epochs, warmup_epochs, epoch_flops })
    }
}
