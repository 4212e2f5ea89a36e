//! A recorded file: its tensors, its metadata, and the book-keeping that every tensor was accounted for.

use super::comparison::{Comparison, Row, Verdict};
use super::tolerance::Tolerance;
use crate::audit::report::nan_max;
use crate::base::{Error, Real, Result};
use crate::checkpoint::tensors::File;
use crate::params::{Params, Role};
use ndarray::ArrayD;
use safetensors::Dtype;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// An opened recording that computes in `F`.
pub(super) struct Recording<F = ()> {
    pub(super) path: PathBuf,
    pub(super) meta: Value,
    tensors: BTreeMap<String, ArrayD<f64>>,
    accounted: BTreeSet<String>,
    rows: Vec<Row>,
    precision: PhantomData<F>,
}

impl Recording {
    /// Reads everything; all numbers as f64, which holds f32, ids and bytes exactly.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let wrong = |found: String| {
            let expected = "an entry `golden` that says in JSON what was recorded (see docs/audit.md)";
            Error::input(path, "metadata", expected, found)
        };
        let text = file.metadata().remove("golden").ok_or_else(|| wrong("none".to_owned()))?;
        let meta: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("`{e}`")))?;
        let mut tensors = BTreeMap::new();
        for name in file.names() {
            let values: Vec<f64> = match file.dtype(&name)? {
                Dtype::I64 => file.read_i64(&name)?.into_iter().map(|i| i as f64).collect(),
                Dtype::U8 => file.read_u8(&name)?.into_iter().map(f64::from).collect(),
                _ => file.read(&name)?,
            };
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::input(path, name, "finite numbers", value));
            }
            let shape = file.shape(&name)?;
            let array = ArrayD::from_shape_vec(shape, values);
            let array = array.map_err(|e| Error::input(path, &name, "values that fill the shape", e))?;
            tensors.insert(name, array);
        }
        Ok(Self {
            path: path.to_owned(),
            meta,
            tensors,
            accounted: BTreeSet::new(),
            rows: Vec::new(),
            precision: PhantomData,
        })
    }

    /// The same, to be replayed in `F`.
    pub(super) fn typed<F: Real>(self) -> Recording<F> {
        let Self { path, meta, tensors, accounted, rows, .. } = self;
        Recording { path, meta, tensors, accounted, rows, precision: PhantomData }
    }
}

impl<F: Real> Recording<F> {
    pub(super) fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    pub(super) fn tensor(&self, key: &str) -> Option<&ArrayD<f64>> {
        self.tensors.get(key)
    }

    /// How far what was compared may be from the tensor of this name.
    pub(super) fn allowed(&self, key: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.tensor == key)?.tolerance
    }

    /// The names that start with `prefix`, without it.
    pub(super) fn below(&self, prefix: &str) -> Vec<String> {
        self.tensors.keys().filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)).collect()
    }

    /// Refuses a configuration of far more weights than were recorded, before room is made for them. (One that
    /// lacks a tensor or two is refused later, by name.)
    pub(super) fn justifies(&self, parameters: usize) -> Result<()> {
        let recorded: usize =
            self.tensors.iter().filter(|(key, _)| key.starts_with("param.")).map(|(_, t)| t.len()).sum();
        if parameters / 2 <= recorded + (1 << 20) {
            return Ok(());
        }
        let found = format!("one of {parameters} numbers");
        Err(self.wrong("config", format!("a model of the {recorded} numbers in param.*"), found))
    }

    /// A tensor that the computation starts from, of any shape.
    ///
    /// # Errors
    /// If it is missing.
    pub(super) fn given(&mut self, key: &str) -> Result<ArrayD<F>> {
        let shape = self.tensors.get(key).map_or(Vec::new(), |array| array.shape().to_vec());
        let array = self.stored(key, &shape)?;
        self.account(key, array.shape().to_vec(), None, Verdict::Input);
        Ok(array)
    }

    /// A tensor that the computation starts from.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub(super) fn input(&mut self, key: &str, shape: &[usize]) -> Result<ArrayD<F>> {
        self.check_shape(key, shape)?;
        self.given(key)
    }

    /// A recorded tensor that is also compared.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub(super) fn stored(&self, key: &str, shape: &[usize]) -> Result<ArrayD<F>> {
        self.check_shape(key, shape)?;
        let found = self.tensors.get(key).map(|array| array.mapv(F::of));
        found.ok_or_else(|| self.wrong_tensor(key, "a tensor of this name", "none"))
    }

    /// Whether a result is recorded, which is noted if it is not: for what is as large as the metadata says, so
    /// that nothing is computed that no recorded tensor justifies.
    ///
    /// # Errors
    /// If it has another shape.
    pub(super) fn promised(&mut self, key: &str, shape: &[usize]) -> Result<bool> {
        self.check_shape(key, shape)?;
        if !self.has(key) {
            self.account(key, shape.to_vec(), None, Verdict::Missing);
        }
        Ok(self.has(key))
    }

    /// Ids or labels, each below `limit`.
    pub(super) fn input_ids(&mut self, key: &str, shape: &[usize], limit: usize) -> Result<Vec<usize>> {
        let ids: Option<Vec<usize>> = self.input_ids_or_none(key, shape, limit)?.into_iter().collect();
        ids.ok_or_else(|| self.wrong_tensor(key, format!("whole numbers below {limit}"), -1))
    }

    /// As [`Recording::input_ids`], where −1 says that there is none.
    pub(super) fn input_ids_or_none(
        &mut self,
        key: &str,
        shape: &[usize],
        limit: usize,
    ) -> Result<Vec<Option<usize>>> {
        let ids = self.input(key, shape)?;
        let id = |x: &F| x.f64();
        if let Some(id) =
            ids.iter().map(id).find(|id| !(-1.0..limit as f64).contains(id) || id.fract() != 0.0)
        {
            return Err(self.wrong_tensor(key, format!("whole numbers below {limit}"), id));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
        let ids = ids.iter().map(id).map(|id| (id >= 0.0).then_some(id as usize)).collect();
        Ok(ids)
    }

    /// Fills a model from the recorded `PREFIXname`.
    pub(super) fn fill(&mut self, prefix: &str, model: &mut impl Params<F>) -> Result<()> {
        for tensor in model.tensors_mut() {
            let stored = self.input(&format!("{prefix}{}", tensor.name), &tensor.shape)?;
            tensor.data.write().iter_mut().zip(stored).for_each(|(x, s)| *x = s);
        }
        Ok(())
    }

    /// Fills a model's weights from the recorded `PREFIXname`. The position tables are ours, so the recorded ones are
    /// compared; the model takes the latter. Buffers stay as they are.
    pub(super) fn load(&mut self, prefix: &str, model: &mut impl Params<F>) -> Result<()> {
        for tensor in model.tensors_mut().into_iter().filter(|tensor| tensor.role != Role::Buffer) {
            let (key, data) = (format!("{prefix}{}", tensor.name), tensor.data.write());
            let stored = if tensor.role == Role::Position {
                // Rounded to f32 in the reference: one unit in the last place.
                let rounding = Tolerance { rel: 1.2e-7, floor: 0.0 };
                let stored = self.stored(&key, &tensor.shape)?;
                self.compare(&key, &tensor.shape, data.iter().map(|x| x.f64()), rounding)?;
                stored
            } else {
                self.input(&key, &tensor.shape)?
            };
            data.iter_mut().zip(stored).for_each(|(x, s)| *x = s);
        }
        Ok(())
    }

    fn check_shape(&self, key: &str, shape: &[usize]) -> Result<()> {
        match self.tensors.get(key) {
            Some(tensor) if tensor.shape() != shape => {
                let (expected, found) = (format!("shape {shape:?}"), format!("shape {:?}", tensor.shape()));
                Err(self.wrong_tensor(key, expected, found))
            }
            _ => Ok(()),
        }
    }

    /// Compares what was computed with what was recorded.
    ///
    /// # Errors
    /// If the recorded tensor has another shape.
    ///
    /// # Panics
    /// If what was computed does not fill the shape: a bug of the caller.
    pub(super) fn compare(
        &mut self,
        key: &str,
        shape: &[usize],
        computed: impl IntoIterator<Item = f64>,
        tolerance: Tolerance,
    ) -> Result<()> {
        let Some((computed, recorded)) = self.both(key, shape, computed)? else { return Ok(()) };
        let (max_abs, scale) = errors(&computed, &recorded);
        let allowed = (tolerance.rel * scale).max(tolerance.floor);
        let verdict = if max_abs <= allowed { Verdict::Ok } else { Verdict::Differs };
        self.account(key, shape.to_vec(), Some((max_abs, scale, allowed)), verdict);
        Ok(())
    }

    /// Compares a list whose length is a result, too: rows of this shape.
    ///
    /// # Errors
    /// If the recorded rows have another shape.
    pub(super) fn compare_rows(
        &mut self,
        key: &str,
        row: &[usize],
        computed: Vec<f64>,
        tolerance: Tolerance,
    ) -> Result<()> {
        let rows = computed.len() / row.iter().product::<usize>();
        let recorded = self.tensors.get(key).map(|tensor| tensor.shape().to_vec());
        match recorded.as_deref() {
            Some([n, rest @ ..]) if *n != rows && rest == row => {
                self.claim(key, false, format!("{rows} found, {n} recorded"));
                Ok(())
            }
            _ => self.compare(key, &[&[rows], row].concat(), computed, tolerance),
        }
    }

    /// For what is compared by another rule: notes the result that `judge` gives.
    pub(super) fn compare_by(
        &mut self,
        key: &str,
        shape: &[usize],
        computed: impl IntoIterator<Item = f64>,
        allowed: f64,
        judge: impl FnOnce(&[f64], &[f64]) -> (bool, String),
    ) -> Result<()> {
        let Some((computed, recorded)) = self.both(key, shape, computed)? else { return Ok(()) };
        let (max_abs, scale) = errors(&computed, &recorded);
        let (agrees, note) = judge(&computed, &recorded);
        let verdict = if agrees && max_abs <= allowed { Verdict::Ok } else { Verdict::Differs };
        self.account(key, shape.to_vec(), Some((max_abs, scale, allowed)), verdict);
        if let Some(row) = self.rows.last_mut() {
            row.note = Some(note);
        }
        Ok(())
    }

    /// Both sides, or none if the recorded one is missing, which is noted.
    fn both(
        &mut self,
        key: &str,
        shape: &[usize],
        computed: impl IntoIterator<Item = f64>,
    ) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let computed: Vec<f64> = computed.into_iter().collect();
        assert_eq!(computed.len(), shape.iter().product::<usize>(), "{key}: {shape:?} computed");
        self.check_shape(key, shape)?;
        let recorded = self.tensors.get(key).map(|tensor| tensor.iter().copied().collect());
        if recorded.is_none() {
            self.account(key, shape.to_vec(), None, Verdict::Missing);
        }
        Ok(recorded.map(|recorded| (computed, recorded)))
    }

    /// Compares every tensor of a model with the recorded `PREFIXname`.
    pub(super) fn compare_all(
        &mut self,
        prefix: &str,
        model: &impl Params<F>,
        tolerance: impl Fn(&str) -> Tolerance,
    ) -> Result<()> {
        for tensor in model.tensors() {
            let key = format!("{prefix}{}", tensor.name);
            let numbers = tensor.data.iter().map(|x| x.f64());
            self.compare(&key, &tensor.shape, numbers, tolerance(&key))?;
        }
        Ok(())
    }

    /// Notes something about the metadata that should agree.
    pub(super) fn compare_metadata(&mut self, what: &str, agrees: bool, note: String) {
        self.claim(&format!("metadata {what}"), agrees, note);
    }

    /// Notes something else that should be so.
    pub(super) fn claim(&mut self, claim: &str, holds: bool, note: String) {
        let verdict = if holds { Verdict::Ok } else { Verdict::Differs };
        self.account(claim, Vec::new(), None, verdict);
        if let Some(row) = self.rows.last_mut() {
            row.note = Some(note);
        }
    }

    fn account(&mut self, key: &str, shape: Vec<usize>, errors: Option<(f64, f64, f64)>, verdict: Verdict) {
        self.accounted.insert(key.to_owned());
        let relative =
            |(max_abs, scale, _): (f64, f64, f64)| if max_abs == 0.0 { 0.0 } else { max_abs / scale };
        self.rows.push(Row {
            tensor: key.to_owned(),
            shape,
            max_abs_error: errors.map(|(max_abs, ..)| max_abs),
            max_rel_error: errors.map(relative),
            tolerance: errors.map(|(.., allowed)| allowed),
            note: None,
            verdict,
        });
    }

    /// Everything that was not accounted for is unknown.
    pub(super) fn finish(mut self) -> Comparison {
        let unknown: Vec<(String, Vec<usize>)> = self
            .tensors
            .iter()
            .filter(|(key, _)| !self.accounted.contains(*key))
            .map(|(key, tensor)| (key.clone(), tensor.shape().to_vec()))
            .collect();
        for (key, shape) in unknown {
            self.account(&key, shape, None, Verdict::Unknown);
        }
        let text = |key: &str| self.find(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Comparison { kind: text("kind"), dtype: text("dtype"), file: self.path.clone(), rows: self.rows }
    }
}

/// `max |a − b|` and `max |b|`.
fn errors(computed: &[f64], recorded: &[f64]) -> (f64, f64) {
    let max_abs = computed.iter().zip(recorded).fold(0.0, |max, (a, b)| nan_max(max, (a - b).abs()));
    (max_abs, recorded.iter().fold(0.0, |max: f64, x| max.max(x.abs())))
}
