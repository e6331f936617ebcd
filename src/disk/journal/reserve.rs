//! The reserve: a file that is removed when the disk is full, so that the journal has room for its last lines.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{layout::RESERVE, storage::Storage};

/// The interval between attempts to create the reserve again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Whether the reserve exists.
#[derive(Debug, Clone, Copy)]
pub(super) enum JournalReserve {
    /// The journal has none, or it could not be created for another reason than a full disk.
    Off,
    Present,
    /// The disk is full, and the room of the reserve is in use. It was removed, or its creation failed, at this time.
    Used(Instant),
}

impl JournalReserve {
    pub(super) fn is_present(self) -> bool {
        matches!(self, JournalReserve::Present)
    }

    /// Whether the disk counts as full.
    pub(super) fn is_used(self) -> bool {
        matches!(self, JournalReserve::Used(_))
    }

    /// Whether its creation is tried again now.
    pub(super) fn is_due(self) -> bool {
        matches!(self, JournalReserve::Used(at) if at.elapsed() >= RETRY_INTERVAL)
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Finds the reserve, or creates it.
pub(super) fn find(storage: &dyn Storage, size: u64) -> JournalReserve {
    match storage.length(RESERVE) {
        Ok(length) if length == Some(size) && size > 0 => JournalReserve::Present,
        Ok(_) => create(storage, size),
        Err(error) => off(&error),
    }
}

pub(super) fn create(storage: &dyn Storage, size: u64) -> JournalReserve {
    if size == 0 {
        return JournalReserve::Off;
    }
    match storage.replace(RESERVE, &vec![0; size as usize]) {
        Ok(()) => JournalReserve::Present,
        Err(error) if is_full(&error) => JournalReserve::Used(Instant::now()),
        Err(error) => off(&error),
    }
}

pub(super) fn remove(storage: &dyn Storage) -> JournalReserve {
    match storage.remove(RESERVE) {
        Ok(()) => JournalReserve::Used(Instant::now()),
        Err(error) => off(&error),
    }
}

fn off(error: &io::Error) -> JournalReserve {
    tracing::warn!("the journal has no reserve for a full disk: {error}");
    JournalReserve::Off
}
