//! `serve`: runs the server until it is stopped.

use std::{
    env, fmt,
    io::{self, IsTerminal},
    path::Path,
};

use anyhow::Context;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
};

use super::{
    client::{is_site, no_site, reachable},
    failure::{CliResult, Failure},
    log_writer::LogWriter,
    terminal::Terminal,
};
use crate::{
    serve::{self, Banner, Options, Running, start},
    site::counted,
};

pub(super) fn run(site: &Path, terminal: &Terminal) -> CliResult {
    if !is_site(site) {
        return Err(no_site(site));
    }
    serve::limit_allocator();
    // Before any other thread starts, since privileges are dropped per thread.
    let own = serve::drop_privileges(site).map_err(Failure::unreachable)?;
    let log = start_log(terminal)?;
    // One thread makes all decisions: they are serialized by a lock anyway, and several threads that contend for it take
    // twice the processor time. Slow work (files, loading, the journal) has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the server's thread")?;
    runtime.block_on(async {
        let options = Options {
            site: site.into(),
            state: own.state,
            witness: own.witness,
            ..Options::default()
        };
        let running = start(options).await;
        log.flush();
        let running = running.map_err(cannot_start)?;
        terminal.show(&banner_text(&running.banner))?;
        if io::stdout().is_terminal() {
            // Never in a log: who opens the link operates the server.
            terminal.show(&page_text(&running)?)?;
        }
        let ended = running.wait().await;
        log.flush();
        Ok(ended?)
    })
}

fn cannot_start(error: anyhow::Error) -> Failure {
    let failure = Failure::unreachable(error);
    match failure.cause::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::AddrInUse) => failure.help("another program uses this port: stop it, or set another `listen` in bootwright.toml"),
        Some(io::ErrorKind::PermissionDenied) => {
            failure.help("ports below 1024 and system directories need root: start the server as root, or set `listen` and `[paths]` `state` in bootwright.toml")
        }
        _ => failure,
    }
}

fn banner_text(banner: &Banner) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (site, revision) = (banner.site.display(), &banner.revision);
    let demonstration = if banner.demonstration {
        "  (demonstration: no site-id)"
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
    for warning in &banner.start_warnings {
        text += &format!("warning: {warning}\n");
    }
    if banner.errors > 0 {
        text += "The site has errors. The last valid copy is served; if there is none, every machine boots from its local disk.\n";
    }
    text += "waiting for machines.";
    if let Some(node) = &banner.first_node {
        text += &format!(
            " To boot one in QEMU:  bootwright --site {site} try {node}      (or simulated: bootwright --site {site} play {node})"
        );
    }
    text + "\n"
}

/// The line with a link to the page for operators.
fn page_text(running: &Running) -> io::Result<String> {
    let link = running.page_link()?;
    let address = reachable(&running.operators.to_string(), running.operators.port());
    let (path, minutes) = (link.path, link.seconds / 60);
    let url = running
        .banner
        .operators
        .replace(&running.operators.to_string(), &address);
    Ok(format!(
        "page for operators (opens once, within {minutes} minutes; later: bootwright page):  {url}{path}\n"
    ))
}

/// Sends the server's log to standard output. BOOTWRIGHT_LOG sets the filter.
fn start_log(terminal: &Terminal) -> anyhow::Result<LogWriter> {
    let writer = LogWriter::start().context("cannot start the log's thread")?;
    let directives = env::var("BOOTWRIGHT_LOG").unwrap_or("info".into());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(terminal.color)
        .with_writer(writer.clone())
        .event_format(LogFormat {
            is_terminal: io::stdout().is_terminal(),
            terminal: terminal.clone(),
        })
        .finish()
        .with(log_filter(&directives));
    // An error means that a subscriber is set already: tests set their own.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(writer)
}

/// The filter of the log: a level, or targets with a level each (`warn,bootwright::net=debug`).
fn log_filter(directives: &str) -> Targets {
    match directives {
        "" => Targets::new().with_default(LevelFilter::ERROR),
        directives => directives
            .parse()
            .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
    }
}

/// One line for each event: the time, `error: ` or `warning: `, the message.
struct LogFormat {
    is_terminal: bool,
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
        let now = self.terminal.moment(super::terminal::now());
        // A terminal shows the time of day; a file needs the date too.
        let time = if self.is_terminal {
            &now[11..19]
        } else {
            now.as_str()
        };
        let severity = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "{time}  {severity}")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
