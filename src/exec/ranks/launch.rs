//! How this process was started, as far as the environment tells, and how many threads suit it.

use std::env;
use std::fs;
use std::thread::available_parallelism;

/// What a launcher of several processes (`mpirun`, `srun --mpi=pmix`) told this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// This process's number.
    pub rank: usize,
    /// How many were started; 0 where the launcher does not say.
    pub size: usize,
}

/// The variables in which launchers give a process its number, and those for how many there are.
const RANK: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
const SIZE: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// What a launcher said, if one started this process.
#[must_use]
pub fn launch() -> Option<Launch> {
    let number = |name: &&str| env::var(name).ok()?.parse().ok();
    let rank = RANK.iter().find_map(number)?;
    Some(Launch { rank, size: SIZE.iter().find_map(number).unwrap_or(0) })
}

/// How many processes Slurm's `srun` started in this step, if it started this one.
#[must_use]
pub fn slurm_tasks() -> Option<usize> {
    env::var("SLURM_STEP_NUM_TASKS").ok()?.parse().ok()
}

/// Threads for one of so many ranks on this machine, and a remark if a launcher left it fewer cores than there are for each.
#[must_use]
pub fn threads(neighbours: usize) -> (usize, Option<String>) {
    let allowed = available_parallelism().map_or(1, usize::from);
    share_of(allowed, cores().unwrap_or(allowed), neighbours)
}

/// A process that may use every core shares them with its neighbours; one that is bound to some has these to itself.
fn share_of(allowed: usize, cores: usize, neighbours: usize) -> (usize, Option<String>) {
    let each = (cores / neighbours.max(1)).max(1);
    if allowed >= cores {
        return (each, None);
    }
    let why = format!(
        "each of {neighbours} ranks on this machine is bound to {allowed} of its {cores} cores; `mpirun --bind-to none` \
         lets each use {each}"
    );
    (allowed, Some(why).filter(|_| allowed < each))
}

/// The sizes of a core's caches, from which the lengths of the blocks in products follow; empty where the system does not say.
#[must_use]
pub fn cache_sizes() -> String {
    let size = |index: usize| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()
    };
    let sizes: Vec<_> = (0..4).map_while(size).map(|size| size.trim().to_owned()).collect();
    sizes.join(", ")
}

/// The machine's cores, those included that this process may not use; none where the system does not say.
fn cores() -> Option<usize> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    count(online.trim())
}

/// How many numbers a list such as `0-3,8` has.
fn count(list: &str) -> Option<usize> {
    let part = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_unless_a_rank_is_bound_to_some() {
        assert_eq!(share_of(16, 16, 4), (4, None));
        assert_eq!(share_of(2, 2, 4), (1, None));
        assert_eq!(share_of(4, 16, 4), (4, None));
        let (threads, note) = share_of(1, 16, 2);
        assert_eq!(threads, 1);
        assert!(note.is_some_and(|note| note.contains("1 of its 16 cores") && note.contains("use 8")));
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(count("0-15"), Some(16));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("0-3,8,10-11"), Some(7));
        assert_eq!(count("3-0"), None);
        assert_eq!(count(""), None);
    }
}
