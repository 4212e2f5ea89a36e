//! Products and kernels: right, and the same bits for any number of threads.

#[path = "../common/mod.rs"]
mod common;
mod cublas;
mod kernels;
mod products;
