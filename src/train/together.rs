//! What the ranks of a run tell each other, beside sums: whether they are alike, what rank 0 has, and before each batch whether
//! to go on with it.

use crate::base::{Error, Result};
use crate::config::sections::OptimConfig;
use crate::data::{Batch, Target};
use crate::exec::ranks::{BUCKET, Ranks, agree, share, stop_in};
use std::ops::Range;
use std::time::Duration;

/// For so long a rank waits for another in the middle of a step, unless `run.rank_timeout_secs` says otherwise.
pub const TIMEOUT_SECS: u64 = 600;

/// For how long a rank waits in the middle of a step.
#[must_use]
pub fn patience(rank_timeout_secs: Option<u64>) -> Duration {
    Duration::from_secs(rank_timeout_secs.unwrap_or(TIMEOUT_SECS))
}

/// The chunks of a batch.
#[must_use]
pub fn chunks(optim: &OptimConfig) -> usize {
    optim.batch_size.div_ceil(optim.micro_batch)
}

/// The rows of a batch that a rank computes: those of its chunks.
///
/// # Errors
/// If there are more ranks than chunks.
pub fn rows(optim: &OptimConfig, ranks: &dyn Ranks, rank: usize) -> Result<Range<usize>> {
    let (chunks, size, &OptimConfig { batch_size, micro_batch, .. }) = (chunks(optim), ranks.size(), optim);
    if size > chunks {
        let expected = format!(
            "at most {chunks}, the chunks of a batch (optim.batch_size {batch_size} in chunks of optim.micro_batch \
             {micro_batch})"
        );
        return Err(Error::setting("number of ranks", expected, size));
    }
    let own = share(chunks, rank, size);
    Ok(own.start * micro_batch..(own.end * micro_batch).min(batch_size))
}

/// What must be the same on all ranks: names and values.
pub type Traits<'a> = [(&'a str, String)];

/// Compares what must be the same on all ranks.
///
/// # Errors
/// [`Error::Setting`], the same on all ranks, that names the first rank and the first trait which differ from rank 0's; or as
/// [`agree`].
pub fn compare(ranks: &dyn Ranks, traits: &Traits<'_>) -> Result<()> {
    let own: Vec<String> = traits.iter().map(|(_, value)| value.replace('\n', " ")).collect();
    let words = agree(ranks, own.join("\n").as_bytes())?;
    let values: Vec<Vec<String>> = words
        .iter()
        .map(|word| String::from_utf8_lossy(word).split('\n').map(str::to_owned).collect())
        .collect();
    for (i, (name, _)) in traits.iter().enumerate() {
        let of = |rank: usize| values[rank].get(i).cloned().unwrap_or_default();
        if let Some(rank) = (1..values.len()).find(|&rank| of(rank) != of(0)) {
            return Err(Error::setting(
                format!("{name} of rank {rank}"),
                format!("{}, as on rank 0", of(0)),
                of(rank),
            ));
        }
    }
    Ok(())
}

/// What rank 0 has to say, on every rank; the others say nothing.
///
/// # Errors
/// As [`agree`].
pub fn from_first(ranks: &dyn Ranks, own: &[u8]) -> Result<Vec<u8>> {
    let own = if ranks.rank() == 0 { own } else { &[] };
    Ok(agree(ranks, own)?.swap_remove(0))
}

/// Puts rank 0's numbers into the same tensors of every rank.
pub fn spread<'a>(ranks: &dyn Ranks, tensors: impl IntoIterator<Item = &'a mut [f32]>) {
    for tensor in tensors {
        for bucket in tensor.chunks_mut(BUCKET) {
            if ranks.rank() == 0 {
                let send: Vec<(usize, &[f32])> = (1..ranks.size()).map(|rank| (rank, &*bucket)).collect();
                ranks.exchange(&send, &mut []);
            } else {
                ranks.exchange(&[], &mut [(0, bucket)]);
            }
        }
    }
}

/// What the ranks say before they compute a batch, each with its rows of it loaded: the signal that asks one of them to stop, if
/// any. The classes of all rows are known after it.
///
/// # Errors
/// As [`agree`]: if one of them could not load its rows.
pub fn begin_batch(
    ranks: &dyn Ranks,
    optim: &OptimConfig,
    batch: &mut Batch,
    stop: Option<u8>,
) -> Result<Option<u8>> {
    if ranks.size() == 1 {
        return Ok(stop);
    }
    let mut own = vec![stop.unwrap_or(0)];
    let classes = batch.targets[rows(optim, ranks, ranks.rank())?].iter().filter_map(Target::class);
    own.extend(classes.flat_map(|class| (class as u64).to_le_bytes()));
    let words = agree(ranks, &own)?;
    for (rank, word) in words.iter().enumerate() {
        let (classes, _) = word[1..].as_chunks();
        for (target, class) in batch.targets[rows(optim, ranks, rank)?].iter_mut().zip(classes) {
            *target = Target::Class(usize::try_from(u64::from_le_bytes(*class)).unwrap_or(usize::MAX));
        }
    }
    Ok(stop_in(&words))
}

/// Texts of all ranks, such as the images that each of them skipped.
///
/// # Errors
/// As [`agree`].
pub fn unite(ranks: &dyn Ranks, own: Vec<String>) -> Result<Vec<String>> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    let line = |text: &String| text.replace('\n', " ") + "\n";
    let words = agree(ranks, own.iter().map(line).collect::<String>().as_bytes())?;
    let lines = |word: &Vec<u8>| String::from_utf8_lossy(word).lines().map(str::to_owned).collect::<Vec<_>>();
    Ok(words.iter().flat_map(lines).collect())
}
