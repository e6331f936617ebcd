//! The queue of lines to write.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use super::{
    JournalEntry, JournalHealth,
    layout::SealedSegment,
    lock,
    ticket::{Ticket, TicketSender},
};

/// How long non-durable lines are collected before they are written.
const COLLECT_TIME: Duration = Duration::from_millis(500);
/// The size in bytes at which they are written at once.
const MAX_COLLECTED: usize = 256 << 10;
/// After a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes are kept in memory while the disk is full. Then the oldest lines that only report are dropped, and callers
/// append no others.
pub(super) const MAX_BEHIND: usize = 4 << 20;
/// How many bytes of non-durable lines are queued while the disk is blocked. Further ones are dropped.
const MAX_QUEUED: usize = 64 << 20;

#[derive(Debug)]
pub(super) enum WriterJob {
    /// Append lines, and complete the ticket when the durable ones are on the disk.
    Append(Vec<JournalEntry>, Option<TicketSender>),
    Checkpoint(Vec<u8>, TicketSender),
    /// Replace a segment with its compacted lines.
    Compact(SealedSegment, TicketSender),
}

/// Shared by the writer and the callers.
#[derive(Debug, Default)]
pub(super) struct JournalQueue {
    queue: Mutex<QueueState>,
    wake: Condvar,
    pub(super) health: Mutex<JournalHealth>,
    /// The segment of the checkpoint on the disk; 0 without a checkpoint.
    pub(super) covered: AtomicU64,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: Vec<WriterJob>,
    /// The size of the lines in `jobs`, in bytes.
    bytes: usize,
    /// How many tickets are not completed, including those being written.
    waiting: usize,
    /// How many of them wait for the next call.
    held: usize,
    /// Whether the disk is full, or lines wait because a write failed.
    is_behind: bool,
    /// The size of the lines that wait because a write failed, in bytes.
    behind: usize,
    /// How many calls were dropped.
    dropped: usize,
    is_stopped: bool,
    /// Whether the writer has ended.
    is_closed: bool,
}

impl QueueState {
    /// Whether so much is queued that it is written at once. After a failed write, the retry interval applies instead.
    fn is_large(&self) -> bool {
        !self.is_behind && self.bytes >= MAX_COLLECTED
    }

    /// Whether the writer has to write now.
    fn is_due(&self) -> bool {
        self.waiting > self.held || self.is_large() || self.is_stopped && !self.jobs.is_empty()
    }
}

impl JournalQueue {
    /// Queues lines. Unless `at_once` is set, durable ones wait for the next call.
    pub(super) fn enqueue(&self, entries: Vec<JournalEntry>, at_once: bool) -> Ticket {
        let durable = entries.iter().any(|entry| entry.durable);
        let bytes: usize = entries.iter().map(|entry| entry.text.len()).sum();
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            return Ticket::closed();
        }
        let waits = durable || queue.waiting > 0 || queue.is_behind;
        if entries.is_empty() && !waits {
            return Ticket::completed();
        }
        if !durable && bytes > 0 && queue.bytes + bytes > MAX_QUEUED {
            queue.dropped += 1;
            return Ticket::completed();
        }
        queue.bytes += bytes;
        if !waits {
            let is_first = queue.jobs.is_empty();
            queue.jobs.push(WriterJob::Append(entries, None));
            if is_first || queue.is_large() {
                self.notify(queue);
            }
            return Ticket::completed();
        }
        let (ticket, answer) = Ticket::pair();
        queue.waiting += 1;
        queue.jobs.push(WriterJob::Append(entries, Some(answer)));
        if at_once {
            queue.held = 0;
            self.notify(queue);
        } else {
            queue.held += 1;
        }
        ticket
    }

    pub(super) fn push(&self, job: WriterJob) {
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            // Dropping the job fails its ticket.
            return;
        }
        queue.waiting += 1;
        queue.held = 0;
        queue.jobs.push(job);
        self.notify(queue);
    }

    /// Wakes the writer, which finds the queue unlocked.
    fn notify(&self, queue: MutexGuard<'_, QueueState>) {
        drop(queue);
        self.wake.notify_one();
    }

    /// Fails all queued and future jobs: the writer has ended.
    pub(super) fn close(&self) {
        // Set before a ticket fails, because its caller may read the health.
        *lock(&self.health) = JournalHealth::Failing("the journal thread has ended".into());
        let mut queue = lock(&self.queue);
        queue.is_closed = true;
        queue.jobs.clear();
    }

    /// Makes the writer end after everything is written.
    pub(super) fn stop(&self) {
        lock(&self.queue).is_stopped = true;
        self.wake.notify_one();
    }

    /// Waits for jobs; none when the writer must end.
    pub(super) fn take(&self) -> Option<Vec<WriterJob>> {
        let mut queue = lock(&self.queue);
        let mut deadline: Option<Instant> = None;
        loop {
            if queue.is_due() {
                break;
            }
            if queue.is_stopped {
                return None;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let pause = if queue.is_behind {
                RETRY_INTERVAL
            } else {
                COLLECT_TIME
            };
            if queue.is_behind || !queue.jobs.is_empty() {
                deadline.get_or_insert(now + pause);
            }
            queue = match deadline {
                Some(deadline) => {
                    let waited = self.wake.wait_timeout(queue, deadline - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        if queue.dropped > 0 {
            let dropped = mem::take(&mut queue.dropped);
            tracing::warn!(
                "the disk is too slow: {dropped} events that need not be durable were dropped from the journal"
            );
        }
        queue.bytes = 0;
        queue.held = 0;
        Some(mem::take(&mut queue.jobs))
    }

    /// Records a result of the writer: how many tickets it completes, how many bytes wait for the disk, and its health.
    pub(super) fn settle(&self, answered: usize, behind: usize, health: JournalHealth) {
        let mut queue = lock(&self.queue);
        queue.waiting -= answered;
        queue.behind = behind;
        queue.is_behind = behind > 0 || health != JournalHealth::Good;
        drop(queue);
        *lock(&self.health) = health;
    }

    pub(super) fn has_room(&self) -> bool {
        let queue = lock(&self.queue);
        !queue.is_behind || queue.behind + queue.bytes < MAX_BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> JournalEntry {
        JournalEntry {
            text: text.into(),
            durable: true,
            reports: false,
        }
    }

    fn is_due(queue: &JournalQueue) -> bool {
        lock(&queue.queue).is_due()
    }

    #[test]
    fn held_lines_are_written_with_those_of_the_next_call() {
        let queue = JournalQueue::default();
        let mut tickets = vec![queue.enqueue(vec![entry("1")], false)];
        assert!(!is_due(&queue));
        tickets.push(queue.enqueue(vec![entry("2")], true));
        assert!(is_due(&queue));
        assert_eq!(queue.take().map(|jobs| jobs.len()), Some(2));
        queue.settle(tickets.len(), 0, JournalHealth::Good);
        assert!(!is_due(&queue));
    }

    #[test]
    fn any_call_ends_the_wait_of_held_lines() {
        let calls: [fn(&JournalQueue); 3] = [
            |queue| drop(queue.enqueue(Vec::new(), true)),
            |queue| queue.push(WriterJob::Checkpoint(Vec::new(), Ticket::pair().1)),
            |queue| queue.stop(),
        ];
        for call in calls {
            let queue = JournalQueue::default();
            let _held = queue.enqueue(vec![entry("1")], false);
            call(&queue);
            assert!(is_due(&queue));
        }
    }
}
