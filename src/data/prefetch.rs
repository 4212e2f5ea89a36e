//! One thread that works ahead: an iterator whose next items are made while the current one is used.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// How many items are made ahead of the one in use.
pub const BATCHES_AHEAD: usize = 3;

/// The items of another iterator, in its order, made by a thread of their own.
///
/// At most three are ready or in the making at any time. Dropping this ends the thread, at the latest when
/// it has finished the item it is at.
pub struct Prefetch<T> {
    items: Option<Receiver<T>>,
    worker: Option<JoinHandle<()>>,
    waited_nanos: Arc<AtomicU64>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts to work through `items`; `waited_nanos` counts the time for which [`Self::next`] had to wait.
    pub(super) fn new(items: impl Iterator<Item = T> + Send + 'static, waited_nanos: Arc<AtomicU64>) -> Self {
        // One more is in the thread's hands while it waits for room.
        let (sender, receiver) = sync_channel(BATCHES_AHEAD - 1);
        let worker = thread::spawn(move || {
            for item in items {
                if sender.send(item).is_err() {
                    return; // nobody listens any more
                }
            }
        });
        Self { items: Some(receiver), worker: Some(worker), waited_nanos }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let start = Instant::now();
        let item = self.items.as_ref()?.recv().ok();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
        if item.is_none()
            && let Some(Err(panic)) = self.worker.take().map(JoinHandle::join)
        {
            resume_unwind(panic); // a bug in the thread must not look like the end of an epoch
        }
        item
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.items = None; // a thread that waits for room now learns that it is not needed
        if let Some(worker) = self.worker.take() {
            // A panic over there was of an item that nobody asked for.
            worker.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    fn counting(made: &Arc<AtomicUsize>) -> Prefetch<usize> {
        let made = Arc::clone(made);
        Prefetch::new((0..1000).inspect(move |_| _ = made.fetch_add(1, Ordering::SeqCst)), Arc::default())
    }

    #[test]
    fn items_come_in_order_and_end() {
        assert!(counting(&Arc::default()).eq(0..1000));
    }

    #[test]
    fn no_more_than_three_items_are_made_ahead() {
        let made = Arc::default();
        let mut items = counting(&made);
        assert_eq!(items.next(), Some(0));
        thread::sleep(Duration::from_millis(50));
        assert!(made.load(Ordering::SeqCst) <= 1 + BATCHES_AHEAD);
    }

    #[test]
    fn dropping_early_ends_the_thread() {
        let made = Arc::default();
        let mut items = counting(&made);
        items.next();
        drop(items);
        // The thread held a clone of `made`, and `drop` has waited for its end.
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_of_the_thread_is_not_the_end_of_the_items() {
        let items = (0..3).inspect(|&i| assert!(i < 2, "a bug"));
        Prefetch::new(items, Arc::default()).for_each(drop);
    }
}
