//! What can be asked and done without a server: its journal is read without the lock, or written with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    control::{Operation, ServerState, Snapshot, TokenKey, Transaction},
    disk::{
        self,
        journal::{Journal, JournalOptions},
        state::{SecretKey, StateDirectory},
    },
    model::ServerConfig,
    net::http::{ApiError, Bytes},
    serve::{
        clock::Clock,
        engine::entry,
        operator::views,
        reload::{
            load::{Depth, SiteLoader},
            replay,
        },
        site_id, start,
    },
    site::{self, LoadCache},
};

/// A site and its journal, without a server.
pub struct Offline {
    snapshot: Arc<Snapshot>,
    server: ServerState,
    clock: Clock,
    state: Option<StateDirectory>,
}

impl std::fmt::Debug for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offline")
    }
}

impl Offline {
    /// Reads a site and what its journal says, without the lock.
    pub fn read(root: &Path) -> anyhow::Result<Offline> {
        let (config, snapshot) = snapshot(root)?;
        let clock = Clock::start();
        let state = StateDirectory::existing(&site_id::state_path(root, &config)?);
        let server = match &state {
            Some(state) => start::read_journal(state, clock)?,
            None => ServerState::new(Default::default(), TokenKey([0; 32]), 0, clock.now()),
        };
        Ok(Offline {
            snapshot,
            server,
            clock,
            state,
        })
    }

    /// Every machine, as the API answers.
    pub fn nodes(&mut self) -> Value {
        json!(views::nodes(&self.transaction()))
    }

    /// One machine, as the API answers.
    pub fn node(&mut self, name: &str) -> Result<Value, ApiError> {
        views::node(&self.transaction(), name)
    }

    /// What one machine reported of itself, as the API answers.
    pub fn facts(&mut self, name: &str) -> Result<Value, ApiError> {
        views::facts(&self.transaction(), name)
    }

    /// Why one machine gets what it gets, as the API answers.
    pub fn explain(&mut self, name: &str) -> Result<Value, ApiError> {
        views::explained(&self.transaction(), name)
    }

    /// One machine's log as lines of JSON.
    pub fn log(&mut self, name: &str) -> Result<Bytes, ApiError> {
        let ids = views::ids(&self.transaction(), name)?;
        match &self.state {
            Some(state) => views::log(&state.journal(), &ids, None),
            None => Ok(Bytes::new()),
        }
    }

    fn transaction(&mut self) -> Transaction<'_> {
        Transaction::new(&self.snapshot, &mut self.server, self.clock.now())
    }
}

/// What is asked for while no server runs.
#[derive(Debug, Clone)]
pub enum Request {
    /// Something of one machine.
    Machine(String, Operation),
    /// Every machine that the brake on large edits holds is released.
    ReleaseAll,
    /// Every hand-out stops.
    Pause,
    /// Hand-outs go on.
    Resume,
    /// The state directory is this site's: nothing is installed yet, or every declared node is.
    Declare {
        /// Whether every declared node counts as installed.
        installed: bool,
    },
}

/// Does what is asked, when no server holds the journal.
pub fn operate(root: &Path, request: &Request) -> anyhow::Result<Result<String, ApiError>> {
    let (config, snapshot) = snapshot(root)?;
    let state = StateDirectory::open(&site_id::state_path(root, &config)?)?;
    let clock = Clock::start();
    let (journal, replayed) = Journal::open(
        &state.journal(),
        &absolute(root)?,
        JournalOptions::default(),
    )?;
    let (folded, _) = replay::fold(replayed, clock.now().wall)?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let key = TokenKey(state.token_key()?.0);
    let mut server = ServerState::new(folded, key, u64::from_be_bytes(seed), clock.now());
    let mut transaction = Transaction::new(&snapshot, &mut server, clock.now());
    let said = act(&mut transaction, request);
    let (lines, _) = transaction.end();
    journal.append(lines.iter().map(entry).collect()).wait()?;
    // What is missing from the journal was known to whoever asked: the next start need not find it again.
    let state_now = serde_json::to_vec(&server.state)?;
    journal.checkpoint(state_now).wait()?;
    if let (Request::Declare { .. }, Some(id)) = (request, &config.site_id) {
        state.write_site_id(&id.value)?;
    }
    Ok(said)
}

fn act(transaction: &mut Transaction<'_>, request: &Request) -> Result<String, ApiError> {
    match request {
        Request::Machine(name, operation) => {
            transaction
                .operate(name, operation)
                .map_err(|error| match error {
                    crate::control::OperationError::Unknown(name) => {
                        views::unknown(&name, transaction.snapshot)
                    }
                    crate::control::OperationError::Refused(why) => ApiError::new(409, why),
                })
        }
        Request::ReleaseAll => Ok(format!(
            "{} machines are released",
            transaction.release_all()
        )),
        Request::Pause => {
            transaction.pause();
            Ok("no installation begins until `bootwright resume`".into())
        }
        Request::Resume => {
            transaction.resume();
            Ok("installations begin again".into())
        }
        Request::Declare { installed } => {
            let marked = transaction.declare_state(*installed);
            Ok(if *installed {
                format!("{marked} nodes count as installed")
            } else {
                "nothing counts as installed".into()
            })
        }
    }
}

/// Writes a fresh site's id into its state directory, so that the two know each other.
pub fn adopt(root: &Path) -> anyhow::Result<PathBuf> {
    let files = disk::site::read(root)?;
    let (config, _) = site::read_config(&files, &mut LoadCache::default());
    let state = StateDirectory::open(&site_id::state_path(root, &config)?)?;
    let id = config
        .site_id
        .as_ref()
        .context("the site has no `site-id`")?;
    match state.site_id()? {
        Some(known) if known != id.value => {
            anyhow::bail!(
                "the state directory `{}` belongs to another site",
                state.path().display()
            )
        }
        _ => state.write_site_id(&id.value)?,
    }
    Ok(state.path().to_path_buf())
}

fn snapshot(root: &Path) -> anyhow::Result<(Arc<ServerConfig>, Arc<Snapshot>)> {
    let files = disk::site::read(root)
        .with_context(|| format!("the site `{}` cannot be read", root.display()))?;
    let (config, _) = site::read_config(&files, &mut LoadCache::default());
    let mut loader = SiteLoader::new(root, SecretKey([0; 32]), Arc::default());
    let revision = site::load(&files, &mut LoadCache::default()).0.revision;
    // What is asked here needs nothing rendered.
    let depth = revision.map_or(Depth::Whole, Depth::Known);
    Ok((config, loader.load(&files, &depth).snapshot))
}

fn absolute(root: &Path) -> anyhow::Result<PathBuf> {
    Ok(crate::serve::reload::load::absolute(root)?)
}
