//! Follows a boot to its end: prints new log entries, and checks whether QEMU is still running.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::process::{QemuProcess, SerialLog};
use crate::{
    api::Query,
    cli::{client::ApiClient, failure::CliResult, log, terminal::Terminal},
    journal::{BootAnswer, Event, JournalLine, MachineEvent, ParsedLine, Stage},
};

/// The interval at which the log is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Printed by the shipped scripts when the kernel or the loader cannot be started (templates/common/failed.ipxe.j2).
const NOT_STARTED: &str = "The installer cannot be started";

/// A stand-in has failed after this time, even if a script of the site prints nothing.
const STAND_IN_TIMEOUT: Duration = Duration::from_secs(10);

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TryOutcome {
    /// A document was read completely.
    Read,
    /// The server sent something other than an installer.
    NoInstaller(String),
    /// Its installer cannot be started.
    NotStarted,
    /// It reported an error.
    Failed(String),
    /// QEMU exited.
    QemuExited(ExitStatus),
    /// The time limit was reached.
    TimedOut,
    /// The operator interrupted it.
    Stopped,
}

/// A boot in progress.
pub(super) struct BootWatch<'a> {
    pub(super) client: &'a ApiClient,
    /// The node's name.
    pub(super) node: &'a str,
    /// The time limit.
    pub(super) span: Duration,
    /// Whether to continue after the document was read.
    pub(super) keep: bool,
    /// Whether its program is known to be a stand-in.
    pub(super) is_stand_in: bool,
    /// When the command began.
    pub(super) began: Instant,
    /// The bytes of the log that were printed, or written before this boot.
    pub(super) log_length: usize,
}

/// The recorded progress of a boot.
#[derive(Debug, Default)]
pub(super) struct BootRecord {
    /// The documents that were read completely.
    pub(super) documents: Vec<String>,
    /// When the first one was, since the command began.
    pub(super) first: Option<Duration>,
    installer_sent: Option<Instant>,
}

impl BootWatch<'_> {
    /// The length of the node's log in bytes.
    pub(super) fn length(client: &ApiClient, node: &str) -> CliResult<usize> {
        Ok(full_log(client, node)?.len())
    }

    /// Prints new log entries until the boot ends.
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
            let mut signals = Signals::new().context("cannot register signal handlers")?;
            let mut record = BootRecord::default();
            loop {
                let stopped = tokio::time::timeout(POLL_INTERVAL, signals.any())
                    .await
                    .is_ok();
                let outcome = self.print_new_events(&mut record, terminal)?;
                screen.read()?;
                let outcome = match outcome {
                    _ if stopped => Some(TryOutcome::Stopped),
                    Some(outcome) => Some(outcome),
                    None => self.ended_without_event(&record, process, screen)?,
                };
                if let Some(outcome) = outcome {
                    return Ok((outcome, record));
                }
            }
        })
    }

    /// Prints new log entries; returns the outcome if one of them ends the boot.
    fn print_new_events(
        &mut self,
        record: &mut BootRecord,
        terminal: &Terminal,
    ) -> CliResult<Option<TryOutcome>> {
        let log = full_log(self.client, self.node)?;
        let news = log.get(self.log_length..).unwrap_or_default();
        self.log_length = log.len();
        let lines = log::formatted(news, terminal);
        lines.iter().try_for_each(|line| terminal.show(line))?;
        let mut outcome = None;
        for line in String::from_utf8_lossy(news).lines() {
            let Ok(ParsedLine::Known(line)) = JournalLine::parse(line) else {
                continue; // Written by a newer version; it was printed.
            };
            let ends = self.on_event(&line.event, record);
            outcome = outcome.or(ends.filter(|_| !self.keep));
        }
        Ok(outcome)
    }

    fn on_event(&self, event: &Event, record: &mut BootRecord) -> Option<TryOutcome> {
        match event.machine()? {
            MachineEvent::Document { name, .. } => {
                record.documents.push(name.clone());
                record.first.get_or_insert_with(|| self.began.elapsed());
                Some(TryOutcome::Read)
            }
            MachineEvent::Boot { given, .. } => match given {
                BootAnswer::Installer(_) => {
                    record.installer_sent.get_or_insert_with(Instant::now);
                    None
                }
                BootAnswer::Disk(reason) => Some(TryOutcome::NoInstaller(format!(
                    "a script that boots its local disk: {reason}"
                ))),
                BootAnswer::Wait(reason) => Some(TryOutcome::NoInstaller(format!(
                    "a script that waits and retries: {reason}"
                ))),
                BootAnswer::Microkernel => Some(TryOutcome::NoInstaller("the microkernel".into())),
                BootAnswer::Script(task) => Some(TryOutcome::NoInstaller(format!(
                    "the script of task {task}, which installs nothing"
                ))),
            },
            MachineEvent::Stage {
                stage: Stage::Failed,
                reason,
                ..
            } => Some(TryOutcome::Failed(reason.clone().unwrap_or_default())),
            _ => None,
        }
    }

    /// Returns the outcome if the boot has ended without a log entry.
    fn ended_without_event(
        &self,
        record: &BootRecord,
        process: &mut QemuProcess,
        screen: &SerialLog,
    ) -> CliResult<Option<TryOutcome>> {
        if let Some(status) = process.exit_status()? {
            return Ok(Some(TryOutcome::QemuExited(status)));
        }
        let timed_out = record
            .installer_sent
            .is_some_and(|at| at.elapsed() > STAND_IN_TIMEOUT);
        let not_started = record.documents.is_empty()
            && (screen.contains(NOT_STARTED) || self.is_stand_in && timed_out);
        if not_started && !self.keep {
            return Ok(Some(TryOutcome::NotStarted));
        }
        Ok((self.began.elapsed() > self.span).then_some(TryOutcome::TimedOut))
    }
}

fn full_log(client: &ApiClient, node: &str) -> CliResult<Vec<u8>> {
    client.query(&Query::log(node))
}

/// The signals that end the command.
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
