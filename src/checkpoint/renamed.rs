//! A file of weights under another program's names, seen under the reference's: what is missing, unexpected or misshapen is
//! an error, never a skip.

use super::names::{self, Layout, Named, THIRDS};
use super::tensors::{File, listed};
use super::values::Values;
use super::wrapping::Wrapping;
use crate::base::{Error, Result};
use crate::params::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A tensor to be filled: its name, its shape, its values.
pub type Slot<'a> = (String, Vec<usize>, &'a mut [f32]);

/// A tensor to be written: its name, its shape, its values.
pub type Entry<'a> = (String, Vec<usize>, Values<'a, f32>);

/// Where a tensor lies in the file: in one piece, or in thirds of its rows.
#[derive(Clone, Debug)]
enum Stored {
    Whole(String),
    Thirds([Option<String>; THIRDS]),
}

/// An open file of weights whose tensors have the reference's names.
#[derive(Debug)]
pub struct Renamed {
    file: File,
    layout: Layout,
    tensors: BTreeMap<String, Stored>,
    /// What was taken off the names.
    wrapping: Wrapping,
    /// Names in the file that mean nothing here.
    unknown: Vec<String>,
}

/// What the names begin with of that which stands behind an encoder in pre-training and fine-tuning.
const BESIDE: [&str; 5] = ["decoder_", "head.", "projector.", "predictor.", "lm_head."];

impl Renamed {
    /// Looks through the names of a file; what a wrapper of the model put in front of them does not count.
    ///
    /// # Errors
    /// If two tensors of the file are the same one here, or it holds several models.
    pub fn new(file: File, layout: Layout) -> Result<Self> {
        let (mut tensors, mut unknown) = (BTreeMap::new(), Vec::new());
        let names = file.names();
        let wrapping = Wrapping::of(file.path(), &names, layout)?;
        for stored in names {
            let bare = wrapping.off(&stored);
            let named = match layout {
                Layout::Reference => Some(Named { name: bare, third: None }),
                Layout::Hf => names::from_hf(&bare),
            };
            match named {
                None => unknown.push(stored),
                Some(named) => put(&mut tensors, named, &stored).map_err(|name| {
                    let found = format!("{stored} beside another one");
                    Error::input(file.path(), name, "one tensor of this meaning", found)
                })?,
            }
        }
        Ok(Self { file, layout, tensors, wrapping, unknown })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// How it names its tensors.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What a wrapper put around the names, to be said: `module.`; none for a plain model's file.
    #[must_use]
    pub fn wrapping(&self) -> Option<String> {
        self.wrapping.in_words()
    }

    /// The reference's names of all that is known, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether a tensor, or a part of it, is there.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Some of its names, to show in an error.
    #[must_use]
    pub fn some_names(&self) -> String {
        let names = self.file.names();
        listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Leaves out what a plain encoder does not have: decoder, heads, the pooler of a `ViTModel`. Returns the names in the
    /// file.
    pub fn leave_encoder(&mut self) -> Vec<String> {
        let beside = |name: &str| name == "mask_token" || BESIDE.iter().any(|part| name.starts_with(part));
        let mut left_out = Vec::new();
        self.tensors.retain(|name, stored| {
            let kept = !beside(name);
            if !kept {
                left_out.extend(stored.names().map(str::to_owned));
            }
            kept
        });
        let wrapping = &self.wrapping;
        let pooler = |name: &String| wrapping.off(name).trim_start_matches("vit.").starts_with("pooler.");
        left_out.extend(self.unknown.extract_if(.., |name| pooler(name)));
        left_out.sort();
        left_out
    }

    /// How many elements the tensors hold, by their shapes.
    ///
    /// # Errors
    /// Never: every name comes from the file.
    pub fn numbers(&self) -> Result<usize> {
        let mut numbers: usize = 0;
        for name in self.tensors.values().flat_map(Stored::names) {
            numbers = numbers.saturating_add(self.file.shape(name)?.iter().product());
        }
        Ok(numbers)
    }

    /// The shape of a tensor that lies in one piece.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        match self.tensors.get(name) {
            Some(Stored::Whole(stored)) => self.file.shape(stored),
            _ => self.file.shape(name),
        }
    }

    /// Fills every slot, strictly: the names must be the same set and every shape equal.
    ///
    /// # Errors
    /// Names the file, the tensor and both shapes; lists the first missing and unexpected names, as the file has them.
    pub fn load_into(&self, slots: Vec<Slot<'_>>) -> Result<()> {
        self.check_names(&slots)?;
        for (name, shape, _) in &slots {
            self.check_shape(name, shape)?;
        }
        for (name, _, values) in slots {
            match &self.tensors[&name] {
                Stored::Whole(stored) => self.file.read_onto(stored, values)?,
                thirds @ Stored::Thirds(_) => {
                    let rows = values.len() / THIRDS;
                    for (stored, values) in thirds.names().zip(values.chunks_exact_mut(rows)) {
                        self.file.read_onto(stored, values)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_names(&self, slots: &[Slot<'_>]) -> Result<()> {
        let prefixed = self.file.names().iter().any(|name| self.wrapping.off(name).starts_with("vit."));
        let theirs = |name: &str| match self.layout {
            Layout::Reference => vec![name.to_owned()],
            Layout::Hf => names::to_hf(name, prefixed).unwrap_or_else(|| vec![name.to_owned()]),
        };
        let mut missing = Vec::new();
        for (name, ..) in slots {
            match self.tensors.get(name) {
                Some(Stored::Whole(_)) => {}
                None => missing.extend(theirs(name)),
                Some(Stored::Thirds(found)) => {
                    missing.extend(
                        theirs(name).into_iter().zip(found).filter(|(_, f)| f.is_none()).map(|(n, _)| n),
                    );
                }
            }
        }
        let wanted: BTreeSet<&str> = slots.iter().map(|slot| slot.0.as_str()).collect();
        let extra = self.tensors.iter().filter(|(name, _)| !wanted.contains(name.as_str()));
        let extra = extra.flat_map(|(_, stored)| stored.names());
        let extra: Vec<&str> = self.unknown.iter().map(String::as_str).chain(extra).collect();
        if missing.is_empty() && extra.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        let found = format!("missing: {}; unexpected: {}", listed(&missing), listed(&extra));
        Err(Error::input(self.path(), "tensors", format!("the model's {} tensors", slots.len()), found))
    }

    fn check_shape(&self, name: &str, shape: &[usize]) -> Result<()> {
        let stored = &self.tensors[name];
        let mut expected = shape.to_vec();
        if matches!(stored, Stored::Thirds(_)) {
            expected[0] /= THIRDS;
        }
        for name in stored.names() {
            let found = self.file.shape(name)?;
            if found != expected {
                let (expected, found) = (format!("shape {expected:?}"), format!("shape {found:?}"));
                return Err(Error::input(self.path(), name, expected, found));
            }
            self.file.check_real(name)?;
        }
        Ok(())
    }
}

impl Stored {
    /// The names in the file, in the order of the rows.
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Whole(name) => [Some(name), None, None],
            Self::Thirds(names) => names.each_ref().map(Option::as_ref),
        };
        names.into_iter().flatten().map(String::as_str)
    }
}

/// Notes where a tensor lies; `Err` is its name if something lies there already.
fn put(
    tensors: &mut BTreeMap<String, Stored>,
    named: Named,
    stored: &str,
) -> std::result::Result<(), String> {
    let Named { name, third } = named;
    let stored = stored.to_owned();
    let free = match (tensors.get_mut(&name), third) {
        (None, None) => tensors.insert(name.clone(), Stored::Whole(stored)).is_none(),
        (None, Some(third)) => {
            let mut thirds = [const { None }; THIRDS];
            thirds[third] = Some(stored);
            tensors.insert(name.clone(), Stored::Thirds(thirds)).is_none()
        }
        (Some(Stored::Thirds(thirds)), Some(third)) => thirds[third].replace(stored).is_none(),
        (Some(_), _) => false,
    };
    if free { Ok(()) } else { Err(name) }
}

/// A model's tensors as a layout has them; `Err` is the name of one that has no place there. `prefixed` as
/// [`names::to_hf`] has it.
///
/// # Errors
/// The first name without a counterpart.
pub fn entries(
    tensors: Vec<Tensor<'_, f32>>,
    layout: Layout,
    prefixed: bool,
) -> std::result::Result<Vec<Entry<'_>>, String> {
    let mut entries = Vec::new();
    for Tensor { name, shape, data, .. } in tensors {
        let names = match layout {
            Layout::Reference => vec![name],
            Layout::Hf => names::to_hf(&name, prefixed).ok_or(name)?,
        };
        let mut part = shape;
        part[0] /= if names.len() > 1 { THIRDS } else { 1 };
        let parts = data.chunks_exact(data.len() / names.len());
        entries.extend(
            names.into_iter().zip(parts).map(|(name, data)| (name, part.clone(), Values::Real(data))),
        );
    }
    Ok(entries)
}
