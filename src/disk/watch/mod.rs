//! Noticing that a site has changed.
//!
//! Directories are watched, not files: those of the site whose files count, and the one above it, where a
//! site that is deleted and made again, or a swapped symbolic link, shows. An event is only a reason to look:
//! what is delivered is the site's files, and only when they differ from those delivered before. So noise
//! beside the site, an overflow of the kernel's queue and a poll all come to the same.
//!
//! After a change the site is left to settle: until nothing has happened for 100 ms, and while a git
//! `index.lock` above it is younger than a minute. Every 30 s the site is looked at without a reason, because
//! some changes raise no event (a link further up that leads elsewhere now); every 2 s where the kernel
//! reports nothing, or not all: on network file systems, and when it has no watches left to give.

mod armed;
mod git;
mod interest;
mod silent;

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
use armed::WatchSet;

pub use silent::unwatchable_file_system;

/// Watches a site until it is dropped.
#[derive(Debug)]
pub struct SiteWatch {
    wake: mpsc::Sender<WakeReason>,
}

/// A site as it was last seen.
#[derive(Debug, Clone, Default)]
pub struct ObservedSite {
    /// Its files. While the directory cannot be read, those it held before.
    pub files: Arc<SiteFiles>,
    /// Why the directory cannot be read now.
    pub trouble: Option<String>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct WatchTiming {
    /// Without an event before the site counts as settled.
    pub settle: Duration,
    /// For a site that never settles.
    pub longest: Duration,
    /// Between two looks without a reason.
    pub look: Duration,
    /// Between two looks where the kernel may not report changes.
    pub poll: Duration,
    /// For a git that holds its `index.lock`.
    pub git: Duration,
}

impl Default for WatchTiming {
    fn default() -> Self {
        WatchTiming {
            settle: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            look: Duration::from_secs(30),
            poll: Duration::from_secs(2),
            git: Duration::from_secs(60),
        }
    }
}

impl SiteWatch {
    /// Reads the site at `root` and watches it from then on. The receiver holds what was read; it changes
    /// when the site does.
    pub fn start(root: &Path) -> io::Result<(SiteWatch, watch::Receiver<ObservedSite>)> {
        SiteWatch::start_with(root, WatchTiming::default())
    }

    /// As [`SiteWatch::start`], with other times to wait.
    pub fn start_with(
        root: &Path,
        timing: WatchTiming,
    ) -> io::Result<(SiteWatch, watch::Receiver<ObservedSite>)> {
        let (wake, woken) = mpsc::channel();
        let (mut watching, receiver) = WatchThread::new(root, timing, wake.clone())?;
        watching.look();
        watching.deliver();
        thread::Builder::new()
            .name("watch".into())
            .spawn(move || watching.run(&woken))?;
        Ok((SiteWatch { wake }, receiver))
    }

    /// Looks at once, and delivers what is there even if it is what was delivered before.
    pub fn refresh(&self) {
        // The thread ends only when this value is dropped.
        drop(self.wake.send(WakeReason::Now));
    }
}

impl Drop for SiteWatch {
    fn drop(&mut self) {
        // A thread that has ended already needs no telling.
        drop(self.wake.send(WakeReason::Stop));
    }
}

/// What rouses the thread.
#[derive(Debug)]
enum WakeReason {
    /// Something happened where the site lies.
    Event,
    /// Somebody asks.
    Now,
    /// Nobody listens any more.
    Stop,
}

struct WatchThread {
    root: PathBuf,
    reader: SiteReader,
    armed: WatchSet,
    seen: watch::Sender<ObservedSite>,
    timing: WatchTiming,
    /// What the last look found.
    last: Arc<SiteFiles>,
    /// Why it found nothing.
    trouble: Option<String>,
}

/// Events that nothing was done about yet.
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
        let (seen, receiver) = watch::channel(ObservedSite::default());
        let thread = WatchThread {
            reader: SiteReader::new(&root),
            armed: WatchSet::new(&root, wake),
            root,
            seen,
            timing,
            last: Arc::default(),
            trouble: None,
        };
        Ok((thread, receiver))
    }

    fn run(mut self, woken: &mpsc::Receiver<WakeReason>) {
        let mut unsettled: Option<PendingChange> = None;
        let mut looked = Instant::now();
        loop {
            let now = Instant::now();
            if unsettled.is_some_and(|unsettled| self.is_settled(unsettled, now)) {
                unsettled = None;
                looked = now;
                if self.look() {
                    self.deliver();
                }
            } else if now >= looked + self.pause() {
                looked = now;
                if self.look() {
                    unsettled = touch(unsettled, now);
                }
            }
            match woken.recv_timeout(self.wait_time(unsettled, looked)) {
                Ok(WakeReason::Event) => unsettled = touch(unsettled, Instant::now()),
                Ok(WakeReason::Now) => {
                    unsettled = None;
                    self.look();
                    self.deliver();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(WakeReason::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_settled(&self, unsettled: PendingChange, now: Instant) -> bool {
        let quiet = now >= unsettled.last + self.timing.settle;
        let long = now >= unsettled.first + self.timing.longest;
        (quiet || long) && !git::is_busy(&self.root, self.timing.git)
    }

    /// How long to sleep at most.
    fn wait_time(&self, unsettled: Option<PendingChange>, looked: Instant) -> Duration {
        // A site that is settled and still waited for is one whose git is busy: ask again this often.
        const AGAIN: Duration = Duration::from_millis(50);
        let Some(unsettled) = unsettled else {
            return (looked + self.pause()).saturating_duration_since(Instant::now());
        };
        match (unsettled.last + self.timing.settle).saturating_duration_since(Instant::now()) {
            Duration::ZERO => AGAIN,
            left => left,
        }
    }

    fn pause(&self) -> Duration {
        if self.armed.is_blind() {
            self.timing.poll
        } else {
            self.timing.look
        }
    }

    /// Reads the site and watches all of it. Tells whether anything differs from what was delivered.
    fn look(&mut self) -> bool {
        // A directory that is watched only now may have changed since it was read: read it once more.
        const ROUNDS: u32 = 5;
        let mut read = self.reader.read();
        for _ in 0..ROUNDS {
            if !self.armed.cover(self.reader.directories()) {
                break;
            }
            read = self.reader.read();
        }
        let trouble = match read {
            Ok(files) => {
                self.last = keep(&self.last, files);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let before = self.seen.borrow();
        let differs = before.trouble != trouble || *before.files != *self.last;
        drop(before);
        self.trouble = trouble;
        differs
    }

    fn deliver(&self) {
        self.seen.send_replace(ObservedSite {
            files: self.last.clone(),
            trouble: self.trouble.clone(),
        });
    }
}

fn touch(unsettled: Option<PendingChange>, now: Instant) -> Option<PendingChange> {
    let first = unsettled.map_or(now, |unsettled| unsettled.first);
    Some(PendingChange { first, last: now })
}

/// The same value for the same files, so that who compares is quick.
fn keep(last: &Arc<SiteFiles>, files: SiteFiles) -> Arc<SiteFiles> {
    if **last == files {
        last.clone()
    } else {
        Arc::new(files)
    }
}

#[cfg(test)]
mod tests;
