//! Claim: ranks that compute one sum together have the bits of one process, whatever the number of ranks and chunks; what one of
//! them fails by ends all of them, with one error; a signal to one of them is a signal to all.

use crate::ranks_of_threads::{Thread, together};
use std::sync::Arc;
use std::time::Duration;
use vit_mae::Error;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::exec::ranks::{self, One, Ranks};
use vit_mae::exec::tree;

/// What a chunk adds, of very different sizes, so that every other order of sums has other bits.
fn chunk(chunk: usize, len: usize) -> Vec<f32> {
    let mut rng = rng(chunk as u64, Purpose::Synthetic, 0, 0);
    (0..len)
        .map(|_| {
            let (sign, exponent) = (2.0 * uniform(&mut rng) - 1.0, 12.0 * uniform(&mut rng));
            #[expect(clippy::cast_possible_truncation, reason = "any number does")]
            let number = (sign * exponent.exp2()) as f32;
            number
        })
        .collect()
}

fn add(a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
    a.into_iter().zip(b).map(|(a, b)| a + b).collect()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn sums_over_any_number_of_ranks_have_the_bits_of_one_process() {
    for (chunks, len) in [(1, 5), (2, 1), (4, 1000), (5, 1000), (7, 13), (8, 1001), (11, 300), (13, 70_001)] {
        let leaf = |i: usize| chunk(i, len);
        let alone = tree::reduce(chunks, &leaf, &add).unwrap();
        for size in 1..=chunks.min(5) {
            let sums = together(size, |rank| {
                let nodes = ranks::nodes(chunks, size);
                let own: Vec<_> =
                    nodes[rank.rank()].iter().map(|node| tree::node(node.clone(), &leaf, &add)).collect();
                let mut out = vec![f32::NAN; len];
                let own: Vec<&[f32]> = own.iter().map(|vector| &vector[..]).collect();
                ranks::sum(&*rank, &nodes, &own, &mut out);
                out
            });
            for sum in sums {
                assert_eq!(bits(&sum.unwrap()), bits(&alone), "{chunks} chunks on {size} ranks");
            }
        }
    }
}

#[test]
fn a_sum_in_another_order_has_other_bits() {
    let (chunks, len) = (8, 1000);
    let alone = tree::reduce(chunks, &|i| chunk(i, len), &add).unwrap();
    let in_order = (1..chunks).fold(chunk(0, len), |sum, i| add(sum, chunk(i, len)));
    assert_ne!(bits(&alone), bits(&in_order), "then the tests above see nothing");
}

#[test]
fn shares_are_neighbours_and_differ_by_one_chunk_at_most() {
    for (chunks, size) in [(13, 4), (4, 4), (3, 5), (64, 7)] {
        let shares: Vec<_> = (0..size).map(|rank| ranks::share(chunks, rank, size)).collect();
        assert!(shares.windows(2).all(|two| two[0].end == two[1].start));
        assert_eq!((shares[0].start, shares[size - 1].end), (0, chunks));
        let lens: Vec<_> = shares.iter().map(ExactSizeIterator::len).collect();
        assert!(lens.iter().max().unwrap() - lens.iter().min().unwrap() <= 1, "{lens:?}");
    }
}

fn failure(path: &str) -> Error {
    Error::input(path, "image data", "a PNG", "noise")
}

/// A step in which the given ranks fail, as a run takes it: the error that each of them ends with.
fn step(rank: Arc<Thread>, failing: &[usize]) -> Result<Vec<Vec<u8>>, Error> {
    let own = if failing.contains(&rank.rank()) {
        Err(failure(&format!("photos/{}.png", rank.rank())))
    } else {
        Ok(b"fine".to_vec())
    };
    let result = own.and_then(|own| ranks::agree(&*rank, &own));
    result.map_err(|error| ranks::farewell(&*rank, error))
}

#[test]
fn an_error_on_one_rank_ends_all_with_it() {
    for failing in [vec![2], vec![0], vec![1, 3], vec![0, 1, 2, 3]] {
        let ends = together(4, |rank| step(rank, &failing));
        for (rank, end) in ends.into_iter().enumerate() {
            let error = end.unwrap().unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let own = rank == failing[0];
            assert_eq!(ranks::came_from_another(&error), !own, "{failing:?}, rank {rank}: {error}");
            let said = failure(&format!("photos/{}.png", failing[0])).to_string();
            let expected = if own { said } else { format!("rank {}: {said}", failing[0]) };
            assert_eq!(error.to_string(), expected);
        }
    }
    let fine = together(3, |rank| step(rank, &[]));
    assert!(fine.into_iter().all(|words| words.unwrap().unwrap() == vec![b"fine".to_vec(); 3]));
}

#[test]
fn a_failure_where_only_rank_0_works_ends_the_waiting_ranks() {
    let ends = together(3, |rank| {
        let result = ranks::on_first(&*rank, || Err::<(), _>(failure("run/metrics.jsonl")));
        result.map_err(|error| ranks::farewell(&*rank, error)).unwrap_err().to_string()
    });
    let said = failure("run/metrics.jsonl").to_string();
    let ends: Vec<String> = ends.into_iter().map(Result::unwrap).collect();
    assert_eq!(ends, [said.clone(), format!("rank 0: {said}"), format!("rank 0: {said}")]);
    let works = together(3, |rank| ranks::on_first(&*rank, || Ok(7)).unwrap());
    assert_eq!(works.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [Some(7), None, None]);
}

#[test]
fn a_signal_to_one_rank_stops_all() {
    let stops = together(4, |rank| {
        let own = (rank.rank() == 2).then_some(15);
        [ranks::any_stop(&*rank, own).unwrap(), ranks::any_stop(&*rank, None).unwrap()]
    });
    assert!(stops.into_iter().all(|stops| stops.unwrap() == [Some(15), None]));
}

#[test]
fn whoever_waits_too_long_for_another_rank_gives_up() {
    let ends = together(2, |rank| {
        rank.limit(Some(Duration::from_millis(100)));
        if rank.rank() == 0 {
            ranks::agree(&*rank, b"here").unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(400));
        }
    });
    assert!(ends[0].as_ref().unwrap_err().contains("rank 1 is silent"), "{ends:?}");
}

#[test]
fn a_rank_that_aborts_ends_the_others() {
    let ends = together(3, |rank| {
        if rank.rank() == 1 {
            rank.abort(1);
        }
        ranks::meet(&*rank).unwrap();
    });
    assert!(ends.iter().all(Result::is_err), "{ends:?}");
}

#[test]
fn a_process_by_itself_agrees_with_itself() {
    assert_eq!(ranks::agree(&One, b"word").unwrap(), [b"word"]);
    assert_eq!(ranks::any_stop(&One, Some(2)).unwrap(), Some(2));
    assert_eq!(ranks::farewell(&One, failure("a")).to_string(), failure("a").to_string());
}
