//! How a run begins and how it goes on: on one process, or on rank 0 of several with the others following.

use super::metrics::Record;
use super::resume::{self, ResumePoint};
use super::run::Run;
use super::run_dir::RunDir;
use super::run_log::RunLog;
use super::source::Source;
use super::step::Learner;
use super::task::{Opened, Task};
use super::together;
use crate::base::{Error, Result};
use crate::checkpoint::State;
use crate::config::settings::Settings;
use crate::exec::kernel;
use crate::exec::ranks::launch::cache_sizes;
use crate::exec::ranks::{One, Ranks};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names rank 0's words in errors.
const FROM_RANK_0: &str = "rank 0";

/// What rank 0 tells the others of a run that it is about to begin.
#[derive(Debug)]
pub struct Announcement {
    /// Every setting, in TOML.
    pub config_toml: String,
    /// Where the run stands, if it goes on.
    pub state: Option<State>,
}

impl Announcement {
    /// Tells it, on rank 0.
    fn tell(&self, ranks: &dyn Ranks) -> Result<()> {
        let (toml, path) = (self.config_toml.as_bytes(), Path::new(FROM_RANK_0));
        let state = self.state.as_ref().map(|state| state.seal(path)).transpose()?.unwrap_or_default();
        together::from_first(ranks, &[&(toml.len() as u64).to_le_bytes(), toml, &state].concat())?;
        same_program(ranks)
    }

    /// Waits for it on another rank; none if rank 0 has nothing more to do.
    ///
    /// # Errors
    /// If another rank has failed, or runs another version of the program or on another kind of processor.
    pub fn hear(ranks: &dyn Ranks) -> Result<Option<Self>> {
        let word = together::from_first(ranks, &[])?;
        let Some((len, rest)) = word.split_first_chunk() else { return Ok(None) };
        same_program(ranks)?;
        let toml = usize::try_from(u64::from_le_bytes(*len)).ok().and_then(|len| rest.split_at_checked(len));
        let wrong = || Error::input(FROM_RANK_0, "settings", "TOML", "something else");
        let (toml, state) = toml.ok_or_else(wrong)?;
        let state = (!state.is_empty()).then(|| State::unseal(Path::new(FROM_RANK_0), state));
        let config_toml = String::from_utf8(toml.to_vec()).map_err(|_| wrong())?;
        Ok(Some(Self { config_toml, state: state.transpose()? }))
    }
}

/// Tells the other ranks that there is nothing more to do.
///
/// # Errors
/// If another rank has failed.
pub fn dismiss(ranks: &dyn Ranks) -> Result<()> {
    together::from_first(ranks, &[]).map(|_| ())
}

/// Bits are those of a version on a kind of processor.
fn same_program(ranks: &dyn Ranks) -> Result<()> {
    together::compare(
        ranks,
        &[
            ("version of the program", env!("CARGO_PKG_VERSION").to_owned()),
            ("kind of processor", std::env::consts::ARCH.to_owned()),
            ("instruction set", kernel::name().to_owned()),
            ("sizes of the processor's caches", cache_sizes()),
        ],
    )
}

/// A run that another process began or left.
struct Opening<T: Task> {
    learner: Learner<T>,
    data_digest: u32,
    skipped: Vec<String>,
}

impl<T: Task> Opening<T> {
    /// Opens the data and makes the model, on every rank, and compares them.
    fn new(
        ranks: Arc<dyn Ranks>,
        source: Source,
        mut config: T::Config,
        model: impl FnOnce(&T::Config) -> Result<T::Model>,
    ) -> Result<Self> {
        let Opened { task, train, digest: data_digest, skipped } = T::open(source, &mut config)?;
        let learner = Learner::among(ranks, task, config, train, model)?;
        let ranks = learner.workers.ranks();
        if ranks.size() > 1 {
            let toml = learner.config.to_toml()?;
            let mut traits = vec![("data digest", format!("{data_digest:08x}"))];
            traits.extend(toml.lines().map(|line| ("setting", line.to_owned())));
            together::compare(ranks, &traits)?;
        }
        Ok(Self { learner, data_digest, skipped })
    }

    fn ranks(&self) -> &dyn Ranks {
        self.learner.workers.ranks()
    }
}

impl<T: Task> Run<T> {
    /// Opens the data, makes the model and the run directory, in this order: nothing is written before everything that
    /// can be wrong with the input was found right.
    ///
    /// # Errors
    /// If the data cannot be used with these settings, the model cannot start from there, or `out` cannot be written.
    pub fn new(config: T::Config, start: &T::Start, out: impl FnOnce() -> Result<RunDir>) -> Result<Self> {
        Self::new_among(Arc::new(One), config, start, out)
    }

    /// The same as rank 0 of several; the others [`follow`](Run::follow).
    ///
    /// # Errors
    /// As [`Run::new`], or if another rank has failed or is not like this one.
    pub fn new_among(
        ranks: Arc<dyn Ranks>,
        config: T::Config,
        start: &T::Start,
        out: impl FnOnce() -> Result<RunDir>,
    ) -> Result<Self> {
        Self::begin(ranks, T::source, config, start, out)
    }

    /// As [`Run::new`], on data of the caller's: any [`crate::data::Dataset`].
    ///
    /// # Errors
    /// As [`Run::new`].
    pub fn on(
        source: Source,
        config: T::Config,
        start: &T::Start,
        out: impl FnOnce() -> Result<RunDir>,
    ) -> Result<Self> {
        Self::begin(Arc::new(One), |_| Ok(source), config, start, out)
    }

    fn begin(
        ranks: Arc<dyn Ranks>,
        source: impl FnOnce(&T::Config) -> Result<Source>,
        config: T::Config,
        start: &T::Start,
        out: impl FnOnce() -> Result<RunDir>,
    ) -> Result<Self> {
        if ranks.size() > 1 {
            Announcement { config_toml: config.to_toml()?, state: None }.tell(&*ranks)?;
        }
        let opening = Opening::new(ranks, source(&config)?, config, |config| T::model(config, start))?;
        Self::first_steps(opening, out)
    }

    /// A run directory, the same weights on all ranks, an empty log.
    fn first_steps(opening: Opening<T>, out: impl FnOnce() -> Result<RunDir>) -> Result<Self> {
        let run = directory(opening.ranks(), out)?;
        let Opening { mut learner, data_digest, skipped } = opening;
        run.write(&run.config(), learner.config.to_toml()?.as_bytes())?;
        let mut log = RunLog::begin(run)?;
        log.skipped_images.extend(skipped);
        learner.take_over(false)?;
        Ok(Self { learner, log, data_digest, resumed: false })
    }

    /// Goes on with an interrupted or finished run, with the same bits as if it had never stopped. `change` may
    /// change some of its settings; [`Settings::FIXED`] lists those that must stay.
    ///
    /// # Errors
    /// If its checkpoint, log or data are not those that were left, or a setting must not change.
    pub fn resume(run: RunDir, change: impl FnOnce(&T::Config) -> Result<T::Config>) -> Result<Self> {
        Self::resume_among(Arc::new(One), run, change)
    }

    /// The same as rank 0 of several, whatever the number of ranks on which the run was left; the others
    /// [`follow`](Run::follow).
    ///
    /// # Errors
    /// As [`Run::resume`], or if another rank has failed or is not like this one.
    pub fn resume_among(
        ranks: Arc<dyn Ranks>,
        run: RunDir,
        change: impl FnOnce(&T::Config) -> Result<T::Config>,
    ) -> Result<Self> {
        Self::resume_from(ranks, T::source, run, change)
    }

    /// As [`Run::resume`], on the data of the caller's that [`Run::on`] began with.
    ///
    /// # Errors
    /// As [`Run::resume`].
    pub fn resume_on(
        source: Source,
        run: RunDir,
        change: impl FnOnce(&T::Config) -> Result<T::Config>,
    ) -> Result<Self> {
        Self::resume_from(Arc::new(One), |_| Ok(source), run, change)
    }

    fn resume_from(
        ranks: Arc<dyn Ranks>,
        source: impl FnOnce(&T::Config) -> Result<Source>,
        run: RunDir,
        change: impl FnOnce(&T::Config) -> Result<T::Config>,
    ) -> Result<Self> {
        let Some(checkpoint) = resume::last_checkpoint(&run)? else {
            let config = change(&resume::first_config(&run)?)?;
            let start = T::start_again(&config)?;
            return Self::begin(ranks, source, config, &start, || Ok(run));
        };
        let point = ResumePoint::new(checkpoint, change)?;
        if ranks.size() > 1 {
            let state = Some(point.checkpoint.state.clone());
            Announcement { config_toml: point.config.to_toml()?, state }.tell(&*ranks)?;
        }
        let config = point.config.clone();
        let opening = Opening::new(ranks, source(&config)?, config, |config| Ok(T::blank(config)))?;
        point.check_data(opening.data_digest)?;
        let run = directory(opening.ranks(), || Ok(run))?;
        let Opening { mut learner, data_digest, skipped } = opening;
        learner.restore(&point.checkpoint)?;
        let mut log = RunLog::resume(run, &point.checkpoint.state)?;
        log.skipped_images.extend(skipped);
        let mut run = Self { learner, log, data_digest, resumed: true };
        run.record_changes(&point)?;
        run.learner.take_over(true)?;
        Ok(run)
    }

    /// Writes down what was changed in a resumed run, in log and checkpoint, before a step is taken with it.
    fn record_changes(&mut self, point: &ResumePoint<T::Config>) -> Result<()> {
        for change in &point.changes {
            self.log.add(Record::Change(change.clone()))?;
            self.log.changes.push(change.clone());
        }
        if !point.changes.is_empty() {
            self.save()?;
        }
        let run = &self.log.run;
        run.write(&run.config(), self.learner.config.to_toml()?.as_bytes())
    }

    /// The run that rank 0 has announced, on another rank: nothing is written here.
    ///
    /// # Errors
    /// If the data cannot be used here, or another rank has failed or is not like this one.
    pub fn follow(ranks: Arc<dyn Ranks>, announcement: Announcement) -> Result<Self> {
        let config = T::Config::from_toml(&announcement.config_toml, Path::new(FROM_RANK_0))?;
        let opening = Opening::new(ranks, T::source(&config)?, config, |config| Ok(T::blank(config)))?;
        let nothing = || unreachable!("rank 0 makes the directory");
        let Some(state) = announcement.state else { return Self::first_steps(opening, nothing) };
        let run = directory(opening.ranks(), nothing)?;
        let Opening { mut learner, data_digest, skipped } = opening;
        let mut log = RunLog::elsewhere(run, &state)?;
        log.skipped_images.extend(skipped);
        learner.take_over(true)?;
        Ok(Self { learner, log, data_digest, resumed: true })
    }
}

/// The run's directory, which rank 0 makes.
fn directory(ranks: &dyn Ranks, out: impl FnOnce() -> Result<RunDir>) -> Result<RunDir> {
    if ranks.size() == 1 {
        return out();
    }
    let run = if ranks.rank() == 0 { Some(out()?) } else { None };
    let path = run.as_ref().map(|run| run.path().to_string_lossy().into_owned()).unwrap_or_default();
    let path = together::from_first(ranks, path.as_bytes())?;
    let elsewhere = || RunDir::elsewhere(PathBuf::from(String::from_utf8_lossy(&path).into_owned()));
    Ok(run.unwrap_or_else(elsewhere))
}
