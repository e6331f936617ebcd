//! The server's log on standard output, written by a thread of its own.
//!
//! Machines wait while a line is logged, so logging only appends to a queue, and a thread writes the queue. If standard
//! output blocks (a stopped terminal, a full pipe) the server continues: lines beyond [`MAX_QUEUED_BYTES`] are dropped,
//! and their number is logged.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

const MAX_QUEUED_BYTES: usize = 1 << 20;

/// Lines are collected for this long and written together.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Default)]
pub(super) struct LogWriter(Arc<LogQueue>);

#[derive(Debug, Default)]
struct LogQueue {
    queued: Mutex<QueuedLines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueuedLines {
    lines: Vec<u8>,
    dropped: usize,
    is_writing: bool,
}

impl LogWriter {
    /// Starts the writing thread.
    pub(super) fn start() -> io::Result<LogWriter> {
        let writer = LogWriter::default();
        let queue = writer.0.clone();
        thread::Builder::new()
            .name("log".into())
            .spawn(move || queue.write_loop())?;
        Ok(writer)
    }

    /// Waits until all queued lines are written.
    pub(super) fn flush(&self) {
        let mut queued = self.0.lock();
        while queued.is_writing || !queued.lines.is_empty() {
            queued = self.0.wait(queued);
        }
    }
}

/// Each write is one line.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queued = self.0.lock();
        if queued.lines.len() + line.len() > MAX_QUEUED_BYTES {
            queued.dropped += 1;
            return Ok(line.len());
        }
        let is_first = queued.lines.is_empty() && !queued.is_writing;
        queued.lines.extend_from_slice(line);
        drop(queued);
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
    fn write_loop(&self) {
        loop {
            let mut queued = self.lock();
            while queued.lines.is_empty() {
                queued = self.wait(queued);
            }
            queued.is_writing = true;
            drop(queued);
            thread::sleep(FLUSH_INTERVAL);
            let mut queued = self.lock();
            let (mut lines, dropped) =
                (mem::take(&mut queued.lines), mem::take(&mut queued.dropped));
            drop(queued);
            if dropped > 0 {
                lines.extend(
                    format!("{dropped} log lines dropped: standard output was blocked\n").bytes(),
                );
            }
            let mut out = io::stdout().lock();
            // If standard output is closed, there is no other place to log to.
            drop(out.write_all(&lines).and_then(|()| out.flush()));
            drop(out);
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueuedLines> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queued: MutexGuard<'a, QueuedLines>) -> MutexGuard<'a, QueuedLines> {
        let woken = self.changed.wait(queued);
        woken.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_dropped_and_counted() {
        // Without the writing thread the queue only grows.
        let mut writer = LogWriter::default();
        let line = [b'x'; 1_000];
        for _ in 0..2_000 {
            writer.write_all(&line).unwrap();
        }
        let queued = writer.0.lock();
        assert_eq!((queued.lines.len(), queued.dropped), (1_048_000, 952));
    }
}
