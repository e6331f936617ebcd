//! Opening everything, in the order in which each thing needs the one before it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    control::{ServerState, TokenKey},
    disk::{
        attempts::AttemptStore,
        journal::{self, Journal, JournalOptions},
        repo::ImageRegistry,
        repo::{RepoDirectory, RepoSource},
        state::StateDirectory,
        watch::SiteWatch,
    },
    journal::SiteEvent,
    model::ServerConfig,
    serve::{
        Banner, Running,
        background::{follow_site, probe},
        clock::Clock,
        engine::{Engine, Parts},
        listen::{banner::BannerParts, sockets::Listeners},
        memory,
        reload::{
            chosen_site::{ChosenSite, choose},
            load::SiteLoader,
            replay,
        },
        running::Following,
        site_id::{self, StateOwner},
        user,
    },
    site::{self, LoadCache, ReportStyle, Severity, SiteFiles},
};

/// What a server is started with besides its site.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The site.
    pub site: PathBuf,
    /// In place of the site's `[paths] state`.
    pub state: Option<PathBuf>,
    /// In place of the site's `[http] listen`.
    pub listen: Option<SocketAddr>,
    /// In place of the site's `[operator] listen`.
    pub operator: Option<SocketAddr>,
    /// Whether DHCP and TFTP are left alone: a throwaway server for a machine that is none.
    pub http_alone: bool,
    /// Whether it is a server of a moment, for a machine that is played: it advertises its own address, and tells no programs of what
    /// has not happened.
    pub throwaway: bool,
    /// In place of the 10 s between two probes of machines that cannot report that they are finished.
    pub probe_interval: Option<Duration>,
}

/// Starts a server.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let began = Instant::now();
    let root = crate::serve::reload::load::absolute(&options.site)?;
    let (watch, mut seen) = SiteWatch::start(&root)
        .with_context(|| format!("`{}` cannot be watched", root.display()))?;
    let first = seen.borrow_and_update().clone();
    if let Some(trouble) = &first.trouble {
        anyhow::bail!("the site `{}` cannot be read: {trouble}", root.display());
    }
    let config = config(&root, &first.files)?;
    let state = open_state(&root, &config, options.state.as_deref())?;
    let known = site_id::known(&state, &config)?;
    let clock = Clock::start();
    let (journal, server, mut troubles) = open_journal(&state, &root, clock)?;
    let images = Arc::new(ImageRegistry::with_cache(state.images()));
    let mut loader = SiteLoader::new(&root, state.password_key()?, images.clone());
    let listeners = Listeners::open(&options, &config, &root, &mut troubles)?;
    loader.set_port(listeners.machines.address().port());
    let chosen = choose(&mut loader, &first.files, &state, &root)?;
    let engine = Arc::new(Engine::new(Parts {
        root: root.clone(),
        clock,
        attempts: AttemptStore::open(&state.attempts())?,
        images,
        microkernel: RepoSource::Directory(RepoDirectory::new(&state.microkernel())),
        journal,
        journal_dir: state.journal(),
        server,
        snapshot: chosen.snapshot.clone(),
        demonstration: known == StateOwner::Demonstration,
        started_with: config.clone(),
    }));
    begin(&engine, &chosen, known, &mut troubles).await?;
    if let Some(rejected) = &chosen.rejected {
        follow_site::reject(&engine, rejected);
    }
    if chosen.is_new {
        follow_site::keep(&chosen.loaded, &first.files, &state);
    } else {
        tokio::task::spawn_blocking(memory::give_back);
    }
    if let Some(user) = &config.run.user {
        user::become_user(&user.value, state.path())?;
    } else if nix::unistd::geteuid().is_root() {
        troubles
            .push("runs as root: set `user` in `[run]` of bootwright.toml to change that".into());
    }
    let wants_dhcp = !options.http_alone && engine.answers_dhcp();
    if let Err(reason) = &listeners.tftp
        && wants_dhcp
    {
        troubles.push(format!(
            "TFTP is off, so firmware finds no loader except over HTTP: {reason}"
        ));
    }
    let said = BannerParts {
        tftp: listeners.tftp.as_ref().map(drop).map_err(Clone::clone),
        dhcp: wants_dhcp,
        site: options.site,
        machines: listeners.machines.address(),
        operators: listeners.operators.address(),
        loaded_in: began.elapsed(),
        demonstration: engine.demonstration,
        start_warnings: troubles,
    };
    let banner = Banner::new(&chosen, &config, said);
    let following = Following {
        loader,
        state,
        seen,
        watch,
        http_alone: options.http_alone,
        throwaway: options.throwaway,
        probe_interval: options.probe_interval.unwrap_or(probe::INTERVAL),
    };
    Ok(Running::begin(engine, listeners, following, banner))
}

/// The server's own settings. They must be right before anything is opened.
fn config(root: &Path, files: &SiteFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let mut memory = LoadCache::default();
    let (config, diagnostics) = site::read_config(files, &mut memory);
    let errors = diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    if errors {
        let report = site::report(&diagnostics, memory.sources(), ReportStyle::PLAIN);
        anyhow::bail!(
            "bootwright.toml of `{}` has errors\n{report}",
            root.display()
        );
    }
    Ok(config)
}

fn open_state(
    root: &Path,
    config: &ServerConfig,
    instead: Option<&Path>,
) -> anyhow::Result<StateDirectory> {
    let path = match instead {
        Some(path) => path.to_path_buf(),
        None => site_id::state_path(root, config)?,
    };
    StateDirectory::open(&path)
        .with_context(|| format!("the state directory `{}` cannot be used", path.display()))
}

fn open_journal(
    state: &StateDirectory,
    root: &Path,
    clock: Clock,
) -> anyhow::Result<(Journal, ServerState, Vec<String>)> {
    let now = clock.now();
    let open = || Journal::open(&state.journal(), root, JournalOptions::default());
    let (mut journal, replayed) = open()?;
    let (folded, found) = match replay::fold(replayed, now.wall) {
        Ok(folded) => folded,
        Err(error) => {
            // A checkpoint only makes the start fast: without it every line is read.
            tracing::warn!("{error:#}; it is left out");
            drop(journal);
            std::fs::remove_file(state.journal().join("checkpoint"))
                .context("the checkpoint cannot be removed")?;
            let (again, replayed) = open()?;
            journal = again;
            replay::fold(replayed, now.wall)?
        }
    };
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let key = TokenKey(state.token_key()?.0);
    Ok((
        journal,
        ServerState::new(folded, key, u64::from_be_bytes(seed), now),
        found,
    ))
}

/// Takes note of the start.
async fn begin(
    engine: &Engine,
    chosen: &ChosenSite,
    known: StateOwner,
    troubles: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ((), ticket) = engine.transaction(|transaction| {
        transaction.record_site(SiteEvent::Started {
            version: env!("CARGO_PKG_VERSION").into(),
        });
        if let StateOwner::No(reason) = known
            && transaction.server.state.lost.is_none()
        {
            transaction.record_site(SiteEvent::StateLost { reason });
        }
        transaction.on_reload(chosen.before.as_deref());
        transaction.start_deadlines();
    });
    if let Err(error) = ticket.durable().await {
        troubles.push(format!("{error}: installations are held"));
    }
    troubles.extend(engine.read(|transaction| transaction.server.state.lost.clone()));
    let live = engine.read(|transaction| {
        let machines = transaction.server.state.machines.values();
        let newest = machines.filter_map(|machine| machine.newest());
        let kept = newest.filter(|attempt| attempt.open || transaction.is_completing(attempt.id));
        kept.map(|attempt| (attempt.id, attempt.open))
            .collect::<Vec<_>>()
    });
    for (attempt, is_open) in &live {
        if !is_open {
            engine.resume_hand_over(*attempt);
        }
    }
    let live = live.iter();
    let live = live
        .map(|(attempt, _)| crate::serve::engine::documents::key(*attempt))
        .collect();
    for swept in engine.attempts.sweep(&live)? {
        tracing::debug!(
            "documents of attempt {} of {:016x} removed",
            swept.attempt,
            swept.machine
        );
    }
    Ok(())
}

/// Reads what is kept of a site without the lock.
pub(crate) fn read_journal(state: &StateDirectory, clock: Clock) -> anyhow::Result<ServerState> {
    let now = clock.now();
    let replayed = journal::read(&state.journal());
    let folded = match replayed {
        Ok(replayed) => replay::fold(replayed, now.wall)?.0,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let key = state.token_key().map_or([0; 32], |key| key.0);
    Ok(ServerState::new(folded, TokenKey(key), 0, now))
}
