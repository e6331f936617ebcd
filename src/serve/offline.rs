//! Queries and commands without a running server: the journal is read without its lock, or written with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;

use crate::{
    api::{ApiError, Command, CommandReply, Query},
    control::{DeclaredState, ServerState, Snapshot, TokenKey, Transaction},
    disk::{
        self,
        journal::{Journal, JournalOptions},
        state::{SecretKey, StateDirectory, new_generation},
        witness::{Witness, WitnessedPosition},
    },
    model::{ServerConfig, Timestamp},
    net::http::Bytes,
    serve::{
        clock::Clock,
        engine::entry,
        operator::{requests, views},
        reload::{
            check_process::CheckProgram,
            load::{Depth, SiteLoader},
            replay,
        },
        site_id, start,
    },
    site::{self, LoadCache, counted},
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
    /// Reads a site and its journal, without the lock.
    pub fn read(root: &Path, program: &CheckProgram) -> anyhow::Result<Offline> {
        let (config, snapshot) = snapshot(root, program)?;
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

    /// Answers a query as the server does.
    pub fn query(&mut self, query: &Query) -> Result<Bytes, ApiError> {
        match query {
            Query::Log { node, after } => self.log(node, after.as_deref()),
            _ => requests::answer(&self.transaction(), query),
        }
    }

    fn log(&mut self, name: &str, after: Option<&str>) -> Result<Bytes, ApiError> {
        let ids = views::ids(&self.transaction(), name)?;
        match &self.state {
            Some(state) => views::log(&state.journal(), &ids, after, None),
            None => Ok(Bytes::new()),
        }
    }

    fn transaction(&mut self) -> Transaction<'_> {
        Transaction::new(&self.snapshot, &mut self.server, self.clock.now())
    }
}

/// Carries out a command. It fails if a server holds the journal.
pub fn carry_out(
    root: &Path,
    command: &Command,
    program: &CheckProgram,
) -> anyhow::Result<Result<CommandReply, ApiError>> {
    let (config, snapshot) = snapshot(root, program)?;
    let state = StateDirectory::open(&site_id::state_path(root, &config)?)?;
    change(root, &state, &snapshot, |transaction| {
        requests::carry_out(transaction, command)
    })
}

/// Declares that a state directory belongs to this site, and what is installed on machines without a record in it. Describes the
/// result.
pub fn declare_state(
    root: &Path,
    declared: DeclaredState,
    program: &CheckProgram,
) -> anyhow::Result<String> {
    let (config, snapshot) = snapshot(root, program)?;
    let state = StateDirectory::open(&site_id::state_path(root, &config)?)?;
    let mut position = WitnessedPosition {
        generation: new_generation()?,
        decisions: 0,
        at: Timestamp::default(),
    };
    let (marked, recorded, doubt) = change(root, &state, &snapshot, |transaction| {
        let marked = transaction.declare_state(declared);
        let journal = &transaction.server.state;
        position.decisions = journal.decisions;
        position.at = journal.latest;
        let machines = journal.machines.values();
        let recorded = machines.filter(|machine| machine.installed).count();
        (marked, recorded, journal.doubt())
    })?;
    if let Some(id) = &config.site_id {
        state.write_site_id(&id.value)?;
    }
    let witness = site_id::witness_path(&absolute(root)?, &config);
    let witness = witness.filter(|path| !site_id::is_in(path, state.path()));
    if let Some(path) = &witness {
        Witness::new(path).store(&position).with_context(|| {
            format!(
                "the witness `{}` cannot be written, so the state directory would count as an old copy again",
                path.display()
            )
        })?;
    }
    state.write_generation(&position.generation)?;
    let machines = counted(recorded, "machine");
    Ok(match declared {
        DeclaredState::Installed => format!("{marked} nodes count as installed"),
        DeclaredState::New if recorded > 0 => {
            format!("recorded as installed: {machines}; nothing else counts as installed")
        }
        DeclaredState::New => "nothing counts as installed".into(),
        DeclaredState::FromMachines => {
            let known = if recorded > 0 {
                format!("recorded as installed: {machines}; ")
            } else {
                String::new()
            };
            format!("{known}{}", doubt.unwrap_or_default())
        }
    })
}

/// Changes the state, and writes the events to the journal.
pub(super) fn change<T>(
    root: &Path,
    state: &StateDirectory,
    snapshot: &Snapshot,
    with: impl FnOnce(&mut Transaction<'_>) -> T,
) -> anyhow::Result<T> {
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
    let mut transaction = Transaction::new(snapshot, &mut server, clock.now());
    let changed = with(&mut transaction);
    let lines = transaction.end().lines;
    journal.append(lines.iter().map(entry).collect()).wait()?;
    // The checkpoint covers the journal so far: the next start does not report again what is missing from it.
    let state_now = serde_json::to_vec(&server.state)?;
    journal.checkpoint(state_now).wait()?;
    Ok(changed)
}

/// Writes the id of a new site to its state directory, which then belongs to it.
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

pub(super) fn snapshot(
    root: &Path,
    program: &CheckProgram,
) -> anyhow::Result<(Arc<ServerConfig>, Arc<Snapshot>)> {
    let files = disk::site::read(root)
        .with_context(|| format!("the site `{}` cannot be read", root.display()))?;
    let mut loader = SiteLoader::new(root, SecretKey([0; 32]), Arc::default()).checked_by(program);
    // Nothing here needs rendered documents.
    let loaded = loader.load(&files, &Depth::Known(site::revision(&files)));
    if let Some(failure) = loaded.failure {
        return Err(failure.into());
    }
    Ok((loaded.snapshot.site.config.clone(), loaded.snapshot))
}

pub(super) fn absolute(root: &Path) -> anyhow::Result<PathBuf> {
    Ok(crate::serve::reload::load::absolute(root)?)
}
