//! The engine: decides requests in order, and makes their events durable before the answers are sent.

pub(crate) mod address_probe;
pub(crate) mod dhcp_stats;
pub(crate) mod documents;
pub(crate) mod failed_images;
pub(crate) mod rogue_dhcp;
mod scripts;
mod unverified_images;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use address_probe::AddressProbes;
use dhcp_stats::DhcpStats;
use failed_images::FailedImages;
use rogue_dhcp::RogueDhcp;
use scripts::Scripts;

use crate::{
    control::{ServerState, Snapshot, Transaction, TransactionEnd},
    disk::{
        attempts::{AttemptStore, Document, DocumentBody},
        journal::{Journal, JournalEntry, JournalHealth, Ticket},
        loaders::Loaders,
        repo::{ImageRegistry, RepoSource},
    },
    journal::{AttemptId, EventRole, JournalLine},
    model::{DhcpMode, Now, RepoName, Revision, ServerConfig},
    render::HAND_OVER,
    serve::{CheckProgram, clock::Clock, reload::external, server_log},
};

/// One site's server, without its sockets.
pub(crate) struct Engine {
    pub(crate) root: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) attempts: AttemptStore,
    pub(crate) images: Arc<ImageRegistry>,
    /// The directory of the microkernel. It may be empty.
    pub(crate) microkernel: RepoSource,
    pub(crate) failed_images: FailedImages,
    pub(crate) journal_dir: PathBuf,
    pub(crate) check_program: CheckProgram,
    pub(crate) demonstration: bool,
    /// Whether requests from this host may be those of machines.
    pub(crate) trusts_loopback: bool,
    /// The settings that the server was started with.
    pub(crate) started_with: Arc<ServerConfig>,
    pub(crate) dhcp_stats: DhcpStats,
    pub(crate) rogue_dhcp: RogueDhcp,
    pub(crate) addresses: AddressProbes,
    loaders: ArcSwap<Loaders>,
    /// The errors of the site's current files, if they are not live.
    pub(crate) rejected: ArcSwap<Rejected>,
    /// Changes when the files of an attempt were rendered and stored, or could not be.
    pub(crate) prepared: tokio::sync::watch::Sender<u64>,
    /// Changes when events were appended to the journal.
    pub(crate) appended: tokio::sync::watch::Sender<u64>,
    pub(crate) journal: Journal,
    server: Mutex<ServerState>,
    live: ArcSwap<Live>,
    /// Attempts that have ended. Their files are removed once the event is on the disk.
    ended: Mutex<Vec<AttemptId>>,
    /// Attempts whose machine is installed and has not run its hand-over yet.
    handing_over: Mutex<BTreeSet<AttemptId>>,
    scripts: Mutex<Scripts>,
}

/// The site that answers requests.
pub(crate) struct Live {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The sources of the repos that this server serves.
    pub(crate) sources: BTreeMap<RepoName, Arc<RepoSource>>,
}

/// A revision of the site that did not go live.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    pub(crate) revision: Option<Revision>,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) diagnostics: serde_json::Value,
    pub(crate) reason: Option<String>,
}

/// The parts of an engine.
pub(crate) struct Parts {
    pub(crate) root: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) attempts: AttemptStore,
    pub(crate) images: Arc<ImageRegistry>,
    pub(crate) microkernel: RepoSource,
    pub(crate) journal: Journal,
    pub(crate) journal_dir: PathBuf,
    pub(crate) server: ServerState,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) check_program: CheckProgram,
    pub(crate) demonstration: bool,
    pub(crate) trusts_loopback: bool,
    pub(crate) started_with: Arc<ServerConfig>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let live = Live::new(&parts.root, parts.snapshot, &parts.images);
        Engine {
            root: parts.root,
            clock: parts.clock,
            attempts: parts.attempts,
            images: parts.images,
            microkernel: parts.microkernel,
            failed_images: FailedImages::default(),
            journal_dir: parts.journal_dir,
            check_program: parts.check_program,
            demonstration: parts.demonstration,
            trusts_loopback: parts.trusts_loopback,
            started_with: parts.started_with,
            dhcp_stats: DhcpStats::default(),
            rogue_dhcp: RogueDhcp::default(),
            addresses: AddressProbes::new(),
            loaders: ArcSwap::default(),
            rejected: ArcSwap::default(),
            prepared: tokio::sync::watch::Sender::new(0),
            appended: tokio::sync::watch::Sender::new(0),
            journal: parts.journal,
            server: Mutex::new(parts.server),
            live: ArcSwap::from_pointee(live),
            ended: Mutex::default(),
            handing_over: Mutex::default(),
            scripts: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load().snapshot.clone()
    }

    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    /// Returns whether this server answers DHCP for a network of the site.
    pub(crate) fn answers_dhcp(&self) -> bool {
        self.started_with.dhcp.effective().enabled && self.has_dhcp_network()
    }

    /// Returns whether a network of the site uses DHCP.
    pub(crate) fn has_dhcp_network(&self) -> bool {
        let snapshot = self.snapshot();
        let mut networks = snapshot.site.networks.values();
        networks.any(|network| network.body.effective().dhcp != DhcpMode::Off)
    }

    /// Returns the loaders that the last search has found.
    pub(crate) fn loaders(&self) -> arc_swap::Guard<Arc<Loaders>> {
        self.loaders.load()
    }

    /// Searches for loaders again.
    pub(crate) fn find_loaders(&self) {
        let own = self.started_with.paths.loaders.iter();
        let own: Vec<PathBuf> = own
            .flat_map(|list| list.values())
            .map(|path| self.root.join(path))
            .collect();
        self.loaders.store(Arc::new(Loaders::find(&own)));
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Runs a transaction. Its events are queued for the disk in the order of the transactions; an answer that depends on
    /// them waits for the ticket.
    pub(crate) fn transaction<T>(
        &self,
        act: impl FnOnce(&mut Transaction<'_>) -> T,
    ) -> (T, Ticket) {
        self.transaction_at(|transaction, _| act(transaction))
    }

    /// Like [`Engine::transaction`], and passes the snapshot of the site.
    pub(crate) fn transaction_at<T>(
        &self,
        act: impl FnOnce(&mut Transaction<'_>, &Arc<Snapshot>) -> T,
    ) -> (T, Ticket) {
        let mut server = self.server();
        let live = self.live.load();
        let mut transaction = Transaction::new(&live.snapshot, &mut server, self.now());
        let outcome = act(&mut transaction, &live.snapshot);
        let end = transaction.end();
        (outcome, self.append(server, end))
    }

    /// Reads the state without changing it.
    pub(crate) fn read<T>(&self, act: impl FnOnce(&Transaction<'_>) -> T) -> T {
        let mut server = self.server();
        let live = self.live.load();
        act(&Transaction::new(&live.snapshot, &mut server, self.now()))
    }

    /// Makes a new snapshot live, and records what follows from it.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) -> Ticket {
        let mut server = self.server();
        let before = self.snapshot();
        self.live.store(Arc::new(Live::new(
            &self.root,
            snapshot.clone(),
            &self.images,
        )));
        let mut transaction = Transaction::new(&snapshot, &mut server, self.now());
        transaction.on_reload(Some(&before));
        let end = transaction.end();
        self.append(server, end)
    }

    /// Writes a checkpoint of the state, so that the next start is quick.
    pub(crate) fn checkpoint(&self) -> anyhow::Result<Ticket> {
        let server = self.server();
        let state = serde_json::to_vec(&server.state)?;
        Ok(self.journal.checkpoint(state))
    }

    pub(crate) fn health(&self) -> JournalHealth {
        self.journal.health()
    }

    /// Returns the stored script of an attempt.
    pub(crate) async fn script(self: &Arc<Self>, attempt: AttemptId) -> Result<Vec<u8>, String> {
        if let Some(script) = lock(&self.scripts).get(attempt) {
            return Ok(script.clone());
        }
        let engine = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let script = documents::read_script(&engine.attempts, attempt)?;
            engine.cache_script(attempt, script.clone());
            Ok(script)
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Caches the script of an attempt in memory, so that repeated requests get it without reading the disk.
    pub(crate) fn cache_script(&self, attempt: AttemptId, script: Vec<u8>) {
        lock(&self.scripts).put(attempt, script);
    }

    /// Reads a stored file of an attempt; `None` if its task has none of that name.
    pub(crate) fn file_text(
        &self,
        attempt: AttemptId,
        name: &str,
    ) -> Result<Option<String>, String> {
        match self.attempts.read(documents::key(attempt), name) {
            Ok(Some(Document {
                body: DocumentBody::Bytes(bytes),
                ..
            })) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::error!("attempt {}: {error}", attempt.number);
                Err("its documents cannot be read; see the server's log".into())
            }
        }
    }

    /// Removes the script of an attempt from memory.
    pub(crate) fn remove_cached_script(&self, attempt: AttemptId) {
        lock(&self.scripts).remove(attempt);
    }

    /// Queues the events of a transaction in the order of the transactions, which the lock of the state gives.
    fn append(&self, server: MutexGuard<'_, ServerState>, end: TransactionEnd) -> Ticket {
        let TransactionEnd {
            lines,
            ended,
            is_continued,
        } = end;
        lock(&self.ended).extend(ended);
        lines.iter().for_each(|line| server_log::log(line, &server));
        let entries = lines.iter().map(entry).collect();
        let ticket = match is_continued {
            true => self.journal.append_with_next(entries),
            false => self.journal.append(entries),
        };
        // Those that wait for events read the state at once.
        drop(server);
        if !lines.is_empty() {
            self.appended
                .send_modify(|count| *count += lines.len() as u64);
        }
        ticket
    }

    /// Waits until all events so far are on the disk; returns false if they cannot be written.
    pub(crate) async fn settled(&self) -> bool {
        self.journal.append(Vec::new()).durable().await.is_ok()
    }

    /// Removes the files of ended attempts once their end is on the disk.
    pub(crate) async fn sweep(&self) {
        self.end_hand_overs();
        let ended = std::mem::take(&mut *lock(&self.ended));
        if ended.is_empty() {
            return;
        }
        if !self.settled().await {
            lock(&self.ended).extend(ended);
            return;
        }
        for attempt in ended {
            self.remove_cached_script(attempt);
            match self.clear(attempt) {
                Ok(true) => drop(lock(&self.handing_over).insert(attempt)),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    "the documents of attempt {} cannot be removed: {error}",
                    attempt.number
                ),
            }
        }
    }

    /// Removes the files of an attempt, except the hand-over script if its machine has not run it yet. Returns whether that
    /// script exists.
    fn clear(&self, attempt: AttemptId) -> std::io::Result<bool> {
        let key = documents::key(attempt);
        match self.read(|transaction| transaction.is_completing(attempt)) {
            true => self.attempts.retain_only(key, HAND_OVER),
            false => self.attempts.remove(key).map(|()| false),
        }
    }

    /// Ends the attempts whose machine has run its hand-over, or will not run it any more.
    fn end_hand_overs(&self) {
        let mut handing_over = lock(&self.handing_over);
        if handing_over.is_empty() {
            return;
        }
        let ended: Vec<AttemptId> = self.read(|transaction| {
            let all = handing_over.iter().copied();
            all.filter(|attempt| !transaction.is_completing(*attempt))
                .collect()
        });
        handing_over.retain(|attempt| !ended.contains(attempt));
        lock(&self.ended).extend(ended);
    }

    /// Continues with an attempt whose machine had not run its hand-over when the server stopped.
    pub(crate) fn resume_hand_over(&self, attempt: AttemptId) {
        lock(&self.ended).push(attempt);
    }

    fn server(&self) -> MutexGuard<'_, ServerState> {
        lock(&self.server)
    }
}

/// A transaction changes the state only by whole events, so a panic leaves none incomplete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn entry(line: &JournalLine) -> JournalEntry {
    let traits = line.event.traits();
    JournalEntry {
        text: line.text(),
        durable: traits.durable,
        reports: traits.role == EventRole::Reports,
    }
}

impl Live {
    fn new(root: &std::path::Path, snapshot: Arc<Snapshot>, images: &ImageRegistry) -> Self {
        let repos = snapshot.site.repos.iter();
        let sources = repos.filter_map(|(name, repo)| {
            let source = external::source(root, &snapshot.site, repo, images)?;
            Some((name.clone(), Arc::new(source)))
        });
        Live {
            sources: sources.collect(),
            snapshot,
        }
    }
}
