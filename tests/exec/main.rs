//! Products and kernels: right, and the same bits for any number of threads.

mod amx;
#[path = "../common/mod.rs"]
mod common;
mod cublas;
mod kernels;
mod products;
mod ranks;
#[path = "../common/ranks.rs"]
mod ranks_of_threads;
