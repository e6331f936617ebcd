//! The journal's writer thread.

use std::{
    io, mem,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use super::{
    JournalEntry, JournalHealth, JournalOptions,
    layout::{self, CHECKPOINT, Checkpoint, MANIFEST, ManifestRecord, Position, SealedSegment},
    lock,
    queue::{JournalQueue, MAX_BEHIND, WriterJob},
    recover::JournalEnd,
    reserve::{self, JournalReserve, is_full},
    scan,
    storage::Storage,
    ticket::{JournalError, TicketSender},
};

/// Drops the oldest lines that only report while the group is too large.
fn limited(mut group: Vec<JournalEntry>) -> Vec<JournalEntry> {
    let surplus = size(&group).saturating_sub(MAX_BEHIND);
    let mut dropped = 0;
    let mut count = 0;
    group.retain(|entry| {
        let stays = dropped >= surplus || !entry.reports;
        if !stays {
            dropped += entry.text.len();
            count += 1;
        }
        stays
    });
    if count > 0 {
        tracing::warn!(
            "the disk is full: {count} events that only report were dropped from the journal"
        );
    }
    group
}

fn size(group: &[JournalEntry]) -> usize {
    group.iter().map(|entry| entry.text.len()).sum()
}

pub(super) struct JournalWriter {
    storage: Arc<dyn Storage>,
    shared: Arc<JournalQueue>,
    options: JournalOptions,
    /// The segment that is written. Its length includes only complete lines.
    end: JournalEnd,
    /// How many of its bytes are synced.
    synced: u64,
    /// Whether a failed write may have left bytes after its length.
    is_torn: bool,
    /// Lines whose write failed.
    behind: Vec<JournalEntry>,
    checkpoint: Option<JoinHandle<()>>,
    reserve: JournalReserve,
}

impl JournalWriter {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        shared: Arc<JournalQueue>,
        options: JournalOptions,
        end: JournalEnd,
    ) -> Self {
        JournalWriter {
            storage,
            shared,
            options,
            reserve: JournalReserve::Off,
            synced: end.length,
            end,
            is_torn: false,
            behind: Vec::new(),
            checkpoint: None,
        }
    }

    /// Writes until the queue is stopped.
    pub(super) fn run(mut self) {
        self.reserve = reserve::find(&*self.storage, self.options.reserve);
        while let Some(jobs) = self.shared.take() {
            self.process(jobs);
        }
        if !self.behind.is_empty() {
            self.write(Vec::new(), Vec::new());
        }
        if let Some(Err(_)) = self.checkpoint.take().map(JoinHandle::join) {
            tracing::error!("the checkpoint thread panicked");
        }
    }

    fn process(&mut self, jobs: Vec<WriterJob>) {
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for job in jobs {
            match job {
                WriterJob::Append(more, answer) => {
                    entries.extend(more);
                    answers.extend(answer);
                }
                WriterJob::Compact(sealed, answer) => {
                    self.write(mem::take(&mut entries), mem::take(&mut answers));
                    let replaced = self.replace_segment(sealed);
                    let replaced = replaced.map_err(|error| JournalError::new(&error));
                    self.answer(vec![answer], &replaced);
                }
                WriterJob::Checkpoint(state, answer) => {
                    self.write(mem::take(&mut entries), mem::take(&mut answers));
                    if let Some((answer, error)) = self.checkpoint(state, answer) {
                        self.answer(vec![answer], &Err(error));
                    }
                }
            }
        }
        self.write(entries, answers);
    }

    /// Writes a group of lines, syncs once if one of them is durable, and completes their tickets.
    fn write(&mut self, entries: Vec<JournalEntry>, answers: Vec<TicketSender>) {
        let mut group = mem::take(&mut self.behind);
        group.extend(entries);
        let mut result = self.put(&group);
        if result.as_ref().is_err_and(is_full) && self.free_reserve() {
            self.undo();
            result = self.put(&group);
        }
        if let Err(error) = &result {
            self.undo();
            if *lock(&self.shared.health) == JournalHealth::Good {
                tracing::error!("cannot write the journal, retrying: {error}");
            }
            self.behind = limited(group);
        } else if self.reserve.is_due() {
            self.reserve = reserve::create(&*self.storage, self.options.reserve);
        }
        let result = result.map_err(|error| JournalError::new(&error));
        self.answer(answers, &result);
    }

    fn answer(&self, answers: Vec<TicketSender>, result: &Result<(), JournalError>) {
        let health = match result {
            _ if self.behind.is_empty() && !self.reserve.is_used() => JournalHealth::Good,
            Err(JournalError::Failed(why)) => JournalHealth::Failing(why.clone()),
            Ok(()) | Err(_) => JournalHealth::Full,
        };
        self.shared
            .settle(answers.len(), size(&self.behind), health);
        for answer in answers {
            // The caller may have dropped its ticket.
            drop(answer.send(result.clone()));
        }
    }

    /// Removes the reserve, so that there is room for more lines. Returns whether there was one.
    fn free_reserve(&mut self) -> bool {
        if !self.reserve.is_present() {
            return false;
        }
        tracing::error!(
            "the disk under the journal is full: new installations wait, and the journal is continued in its reserve of {} KiB",
            self.options.reserve >> 10
        );
        self.reserve = reserve::remove(&*self.storage);
        self.reserve.is_used()
    }

    fn put(&mut self, group: &[JournalEntry]) -> io::Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.storage
                .truncate(&layout::name(self.end.segment), self.end.length)?;
            self.is_torn = false;
        }
        self.rotate()?;
        let mut bytes = Vec::new();
        for entry in group {
            bytes.extend(entry.text.as_bytes());
            bytes.push(b'\n');
        }
        self.is_torn = true;
        self.storage
            .append(&layout::name(self.end.segment), &bytes)?;
        let length = self.end.length + bytes.len() as u64;
        if !self.end.is_begun {
            self.sync_to(length)?;
            self.storage.sync_names()?;
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

    /// Seals the segment and starts the next one when it is long enough.
    fn rotate(&mut self) -> io::Result<()> {
        if self.end.length < self.options.segment {
            return Ok(());
        }
        self.sync_to(self.end.length)?;
        self.list(&ManifestRecord::Sealed(SealedSegment {
            segment: self.end.segment,
            bytes: self.end.length,
            compacted_from: None,
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
        let synced = self.storage.sync(&layout::name(self.end.segment));
        if synced.is_ok() {
            self.synced = length;
        } else {
            // The kernel discards what it could not write and reports the next sync as a success, so everything since the
            // last successful sync is written again.
            self.end.length = self.synced;
            self.is_torn = true;
        }
        synced
    }

    /// Replaces a segment with its compacted lines. The manifest names both lengths before, so that neither file is damage.
    fn replace_segment(&self, sealed: SealedSegment) -> io::Result<()> {
        if !self.behind.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let number = sealed.segment;
        self.list(&ManifestRecord::Sealed(sealed))?;
        self.storage
            .rename(&layout::compacted(number), &layout::name(number))
    }

    /// Adds a line to the manifest. An incomplete line is removed when the journal is opened, and its contents are
    /// determined again.
    fn list(&self, record: &ManifestRecord) -> io::Result<()> {
        let before = self.storage.length(MANIFEST)?.unwrap_or(0);
        let listed = self
            .storage
            .append(MANIFEST, &record.line())
            .and_then(|()| self.storage.sync(MANIFEST));
        if listed.is_err() {
            self.storage.truncate(MANIFEST, before)?;
        }
        if before == 0 {
            self.storage.sync_names()?;
        }
        listed
    }

    /// Removes a partial write.
    fn undo(&mut self) {
        if !self.is_torn {
            return;
        }
        let name = layout::name(self.end.segment);
        // If this fails, it is retried before the next write and when the journal is opened.
        self.is_torn = self.storage.truncate(&name, self.end.length).is_err();
    }

    /// Starts to write a checkpoint; returns the ticket's sender if it cannot.
    fn checkpoint(
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
        let (storage, shared) = (self.storage.clone(), self.shared.clone());
        // Writing a large state must not delay appended lines.
        let thread = std::thread::spawn(move || {
            let checkpoint = Checkpoint { position, state };
            let kept = storage.replace(CHECKPOINT, &checkpoint.bytes());
            if kept.is_ok() {
                shared.covered.store(position.segment, Ordering::Release);
            }
            drop(answer.send(kept.map_err(|error| JournalError::new(&error))));
        });
        self.checkpoint = Some(thread);
        let health = lock(&self.shared.health).clone();
        self.shared.settle(1, 0, health);
        None
    }
}

impl Drop for JournalWriter {
    /// Also after a panic, so that waiting callers fail instead of waiting indefinitely.
    fn drop(&mut self) {
        self.shared.close();
    }
}
