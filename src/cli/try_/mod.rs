//! `try`: boots a node with real firmware in QEMU, without root, DHCP or TFTP.
//!
//! It uses the same server as `play`: that of a demonstration, or a temporary one. [`net`] plans the guest's network,
//! [`firmware`] finds QEMU and its firmware, [`qemu`] builds the command line, [`process`] runs it, and [`watch`] follows
//! the boot until a document was read. If the image is a stand-in ([`stand_in`]), or the boot ends in another way, the
//! command reports that.

mod net;
mod qemu;
mod firmware;
mod process;
mod stand_in;
mod suggested;
mod watch;

use std::{
    fs::File,
    net::{SocketAddr, SocketAddrV4},
    path::Path,
    time::Instant,
};

use anyhow::anyhow;

use super::{
    arguments, check,
    client::{ApiClient, config},
    failure::{CliResult, Failure},
    play::{self, private_server},
    render,
    terminal::Terminal,
};
use crate::{
    api::Query,
    control::{RenderTarget, Report},
    model::{Facts, Node, Platform},
    net::http::Advertise,
    render::{FileKind, RenderedAttempt},
    serve::{self, Loaded},
    site::Resolved,
};
use firmware::QemuInstallation;
use net::GuestNetwork;
use process::{QemuProcess, SerialLog};
use qemu::Guest;
use stand_in::StandIn;
use watch::{BootRecord, BootWatch, TryOutcome};

/// The number of screen lines that are shown if no document was read.
const SCREEN_LINES: usize = 12;

pub(super) fn run(root: &Path, arguments: &arguments::TryArgs, terminal: &Terminal) -> CliResult {
    let began = Instant::now();
    let loaded = check::loaded(root)?;
    let site = &loaded.snapshot.site;
    let Some(node) = play::declared(site, &arguments.node) else {
        let help = "`bootwright nodes` lists the nodes; `try` needs a declared one";
        return Err(play::no_node(site, &arguments.node, help));
    };
    let qemu = firmware::find()?;
    let trial = Trial {
        root,
        arguments,
        terminal,
        loaded: &loaded,
        node,
        qemu,
        began,
    };
    match play::running_server(root, arguments.live, terminal)? {
        Some((client, server)) => {
            terminal.show(&format!("using the running server at {server}\n"))?;
            trial.run(&client, advertised(root, &server)?)
        }
        None => {
            let server = private_server::PrivateServer::start(root)?;
            terminal.show("using a temporary server with temporary state\n")?;
            let tried = trial.run(&server.client(), v4(&server.machines())?);
            server.stop()?;
            tried
        }
    }
}

/// The address that the running server at `server` advertises to machines.
fn advertised(root: &Path, server: &str) -> CliResult<SocketAddrV4> {
    let config = config(root)?;
    let list = config.http.advertise.iter().flat_map(|list| list.values());
    let advertise = Advertise::parse(list.map(String::as_str)).map_err(Failure::refused)?;
    let address = address(server).map_or_else(|| server.into(), |at| advertise.base(at));
    if address != server && !play::answers(&address) {
        return Err(Failure::unreachable(anyhow!(
            "the server advertises {address} to machines, but does not answer there from this host"
        ))
        .help("correct `advertise` in `[http]` of bootwright.toml"));
    }
    v4(&address)
}

/// The address in a URL: `http://192.0.2.1:8080`, `http://192.0.2.1`.
fn address(url: &str) -> Option<SocketAddr> {
    let host = url.strip_prefix("http://")?;
    let with_port = format!("{host}:80");
    host.parse().or_else(|_| with_port.parse()).ok()
}

fn v4(url: &str) -> CliResult<SocketAddrV4> {
    match address(url) {
        Some(SocketAddr::V4(address)) => Ok(address),
        _ => Err(Failure::refused(anyhow!(
            "machines boot over IPv4, but the server listens at {url}"
        ))
        .help("set `listen` in `[http]` of bootwright.toml to an IPv4 address or `[::]`")),
    }
}

struct Trial<'a> {
    root: &'a Path,
    arguments: &'a arguments::TryArgs,
    terminal: &'a Terminal,
    loaded: &'a Loaded,
    node: &'a Node,
    qemu: QemuInstallation,
    began: Instant,
}

impl Trial<'_> {
    fn run(&self, client: &ApiClient, server: SocketAddrV4) -> CliResult {
        let (arguments, terminal) = (self.arguments, self.terminal);
        let name = self.node.name.value.as_str();
        let resolved = self.resolved()?;
        let facts = client.query(&Query::Facts(name.into()))?;
        let facts: Facts = serde_json::from_slice(&facts).map_err(anyhow::Error::from)?;
        let platform = platform(arguments);
        let platform = platform.unwrap_or_else(|| suggested::platform(&resolved, &facts));
        let net = GuestNetwork::new(
            &suggested::node_network(&self.loaded.snapshot.site, &resolved),
            server,
        );
        let rendered = self.rendered(&facts, platform, &net.server)?;
        let site = &self.loaded.snapshot.site;
        let stand_in = stand_in::find(self.root, site, &rendered, &net.server, platform)?;

        let directory = private_server::ScratchDir::new()?;
        let at = |name: &str| directory.path().join(name);
        let disk = at("disk");
        // The file is sparse.
        File::create(&disk)?.set_len(arguments.disk.0)?;
        let hardware = suggested::hardware(self.node, platform);
        let guest = Guest {
            name,
            hardware: &hardware,
            firmware: self.qemu.firmware(platform, &at("vars"))?,
            nic: suggested::nic_model(&resolved),
            net: &net,
            memory: suggested::memory(arguments.memory, &resolved, stand_in.is_some()),
            disk: Some(&disk),
            serial: &at("serial"),
            display: display(arguments),
        };
        play::simulate(client, name, &hardware)?;
        terminal.show(&introduction(&guest, platform))?;
        let watch = BootWatch {
            client,
            node: name,
            span: arguments.span.0,
            keep: arguments.keep,
            is_stand_in: stand_in.is_some(),
            began: self.began,
            log_length: BootWatch::length(client, name)?,
        };
        let list = qemu::arguments(&guest);
        let mut process = QemuProcess::start(&self.qemu.program, &list, directory.path())?;
        let mut screen = SerialLog::new(at("serial"));
        let (outcome, record) = watch.run(&mut process, &mut screen, terminal)?;
        let qemu_errors = process.errors()?;
        drop(process);
        self.report(
            &outcome,
            &record,
            &rendered,
            &screen,
            &qemu_errors,
            stand_in.as_ref(),
        )
    }

    fn resolved(&self) -> CliResult<Resolved> {
        let target = RenderTarget::Node(self.node.clone().into());
        let resolved = self.loaded.snapshot.resolve_target(&target);
        let name = &self.node.name;
        resolved.map(|(resolved, _)| resolved).ok_or_else(|| {
            Failure::refused(anyhow!("no policy matches {name}, so nothing is installed"))
                .help(format!("`bootwright explain {name}` shows why"))
        })
    }

    /// All documents of the machine, with zeros for the token.
    fn rendered(
        &self,
        facts: &Facts,
        platform: Platform,
        server: &str,
    ) -> CliResult<RenderedAttempt> {
        let report = Report {
            platform: Some(platform),
            ..Report::default()
        };
        let name = self.node.name.value.as_str();
        let rendered =
            serve::rendered_for(&self.loaded.snapshot, name, facts, &report, Some(server));
        rendered.map_err(|diagnostics| {
            self.terminal
                .show_error_text(&check::report(self.loaded, &diagnostics, self.terminal));
            Failure::refused(anyhow!("cannot render the documents of {name}"))
                .help("`bootwright check` shows every error in the site")
        })
    }

    /// Prints the result.
    fn report(
        &self,
        outcome: &TryOutcome,
        record: &BootRecord,
        rendered: &RenderedAttempt,
        screen: &SerialLog,
        qemu_errors: &str,
        stand_in: Option<&StandIn>,
    ) -> CliResult {
        let terminal = self.terminal;
        let name = &self.node.name;
        if let Some(first) = record.first {
            let read = record.documents.join(", ");
            terminal.show(&format!(
                "\nread completely: {read}; the first after {:.1} s. Their text, with zeros for the token:\n\n",
                first.as_secs_f64()
            ))?;
            let was_read = |name: &String| record.documents.contains(name);
            self.show(rendered, was_read)?;
            terminal.note(&format!(
                "`bootwright render {name}` prints all documents of {name}"
            ));
            return Ok(());
        }
        let last = screen.last(SCREEN_LINES);
        if !last.is_empty() && *outcome != TryOutcome::Stopped {
            let lines = last.join("\n  ");
            terminal.show(&format!("\nlast lines on its screen\n  {lines}\n"))?;
        }
        match (outcome, stand_in) {
            (TryOutcome::NotStarted, Some(stand_in)) => self.report_stand_in(rendered, stand_in),
            _ => Err(self.failure(outcome, qemu_errors)),
        }
    }

    /// Why no document was read, and how to fix it.
    fn failure(&self, outcome: &TryOutcome, qemu_errors: &str) -> Failure {
        let name = &self.node.name;
        match outcome {
            TryOutcome::NoInstaller(what) => Failure::refused(anyhow!("the server sent {name} no installer but {what}")).help(format!(
                "`bootwright explain {name}` shows why; `bootwright reinstall {name}` installs it once more"
            )),
            TryOutcome::NotStarted => Failure::refused(anyhow!("the installer cannot be started"))
                .help("its screen above shows why"),
            TryOutcome::Failed(reason) => {
                Failure::refused(anyhow!("{name} reported an error: {reason}"))
            }
            TryOutcome::QemuExited(status) => Failure::unreachable(anyhow!("QEMU exited: {status}"))
                .maybe_help(qemu_errors.lines().last().map(Into::into)),
            TryOutcome::TimedOut => {
                let span = self.arguments.span.written();
                Failure::refused(anyhow!("no document was read within {span}")).help(
                    "the log above shows how far the boot came; `--for 15m` allows more time, `--window` shows the screen",
                )
            }
            TryOutcome::Read | TryOutcome::Stopped => {
                Failure::refused(anyhow!("stopped before a document was read"))
            }
        }
    }

    /// Prints the documents that a real installer would have read, and what this boot did not test.
    fn report_stand_in(&self, rendered: &RenderedAttempt, stand_in: &StandIn) -> CliResult {
        let StandIn { repo, path, length } = stand_in;
        self.terminal.show(
            "\nthe documents that its installer would read now, with zeros for the token\n\n",
        )?;
        let is_document = |name: &String| {
            let file = rendered.files.iter().find(|file| file.name == *name);
            file.is_some_and(|file| file.kind == FileKind::Document)
        };
        self.show(rendered, is_document)?;
        Err(Failure::refused(anyhow!(
            "no document was read: `{path}` of repo `{repo}` is a stand-in of {length} bytes. Firmware, iPXE and the boot \
             script worked up to the point of starting it"
        ))
        .help(format!(
            "copy the contents of the vendor's image to the path of repo `{repo}`, then run `try` again; \
             `bootwright play {}` simulates the installer too",
            self.node.name
        )))
    }

    fn show(&self, rendered: &RenderedAttempt, is_wanted: impl Fn(&String) -> bool) -> CliResult {
        let files = rendered.files.iter().filter(|file| is_wanted(&file.name));
        files
            .into_iter()
            .try_for_each(|file| render::print_file(file, self.terminal))
    }
}

/// A line that describes the machine.
fn introduction(guest: &Guest<'_>, platform: Platform) -> String {
    let firmware = match platform {
        Platform::Pcbios => "BIOS",
        Platform::Efi => "UEFI",
    };
    let mac = guest.hardware.macs.first();
    let mac = mac.map_or_else(String::new, |mac| format!(", MAC {mac}"));
    format!(
        "{} in QEMU: {firmware}{mac}, {} MiB, boots {}/boot.ipxe\n",
        guest.name, guest.memory, guest.net.server
    )
}

/// The firmware of `--bios` or `--uefi`.
fn platform(arguments: &arguments::TryArgs) -> Option<Platform> {
    match (arguments.bios, arguments.uefi) {
        (true, _) => Some(Platform::Pcbios),
        (_, true) => Some(Platform::Efi),
        _ => None,
    }
}

fn display(arguments: &arguments::TryArgs) -> qemu::QemuDisplay {
    match &arguments.display {
        Some(kind) => qemu::QemuDisplay::Display(kind.clone()),
        None if arguments.window => qemu::QemuDisplay::Window,
        None => qemu::QemuDisplay::None,
    }
}
