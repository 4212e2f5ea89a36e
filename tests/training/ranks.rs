//! Claim: a run on any number of ranks has the bits of one process: weights, moments, log, pictures; for every method and task, with
//! accumulation, crops, uneven shares, mixing and images that are skipped; and goes on with them on any other number. One rank
//! writes. What fails on one of them ends all, and leaves what a single process would leave.

use crate::common::Place;
use crate::common::run::{StopAfter, log};
use crate::ranks_of_threads::together;
use crate::{detect, finetune, moco, segment};
use serde_json::Value;
use std::fs;
use vit_mae::config::{Overrides, Settings};
use vit_mae::exec::ranks::{self, Ranks};
use vit_mae::tasks::transfer::Start;
use vit_mae::tasks::{BeitSettings, BeitStyle, Classify, Config, Detect, MocoV3, Pretrain, Segment};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::start::{Announcement, dismiss};
use vit_mae::train::{Observer, Run, RunDir, Task};
use vit_mae::{Error, Result};

/// What every rank ends with.
type Ends = Vec<std::result::Result<Result<()>, String>>;

/// A run on so many ranks, as the program makes one: rank 0 with `first`, the others follow it. `stop` is what watches each.
fn run<T: Task>(
    size: usize,
    first: impl Fn(std::sync::Arc<dyn Ranks>) -> Result<Run<T>> + Sync,
    stop: impl Fn(usize) -> StopAfter + Sync,
) -> Ends {
    together(size, |rank| {
        let number = rank.rank();
        let mut observer = stop(number);
        let result = if number == 0 {
            let run = first(rank.clone());
            run.and_then(|mut run| run.train("", &mut observer as &mut dyn Observer))
                .and_then(|_| dismiss(&*rank))
        } else {
            follow::<T>(&rank, &mut observer)
        };
        result.map_err(|error| ranks::farewell(&*rank, error))
    })
}

fn follow<T: Task>(
    rank: &std::sync::Arc<crate::ranks_of_threads::Thread>,
    observer: &mut StopAfter,
) -> Result<()> {
    while let Some(announcement) = Announcement::hear(&**rank)? {
        Run::<T>::follow(rank.clone(), announcement)?.train_along(observer)?;
    }
    Ok(())
}

fn never(_: usize) -> StopAfter {
    StopAfter(u64::MAX)
}

fn new<T: Task>(place: &Place, out: &str, config: &T::Config, start: &T::Start, size: usize) -> Ends
where
    T::Start: Sync,
{
    let out = place.path(out);
    let create = || RunDir::create(Some(out.clone()), false);
    run::<T>(size, |ranks| Run::new_among(ranks, config.clone(), start, create), never)
}

fn all_well(ends: Ends) {
    for (rank, end) in ends.into_iter().enumerate() {
        end.unwrap_or_else(|panic| panic!("rank {rank}: {panic}"))
            .unwrap_or_else(|e| panic!("rank {rank}: {e}"));
    }
}

/// Weights, moments, log.
fn left(place: &Place, out: &str) -> (Vec<Vec<u8>>, Vec<Value>) {
    let file = |file| place.read(&format!("{out}/checkpoint/{file}.safetensors"));
    (["model", "optimizer"].map(file).into(), log(place, out))
}

/// The same bits on one process, and on each of these numbers of ranks.
fn same_bits<T: Task>(place: &Place, config: &T::Config, start: &T::Start, sizes: &[usize])
where
    T::Start: Sync,
{
    let create = || RunDir::create(Some(place.path("one")), false);
    Run::<T>::new(config.clone(), start, create).unwrap().train("", &mut never(0)).unwrap();
    let one = left(place, "one");
    for size in sizes {
        let out = format!("ranks-{size}");
        all_well(new::<T>(place, &out, config, start, *size));
        let left = left(place, &out);
        assert_eq!(left.1, one.1, "log of {size} ranks");
        assert!(left.0 == one.0, "tensors of {size} ranks");
        let names = |out: &str| {
            let entries = fs::read_dir(place.path(out)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&out), names("one"), "files of {size} ranks");
        assert_eq!(place.text(&format!("{out}/config.toml")), place.text("one/config.toml"));
    }
}

/// Five chunks a batch, the last of one image; two batches a step, three steps an epoch.
fn pretraining(place: &Place, more: &[(&str, &str)]) -> Config {
    let set = |(key, value): &(&str, &str)| ((*key).to_owned(), value.parse().unwrap());
    let data = place.path("pictures").to_str().unwrap().into();
    let sets = [
        ("data.crop", "[0.5, 1.0]"),
        ("optim.batch_size", "9"),
        ("optim.accum_iter", "2"),
        ("optim.clip_grad", "0.5"),
        ("run.digest_every_steps", "2"),
        ("run.pictures_every_epochs", "1"),
    ];
    let flags =
        [("data.path".to_owned(), data)].into_iter().chain(sets.iter().chain(more).map(set)).collect();
    Config::resolve("nano", Some(&place.path("tiny.toml")), flags).unwrap()
}

fn pictures() -> Place {
    let place = Place::new();
    place.images("pictures/train", 60, (12, 12), 1);
    place.images("pictures/validation", 7, (12, 12), 1);
    place
}

#[test]
fn pre_training_has_the_bits_of_one_process() {
    let place = pictures();
    same_bits::<Pretrain>(&place, &pretraining(&place, &[]), &(), &[1, 2, 3, 4, 5]);
    let sheet = |out: &str| place.read(&format!("{out}/reconstructions/epoch-0002.png"));
    assert!(sheet("ranks-3") == sheet("one"));
}

#[test]
fn beit_style_pre_training_has_the_bits_of_one_process() {
    let place = pictures();
    let text = |text: &str| -> toml::Value { text.parse().unwrap() };
    let flags = vec![
        ("data.path".to_owned(), place.path("pictures").to_str().unwrap().into()),
        ("data.crop".to_owned(), text("[0.5, 1.0]")),
        ("beit.tokens".to_owned(), text("8")),
        ("run.digest_every_steps".to_owned(), text("2")),
    ];
    let overrides: Overrides = flags.into();
    let config = BeitSettings::layered("nano", Some(&place.path("trunk.toml")), &overrides).unwrap().config;
    same_bits::<BeitStyle>(&place, &config, &(), &[2, 3]);
}

#[test]
fn contrastive_pre_training_has_the_bits_of_one_process() {
    let place = moco::place();
    let sets = [("optim.epochs", "2"), ("run.digest_every_steps", "2"), ("moco.stop_grad_conv1", "false")];
    same_bits::<MocoV3>(&place, &moco::config(&place, &sets), &(), &[2, 3]);
}

#[test]
fn classification_has_the_bits_of_one_process() {
    let place = finetune::place();
    let start = Start::pretrained(&place.path("mae")).unwrap();
    let mut config = finetune::config(&place, &start);
    config.augment.mixup_alpha = 0.8;
    config.augment.cutmix_alpha = 1.0;
    config.augment.mix_prob = 1.0;
    config.optim.epochs = 2;
    same_bits::<Classify>(&place, &config, &start, &[2, 3]);
    assert_eq!(place.text("ranks-3/accuracy.svg"), place.text("one/accuracy.svg"));
}

#[test]
fn segmentation_has_the_bits_of_one_process() {
    let place = segment::place();
    let sets = [("optim.epochs", "2"), ("optim.micro_batch", "1"), ("model.head", "upernet")];
    let config = segment::config(&place, &sets);
    same_bits::<Segment>(&place, &config, &Start::preset("photo").unwrap(), &[2, 3]);
}

#[test]
fn detection_has_the_bits_of_one_process() {
    let place = detect::place();
    let config = detect::config(&place, &[("optim.epochs", "2"), ("optim.micro_batch", "1")]);
    same_bits::<Detect>(&place, &config, &Start::preset("photo").unwrap(), &[2, 3]);
}

/// All ranks were stopped after so many steps; what rank 0 says of it is what the others know.
fn interrupted(ends: Ends, steps: u64) {
    for (rank, end) in ends.into_iter().enumerate() {
        let error = end.unwrap().unwrap_err();
        assert_eq!(error.exit_code(), 128 + 15);
        assert_eq!(matches!(error, Error::Interrupted { .. }), rank == 0, "{error}");
        assert!(error.to_string().contains(&format!("interrupted at step {steps};")), "{error}");
    }
}

#[test]
fn a_run_goes_on_with_the_same_bits_on_another_number_of_ranks() {
    let place = pictures();
    let config = pretraining(&place, &[]);
    all_well(new::<Pretrain>(&place, "whole", &config, &(), 2));
    // Only rank 1 of 3 is told to stop.
    let stop = |rank| StopAfter(if rank == 1 { 4 } else { u64::MAX });
    let out = || RunDir::create(Some(place.path("parts")), false);
    let ends = run::<Pretrain>(3, |ranks| Run::new_among(ranks, config.clone(), &(), out), stop);
    interrupted(ends, 4);
    let open = || RunDir::open(place.path("parts")).unwrap();
    let same = |before: &Config| Ok(before.clone());
    let ends = run::<Pretrain>(
        2,
        |ranks| Run::resume_among(ranks, open(), same),
        |rank| StopAfter(if rank == 0 { 1 } else { u64::MAX }),
    );
    interrupted(ends, 5);
    all_well(run::<Pretrain>(4, |ranks| Run::resume_among(ranks, open(), same), never));
    assert!(left(&place, "parts") == left(&place, "whole"));
}

#[test]
fn a_damaged_image_of_one_rank_ends_all_and_leaves_nothing() {
    let place = pictures();
    place.write("pictures/train/41.png", "noise");
    let config = pretraining(&place, &[]);
    for size in [2, 4] {
        let ends = new::<Pretrain>(&place, "run", &config, &(), size);
        let errors: Vec<String> = ends
            .into_iter()
            .map(|end| {
                let error = end.unwrap().unwrap_err();
                assert_eq!(error.exit_code(), 2);
                error.to_string()
            })
            .collect();
        assert!(errors.iter().all(|error| error.contains("41.png")), "{errors:?}");
        assert!(!place.path("run").exists(), "{size} ranks left a directory");
    }
}

#[test]
fn images_that_are_skipped_are_those_of_one_process() {
    let place = pictures();
    place.write("pictures/train/41.png", "noise");
    place.write("pictures/train/07.png", "noise");
    let config = pretraining(&place, &[("data.skip_bad_images", "true")]);
    same_bits::<Pretrain>(&place, &config, &(), &[3]);
    let checkpoint = |out: &str| vit_mae::checkpoint::Checkpoint::open(&place.path(out)).unwrap();
    let skipped = checkpoint("ranks-3").state.skipped_images;
    assert_eq!(skipped, checkpoint("one").state.skipped_images);
    assert_eq!(skipped.len(), 2);
}

#[test]
fn more_ranks_than_chunks_are_refused_and_leave_nothing() {
    let place = pictures();
    let ends = new::<Pretrain>(&place, "run", &pretraining(&place, &[]), &(), 6);
    for end in ends {
        let error = end.unwrap().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let message = error.to_string();
        assert!(message.contains("at most 5") && message.contains("optim.micro_batch"), "{message}");
    }
    assert!(!place.path("run").exists());
}

/// Panics after two steps.
struct Panics(u64);

impl Observer for Panics {
    fn step(&mut self, _: &StepRecord, _: u64) {
        self.0 -= 1;
        assert!(self.0 > 0, "a bug");
    }

    fn epoch(&mut self, _: &EpochRecord) {}

    fn should_stop(&self) -> Option<u8> {
        None
    }
}

#[test]
fn a_panic_on_one_rank_aborts_all_and_the_last_checkpoint_stands() {
    let place = pictures();
    let config = pretraining(&place, &[("run.checkpoint_every_steps", "1")]);
    let ends = together(3, |rank| {
        let mut observer = Panics(if rank.rank() == 1 { 2 } else { u64::MAX });
        if rank.rank() == 0 {
            let out = || RunDir::create(Some(place.path("run")), false);
            let mut run = Run::<Pretrain>::new_among(rank.clone(), config.clone(), &(), out).unwrap();
            run.train("", &mut observer).map(|_| ())
        } else {
            let announcement = Announcement::hear(&*rank).unwrap().unwrap();
            Run::<Pretrain>::follow(rank.clone(), announcement).unwrap().train_along(&mut observer)
        }
    });
    assert!(ends.iter().all(std::result::Result::is_err), "{ends:?}");
    assert!(ends[1].as_ref().unwrap_err().contains("rank 1 aborts with 1"), "{ends:?}");
    let run = RunDir::open(place.path("run")).unwrap();
    assert_eq!(vit_mae::checkpoint::Checkpoint::open(run.path()).unwrap().state.step, 1);
}

#[test]
fn ranks_that_see_other_data_are_named() {
    let place = pictures();
    place.images("others/train", 60, (13, 12), 1);
    place.images("others/validation", 7, (12, 12), 1);
    let (here, config) =
        (place.path("others"), pretraining(&place, &[("data.mean", "[0.5]"), ("data.std", "[0.25]")]));
    let ends = together(3, |rank| {
        let result = if rank.rank() == 0 {
            let out = || RunDir::create(Some(place.path("run")), false);
            Run::<Pretrain>::new_among(rank.clone(), config.clone(), &(), out).map(|_| ())
        } else {
            let announcement = Announcement::hear(&*rank).unwrap().unwrap();
            let mut theirs = Config::from_toml(&announcement.config_toml, &place.path("rank 0")).unwrap();
            if rank.rank() == 2 {
                theirs.data.path = Some(here.clone());
            }
            let announcement = Announcement { config_toml: theirs.to_toml().unwrap(), ..announcement };
            Run::<Pretrain>::follow(rank.clone(), announcement).map(|_| ())
        };
        result.map_err(|error| ranks::farewell(&*rank, error))
    });
    for end in ends {
        let message = end.unwrap().unwrap_err().to_string();
        assert!(message.contains("data digest of rank 2"), "{message}");
    }
    assert!(!place.path("run").exists());
}
