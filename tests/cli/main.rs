//! What a user types: every command, its refusals, its JSON, its settings.

mod ablate;
mod ablate_cost;
mod ablate_curves;
mod ablate_damaged;
mod ablate_tasks;
mod bad_beit;
mod bad_convert;
mod bad_input;
mod bad_settings;
mod bad_transfer;
#[path = "../common/mod.rs"]
mod common;
mod convert;
mod data;
mod data_dense;
mod data_export;
mod eval;
#[path = "../common/events.rs"]
mod events;
mod inspect;
mod interop;
mod json;
#[path = "../common/labelled.rs"]
mod labelled;
mod labels;
mod logs;
mod main_job;
mod probe;
mod reproduce;
mod settings;
mod shells;
mod visualise;
