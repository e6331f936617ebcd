//! Starts a server: opens the state, the journal and the sockets, and loads the site.

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
        operator_token,
        repo::ImageRegistry,
        repo::{RepoDirectory, RepoSource},
        secrets,
        state::StateDirectory,
        watch::SiteWatch,
    },
    journal::SiteEvent,
    model::{SecretText, ServerConfig},
    net::http::Guard,
    serve::{
        Banner, Running,
        background::{follow_site, probe, witness::WitnessTask},
        clock::Clock,
        engine::{Engine, Parts},
        listen::{banner::BannerParts, operator_tls, sockets::Listeners},
        memory,
        old_state::{Doubt, testified, with_seals, witness},
        reload::{
            check_process::CheckProgram,
            chosen_site::{ChosenSite, choose},
            load::SiteLoader,
            replay,
        },
        running::RunParts,
        site_id::{self, StateOwner},
        user,
    },
    site::{self, LoadCache, ReportStyle, Severity, SiteFiles},
};

/// The options of a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory of the site.
    pub site: PathBuf,
    /// Overrides `state` in the site's `[paths]`.
    pub state: Option<PathBuf>,
    /// The witness if the site's `[paths]` names none.
    pub witness: Option<PathBuf>,
    /// Overrides `listen` in the site's `[http]`.
    pub listen: Option<SocketAddr>,
    /// Overrides `listen` in the site's `[operator]`.
    pub operator: Option<SocketAddr>,
    /// Serves only HTTP: no DHCP and no TFTP.
    pub http_only: bool,
    /// Runs a temporary server for a simulated machine: it advertises its own address and makes no deliveries.
    pub throwaway: bool,
    /// Overrides the interval of 10 s between probes of machines that cannot report that they are finished.
    pub probe_interval: Option<Duration>,
    /// The program that checks the site before the server reads it.
    pub check_program: CheckProgram,
}

/// Starts a server.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let began = Instant::now();
    let root = crate::serve::reload::load::absolute(&options.site)?;
    let (watch, mut site_changes) =
        SiteWatch::start(&root).with_context(|| format!("cannot watch `{}`", root.display()))?;
    let first = site_changes.borrow_and_update().clone();
    if let Some(error) = &first.trouble {
        anyhow::bail!("the site `{}` cannot be read: {error}", root.display());
    }
    let config = config(&root, &first.files)?;
    let state = open_state(&root, &config, options.state.as_deref())?;
    let narrowed = state.narrow(user::operator_group()?)?;
    let owner = site_id::owner(&state, &config)?;
    let clock = Clock::start();
    let (journal, server, mut warnings) = open_journal(&state, &root, clock)?;
    let doubt = Doubt::of(&server.state, &state, &config, clock.now().wall);
    let doubt = doubt.filter(|_| owner == StateOwner::Yes && !options.throwaway);
    let witness = witness(&options, &root, &config, &state, &mut warnings);
    let server = with_seals(server, &config, &state, witness.as_ref(), &mut warnings)?;
    let owner = testified(
        owner,
        &server.state,
        &state,
        witness.as_ref(),
        &mut warnings,
    )?;
    let images = Arc::new(ImageRegistry::with_cache(state.images()));
    let mut loader = SiteLoader::new(&root, state.password_key()?, images.clone())
        .checked_by(&options.check_program);
    warnings.extend(narrowed);
    let guard = Guard::new(&operator_token(&options, &config, &root, &state)?);
    let tls = match options.throwaway {
        true => None,
        false => operator_tls::open(&root, &config)?,
    };
    let listeners = Listeners::open(&options, &config, guard, tls, &mut warnings)?;
    loader.set_server(listeners.machines.address().port(), state.path());
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
        check_program: options.check_program.clone(),
        demonstration: owner == StateOwner::Demonstration,
        trusts_loopback: owner == StateOwner::Demonstration || options.throwaway,
        started_with: config.clone(),
    }));
    begin(&engine, &chosen, owner, doubt, &mut warnings).await?;
    if let Some(rejected) = &chosen.rejected {
        follow_site::reject(&engine, rejected);
    }
    if chosen.is_new {
        follow_site::store_last_good(&chosen.loaded, &first.files, &state);
    } else {
        tokio::task::spawn_blocking(memory::release_free_memory);
    }
    let witness = WitnessTask {
        generation: state.generation()?,
        state: state.clone(),
        witness,
    };
    if let Some(user) = &config.run.user {
        user::become_user(&user.value, state.path())?;
    }
    let wants_dhcp = !options.http_only && engine.answers_dhcp();
    warnings.extend(user::root_warning()?);
    warnings.extend(tftp_warning(&listeners).filter(|_| wants_dhcp));
    let banner_parts = BannerParts {
        tftp: listeners.tftp.as_ref().map(drop).map_err(Clone::clone),
        dhcp: wants_dhcp,
        site: options.site,
        machines: listeners.machines.address(),
        operators: operator_tls::url(listeners.operators.address(), listeners.tls.as_deref()),
        loaded_in: began.elapsed(),
        demonstration: engine.demonstration,
        start_warnings: warnings,
    };
    let banner = Banner::new(&chosen, &config, banner_parts);
    let parts = RunParts {
        loader,
        witness: Arc::new(witness),
        state,
        site_changes,
        watch,
        http_only: options.http_only,
        throwaway: options.throwaway,
        probe_interval: options.probe_interval.unwrap_or(probe::INTERVAL),
    };
    Ok(Running::begin(engine, listeners, parts, banner))
}

/// Warns about a port that cannot be bound.
fn tftp_warning(listeners: &Listeners) -> Option<String> {
    let reason = listeners.tftp.as_ref().err()?;
    Some(format!(
        "TFTP is off, so firmware finds no loader except over HTTP: {reason}"
    ))
}

/// Reads the server's own settings. An error in them ends the start.
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
    override_path: Option<&Path>,
) -> anyhow::Result<StateDirectory> {
    let path = match override_path {
        Some(path) => path.to_path_buf(),
        None => site_id::state_path(root, config)?,
    };
    StateDirectory::open(&path)
        .with_context(|| format!("the state directory `{}` cannot be used", path.display()))
}

/// Returns the token that operators need.
fn operator_token(
    options: &Options,
    config: &ServerConfig,
    root: &Path,
    state: &StateDirectory,
) -> anyhow::Result<SecretText> {
    match &config.operator.token_file {
        // The file may be readable only by the user of the real server.
        Some(file) if !options.throwaway => {
            secrets::token(&root.join(&file.value)).context("`token-file`")
        }
        _ => Ok(operator_token::provide(state, user::operator_group()?)?),
    }
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
            // A checkpoint only makes the start fast. Without it, all lines are read.
            tracing::warn!("{error:#}; the whole journal is read instead");
            drop(journal);
            std::fs::remove_file(state.journal().join("checkpoint"))
                .context("cannot remove the checkpoint")?;
            let (again, replayed) = open()?;
            journal = again;
            replay::fold(replayed, now.wall)?
        }
    };
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)
        .map_err(|error| anyhow::anyhow!("no random numbers are available: {error}"))?;
    let key = TokenKey(state.token_key()?.0);
    Ok((
        journal,
        ServerState::new(folded, key, u64::from_be_bytes(seed), now),
        found,
    ))
}

/// Records the start, and removes files of attempts that have ended.
async fn begin(
    engine: &Engine,
    chosen: &ChosenSite,
    owner: StateOwner,
    doubt: Option<Doubt>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ((), ticket) = engine.transaction(|transaction| {
        transaction.record_site(SiteEvent::Started {
            version: env!("CARGO_PKG_VERSION").into(),
        });
        if let StateOwner::No(reason) = owner
            && transaction.server.state.lost.is_none()
        {
            transaction.record_site(SiteEvent::StateLost { reason });
        }
        if let Some(Doubt(reason)) = doubt {
            transaction.record_site(SiteEvent::Suspected { reason });
        }
        transaction.on_reload(chosen.before.as_deref());
        transaction.start_deadlines();
    });
    if let Err(error) = ticket.durable().await {
        warnings.push(format!("{error}: installations are held"));
    }
    warnings.extend(engine.read(|transaction| transaction.server.state.doubt()));
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

/// Reads the state from the journal, without its lock.
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
