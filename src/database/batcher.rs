//! A bounded queue whose entries are taken in batches, by few tasks that exist only while something
//! waits.
//!
//! An entry that finds no task starts one. The task takes what has gathered, again and again until
//! nothing is left, and ends. So a lone entry waits for no other, entries that arrive during a commit
//! share the next one, and no entry waits for a task that has died: each is seen to by whoever adds
//! it. Further tasks run only beside batches that are no larger than theirs, or stuck: with fewer
//! entries a batch would cost more than the wait for the one that runs.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

/// What happens to a batch.
pub(crate) trait BatchWork: Send + Sync + 'static {
    type Entry: Send + 'static;

    fn size_bytes(entry: &Self::Entry) -> usize;

    /// Never called with an empty batch. A panic drops the batch, and no other.
    fn run(&self, batch: Vec<Self::Entry>) -> impl Future<Output = ()> + Send;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// Entries that wait for a task.
    pub(crate) waiting: usize,
    /// Entries of one batch.
    pub(crate) batch: usize,
    /// The size of one batch; a larger entry is a batch of its own.
    pub(crate) batch_bytes: usize,
    /// Batches that run at once.
    pub(crate) tasks: usize,
}

#[derive(Debug)]
pub(crate) struct Batcher<W: BatchWork> {
    work: W,
    limits: BatchLimits,
    state: Mutex<State<W::Entry>>,
}

#[derive(Debug)]
struct State<E> {
    waiting: VecDeque<E>,
    /// The batch of each task; `None` of a task that does not run. Each looks into the queue once
    /// more before it ends.
    tasks: Vec<Option<Running>>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    size: usize,
    since: Instant,
}

/// The size of a batch that is about to be taken: no other starts beside it.
const STARTING: usize = usize::MAX;
/// Nobody waits for a batch that has run for longer.
const STUCK: Duration = Duration::from_millis(250);

impl<E> State<E> {
    /// Whether what waits should not wait for a task that runs.
    fn is_enough(&self) -> bool {
        let running = self.tasks.iter().flatten().filter(|batch| batch.since.elapsed() < STUCK);
        self.waiting.len() >= running.map(|batch| batch.size).max().unwrap_or(1)
    }

    /// The number of a task that must be started.
    fn start(&mut self) -> Option<usize> {
        let task = self.tasks.iter().position(Option::is_none).filter(|_| self.is_enough())?;
        self.tasks[task] = Some(Running { size: STARTING, since: Instant::now() });
        Some(task)
    }
}

/// As many entries wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<W: BatchWork> Batcher<W> {
    pub(crate) fn new(work: W, limits: BatchLimits) -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), tasks: vec![None; limits.tasks] };
        let state = Mutex::new(state);
        Arc::new(Self { work, limits, state })
    }

    pub(crate) fn work(&self) -> &W {
        &self.work
    }

    /// Adds an entry, which a task takes as soon as it can.
    pub(crate) fn push(self: &Arc<Self>, entry: W::Entry) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.waiting.len() >= self.limits.waiting {
            return Err(Full);
        }
        state.waiting.push_back(entry);
        let task = state.start();
        drop(state);
        if let Some(task) = task {
            TaskTracker::new().spawn(Arc::clone(self).run(task));
        }
        Ok(())
    }

    async fn run(self: Arc<Self>, task: usize) {
        while let Some(batch) = self.next_batch(task) {
            // A task that panicked would leave those who wait without one.
            if AssertUnwindSafe(self.work.run(batch)).catch_unwind().await.is_err() {
                tracing::error!("a batch panicked: its entries are dropped");
            }
        }
    }

    /// `None` if nothing waits, or too little: the task must end.
    fn next_batch(&self, task: usize) -> Option<Vec<W::Entry>> {
        let mut state = self.state.lock();
        // Under the lock: whoever adds the next entry sees that the task does not run.
        state.tasks[task] = None;
        if !state.is_enough() {
            return None;
        }
        let (mut bytes, mut count) = (0, 0);
        for entry in state.waiting.iter().take(self.limits.batch) {
            bytes += W::size_bytes(entry);
            if count > 0 && bytes > self.limits.batch_bytes {
                break;
            }
            count += 1;
        }
        state.tasks[task] = Some(Running { size: count, since: Instant::now() });
        Some(state.waiting.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{Semaphore, mpsc};

    /// Reports each batch and waits for a permit. A batch with a zero panics.
    struct Gate {
        batches: mpsc::UnboundedSender<Vec<usize>>,
        permits: Semaphore,
    }

    impl BatchWork for Gate {
        type Entry = usize;

        fn size_bytes(entry: &usize) -> usize {
            *entry
        }

        async fn run(&self, batch: Vec<usize>) {
            let panics = batch.contains(&0);
            self.batches.send(batch).unwrap();
            self.permits.acquire().await.unwrap().forget();
            assert!(!panics, "on purpose");
        }
    }

    fn gate(limits: BatchLimits) -> (Arc<Batcher<Gate>>, mpsc::UnboundedReceiver<Vec<usize>>) {
        let (batches, seen) = mpsc::unbounded_channel();
        (Batcher::new(Gate { batches, permits: Semaphore::new(0) }, limits), seen)
    }

    const LIMITS: BatchLimits = BatchLimits { waiting: 8, batch: 3, batch_bytes: 100, tasks: 2 };

    #[tokio::test]
    async fn entries_that_wait_for_a_task_share_its_next_batch() {
        let (batcher, mut seen) = gate(LIMITS);
        for (entry, alone) in [(1, vec![1]), (2, vec![2])] {
            batcher.push(entry).unwrap();
            assert_eq!(seen.recv().await.unwrap(), alone, "a lone entry waits for no other");
        }
        for entry in 3..=6 {
            batcher.push(entry).unwrap();
        }
        batcher.work.permits.add_permits(1);
        assert_eq!(seen.recv().await.unwrap(), [3, 4, 5]);
        // The other task ends, and leaves what is less to the one that runs.
        batcher.work.permits.add_permits(1);
        tokio::task::yield_now().await;
        assert!(seen.try_recv().is_err(), "a smaller batch does not run beside a larger one");
        batcher.work.permits.add_permits(1);
        assert_eq!(seen.recv().await.unwrap(), [6]);
    }

    #[tokio::test]
    async fn a_further_task_starts_when_as_many_wait_as_the_running_batch_has() {
        let (batcher, mut seen) = gate(BatchLimits { batch: 2, ..LIMITS });
        batcher.push(1).unwrap();
        batcher.push(2).unwrap();
        assert_eq!(seen.recv().await.unwrap(), [1, 2]);
        batcher.push(3).unwrap();
        tokio::task::yield_now().await;
        assert!(seen.try_recv().is_err(), "one is less than two");
        batcher.push(4).unwrap();
        assert_eq!(seen.recv().await.unwrap(), [3, 4]);
        batcher.push(5).unwrap();
        batcher.work.permits.add_permits(2);
        assert_eq!(seen.recv().await.unwrap(), [5], "whichever ends last takes it");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_batch_that_is_stuck() {
        let (batcher, mut seen) = gate(LIMITS);
        for entry in 1..=3 {
            batcher.push(entry).unwrap();
        }
        assert_eq!(seen.recv().await.unwrap(), [1, 2, 3]);
        batcher.push(4).unwrap();
        tokio::task::yield_now().await;
        assert!(seen.try_recv().is_err(), "one is less than three");
        for batch in batcher.state.lock().tasks.iter_mut().flatten() {
            batch.since -= STUCK;
        }
        batcher.push(5).unwrap();
        assert_eq!(seen.recv().await.unwrap(), [4, 5]);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_by_size_but_has_an_entry() {
        let (batcher, mut seen) = gate(BatchLimits { tasks: 1, ..LIMITS });
        batcher.work.permits.add_permits(10);
        for entry in [60, 40, 1, 500, 7] {
            batcher.push(entry).unwrap();
        }
        for batch in [vec![60, 40], vec![1], vec![500], vec![7]] {
            assert_eq!(seen.recv().await.unwrap(), batch);
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_a_batch_is_taken() {
        let (batcher, mut seen) = gate(BatchLimits { waiting: 2, tasks: 1, ..LIMITS });
        batcher.push(1).unwrap();
        seen.recv().await.unwrap();
        batcher.push(2).unwrap();
        batcher.push(3).unwrap();
        assert_eq!(batcher.push(4), Err(Full));
        batcher.work.permits.add_permits(1);
        assert_eq!(seen.recv().await.unwrap(), [2, 3]);
        batcher.push(4).unwrap();
    }

    #[tokio::test]
    async fn a_panic_costs_its_batch_and_no_other() {
        let (batcher, mut seen) = gate(BatchLimits { tasks: 1, ..LIMITS });
        batcher.push(0).unwrap();
        seen.recv().await.unwrap();
        batcher.push(1).unwrap();
        batcher.work.permits.add_permits(2);
        assert_eq!(seen.recv().await.unwrap(), [1]);
        // The task has ended or is about to: the next entry finds one either way.
        batcher.push(2).unwrap();
        assert_eq!(seen.recv().await.unwrap(), [2]);
    }
}
