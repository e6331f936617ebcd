//! Opening everything, in the order in which each thing needs the one before it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    backend::Server,
    clock::Clock,
    engine::{Engine, Parts},
    keep::{self, Known},
    load::{Depth, Loaded, Loader},
    probe, reload, replay, user,
};
use crate::{
    control::{Snapshot, TokenKey, World},
    disk::{
        attempts::Attempts,
        journal::{self, Journal, Options as JournalOptions},
        last_good,
        state::State,
        watch::{Seen, Watch},
    },
    journal::Event,
    model::ServerConfig,
    net::http::{self, Advertise, Guard, Limits, Listener, Machines, Operators, Stop},
    site::{self, Files, Memory, Severity, Style},
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
}

/// What is said at the start.
#[derive(Debug, Clone)]
pub struct Banner {
    /// The site as it was given.
    pub site: PathBuf,
    /// Its revision.
    pub revision: String,
    /// How many nodes, policies, repos and networks it declares.
    pub counts: [usize; 4],
    /// How many errors keep the site as it stands now from going live.
    pub errors: usize,
    /// How many warnings there are.
    pub warnings: usize,
    /// How long loading took.
    pub loaded_in: Duration,
    /// Whether it is a demonstration: a site without an id.
    pub demonstration: bool,
    /// Where machines reach the server.
    pub machines: String,
    /// Where operators do.
    pub operators: String,
    /// The first node, for suggesting what to try.
    pub first_node: Option<String>,
    /// What is not as it should be.
    pub troubles: Vec<String>,
    /// Every mistake and warning of the site, as people read them.
    pub report: String,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where machines are served.
    pub machines: SocketAddr,
    /// Where operators are.
    pub operators: SocketAddr,
    /// What is said at the start.
    pub banner: Banner,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    engine: EngineHandle,
    watch: Arc<Watch>,
}

#[derive(Clone)]
struct EngineHandle(Arc<Engine>);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// Where machines are served when the site does not say it, and when that port cannot be had.
const PORTS: [u16; 2] = [80, 8080];

/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(300);

/// Starts a server.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let began = Instant::now();
    let root = super::load::absolute(&options.site)?;
    let (watch, mut seen) =
        Watch::start(&root).with_context(|| format!("`{}` cannot be watched", root.display()))?;
    let first = seen.borrow_and_update().clone();
    if let Some(trouble) = &first.trouble {
        anyhow::bail!("the site `{}` cannot be read: {trouble}", root.display());
    }
    let config = config(&root, &first.files)?;
    let state = open_state(&root, &config, options.state.as_deref())?;
    let known = keep::known(&state, &config)?;
    let clock = Clock::start();
    let (journal, world, mut troubles) = open_journal(&state, &root, clock)?;
    let mut loader = Loader::new(&root, state.password_key()?, None);
    let listeners = Listeners::open(&options, &config, &root, &mut troubles)?;
    loader.set_port(listeners.machines.address().port());
    let chosen = choose(&mut loader, &first, &state, &root)?;
    let engine = Arc::new(Engine::new(Parts {
        root: root.clone(),
        clock,
        attempts: Attempts::open(&state.attempts())?,
        journal,
        journal_dir: state.journal(),
        world,
        snapshot: chosen.snapshot.clone(),
        demonstration: known == Known::Demonstration,
        started_with: config.clone(),
    }));
    begin(&engine, &chosen, known, &mut troubles).await?;
    if let Some(rejected) = &chosen.rejected {
        reload::reject(&engine, rejected);
    }
    if chosen.is_new {
        reload::keep(&chosen.loaded, &first.files, &state);
    }
    if let Some(user) = &config.run.user {
        user::become_user(&user.value, state.path())?;
    } else if nix::unistd::geteuid().is_root() {
        troubles
            .push("runs as root: set `user` in `[run]` of bootwright.toml to change that".into());
    }
    let banner = banner(
        &options,
        &chosen,
        &listeners,
        &config,
        began.elapsed(),
        troubles,
        &engine,
    );
    Ok(listeners.serve(engine, loader, state, seen, watch, banner, &config))
}

impl Running {
    /// Waits until the server is told to end, by a signal or by [`Running::stop`].
    pub async fn wait(self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => self.watch.look_now(),
            }
        }
        self.stop().await
    }

    /// Ends the server in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for listener in self.listeners {
            listener.await?;
        }
        self.background.iter().for_each(JoinHandle::abort);
        let engine = self.engine.0;
        let ((), ticket) = engine.turn(|turn| turn.record_site(Event::Stopped {}));
        ticket.durable().await?;
        engine.checkpoint()?.durable().await?;
        Ok(())
    }
}

/// The server's own settings. They must be right before anything is opened.
fn config(root: &Path, files: &Files) -> anyhow::Result<Arc<ServerConfig>> {
    let mut memory = Memory::default();
    let (config, diagnostics) = site::read_config(files, &mut memory);
    let errors = diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    if errors {
        let report = site::report(&diagnostics, memory.sources(), Style::PLAIN);
        anyhow::bail!(
            "bootwright.toml of `{}` has errors\n{report}",
            root.display()
        );
    }
    Ok(config)
}

fn open_state(root: &Path, config: &ServerConfig, instead: Option<&Path>) -> anyhow::Result<State> {
    let path = match instead {
        Some(path) => path.to_path_buf(),
        None => keep::state_path(root, config)?,
    };
    State::open(&path)
        .with_context(|| format!("the state directory `{}` cannot be used", path.display()))
}

fn open_journal(
    state: &State,
    root: &Path,
    clock: Clock,
) -> anyhow::Result<(Journal, World, Vec<String>)> {
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
        World::new(folded, key, u64::from_be_bytes(seed), now),
        found,
    ))
}

/// The site that goes live at the start.
struct Chosen {
    loaded: Loaded,
    snapshot: Arc<Snapshot>,
    /// The last good site, when that is another one: what an edit makes due is judged against it.
    before: Option<Arc<Snapshot>>,
    /// The site as it stands, when it has errors.
    rejected: Option<Loaded>,
    is_new: bool,
}

/// Takes the site as it stands; when it has errors, the last good copy; without one, nothing.
fn choose(loader: &mut Loader, seen: &Seen, state: &State, root: &Path) -> anyhow::Result<Chosen> {
    let good = last_good::revision(&state.last_good())?;
    let depth = good.clone().map_or(Depth::Whole, Depth::Known);
    let loaded = loader.load(&seen.files, &depth);
    let same = good.is_some() && loaded.snapshot.site.revision == good;
    if loaded.is_sound() && same {
        return Ok(Chosen {
            snapshot: loaded.snapshot.clone(),
            loaded,
            before: None,
            rejected: None,
            is_new: false,
        });
    }
    let copy = match last_good::read(&state.last_good())? {
        Some(copy) => {
            let mut of_copy = Loader::new(root, state.password_key()?, None);
            Some(of_copy.load(&copy.files, &Depth::Known(copy.revision)))
        }
        None => None,
    };
    if loaded.is_sound() {
        let before = copy.map(|copy| copy.snapshot);
        return Ok(Chosen {
            snapshot: loaded.snapshot.clone(),
            loaded,
            before,
            rejected: None,
            is_new: true,
        });
    }
    let snapshot = copy.map_or_else(Default::default, |copy| copy.snapshot);
    Ok(Chosen {
        snapshot,
        loaded: loaded.clone(),
        before: None,
        rejected: Some(loaded),
        is_new: false,
    })
}

/// Takes note of the start.
async fn begin(
    engine: &Engine,
    chosen: &Chosen,
    known: Known,
    troubles: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ((), ticket) = engine.turn(|turn| {
        turn.record_site(Event::Started {
            version: env!("CARGO_PKG_VERSION").into(),
        });
        if let Known::No(reason) = known
            && turn.world.state.lost.is_none()
        {
            turn.record_site(Event::StateLost { reason });
        }
        turn.on_reload(chosen.before.as_deref());
        turn.start_clocks();
    });
    if let Err(error) = ticket.durable().await {
        troubles.push(format!("{error}: installations are held"));
    }
    troubles.extend(engine.look(|turn| turn.world.state.lost.clone()));
    let live = engine.look(|turn| {
        let machines = turn.world.state.machines.values();
        machines
            .flat_map(|machine| machine.open())
            .map(|attempt| super::handout::key(attempt.id))
            .collect()
    });
    for swept in engine.attempts.sweep(&live)? {
        tracing::debug!(
            "documents of attempt {} of {:016x} removed",
            swept.attempt,
            swept.machine
        );
    }
    Ok(())
}

/// The sockets.
struct Listeners {
    machines: Listener,
    operators: Listener,
    guard: Guard,
    advertise: Advertise,
    limits: Limits,
}

impl Listeners {
    fn open(
        options: &Options,
        config: &ServerConfig,
        root: &Path,
        troubles: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let machines = match (options.listen, &config.http.listen) {
            (Some(address), _) => listen(address)?,
            (None, Some(address)) => listen(address_of(&address.value, 80)?)?,
            (None, None) => listen_by_default(troubles)?,
        };
        let operator = match (options.operator, &config.operator.listen) {
            (Some(address), _) => address,
            (None, Some(address)) => address_of(&address.value, 8067)?,
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 8067)),
        };
        let token = config.operator.token_file.as_ref().map(|file| {
            let path = root.join(&file.value);
            std::fs::read_to_string(&path)
                .with_context(|| format!("`{}` cannot be read", path.display()))
        });
        let guard = Guard::new(operator, token.transpose()?.as_deref())?;
        let texts = config
            .http
            .advertise
            .iter()
            .flat_map(|list| list.values().map(String::as_str));
        let mut limits = Limits::default();
        if let Some(connections) = &config.limits.connections {
            limits.connections = connections.value as usize;
        }
        if let Some(connections) = &config.limits.connections_per_address {
            limits.connections_per_address = connections.value as usize;
        }
        let files = limits.connections as u64 + 1_024;
        match http::allow_open_files(files) {
            Ok(allowed) if allowed < files => {
                troubles.push(format!(
                    "only {allowed} files may be open: fewer connections than `connections` fit"
                ));
            }
            Ok(_) => {}
            Err(error) => {
                troubles.push(format!("the limit of open files cannot be raised: {error}"))
            }
        }
        Ok(Listeners {
            machines,
            operators: listen(operator)?,
            guard,
            advertise: Advertise::read(texts)?,
            limits,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that was opened is handed over at once"
    )]
    fn serve(
        self,
        engine: Arc<Engine>,
        loader: Loader,
        state: State,
        seen: watch::Receiver<Seen>,
        watch: Watch,
        banner: Banner,
        _config: &ServerConfig,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        let server = Arc::new(Server(engine.clone()));
        let (machines, operators) = (self.machines.address(), self.operators.address());
        let listeners = vec![
            tokio::spawn(http::machines(
                self.machines,
                server.clone(),
                Machines {
                    advertise: self.advertise,
                    limits: self.limits,
                },
                Stop::new(stopped.clone()),
            )),
            tokio::spawn(http::operators(
                self.operators,
                server,
                Operators {
                    guard: self.guard,
                    limits: self.limits,
                },
                Stop::new(stopped),
            )),
        ];
        let background = vec![
            tokio::spawn(reload::follow(engine.clone(), loader, state, seen)),
            tokio::spawn(tick(engine.clone())),
            tokio::spawn(checkpoints(engine.clone())),
            tokio::spawn(probe::run(engine.clone())),
        ];
        Running {
            machines,
            operators,
            banner,
            stop,
            listeners,
            background,
            engine: EngineHandle(engine),
            watch: Arc::new(watch),
        }
    }
}

fn address_of(text: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    text.parse()
        .with_context(|| format!("`{text}` is no address to listen on: expected such as `[::]:80`"))
}

fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).with_context(|| format!("{address} cannot be listened on"))
}

/// Port 80 where it can be had, else 8080, with a warning.
fn listen_by_default(troubles: &mut Vec<String>) -> anyhow::Result<Listener> {
    let [first, second] = PORTS.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    match Listener::bind(first) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let listener = listen(second)?;
            troubles.push(format!(
                "port {} cannot be had ({error}): machines are served on {}",
                PORTS[0], PORTS[1]
            ));
            Ok(listener)
        }
    }
}

/// Every second: deadlines, and documents of attempts that have ended.
async fn tick(engine: Arc<Engine>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        // What a deadline says is no answer to anybody: nothing waits for it.
        let ((), _ticket) = engine.turn(|turn| turn.tick());
        engine.sweep().await;
    }
}

async fn checkpoints(engine: Arc<Engine>) {
    let mut events = engine.appended.subscribe();
    loop {
        tokio::time::sleep(CHECKPOINT).await;
        if !events.has_changed().unwrap_or(false) {
            continue;
        }
        events.mark_unchanged();
        match engine.checkpoint() {
            Ok(ticket) => {
                if let Err(error) = ticket.durable().await {
                    tracing::warn!("no checkpoint was written: {error}");
                }
            }
            Err(error) => tracing::error!("no checkpoint was written: {error:#}"),
        }
    }
}

fn banner(
    options: &Options,
    chosen: &Chosen,
    listeners: &Listeners,
    config: &ServerConfig,
    loaded_in: Duration,
    troubles: Vec<String>,
    engine: &Engine,
) -> Banner {
    let site = &chosen.snapshot.site;
    let count = |severity| {
        chosen
            .loaded
            .diagnostics
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let bases = super::load::bases(config, Some(listeners.machines.address().port()));
    Banner {
        site: options.site.clone(),
        revision: site
            .revision
            .as_ref()
            .map_or_else(|| "(none)".into(), ToString::to_string),
        counts: [
            site.nodes.len(),
            site.policies.len(),
            site.repos.len(),
            site.networks.len(),
        ],
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        loaded_in,
        demonstration: engine.demonstration,
        machines: bases.of(None),
        operators: format!("http://{}", listeners.operators.address()),
        first_node: site.nodes.keys().next().map(ToString::to_string),
        troubles,
        report: site::report(
            &chosen.loaded.diagnostics,
            &chosen.loaded.snapshot.site.sources,
            Style::PLAIN,
        ),
    }
}

/// Reads what is kept of a site without the lock.
pub(crate) fn read_journal(state: &State, clock: Clock) -> anyhow::Result<World> {
    let now = clock.now();
    let replayed = journal::read(&state.journal());
    let folded = match replayed {
        Ok(replayed) => replay::fold(replayed, now.wall)?.0,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let key = state.token_key().map_or([0; 32], |key| key.0);
    Ok(World::new(folded, TokenKey(key), 0, now))
}
