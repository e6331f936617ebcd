//! `try`: real firmware in QEMU boots from the network, without root, DHCP and TFTP.
//!
//! It goes against the same server as `play`: that of a demonstration, or one of its own. [`net`] lays out the
//! network that the guest sees, [`firmware`] finds what must be installed, [`qemu`] writes the command line,
//! [`process`] runs it, and [`watch`] follows it until a document was read. Where the image is a stand-in
//! ([`stand_in`]), or the boot ends some other way, that is what is said.

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
    control::{Examined, Report},
    model::{Facts, Node, Platform},
    net::http::{Advertise, OperatorQuery},
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

/// So many lines of the machine's screen are shown when it did not come to its document.
const SCREEN: usize = 12;

pub(super) fn run(root: &Path, arguments: &arguments::TryArgs, terminal: &Terminal) -> CliResult {
    let began = Instant::now();
    let loaded = check::loaded(root)?;
    let site = &loaded.snapshot.site;
    let Some(node) = play::declared(site, &arguments.node) else {
        let help = "`bootwright nodes` lists the nodes; only a declared one can be tried";
        return Err(play::no_node(site, &arguments.node, help));
    };
    let installed = firmware::find()?;
    let trial = Trial {
        root,
        arguments,
        terminal,
        loaded: &loaded,
        node,
        installed,
        began,
    };
    match play::against(root, arguments.live, "tried", terminal)? {
        Some((client, server)) => {
            terminal.show(&format!("trying against the running server, {server}\n"))?;
            trial.run(&client, advertised(root, &server)?)
        }
        None => {
            let own = private_server::PrivateServer::start(root)?;
            terminal.show("trying with a server of its own and throwaway state\n")?;
            let client = ApiClient::at(own.operators(), root)?;
            let tried = trial.run(&client, v4(&own.machines())?);
            own.stop()?;
            tried
        }
    }
}

/// Where the running server at `server` tells machines that it is.
fn advertised(root: &Path, server: &str) -> CliResult<SocketAddrV4> {
    let config = config(root)?;
    let list = config.http.advertise.iter().flat_map(|list| list.values());
    let advertise = Advertise::read(list.map(String::as_str)).map_err(Failure::refused)?;
    let address = address(server).map_or_else(|| server.into(), |at| advertise.base(at));
    if address != server && !play::answers(&address) {
        return Err(Failure::unreachable(anyhow!(
            "machines are told to ask at {address}, where nobody answers this host"
        ))
        .help("see `advertise` in `[http]` of bootwright.toml"));
    }
    v4(&address)
}

/// The address in a URL: `http://192.0.2.1:8080`, `http://192.0.2.1`.
fn address(url: &str) -> Option<SocketAddr> {
    let place = url.strip_prefix("http://")?;
    let with_port = format!("{place}:80");
    place.parse().or_else(|_| with_port.parse()).ok()
}

fn v4(url: &str) -> CliResult<SocketAddrV4> {
    match address(url) {
        Some(SocketAddr::V4(address)) => Ok(address),
        _ => Err(Failure::refused(anyhow!(
            "machines boot over IPv4, and the server is at {url}"
        ))
        .help("let it listen at an IPv4 address, or at `[::]`: `listen` in `[http]` of bootwright.toml")),
    }
}

/// What is tried.
struct Trial<'a> {
    root: &'a Path,
    arguments: &'a arguments::TryArgs,
    terminal: &'a Terminal,
    loaded: &'a Loaded,
    node: &'a Node,
    installed: QemuInstallation,
    began: Instant,
}

impl Trial<'_> {
    fn run(&self, client: &ApiClient, server: SocketAddrV4) -> CliResult {
        let (arguments, terminal) = (self.arguments, self.terminal);
        let name = self.node.name.value.as_str();
        let resolved = self.resolved()?;
        let facts = client.ask(&OperatorQuery::Facts(name.into()))?;
        let facts: Facts = serde_json::from_slice(&facts).map_err(anyhow::Error::from)?;
        let platform = platform(arguments);
        let platform = platform.unwrap_or_else(|| suggested::likely(&resolved, &facts));
        let net = GuestNetwork::new(
            &suggested::home(&self.loaded.snapshot.site, &resolved),
            server,
        );
        let rendered = self.rendered(&facts, platform, &net.server)?;
        let site = &self.loaded.snapshot.site;
        let stand_in = stand_in::find(self.root, site, &rendered, &net.server, platform)?;

        let directory = private_server::ScratchDir::new()?;
        let at = |name: &str| directory.path().join(name);
        let disk = at("disk");
        // It takes no room until something is written.
        File::create(&disk)?.set_len(arguments.disk.0)?;
        let hardware = suggested::hardware(self.node, platform);
        let guest = Guest {
            name,
            hardware: &hardware,
            firmware: self.installed.firmware(platform, &at("vars"))?,
            card: suggested::card(&resolved),
            net: &net,
            memory: suggested::memory(arguments.memory, &resolved, stand_in.is_some()),
            disk: Some(&disk),
            serial: &at("serial"),
            screen: screen_of(arguments),
        };
        terminal.show(&introduced(&guest, platform))?;
        let watch = BootWatch {
            client,
            node: name,
            span: arguments.span.0,
            keep: arguments.keep,
            is_stand_in: stand_in.is_some(),
            began: self.began,
            seen: BootWatch::length(client, name)?,
        };
        let list = qemu::arguments(&guest);
        let mut process = QemuProcess::start(&self.installed.qemu, &list, directory.path())?;
        let mut screen = SerialLog::new(at("serial"));
        let (ended, seen) = watch.run(&mut process, &mut screen, terminal)?;
        let complaints = process.complaints()?;
        drop(process);
        self.tell(
            &ended,
            &seen,
            &rendered,
            &screen,
            &complaints,
            stand_in.as_ref(),
        )
    }

    fn resolved(&self) -> CliResult<Resolved> {
        let examined = Examined::Node(self.node.clone().into());
        let resolved = self.loaded.snapshot.resolve_examined(&examined);
        let name = &self.node.name;
        resolved.map(|(resolved, _)| resolved).ok_or_else(|| {
            Failure::refused(anyhow!("nothing binds {name}, so nothing is installed")).help(
                format!("`bootwright explain {name}` says why no policy takes it"),
            )
        })
    }

    /// Everything that the machine is given, with zeros for the token.
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
        rendered.map_err(|found| {
            self.terminal
                .show_aside(&check::report(self.loaded, &found, self.terminal));
            Failure::refused(anyhow!("{name} cannot be rendered"))
                .help("`bootwright check` shows every mistake of the site")
        })
    }

    /// Says how it ended.
    fn tell(
        &self,
        ended: &TryOutcome,
        seen: &BootRecord,
        rendered: &RenderedAttempt,
        screen: &SerialLog,
        complaints: &str,
        stand_in: Option<&StandIn>,
    ) -> CliResult {
        let terminal = self.terminal;
        let name = &self.node.name;
        if let Some(first) = seen.first {
            let read = seen.documents.join(", ");
            terminal.show(&format!(
                "\nread to the end: {read}; the first after {:.1} s. With zeros for the token:\n\n",
                first.as_secs_f64()
            ))?;
            let was_read = |name: &String| seen.documents.contains(name);
            self.show(rendered, was_read)?;
            terminal.note(&format!(
                "`bootwright render {name}` shows everything else that it is given"
            ));
            return Ok(());
        }
        let last = screen.last(SCREEN);
        if !last.is_empty() && *ended != TryOutcome::Stopped {
            let lines = last.join("\n  ");
            terminal.show(&format!("\nits screen, at the end\n  {lines}\n"))?;
        }
        match (ended, stand_in) {
            (TryOutcome::NotStarted, Some(stand_in)) => self.tell_stand_in(rendered, stand_in),
            _ => Err(self.failure(ended, complaints)),
        }
    }

    /// Why no document was read, and what to do about it.
    fn failure(&self, ended: &TryOutcome, complaints: &str) -> Failure {
        let name = &self.node.name;
        match ended {
            TryOutcome::Given(what) => Failure::refused(anyhow!("{name} was given {what}")).help(format!(
                "`bootwright explain {name}` says why; `bootwright reinstall {name}` installs it once more"
            )),
            TryOutcome::NotStarted => Failure::refused(anyhow!("the installer cannot be started"))
                .help("its screen says why"),
            TryOutcome::Failed(reason) => {
                Failure::refused(anyhow!("{name} reported an error: {reason}"))
            }
            TryOutcome::Quit(status) => Failure::unreachable(anyhow!("QEMU ended, {status}"))
                .maybe_help(complaints.lines().last().map(Into::into)),
            TryOutcome::Late => {
                let span = self.arguments.span.written();
                Failure::refused(anyhow!("no document was read within {span}")).help(
                    "the log above says how far it came; `--for 15m` gives it more time, `--window` shows its screen",
                )
            }
            TryOutcome::Read | TryOutcome::Stopped => {
                Failure::refused(anyhow!("stopped before a document was read"))
            }
        }
    }

    /// Says what was not shown by this boot, and shows what would have been read.
    fn tell_stand_in(&self, rendered: &RenderedAttempt, stand_in: &StandIn) -> CliResult {
        let StandIn { repo, path, length } = stand_in;
        self.terminal
            .show("\nwhat its installer would read now, with zeros for the token\n\n")?;
        let kind = |name: &String| {
            let file = rendered.files.iter().find(|file| file.name == *name);
            file.is_some_and(|file| file.kind == FileKind::Document)
        };
        self.show(rendered, kind)?;
        Err(Failure::refused(anyhow!(
            "no document was read: `{path}` of repo `{repo}` is a stand-in of {length} bytes. The firmware, iPXE and the \
             boot script did all that they do, up to starting it"
        ))
        .help(format!(
            "put the content of the vendor's image where repo `{repo}` says, and try again; \
             `bootwright play {}` plays an installer too",
            self.node.name
        )))
    }

    fn show(&self, rendered: &RenderedAttempt, is_wanted: impl Fn(&String) -> bool) -> CliResult {
        let files = rendered.files.iter().filter(|file| is_wanted(&file.name));
        files
            .into_iter()
            .try_for_each(|file| render::shown(file, self.terminal))
    }
}

/// One line about the machine.
fn introduced(guest: &Guest<'_>, platform: Platform) -> String {
    let firmware = match platform {
        Platform::Pcbios => "BIOS",
        Platform::Efi => "UEFI",
    };
    let card = guest.hardware.macs.first();
    let card = card.map_or_else(String::new, |mac| format!(", card {mac}"));
    format!(
        "{} in QEMU: {firmware}{card}, {} MiB, boots {}/boot.ipxe\n",
        guest.name, guest.memory, guest.net.server
    )
}

/// The firmware that is asked for.
fn platform(arguments: &arguments::TryArgs) -> Option<Platform> {
    match (arguments.bios, arguments.uefi) {
        (true, _) => Some(Platform::Pcbios),
        (_, true) => Some(Platform::Efi),
        _ => None,
    }
}

fn screen_of(arguments: &arguments::TryArgs) -> qemu::QemuDisplay {
    match &arguments.display {
        Some(kind) => qemu::QemuDisplay::Display(kind.clone()),
        None if arguments.window => qemu::QemuDisplay::Window,
        None => qemu::QemuDisplay::None,
    }
}
