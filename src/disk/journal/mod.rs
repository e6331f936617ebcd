//! The journal's files: lines of JSON that only ever grow in number.
//!
//! ```text
//! journal/
//!   00000001.jsonl    segments; only the last one is written
//!   00000002.jsonl
//!   manifest.jsonl    which segments there are, and which machines each sealed one speaks of
//!   checkpoint        the state up to a position, so that a start is quick; may be deleted
//!   cut-00000002-512  what was cut off the end of a segment after a crash
//!   lock              who writes
//! ```
//!
//! One thread writes (`writer`). Whatever has gathered while it was busy is written at once and synced
//! once, then every [`Ticket`] of it is answered: a line that is durable is on the disk before anything that
//! rests on it leaves. Opening the journal (`recover`) cuts off what a crash left half-written and tells
//! what is damaged. What the lines say is not known here, but for the machine each one is about.

mod medium;
mod layout;
mod segment;
mod lock;
mod replay;
mod scan;
mod recover;
mod ticket;
mod queue;
mod writer;
mod follow;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::atomic;
use queue::{JournalQueue, WriterJob};
use writer::JournalWriter;

pub use follow::{JournalTail, end, last, lines_of, tail};
pub use layout::Position;
pub use lock::{Lock, LockError};
pub use medium::{JournalDirectory, Storage};
pub use replay::{Damage, JournalLines, Replay};
pub use ticket::{JournalError, Ticket};

/// One line to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// One JSON object, without a line break. Whom it concerns is what it names as `machine` and `into`.
    pub text: String,
    /// Whether its ticket waits until it is on the disk. Other lines are written within a second.
    pub durable: bool,
}

/// How the journal is kept.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// A segment that has reached this length is sealed, and another one begun.
    pub segment: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions { segment: 16 << 20 }
    }
}

/// How the journal fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JournalHealth {
    /// All is written.
    #[default]
    Good,
    /// The disk is full. Lines wait, and are tried again every second.
    Full,
    /// Writing fails, for this reason. Lines wait, and are tried again every second.
    Failing(String),
}

/// The journal, open for writing. Dropping it writes what is still waiting.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<JournalQueue>,
    thread: Option<std::thread::JoinHandle<()>>,
    // Released last, when the thread has ended.
    _lock: Option<Lock>,
}

impl Journal {
    /// Opens the journal in `dir`, which is created when there is none, for the site at `site`. Nobody else
    /// can until it is dropped.
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

    /// Opens the journal on `medium`.
    pub fn over(
        medium: Arc<dyn Storage>,
        options: JournalOptions,
    ) -> io::Result<(Journal, Replay)> {
        let recovered = recover::recover(&medium)?;
        let shared = Arc::new(JournalQueue::default());
        let writer = JournalWriter::new(medium, shared.clone(), options, recovered.end);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())?;
        let journal = Journal {
            shared,
            thread: Some(thread),
            _lock: None,
        };
        Ok((journal, recovered.replay))
    }

    /// Appends `entries` in order, after all that were appended before. Never waits.
    ///
    /// The ticket is answered when every durable line of this call and of all calls before it is on the
    /// disk; so an empty call asks whether the journal has caught up. A ticket that fails does not take its
    /// lines back: the durable ones are kept, in order, and are written as soon as the disk lets them. Until
    /// then every further ticket fails, too, that of an empty call among them.
    pub fn append(&self, entries: Vec<JournalEntry>) -> Ticket {
        let one_line = |entry: &JournalEntry| !entry.text.contains('\n');
        assert!(
            entries.iter().all(one_line),
            "an entry of the journal is one line"
        );
        self.shared.enqueue(entries)
    }

    /// Keeps `state`, which must be the fold of exactly what was appended before this call, so that the next
    /// start begins there. It is refused while lines wait for room.
    pub fn checkpoint(&self, state: Vec<u8>) -> Ticket {
        let (ticket, answer) = Ticket::pair();
        self.shared.push(WriterJob::Checkpoint(state, answer));
        ticket
    }

    /// How the journal fares.
    pub fn health(&self) -> JournalHealth {
        lock(&self.shared.health).clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.stop();
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

/// Reads the journal in `dir` without the lock, as far as it is written. Nothing is changed.
pub fn read(dir: &Path) -> io::Result<Replay> {
    if !dir.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let medium: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    recover::survey(&medium).map(|survey| survey.replay(&medium))
}

/// Tells whether anything was ever written to the journal in `dir`.
pub fn is_begun(dir: &Path) -> io::Result<bool> {
    if !dir.is_dir() {
        return Ok(false);
    }
    Ok(!layout::segments(&JournalDirectory::new(dir))?.is_empty())
}

/// A thread that panicked while it held the lock has left a value behind that is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
