//! A fake disk that records syncs and can be full, fail or crash at any byte.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{lock, storage::Storage};

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct FakeDisk(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    files: BTreeMap<String, FakeFile>,
    events: Vec<DiskEvent>,
    /// How many bytes may be written until it is full.
    room: Option<usize>,
    /// How many bytes are written until it crashes.
    fuse: Option<usize>,
    fails_to_sync: bool,
    panics: bool,
    sync_takes: Duration,
}

#[derive(Clone, Default)]
struct FakeFile {
    bytes: Vec<u8>,
    /// How many of them survive a loss of power.
    synced: usize,
    /// Whether the name survives it.
    is_named: bool,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskEvent {
    /// Bytes were appended to a file.
    Write(String, String),
    /// A file was synced.
    Sync(String),
    /// The directory was synced.
    SyncNames,
    /// A test received the confirmation of its line.
    Answer(String),
}

impl FakeDisk {
    /// Limits the room to this many bytes.
    pub(super) fn limit_room(&self, room: usize) {
        lock(&self.0).room = Some(room);
    }

    /// Removes the limit.
    pub(super) fn remove_limit(&self) {
        lock(&self.0).room = None;
    }

    /// Crashes after this many more bytes.
    pub(super) fn crash_after(&self, bytes: usize) {
        lock(&self.0).fuse = Some(bytes);
    }

    /// Whether the next sync fails.
    pub(super) fn fail_to_sync(&self, fails: bool) {
        lock(&self.0).fails_to_sync = fails;
    }

    /// Makes each sync panic, as a bug would.
    pub(super) fn panic(&self) {
        lock(&self.0).panics = true;
    }

    /// Makes each sync take a while.
    pub(super) fn slow_down(&self, sync_takes: Duration) {
        lock(&self.0).sync_takes = sync_takes;
    }

    /// Records that a test received the confirmation of its line.
    pub(super) fn record_confirmation(&self, line: &str) {
        lock(&self.0).events.push(DiskEvent::Answer(line.into()));
    }

    /// What happened so far.
    pub(super) fn events(&self) -> Vec<DiskEvent> {
        lock(&self.0).events.clone()
    }

    /// Returns the disk as it is after the process was killed: it has everything that was written.
    pub(super) fn after_kill(&self) -> FakeDisk {
        self.after(|content| Some(content.clone()))
    }

    /// Returns the disk as it is after a loss of power: it has only what was synced.
    pub(super) fn after_power_loss(&self) -> FakeDisk {
        self.after(|content| {
            let mut content = content.clone();
            content.bytes.truncate(content.synced);
            content.is_named.then_some(content)
        })
    }

    fn after(&self, keep: impl Fn(&FakeFile) -> Option<FakeFile>) -> FakeDisk {
        let state = lock(&self.0);
        let files = state.files.iter();
        let files = files.filter_map(|(name, content)| Some((name.clone(), keep(content)?)));
        let state = FakeState {
            files: files.collect(),
            ..FakeState::default()
        };
        FakeDisk(Arc::new(Mutex::new(state)))
    }

    /// A file's text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let state = lock(&self.0);
        let content = state.files.get(name)?;
        Some(String::from_utf8_lossy(&content.bytes).into_owned())
    }

    /// Changes a file without the journal.
    pub(super) fn modify(&self, name: &str, change: impl FnOnce(String) -> String) {
        let text = change(self.text(name).unwrap());
        let mut state = lock(&self.0);
        let content = state.files.get_mut(name).unwrap();
        content.bytes = text.into_bytes();
        content.synced = content.bytes.len();
    }

    /// Deletes a file without the journal.
    pub(super) fn delete(&self, name: &str) {
        assert!(lock(&self.0).files.remove(name).is_some(), "{name}");
    }
}

impl FakeState {
    fn check_crashed(&self) -> io::Result<()> {
        match self.fuse {
            Some(0) => Err(io::Error::other("crashed")),
            _ => Ok(()),
        }
    }

    /// Returns how many of `count` bytes can be written.
    fn admit(&mut self, count: usize) -> (usize, io::Result<()>) {
        if let Some(fuse) = &mut self.fuse
            && count >= *fuse
            && count > 0
        {
            let some = std::mem::take(fuse);
            return (some, Err(io::Error::other("crashed")));
        }
        if let Some(room) = &mut self.room
            && count > *room
        {
            let some = std::mem::take(room);
            return (some, Err(io::ErrorKind::StorageFull.into()));
        }
        for budget in [&mut self.fuse, &mut self.room].into_iter().flatten() {
            *budget -= count;
        }
        (count, Ok(()))
    }
}

impl Storage for FakeDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).files.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        let state = lock(&self.0);
        Ok(state
            .files
            .get(name)
            .map(|content| content.bytes.len() as u64))
    }

    fn reader(&self, name: &str, at: u64) -> io::Result<Box<dyn io::Read + Send>> {
        let state = lock(&self.0);
        let content = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let rest = content.bytes.get(at as usize..).unwrap_or_default();
        Ok(Box::new(io::Cursor::new(rest.to_vec())))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        let (count, result) = state.admit(bytes.len());
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        state.events.push(DiskEvent::Write(name.into(), text));
        let content = state.files.entry(name.into()).or_default();
        content.bytes.extend(&bytes[..count]);
        result
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        let content = state.files.entry(name.into()).or_default();
        assert!(
            length as usize <= content.bytes.len(),
            "a file is cut, not stretched"
        );
        let freed = content.bytes.len() - length as usize;
        content.bytes.truncate(length as usize);
        content.synced = content.synced.min(length as usize);
        state.room = state.room.map(|room| room + freed);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let takes = lock(&self.0).sync_takes;
        std::thread::sleep(takes);
        let mut state = lock(&self.0);
        state.check_crashed()?;
        assert!(!state.panics, "a bug");
        if state.fails_to_sync {
            return Err(io::Error::other("the disk is broken"));
        }
        state.events.push(DiskEvent::Sync(name.into()));
        let content = state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        content.synced = content.bytes.len();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        state.events.push(DiskEvent::SyncNames);
        for content in state.files.values_mut() {
            content.is_named = true;
        }
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        state.admit(bytes.len()).1?;
        let content = FakeFile {
            bytes: bytes.into(),
            synced: bytes.len(),
            is_named: true,
        };
        state.files.insert(name.into(), content);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        // It counts as one byte, so that a disk can crash before it.
        state.admit(1).1?;
        let content = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check_crashed()?;
        let removed = state.files.remove(name);
        let freed = removed.map_or(0, |content| content.bytes.len());
        state.room = state.room.map(|room| room + freed);
        Ok(())
    }
}
