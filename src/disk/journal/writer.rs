//! The thread that writes.

use std::{io, mem, sync::Arc, thread::JoinHandle};

use super::{
    JournalEntry, JournalHealth, JournalOptions,
    layout::{self, CHECKPOINT, Checkpoint, MANIFEST, ManifestRecord, Position, SealedSegment},
    lock,
    medium::Storage,
    queue::{JournalQueue, WriterJob},
    recover::JournalEnd,
    scan,
    ticket::{JournalError, TicketSender},
};

/// How much waits for a disk that refuses it before what merely tells is dropped.
const MAX_BEHIND: usize = 4 << 20;

/// Keeps what must be kept; of what merely tells only a little, so that the disk is tried again for it.
fn bounded(mut group: Vec<JournalEntry>) -> Vec<JournalEntry> {
    let bytes: usize = group.iter().map(|entry| entry.text.len()).sum();
    if bytes > MAX_BEHIND
        && let Some(last) = group.pop()
    {
        group.retain(|entry| entry.durable);
        group.push(last);
    }
    group
}

/// The thread's own.
pub(super) struct JournalWriter {
    medium: Arc<dyn Storage>,
    shared: Arc<JournalQueue>,
    options: JournalOptions,
    /// The segment that is written; its length is that of its whole lines.
    end: JournalEnd,
    /// How much of it is synced.
    synced: u64,
    /// Whether there may be something beyond its length, left by a write that failed.
    is_torn: bool,
    /// Lines that the disk has refused.
    behind: Vec<JournalEntry>,
    checkpoint: Option<JoinHandle<()>>,
}

impl JournalWriter {
    /// Continues at `end`.
    pub(super) fn new(
        medium: Arc<dyn Storage>,
        shared: Arc<JournalQueue>,
        options: JournalOptions,
        end: JournalEnd,
    ) -> Self {
        JournalWriter {
            medium,
            shared,
            options,
            synced: end.length,
            end,
            is_torn: false,
            behind: Vec::new(),
            checkpoint: None,
        }
    }

    /// Writes until told to end.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.shared.take() {
            self.work(jobs);
        }
        if !self.behind.is_empty() {
            self.write(Vec::new(), Vec::new());
        }
        if let Some(Err(_)) = self.checkpoint.take().map(JoinHandle::join) {
            tracing::error!("the thread that wrote a checkpoint has panicked");
        }
    }

    fn work(&mut self, jobs: Vec<WriterJob>) {
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for job in jobs {
            match job {
                WriterJob::Append(more, answer) => {
                    entries.extend(more);
                    answers.extend(answer);
                }
                WriterJob::Checkpoint(state, answer) => {
                    self.write(mem::take(&mut entries), mem::take(&mut answers));
                    if let Some((answer, error)) = self.keep(state, answer) {
                        self.answer(vec![answer], &Err(error));
                    }
                }
            }
        }
        self.write(entries, answers);
    }

    /// Writes a group of lines, syncs once if one of them is durable, and answers.
    fn write(&mut self, entries: Vec<JournalEntry>, answers: Vec<TicketSender>) {
        let mut group = mem::take(&mut self.behind);
        group.extend(entries);
        let result = self.put(&group);
        if let Err(error) = &result {
            self.undo();
            if *lock(&self.shared.health) == JournalHealth::Good {
                tracing::error!("the journal cannot be written, and is tried again: {error}");
            }
            self.behind = bounded(group);
        }
        let result = result.map_err(|error| JournalError::new(&error));
        self.answer(answers, &result);
    }

    fn answer(&self, answers: Vec<TicketSender>, result: &Result<(), JournalError>) {
        let health = match result {
            _ if self.behind.is_empty() => JournalHealth::Good,
            Err(JournalError::Failed(why)) => JournalHealth::Failing(why.clone()),
            Ok(()) | Err(_) => JournalHealth::Full,
        };
        self.shared
            .settle(answers.len(), !self.behind.is_empty(), health);
        for answer in answers {
            // Who asked may have gone.
            drop(answer.send(result.clone()));
        }
    }

    fn put(&mut self, group: &[JournalEntry]) -> io::Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.medium
                .truncate(&layout::name(self.end.segment), self.end.length)?;
            self.is_torn = false;
        }
        self.turn()?;
        let mut bytes = Vec::new();
        for entry in group {
            bytes.extend(entry.text.as_bytes());
            bytes.push(b'\n');
        }
        self.is_torn = true;
        self.medium
            .append(&layout::name(self.end.segment), &bytes)?;
        let length = self.end.length + bytes.len() as u64;
        if !self.end.is_begun {
            self.sync_to(length)?;
            self.medium.sync_names()?;
            self.list(&ManifestRecord::Opened(self.end.segment))?;
            self.end.is_begun = true;
        } else if group.iter().any(|entry| entry.durable) {
            self.sync_to(length)?;
        }
        self.is_torn = false;
        self.end.length = length;
        for entry in group {
            self.end.machines.extend(scan::machines(&entry.text));
        }
        Ok(())
    }

    /// Seals the segment and begins another one when it is long enough.
    fn turn(&mut self) -> io::Result<()> {
        if self.end.length < self.options.segment {
            return Ok(());
        }
        self.sync_to(self.end.length)?;
        self.list(&ManifestRecord::Sealed(SealedSegment {
            segment: self.end.segment,
            bytes: self.end.length,
            machines: self.end.machines.iter().copied().collect(),
        }))?;
        self.end = JournalEnd {
            segment: self.end.segment + 1,
            ..JournalEnd::default()
        };
        self.synced = 0;
        Ok(())
    }

    fn sync_to(&mut self, length: u64) -> io::Result<()> {
        if self.synced == length {
            return Ok(());
        }
        let synced = self.medium.sync(&layout::name(self.end.segment));
        if synced.is_ok() {
            self.synced = length;
        } else {
            // The kernel forgets what it could not write and calls the next sync a success, so nothing since
            // the last good one counts.
            self.end.length = self.synced;
            self.is_torn = true;
        }
        synced
    }

    /// Adds a line to the manifest. Half a line is cut off when the journal is opened, and what it said is
    /// found out anew.
    fn list(&self, record: &ManifestRecord) -> io::Result<()> {
        let before = self.medium.length(MANIFEST)?.unwrap_or(0);
        let listed = self
            .medium
            .append(MANIFEST, &record.line())
            .and_then(|()| self.medium.sync(MANIFEST));
        if listed.is_err() {
            self.medium.truncate(MANIFEST, before)?;
        }
        if before == 0 {
            self.medium.sync_names()?;
        }
        listed
    }

    /// Takes back what was written in part.
    fn undo(&mut self) {
        if !self.is_torn {
            return;
        }
        let name = layout::name(self.end.segment);
        // If even that fails, it is tried before the next write, and when the journal is opened.
        self.is_torn = self.medium.truncate(&name, self.end.length).is_err();
    }

    /// Begins to write a checkpoint; hands the answer back when it is refused.
    fn keep(
        &mut self,
        state: Vec<u8>,
        answer: TicketSender,
    ) -> Option<(TicketSender, JournalError)> {
        if !self.behind.is_empty() {
            return Some((answer, JournalError::Full));
        }
        if self
            .checkpoint
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            return Some((answer, JournalError::Busy));
        }
        if let Err(error) = self.sync_to(self.end.length) {
            self.undo();
            return Some((answer, JournalError::new(&error)));
        }
        let position = Position {
            segment: self.end.segment,
            offset: self.end.length,
        };
        let medium = self.medium.clone();
        // A large state must not keep those waiting who append.
        let thread = std::thread::spawn(move || {
            let checkpoint = Checkpoint { position, state };
            let kept = medium.replace(CHECKPOINT, &checkpoint.bytes());
            drop(answer.send(kept.map_err(|error| JournalError::new(&error))));
        });
        self.checkpoint = Some(thread);
        self.shared.settle(1, false, JournalHealth::Good);
        None
    }
}

impl Drop for JournalWriter {
    /// Also where it panics: whoever waits is to know that nothing is written any more.
    fn drop(&mut self) {
        self.shared.close();
    }
}
