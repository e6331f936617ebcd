//! `serve`: the server itself, until it is told to end.

use std::{
    fmt,
    io::{self, IsTerminal},
    path::Path,
};

use anyhow::Context;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    log_writer::LogWriter,
    terminal::Terminal,
};
use crate::{
    serve::{self, Banner, Options, start},
    site::counted,
};

pub(super) fn run(site: &Path, terminal: &Terminal) -> CliResult {
    if !is_site(site) {
        return Err(no_site(site));
    }
    serve::keep_little();
    // Before there is any other thread: none may have more than it needs.
    let state = serve::drop_privileges(site).map_err(Failure::unreachable)?;
    let told = log(terminal)?;
    // One thread decides: decisions are taken one after the other anyway, and several threads that wait for each
    // other take twice the processor time. What is slow (files, loading, the journal) has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the server's thread cannot be started")?;
    runtime.block_on(async {
        let options = Options {
            site: site.into(),
            state,
            ..Options::default()
        };
        let running = start(options).await;
        told.flush();
        let running = running.map_err(cannot_start)?;
        terminal.show(&written(&running.banner))?;
        let ended = running.wait().await;
        told.flush();
        Ok(ended?)
    })
}

fn cannot_start(error: anyhow::Error) -> Failure {
    let failure = Failure::unreachable(error);
    match failure.cause::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::AddrInUse) => failure.help("another program listens there: stop it, or set another `listen` in bootwright.toml"),
        Some(io::ErrorKind::PermissionDenied) => {
            failure.help("ports below 1024 and system directories need root: start it as root, or set `listen` and `[paths]` `state` in bootwright.toml")
        }
        _ => failure,
    }
}

fn written(banner: &Banner) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (site, revision) = (banner.site.display(), &banner.revision);
    let demonstration = if banner.demonstration {
        "  (a demonstration: no site-id)"
    } else {
        ""
    };
    let [nodes, policies, repos, networks] = banner.counts;
    let counts = [
        counted(nodes, "node"),
        counted(policies, "policy"),
        counted(repos, "repo"),
        counted(networks, "network"),
    ];
    let problems = match (banner.errors, banner.warnings) {
        (0, 0) => "0 problems".into(),
        (0, warnings) => counted(warnings, "warning"),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    };
    let mut text = banner.report.clone();
    text += &format!("bootwright {version}  site {site}  revision {revision}{demonstration}\n");
    text += &format!(
        "  {}  {problems}  loaded in {} ms\n",
        counts.join("  "),
        banner.loaded_in.as_millis()
    );
    let tftp = match &banner.tftp {
        Ok(()) => "tftp on".into(),
        Err(reason) => format!("tftp off ({reason})"),
    };
    let dhcp = if banner.dhcp { "dhcp on" } else { "dhcp off" };
    text += &format!("  machines   {}   {tftp}   {dhcp}\n", banner.machines);
    text += &format!("  operators  {}\n", banner.operators);
    for trouble in &banner.troubles {
        text += &format!("warning: {trouble}\n");
    }
    if banner.errors > 0 {
        text += "The site has errors: the last good copy of it is served, or every machine its own disk where there is none.\n";
    }
    text += "waiting for machines.";
    if let Some(node) = &banner.first_node {
        text += &format!(
            " See one boot:  bootwright --site {site} try {node}      (or play one: bootwright --site {site} play {node})"
        );
    }
    text + "\n"
}

/// Sends what the server tells to standard output; BOOTWRIGHT_LOG says how much of it.
fn log(terminal: &Terminal) -> anyhow::Result<LogWriter> {
    let told = LogWriter::start().context("the thread of the log cannot be started")?;
    let filter =
        EnvFilter::try_from_env("BOOTWRIGHT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal.color)
        .with_writer(told.clone())
        .event_format(LogFormat {
            watched: io::stdout().is_terminal(),
            terminal: terminal.clone(),
        })
        .finish();
    // Where one is set already, it stays: tests have theirs.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(told)
}

/// One line for each thing that happened: the time, what is grave about it, the words.
struct LogFormat {
    watched: bool,
    terminal: Terminal,
}

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = self.terminal.moment(super::nodes::now());
        // On a terminal the day is known; in a file it is not.
        let time = if self.watched {
            &now[11..19]
        } else {
            now.as_str()
        };
        let grave = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "{time}  {grave}")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
