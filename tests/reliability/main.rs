//! Whatever is killed, cut short or refused by a disk, a run goes on with the same bits.

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod faults;
