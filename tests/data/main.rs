//! From a file to a batch: formats, splits, pictures, augmentation, the loader.

mod augment;
mod bad_images;
mod coco;
mod coco_beside;
#[path = "../common/mod.rs"]
mod common;
mod damaged_split;
mod dense;
mod folder;
mod formats;
mod geometry;
mod jpeg;
mod kinds;
mod label_maps;
#[path = "../common/labelled.rs"]
mod labelled;
mod layouts;
mod loader;
mod mix;
mod noted;
mod npy;
mod parquet;
mod pillow;
mod pillow_ops;
mod rand_augment;
mod rle;
mod scenes;
mod shards;
mod split;
mod two_views;
mod voc;
mod webdataset;
