//! Claim: of a run's checkpoints the last few and the best stay.

use crate::files_checkpoint::{state, target, write_model, write_state};
use vit_mae::checkpoint::dir::NAME;
use vit_mae::checkpoint::{
    Checkpoint, CheckpointTarget, Checksums, EpochRecord, Named, Position, State, keep,
};

#[test]
fn the_last_checkpoints_and_the_best_are_kept() {
    let run = tempfile::tempdir().unwrap();
    let losses = [0.9, 0.2, 0.5, 0.6, 0.4, 0.3];
    let mut kept = Vec::new();
    for (step, loss) in (1..).zip(losses) {
        let mut state = State { position: Position::default(), ..state(step) };
        state.history[0].scores = Named::scores([("loss", loss)]);
        write_state(run.path(), state, 2);
        let older = keep::older(run.path()).unwrap();
        kept.push(older.into_iter().map(|(step, _)| step).collect::<Vec<_>>());
    }
    // One before the last, and step 2, whose loss is the lowest.
    assert_eq!(kept, [vec![], vec![1], vec![2], vec![2, 3], vec![2, 4], vec![2, 5]]);
}

#[test]
fn of_equally_good_checkpoints_the_last_is_the_best_however_many_stay() {
    for keep in [1, 5] {
        let run = tempfile::tempdir().unwrap();
        for (step, loss) in (1..).zip([0.9, 0.2, 0.2, 0.6]) {
            let mut state = State { position: Position::default(), ..state(step) };
            state.history[0].scores = Named::scores([("loss", loss)]);
            write_state(run.path(), state, keep);
        }
        let best = keep::best(run.path()).unwrap();
        assert!(best.ends_with("step-00000003"), "keep {keep}: {}", best.display());
    }
}

#[test]
fn what_an_interruption_left_takes_no_other_checkpoints_place() {
    for (within_epochs, left) in [(false, vec![1, 3]), (true, vec![3, 4])] {
        let run = tempfile::tempdir().unwrap();
        for (step, steps) in [(1, 0), (2, 7), (3, 0), (4, 7), (5, 0)] {
            let state = State { position: Position { steps, ..Position::default() }, ..state(step) };
            let target = CheckpointTarget { keep: 3, within_epochs, ..target(run.path()) };
            Checkpoint::write(target, state, 0, |model, optimizer| {
                Ok(Checksums { model: write_model(model), optimizer: write_model(optimizer) })
            })
            .unwrap();
        }
        let older = keep::older(run.path()).unwrap();
        assert_eq!(older.into_iter().map(|(step, _)| step).collect::<Vec<_>>(), left);
    }
}

#[test]
fn without_validation_scores_the_last_checkpoint_is_the_best() {
    let run = tempfile::tempdir().unwrap();
    for (step, train_loss) in (1..).zip([0.9, 0.2, 0.5]) {
        let mut state = State { position: Position::default(), ..state(step) };
        state.history[0] = EpochRecord { train_loss, scores: Named::default(), ..state.history[0].clone() };
        write_state(run.path(), state, 3);
    }
    assert_eq!(keep::older(run.path()).unwrap().len(), 2);
    assert_eq!(keep::best(run.path()).unwrap(), run.path().join(NAME));
}
