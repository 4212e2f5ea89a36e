//! The checks check: gradient checks, planted bugs, parity, traces, the doctor.

#[path = "../common/mod.rs"]
mod common;
mod doctor;
#[path = "../common/forge.rs"]
mod forge;
mod gradcheck;
mod gradcheck_command;
mod junit;
#[path = "../common/labelled.rs"]
mod labelled;
mod parity;
mod parity_beit;
mod parity_command;
mod parity_dense;
mod parity_detect;
mod planted_bugs;
#[path = "../common/recording.rs"]
mod recording;
mod trace;
mod trace_bad_input;
