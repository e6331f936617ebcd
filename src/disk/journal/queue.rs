//! What waits to be written.

use std::{
    mem,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    JournalEntry, JournalHealth, lock,
    ticket::{Ticket, TicketSender},
};

/// How long lines that nobody waits for may gather, and how much of them in bytes.
const GATHER: Duration = Duration::from_millis(500);
const MAX_GATHERED: usize = 256 << 10;
/// How long until a disk that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How much of what merely tells may wait for a disk that is stuck. More is dropped.
const MAX_WAITING: usize = 64 << 20;

/// What the writer is to do.
#[derive(Debug)]
pub(super) enum WriterJob {
    /// Append lines, and answer once the durable ones among them are on the disk.
    Append(Vec<JournalEntry>, Option<TicketSender>),
    /// Keep a state.
    Checkpoint(Vec<u8>, TicketSender),
}

/// What the writer shares with those who append.
#[derive(Debug, Default)]
pub(super) struct JournalQueue {
    queue: Mutex<QueueState>,
    wake: Condvar,
    /// How the journal fares.
    pub(super) health: Mutex<JournalHealth>,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: Vec<WriterJob>,
    /// The lines in `jobs`, in bytes.
    bytes: usize,
    /// How many appends wait for an answer, those that are being written among them.
    waiting: usize,
    /// Whether lines wait for the disk to let them in.
    is_behind: bool,
    /// How many calls were not taken in.
    dropped: usize,
    is_stopped: bool,
    /// Whether the writer is gone.
    is_closed: bool,
}

impl QueueState {
    /// Whether so much has gathered that it is written at once. A disk that refuses is tried again in its time.
    fn is_much(&self) -> bool {
        !self.is_behind && self.bytes >= MAX_GATHERED
    }
}

impl JournalQueue {
    /// Takes entries in.
    pub(super) fn enqueue(&self, entries: Vec<JournalEntry>) -> Ticket {
        let durable = entries.iter().any(|entry| entry.durable);
        let bytes: usize = entries.iter().map(|entry| entry.text.len()).sum();
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            return Ticket::closed();
        }
        let waits = durable || queue.waiting > 0 || queue.is_behind;
        if entries.is_empty() && !waits {
            return Ticket::kept();
        }
        if !durable && bytes > 0 && queue.bytes + bytes > MAX_WAITING {
            queue.dropped += 1;
            return Ticket::kept();
        }
        queue.bytes += bytes;
        if !waits {
            let is_first = queue.jobs.is_empty();
            queue.jobs.push(WriterJob::Append(entries, None));
            if is_first || queue.is_much() {
                self.wake.notify_one();
            }
            return Ticket::kept();
        }
        let (ticket, answer) = Ticket::pair();
        queue.waiting += 1;
        queue.jobs.push(WriterJob::Append(entries, Some(answer)));
        self.wake.notify_one();
        ticket
    }

    /// Takes another job in.
    pub(super) fn push(&self, job: WriterJob) {
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            // Dropping the job answers it.
            return;
        }
        queue.waiting += 1;
        queue.jobs.push(job);
        self.wake.notify_one();
    }

    /// Answers all that waits, and whatever comes: nobody writes any more.
    pub(super) fn close(&self) {
        // Before anybody is answered, who may then ask.
        *lock(&self.health) = JournalHealth::Failing("the thread that writes it has ended".into());
        let mut queue = lock(&self.queue);
        queue.is_closed = true;
        queue.jobs.clear();
    }

    /// Lets the writer end when everything is written.
    pub(super) fn stop(&self) {
        lock(&self.queue).is_stopped = true;
        self.wake.notify_one();
    }

    /// Waits until there is something to do; none when the writer is to end.
    pub(super) fn take(&self) -> Option<Vec<WriterJob>> {
        let mut queue = lock(&self.queue);
        let mut deadline: Option<Instant> = None;
        loop {
            if queue.waiting > 0 || queue.is_much() || queue.is_stopped && !queue.jobs.is_empty() {
                break;
            }
            if queue.is_stopped {
                return None;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let pause = if queue.is_behind { AGAIN } else { GATHER };
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
                "the disk does not keep up: {dropped} events that merely tell are not in the journal"
            );
        }
        queue.bytes = 0;
        Some(mem::take(&mut queue.jobs))
    }

    /// Takes note of what the writer has done: how many answers it gives, and how it fares.
    pub(super) fn settle(&self, answered: usize, is_behind: bool, health: JournalHealth) {
        let mut queue = lock(&self.queue);
        queue.waiting -= answered;
        queue.is_behind = is_behind;
        drop(queue);
        *lock(&self.health) = health;
    }
}
