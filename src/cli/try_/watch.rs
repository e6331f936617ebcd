//! Follows a boot to its end: what the server records, line by line, and whether the machine still runs.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::process::{QemuProcess, SerialLog};
use crate::{
    cli::{client::ApiClient, failure::CliResult, log, terminal::Terminal},
    journal::{BootAnswer, Event, JournalLine, ParsedLine, Stage},
    net::http::OperatorQuery,
};

/// So often the log is looked at.
const STEP: Duration = Duration::from_millis(200);

/// What the shipped scripts write when the kernel or the loader is none (templates/common/failed.ipxe.j2).
const NOT_STARTED: &str = "The installer cannot be started";

/// A stand-in has failed after so long, whatever the site's own script says of it.
const GRACE: Duration = Duration::from_secs(10);

/// How a boot came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TryOutcome {
    /// A document was read to its end.
    Read,
    /// The server gave it something else than an installer, and why.
    Given(String),
    /// Its installer cannot be started.
    NotStarted,
    /// It reported an error.
    Failed(String),
    /// QEMU ended by itself.
    Quit(ExitStatus),
    /// The time is over.
    Late,
    /// Somebody said so.
    Stopped,
}

/// A boot that is watched.
pub(super) struct BootWatch<'a> {
    /// The server.
    pub(super) client: &'a ApiClient,
    /// The node's name.
    pub(super) node: &'a str,
    /// For how long at most.
    pub(super) span: Duration,
    /// Whether it goes on when the document was read.
    pub(super) keep: bool,
    /// Whether its program is known to be a stand-in.
    pub(super) is_stand_in: bool,
    /// When the command began.
    pub(super) began: Instant,
    /// How much of the log was there before, in bytes.
    pub(super) seen: usize,
}

/// What was seen of a boot.
#[derive(Debug, Default)]
pub(super) struct BootRecord {
    /// The documents that were read to their end.
    pub(super) documents: Vec<String>,
    /// When the first one was, since the command began.
    pub(super) first: Option<Duration>,
    handed: Option<Instant>,
}

impl BootWatch<'_> {
    /// How much of the node's log there is, in bytes.
    pub(super) fn length(client: &ApiClient, node: &str) -> CliResult<usize> {
        Ok(whole(client, node)?.len())
    }

    /// Shows the log as it grows until the boot has ended.
    pub(super) fn run(
        mut self,
        process: &mut QemuProcess,
        screen: &mut SerialLog,
        terminal: &Terminal,
    ) -> CliResult<(TryOutcome, BootRecord)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut signals = Signals::new().context("signals cannot be waited for")?;
            let mut seen = BootRecord::default();
            loop {
                let stopped = tokio::time::timeout(STEP, signals.any()).await.is_ok();
                let ended = self.news(&mut seen, terminal)?;
                screen.read()?;
                let ended = match ended {
                    _ if stopped => Some(TryOutcome::Stopped),
                    Some(ended) => Some(ended),
                    None => self.still(&seen, process, screen)?,
                };
                if let Some(ended) = ended {
                    return Ok((ended, seen));
                }
            }
        })
    }

    /// Shows what was recorded since, and tells whether that ends the boot.
    fn news(
        &mut self,
        seen: &mut BootRecord,
        terminal: &Terminal,
    ) -> CliResult<Option<TryOutcome>> {
        let log = whole(self.client, self.node)?;
        let news = log.get(self.seen..).unwrap_or_default();
        self.seen = log.len();
        let lines = log::written(news, terminal);
        lines.iter().try_for_each(|line| terminal.show(line))?;
        let mut ended = None;
        for line in String::from_utf8_lossy(news).lines() {
            let Ok(ParsedLine::Known(line)) = JournalLine::parse(line) else {
                continue; // Of a later version, and shown.
            };
            let ends = self.on_event(&line.event, seen);
            ended = ended.or(ends.filter(|_| !self.keep));
        }
        Ok(ended)
    }

    fn on_event(&self, event: &Event, seen: &mut BootRecord) -> Option<TryOutcome> {
        match event {
            Event::Document { name, .. } => {
                seen.documents.push(name.clone());
                seen.first.get_or_insert_with(|| self.began.elapsed());
                Some(TryOutcome::Read)
            }
            Event::Boot { given, .. } => match given {
                BootAnswer::Installer(_) => {
                    seen.handed.get_or_insert_with(Instant::now);
                    None
                }
                BootAnswer::Disk(reason) => {
                    Some(TryOutcome::Given(format!("its own disk: {reason}")))
                }
                BootAnswer::Wait(reason) => Some(TryOutcome::Given(format!(
                    "a script that asks again later: {reason}"
                ))),
                BootAnswer::Microkernel => Some(TryOutcome::Given("the microkernel".into())),
                BootAnswer::Script(task) => Some(TryOutcome::Given(format!(
                    "the script of task {task}, which installs nothing"
                ))),
            },
            Event::Stage {
                stage: Stage::Failed,
                reason,
                ..
            } => Some(TryOutcome::Failed(reason.clone().unwrap_or_default())),
            _ => None,
        }
    }

    /// Tells whether it is over although nothing was recorded.
    fn still(
        &self,
        seen: &BootRecord,
        process: &mut QemuProcess,
        screen: &SerialLog,
    ) -> CliResult<Option<TryOutcome>> {
        if let Some(status) = process.ended()? {
            return Ok(Some(TryOutcome::Quit(status)));
        }
        let waits = seen.handed.is_some_and(|at| at.elapsed() > GRACE);
        let not_started =
            seen.documents.is_empty() && (screen.shows(NOT_STARTED) || self.is_stand_in && waits);
        if not_started && !self.keep {
            return Ok(Some(TryOutcome::NotStarted));
        }
        Ok((self.began.elapsed() > self.span).then_some(TryOutcome::Late))
    }
}

fn whole(client: &ApiClient, node: &str) -> CliResult<Vec<u8>> {
    client.ask(&OperatorQuery::Log {
        node: node.into(),
        after: None,
    })
}

/// What asks a program to end.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
