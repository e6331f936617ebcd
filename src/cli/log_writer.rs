//! What the server tells on standard output, written beside its work.
//!
//! A line is told while machines wait for the answers that come after it, so whoever tells it only leaves it
//! here, and a thread writes what has gathered. Where nobody reads (a terminal that was halted, a full pipe) the
//! server goes on: lines beyond [`MAX_QUEUED_BYTES`] are dropped, and their number is told.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// How long lines gather before they are written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// Where lines are left to be written.
#[derive(Debug, Clone, Default)]
pub(super) struct LogWriter(Arc<LogQueue>);

#[derive(Debug, Default)]
struct LogQueue {
    waiting: Mutex<QueuedLines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueuedLines {
    lines: Vec<u8>,
    dropped: usize,
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes.
    pub(super) fn start() -> io::Result<LogWriter> {
        let told = LogWriter::default();
        let shared = told.0.clone();
        thread::Builder::new()
            .name("log".into())
            .spawn(move || shared.write_all())?;
        Ok(told)
    }

    /// Waits until everything that was told is written.
    pub(super) fn flush(&self) {
        let mut waiting = self.0.lock();
        while waiting.is_writing || !waiting.lines.is_empty() {
            waiting = self.0.wait(waiting);
        }
    }
}

/// Takes one line at a time.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.lines.len() + line.len() > MAX_QUEUED_BYTES {
            waiting.dropped += 1;
            return Ok(line.len());
        }
        let is_first = waiting.lines.is_empty() && !waiting.is_writing;
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        self.clone()
    }
}

impl LogQueue {
    fn write_all(&self) {
        loop {
            let mut waiting = self.lock();
            while waiting.lines.is_empty() {
                waiting = self.wait(waiting);
            }
            waiting.is_writing = true;
            drop(waiting);
            thread::sleep(FLUSH_INTERVAL);
            let mut waiting = self.lock();
            let (mut lines, dropped) = (
                mem::take(&mut waiting.lines),
                mem::take(&mut waiting.dropped),
            );
            drop(waiting);
            if dropped > 0 {
                lines.extend(
                    format!("{dropped} lines were dropped here: nobody read them\n").bytes(),
                );
            }
            let mut out = io::stdout().lock();
            // When standard output is gone there is nobody to tell it to.
            drop(out.write_all(&lines).and_then(|()| out.flush()));
            drop(out);
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueuedLines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, waiting: MutexGuard<'a, QueuedLines>) -> MutexGuard<'a, QueuedLines> {
        let woken = self.changed.wait(waiting);
        woken.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_reads_are_dropped() {
        // No thread writes: nobody reads.
        let mut told = LogWriter::default();
        let line = [b'x'; 1_000];
        for _ in 0..2_000 {
            told.write_all(&line).unwrap();
        }
        let waiting = told.0.lock();
        assert_eq!((waiting.lines.len(), waiting.dropped), (1_048_000, 952));
    }
}
