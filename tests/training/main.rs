//! Runs: what they learn, what is kept of them, what changes their bits.

mod beit;
mod bench_memory;
mod bits;
mod buffers;
mod chunk_sums;
mod classifier;
mod coco_eval;
#[path = "../common/mod.rs"]
mod common;
mod detect;
mod detect_by_heart;
mod detector;
mod determinism;
mod examples;
mod files_checkpoint;
mod files_keep;
mod files_pictures;
mod files_run;
mod finetune;
mod inference;
mod judged_pictures;
mod judging;
#[path = "../common/labelled.rs"]
mod labelled;
mod learning;
mod linear_probe;
mod masking;
mod moco;
mod own_task;
mod presets;
mod ranks;
#[path = "../common/ranks.rs"]
mod ranks_of_threads;
mod resume;
mod segment;
mod segmenter;
mod selection;
mod spared;
