//! Any lines as a journal that is compacted, with a crash at every write: what the journal decides stays the same.
#![no_main]

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use bootwright::{
    disk::journal::{
        Compaction, Journal, JournalEntry, JournalOptions, Replay, Retention, Storage,
    },
    journal::{self, Event, EventRole, JournalLine, JournalState, ParsedLine},
};

/// A disk in memory that can crash.
#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<MemoryFiles>>);

#[derive(Clone, Default)]
struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
    /// How many changes are made until it crashes.
    fuse: Option<usize>,
}

impl MemoryDisk {
    /// A copy that crashes after this many changes.
    fn crashing_after(&self, changes: usize) -> MemoryDisk {
        let mut files = self.0.lock().unwrap().clone();
        files.fuse = Some(changes);
        MemoryDisk(Arc::new(Mutex::new(files)))
    }

    /// A copy without the crash and without the checkpoint, so that every line is read.
    fn restarted(&self) -> MemoryDisk {
        let mut files = self.0.lock().unwrap().clone();
        files.fuse = None;
        files.files.remove("checkpoint");
        MemoryDisk(Arc::new(Mutex::new(files)))
    }

    /// Changes the files. A crash leaves half of an append.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, bool)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        match &mut state.fuse {
            Some(0) => return Err(io::Error::other("crashed")),
            Some(fuse) => *fuse -= 1,
            None => {}
        }
        let is_last = state.fuse == Some(0);
        change(&mut state.files, is_last);
        match is_last {
            true => Err(io::Error::other("crashed")),
            false => Ok(()),
        }
    }
}

impl Storage for MemoryDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().files.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        let state = self.0.lock().unwrap();
        Ok(state.files.get(name).map(|bytes| bytes.len() as u64))
    }

    fn reader(&self, name: &str, at: u64) -> io::Result<Box<dyn io::Read + Send>> {
        let state = self.0.lock().unwrap();
        let bytes = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let rest = bytes.get(at as usize..).unwrap_or_default();
        Ok(Box::new(io::Cursor::new(rest.to_vec())))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|files, is_cut| {
            let count = if is_cut { bytes.len() / 2 } else { bytes.len() };
            files
                .entry(name.into())
                .or_default()
                .extend(&bytes[..count]);
        })
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.change(|files, _| {
            files
                .entry(name.into())
                .or_default()
                .truncate(length as usize)
        })
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|files, is_cut| {
            if !is_cut {
                files.insert(name.into(), bytes.into());
            }
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|files, is_cut| {
            if !is_cut && let Some(bytes) = files.remove(from) {
                files.insert(to.into(), bytes);
            }
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|files, _| {
            files.remove(name);
        })
    }
}

/// Large enough for some lines.
const OPTIONS: JournalOptions = JournalOptions {
    segment: 600,
    reserve: 0,
};

/// The lines of a text that a server could have written in this order, with the state that follows from them.
fn plausible(text: &str) -> (Vec<String>, JournalState) {
    let mut state = JournalState::default();
    let mut lines = Vec::new();
    for text in text.lines().take(64) {
        let Ok(parsed) = JournalLine::parse(text) else {
            continue;
        };
        let (machine, decides, is_new_delivery) = match &parsed {
            ParsedLine::Known(line) => {
                let of_machine = matches!(line.event, Event::Machine(_));
                let decides = of_machine && line.event.traits().role == EventRole::Decides;
                let due = match &line.event {
                    Event::Delivery(journal::DeliveryEvent::Due { delivery, .. }) => {
                        Some(*delivery)
                    }
                    _ => None,
                };
                let is_new = due.is_none_or(|number| number > state.deliveries.last);
                (line.machine, decides, is_new)
            }
            ParsedLine::Unknown { machine, .. } => (*machine, true, true),
        };
        let mut after = state.clone();
        after.take(&parsed);
        let begins = after.machines.ids() != state.machines.ids();
        let is_merged = machine.is_some_and(|id| state.merged.contains_key(&id));
        if !is_merged && is_new_delivery && (decides || !begins) {
            state = after;
            lines.push(text.into());
        }
    }
    (lines, state)
}

fn fold(replay: Replay) -> JournalState {
    assert_eq!(replay.damage, []);
    let mut state = JournalState::default();
    for line in replay.lines {
        state.take(&JournalLine::parse(&line.unwrap()).unwrap());
    }
    state.without_reports()
}

/// Compacts every segment, as far as the disk allows.
fn compact(disk: &MemoryDisk) {
    let Ok((journal, _)) = Journal::over(Arc::new(disk.clone()), OPTIONS) else {
        return;
    };
    let all = Retention {
        max: u64::MAX,
        is_expired: &|_| true,
        retained: &journal::retained,
    };
    while let Ok(Compaction::Compacted { .. }) = journal.compact(&all) {}
}

fn decided(disk: &MemoryDisk) -> JournalState {
    let storage = Arc::new(disk.restarted());
    let (_journal, replay) = Journal::over(storage, OPTIONS).expect("the disk works again");
    fold(replay)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (lines, state) = plausible(&String::from_utf8_lossy(bytes));
    let expected = state.without_reports();
    let disk = MemoryDisk::default();
    let (journal, _) = Journal::over(Arc::new(disk.clone()), OPTIONS).unwrap();
    for text in lines {
        let entry = JournalEntry {
            text,
            durable: true,
            reports: false,
        };
        journal.append(vec![entry]).wait().unwrap();
    }
    journal.checkpoint(b"{}".into()).wait().unwrap();
    drop(journal);
    assert_eq!(decided(&disk), expected);
    for changes in 1..40 {
        let crashing = disk.crashing_after(changes);
        compact(&crashing);
        assert_eq!(decided(&crashing), expected, "after {changes} changes");
        if crashing.0.lock().unwrap().fuse != Some(0) {
            break;
        }
    }
});
