//! Detects changes of a site.
//!
//! Directories are watched, not files: those of the site, and the one above it, where a new directory in place of a
//! deleted site, or a replaced symbolic link, is reported. An event only causes a read. The site's files are
//! delivered only when they differ from those delivered before. So unrelated events, an overflow of the kernel's
//! queue and a periodic read have the same effect.
//!
//! After a change, the site is read once it has settled: when no event has arrived for 100 ms, and no git
//! `index.lock` younger than a minute is above it. The site is also read every 30 s, because some changes cause no
//! event (a link in a parent path that has a new target); every 2 s if the kernel does not report all changes: on
//! network file systems, and when its limit of watches is reached.

mod watch_set;
mod git;
mod interest;
mod unwatchable;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::site::SiteReader;
use crate::site::SiteFiles;
use watch_set::WatchSet;

pub use unwatchable::unwatchable_file_system;

/// Watches a site until it is dropped.
#[derive(Debug)]
pub struct SiteWatch {
    wake: mpsc::Sender<WakeReason>,
}

/// A site as of its last read.
#[derive(Debug, Clone, Default)]
pub struct ObservedSite {
    /// Its files. While the directory cannot be read, these are the files of the last successful read.
    pub files: Arc<SiteFiles>,
    /// Why the directory cannot be read.
    pub trouble: Option<String>,
}

/// The intervals and delays of a watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchTiming {
    /// The time without an event after which the site has settled.
    pub settle: Duration,
    /// The longest delay after the first event, for a site that never settles.
    pub longest: Duration,
    /// The interval of periodic reads.
    pub read_site: Duration,
    /// The interval of periodic reads if the kernel may not report all changes.
    pub poll: Duration,
    /// The age up to which git's `index.lock` delays a read.
    pub git: Duration,
}

impl Default for WatchTiming {
    fn default() -> Self {
        WatchTiming {
            settle: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            read_site: Duration::from_secs(30),
            poll: Duration::from_secs(2),
            git: Duration::from_secs(60),
        }
    }
}

impl SiteWatch {
    /// Reads the site at `root` and starts to watch it. The receiver has the files of the last read, and changes
    /// with the site.
    pub fn start(root: &Path) -> io::Result<(SiteWatch, watch::Receiver<ObservedSite>)> {
        SiteWatch::start_with(root, WatchTiming::default())
    }

    /// Like [`SiteWatch::start`], with other intervals.
    pub fn start_with(
        root: &Path,
        timing: WatchTiming,
    ) -> io::Result<(SiteWatch, watch::Receiver<ObservedSite>)> {
        let (wake, wake_receiver) = mpsc::channel();
        let (mut watching, receiver) = WatchThread::new(root, timing, wake.clone())?;
        watching.read_site();
        watching.deliver();
        thread::Builder::new()
            .name("watch".into())
            .spawn(move || watching.run(&wake_receiver))?;
        Ok((SiteWatch { wake }, receiver))
    }

    /// Reads the site immediately, and delivers it even if it has not changed.
    pub fn refresh(&self) {
        // The thread ends only when this value is dropped.
        drop(self.wake.send(WakeReason::Now));
    }
}

impl Drop for SiteWatch {
    fn drop(&mut self) {
        // A thread that has already ended needs no signal.
        drop(self.wake.send(WakeReason::Stop));
    }
}

/// Why the thread wakes.
#[derive(Debug)]
enum WakeReason {
    /// An event of a watched directory.
    Event,
    /// A requested read.
    Now,
    /// The watch was dropped.
    Stop,
}

struct WatchThread {
    root: PathBuf,
    reader: SiteReader,
    watches: WatchSet,
    observed: watch::Sender<ObservedSite>,
    timing: WatchTiming,
    /// The files of the last successful read.
    last: Arc<SiteFiles>,
    /// Why the last read failed.
    trouble: Option<String>,
}

/// Events that were not processed yet.
#[derive(Clone, Copy)]
struct PendingChange {
    first: Instant,
    last: Instant,
}

impl WatchThread {
    fn new(
        root: &Path,
        timing: WatchTiming,
        wake: mpsc::Sender<WakeReason>,
    ) -> io::Result<(WatchThread, watch::Receiver<ObservedSite>)> {
        let root = std::path::absolute(root)?;
        let (observed, receiver) = watch::channel(ObservedSite::default());
        let thread = WatchThread {
            reader: SiteReader::new(&root),
            watches: WatchSet::new(&root, wake),
            root,
            observed,
            timing,
            last: Arc::default(),
            trouble: None,
        };
        Ok((thread, receiver))
    }

    fn run(mut self, wake_receiver: &mpsc::Receiver<WakeReason>) {
        let mut pending: Option<PendingChange> = None;
        let mut last_read = Instant::now();
        loop {
            let now = Instant::now();
            if pending.is_some_and(|pending| self.is_settled(pending, now)) {
                pending = None;
                last_read = now;
                if self.read_site() {
                    self.deliver();
                }
            } else if now >= last_read + self.pause() {
                last_read = now;
                if self.read_site() {
                    pending = extend(pending, now);
                }
            }
            match wake_receiver.recv_timeout(self.wait_time(pending, last_read)) {
                Ok(WakeReason::Event) => pending = extend(pending, Instant::now()),
                Ok(WakeReason::Now) => {
                    pending = None;
                    self.read_site();
                    self.deliver();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(WakeReason::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_settled(&self, pending: PendingChange, now: Instant) -> bool {
        let quiet = now >= pending.last + self.timing.settle;
        let long = now >= pending.first + self.timing.longest;
        (quiet || long) && !git::is_busy(&self.root, self.timing.git)
    }

    /// The longest time to sleep.
    fn wait_time(&self, pending: Option<PendingChange>, last_read: Instant) -> Duration {
        // A site that has settled and was not read yet waits for git: its lock is checked at this interval.
        const GIT_POLL_INTERVAL: Duration = Duration::from_millis(50);
        let Some(pending) = pending else {
            return (last_read + self.pause()).saturating_duration_since(Instant::now());
        };
        match (pending.last + self.timing.settle).saturating_duration_since(Instant::now()) {
            Duration::ZERO => GIT_POLL_INTERVAL,
            left => left,
        }
    }

    fn pause(&self) -> Duration {
        if self.watches.may_miss_changes() {
            self.timing.poll
        } else {
            self.timing.read_site
        }
    }

    /// Reads the site and watches all of its directories. Returns whether anything differs from what was delivered.
    fn read_site(&mut self) -> bool {
        // A directory may have changed between its read and its watch: it is read once more.
        const ROUNDS: u32 = 5;
        let mut read = self.reader.read();
        for _ in 0..ROUNDS {
            if !self.watches.update(self.reader.directories()) {
                break;
            }
            read = self.reader.read();
        }
        let trouble = match read {
            Ok(files) => {
                self.last = reuse(&self.last, files);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let before = self.observed.borrow();
        let differs = before.trouble != trouble || *before.files != *self.last;
        drop(before);
        self.trouble = trouble;
        differs
    }

    fn deliver(&self) {
        self.observed.send_replace(ObservedSite {
            files: self.last.clone(),
            trouble: self.trouble.clone(),
        });
    }
}

fn extend(pending: Option<PendingChange>, now: Instant) -> Option<PendingChange> {
    let first = pending.map_or(now, |pending| pending.first);
    Some(PendingChange { first, last: now })
}

/// Returns `last` if it equals `files`, so that comparisons by pointer succeed.
fn reuse(last: &Arc<SiteFiles>, files: SiteFiles) -> Arc<SiteFiles> {
    if **last == files {
        last.clone()
    } else {
        Arc::new(files)
    }
}

#[cfg(test)]
mod tests;
