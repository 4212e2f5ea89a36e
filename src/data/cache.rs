//! Decoded images that are kept, up to a number of bytes.
//!
//! The first images to come are kept until the room is used up, and none is ever put out: as an epoch visits
//! every image once, the least recently used one is exactly the one needed next, and replacing would keep
//! nothing that helps. What does not fit is decoded again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Image;
use crate::base::sync::lock;

/// A bounded map from index to image, shared by the threads that decode.
pub(super) struct Cache {
    limit_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    images: HashMap<usize, Arc<Image>>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, kept: Mutex::default() }
    }

    pub(super) fn get(&self, index: usize) -> Option<Arc<Image>> {
        lock(&self.kept).images.get(&index).cloned()
    }

    /// Keeps the image if there is room.
    pub(super) fn offer(&self, index: usize, image: &Arc<Image>) {
        let mut kept = lock(&self.kept);
        let bytes = kept.bytes + image.bytes();
        if bytes <= self.limit_bytes && !kept.images.contains_key(&index) {
            kept.images.insert(index, Arc::clone(image));
            kept.bytes = bytes;
        }
    }

    /// The bytes of all pixels kept.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_the_limit_allows() {
        let cache = Cache::new(250);
        let image = Arc::new(Image::new(10, 10, 1, vec![0; 100]));
        for index in [0, 0, 1, 2, 3] {
            cache.offer(index, &image);
        }
        assert_eq!(cache.bytes(), 200);
        assert!(cache.get(1).is_some());
        assert!(cache.get(2).is_none());
        let small = Arc::new(Image::new(5, 10, 1, vec![0; 50]));
        cache.offer(4, &small);
        assert_eq!(cache.bytes(), 250);
    }
}
