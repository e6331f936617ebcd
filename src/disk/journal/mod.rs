//! The journal's files: append-only lines of JSON.
//!
//! ```text
//! journal/
//!   00000001.jsonl      segments; only the last one is written
//!   00000002.jsonl
//!   manifest.jsonl      the segments, and the machines that each sealed one mentions
//!   checkpoint          the state up to a position, so that a start is quick; may be deleted
//!   compacted-00000001  the lines of a segment that stay, until they replace it
//!   cut-00000002-512    an incomplete line that was removed from the end of a segment after a crash
//!   reserve             room for the last lines on a full disk
//!   lock                the process that writes
//! ```
//!
//! One thread writes (`writer`). Lines that arrive while it is busy are written together and synced once, then all their
//! [`Ticket`]s are completed: a durable line is on the disk before a reply that depends on it is sent. Opening the journal
//! (`recover`) removes an incomplete line that a crash left and reports damage. Old segments are compacted (`compact`). This
//! module does not interpret lines, except for the machines that they name.

mod storage;
mod layout;
mod segment;
mod lock;
mod replay;
mod scan;
mod recover;
mod ticket;
mod queue;
mod compact;
mod reserve;
mod writer;
mod follow;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use super::atomic;
use queue::{JournalQueue, WriterJob};
use writer::JournalWriter;

pub use compact::{Compaction, Retention};
pub use follow::{JournalFollower, last, lines_of};
pub use layout::Position;
pub use lock::{Lock, LockError};
pub use replay::{Damage, JournalLines, Replay};
pub use storage::{JournalDirectory, Storage};
pub use ticket::{JournalError, Ticket};

/// One line to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// One JSON object without line breaks. The keys `machine` and `into` name the machines that it concerns.
    pub text: String,
    /// Whether its ticket completes only when it is on the disk. Other lines are written within a second.
    pub durable: bool,
    /// Whether it only reports, so that it may be dropped while too much waits for the disk.
    pub reports: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// A segment of this length in bytes is sealed, and the next one started.
    pub segment: u64,
    /// The size in bytes of a file that is removed when the disk is full, so that more lines can be written. 0 for none.
    pub reserve: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        // One segment is compacted in a fraction of a second, and in memory.
        JournalOptions {
            segment: 4 << 20,
            reserve: 1 << 20,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JournalHealth {
    #[default]
    Good,
    /// The disk is full. Lines are written in the room of the reserve, then kept in memory. The write is retried every second.
    Full,
    /// Writing fails for this reason. Lines are kept in memory and the write is retried every second.
    Failing(String),
}

/// The journal, open for writing. Dropping it writes pending lines.
#[derive(Debug)]
pub struct Journal {
    storage: StorageHandle,
    shared: Arc<JournalQueue>,
    thread: Option<std::thread::JoinHandle<()>>,
    // Released last, after the thread has ended.
    _lock: Option<Lock>,
}

impl Journal {
    /// Opens the journal in `dir`, which is created if it is missing, for the site at `site`. No other process can open it
    /// until it is dropped.
    pub fn open(
        dir: &Path,
        site: &Path,
        options: JournalOptions,
    ) -> Result<(Journal, Replay), LockError> {
        atomic::create_dir(dir)?;
        let lock = Lock::take(dir, site)?;
        let (mut journal, replay) = Journal::over(Arc::new(JournalDirectory::new(dir)), options)?;
        journal._lock = Some(lock);
        Ok((journal, replay))
    }

    /// Opens the journal on `storage`.
    pub fn over(
        storage: Arc<dyn Storage>,
        options: JournalOptions,
    ) -> io::Result<(Journal, Replay)> {
        let recovered = recover::recover(&storage)?;
        let shared = Arc::new(JournalQueue::default());
        shared.covered.store(recovered.covered, Ordering::Release);
        let handle = StorageHandle(storage.clone());
        let writer = JournalWriter::new(storage, shared.clone(), options, recovered.end);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())?;
        let journal = Journal {
            storage: handle,
            shared,
            thread: Some(thread),
            _lock: None,
        };
        Ok((journal, recovered.replay))
    }

    /// Appends `entries` in order, after all that were appended before. It does not block.
    ///
    /// The ticket completes when every durable line of this call and of all earlier calls is on the disk; so an empty call
    /// checks whether the journal has caught up. A failed ticket does not cancel its lines: the durable ones are kept in
    /// order and written as soon as the disk allows. Until then every further ticket fails, including that of an empty
    /// call.
    pub fn append(&self, entries: Vec<JournalEntry>) -> Ticket {
        self.enqueue(entries, true)
    }

    /// As [`Journal::append`], but durable entries may wait for the next call, so that both are written and synced at once.
    pub fn append_with_next(&self, entries: Vec<JournalEntry>) -> Ticket {
        self.enqueue(entries, false)
    }

    fn enqueue(&self, entries: Vec<JournalEntry>, at_once: bool) -> Ticket {
        let one_line = |entry: &JournalEntry| !entry.text.contains('\n');
        assert!(
            entries.iter().all(one_line),
            "an entry of the journal is one line"
        );
        self.shared.enqueue(entries, at_once)
    }

    /// Stores `state`, which must be the fold of exactly the lines appended before this call, so that the next start reads
    /// from there. It fails while lines wait for the disk.
    pub fn checkpoint(&self, state: Vec<u8>) -> Ticket {
        let (ticket, answer) = Ticket::pair();
        self.shared.push(WriterJob::Checkpoint(state, answer));
        ticket
    }

    /// Compacts the oldest segment that is due. It blocks, so it is for a background thread. Lines are appended meanwhile.
    pub fn compact(&self, retention: &Retention<'_>) -> Result<Compaction, JournalError> {
        let covered = self.shared.covered.load(Ordering::Acquire);
        let prepared = compact::prepare(&self.storage.0, covered, retention);
        let sealed = match prepared.map_err(|error| JournalError::new(&error))? {
            Ok(sealed) => sealed,
            Err(bytes) => return Ok(Compaction::NotDue { bytes }),
        };
        let compacted = Compaction::Compacted {
            segment: layout::name(sealed.segment),
            before: sealed.compacted_from.unwrap_or(sealed.bytes),
            after: sealed.bytes,
        };
        let (ticket, answer) = Ticket::pair();
        self.shared.push(WriterJob::Compact(sealed, answer));
        ticket.wait().map(|()| compacted)
    }

    /// Whether lines can still be kept in memory while the disk is full. Otherwise a caller must not append any that decide.
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    pub fn health(&self) -> JournalHealth {
        lock(&self.shared.health).clone()
    }
}

/// The storage, without its content in debug output.
struct StorageHandle(Arc<dyn Storage>);

impl std::fmt::Debug for StorageHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Storage")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.stop();
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the journal thread panicked");
        }
    }
}

/// Reads the journal in `dir` without the lock, as far as it is written, and changes nothing.
pub fn read(dir: &Path) -> io::Result<Replay> {
    if !dir.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    recover::survey(&storage).map(|survey| survey.replay(&storage))
}

/// Whether anything was ever written to the journal in `dir`.
pub fn is_begun(dir: &Path) -> io::Result<bool> {
    if !dir.is_dir() {
        return Ok(false);
    }
    Ok(!layout::segments(&JournalDirectory::new(dir))?.is_empty())
}

/// The names of the segments in `dir`, in order.
pub fn segments_of(dir: &Path) -> io::Result<Vec<String>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let segments = layout::segments(&JournalDirectory::new(dir))?;
    Ok(segments.into_iter().map(layout::name).collect())
}

/// Whether a file of this name is a segment of a journal.
pub fn is_segment(file: &str) -> bool {
    layout::number(file).is_some()
}

/// A poisoned mutex is used all the same: a thread that panicked left a consistent value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
