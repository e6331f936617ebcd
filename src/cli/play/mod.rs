//! `play`: simulates a machine that boots from the network, installs, and reports back, all over HTTP.
//!
//! [`VirtualMachine`] requests the same files in the same order as firmware, iPXE, ESXi's loader and the installers, and
//! sends the callbacks of the documents that it fetched. It executes nothing of what it fetches, and waits for nothing.
//! [`run`] boots one against the running server, or against a temporary one.

pub mod ipxe;
mod bootcfg;
mod urls;
mod step;
mod http;
mod machine;
pub(super) mod private_server;

use std::{path::Path, sync::Arc, thread, time::Duration};

use anyhow::anyhow;
use sha2::{Digest, Sha256};

use super::{
    arguments, check,
    client::{ApiClient, config, reachable},
    failure::{CliResult, Failure},
    log,
    terminal::Terminal,
};
use crate::{
    api::{Command, NodeCommand, NodeStatus, Query},
    model::{Arch, Mac, Node, NodeName, Platform},
    site::{Site, suggest},
};
use http::HttpClient;
use private_server::PrivateServer;

pub use machine::{BootOutcome, Hardware, InjectedFaults, VirtualMachine};
pub use step::PlayStep;

pub(super) fn run(root: &Path, play: &arguments::PlayArgs, terminal: &Terminal) -> CliResult {
    let loaded = check::loaded(root)?;
    let hardware = hardware(&loaded.snapshot.site, &play.node, play.bios)?;
    match running_server(root, play.live, terminal)? {
        Some((client, server)) => {
            terminal.show(&format!("using the running server at {server}\n"))?;
            simulate(&client, &play.node, &hardware)?;
            let played = boots(
                hardware,
                has_system(&client, &play.node),
                play,
                &server,
                terminal,
            );
            print_log(&client, play, terminal)?;
            played
        }
        None => {
            let server = PrivateServer::start(root)?;
            terminal.show("using a temporary server with temporary state\n")?;
            let played = boots(hardware, false, play, &server.machines(), terminal);
            print_log(&server.client(), play, terminal)?;
            server.stop()?;
            played
        }
    }
}

/// Confirms the requests of the simulated machine.
pub(super) fn simulate(client: &ApiClient, name: &str, hardware: &Hardware) -> CliResult {
    let macs = hardware.macs.clone();
    client.send(Command::node(name, NodeCommand::Simulate { macs }))?;
    Ok(())
}

/// Whether the machine is installed: then its disk has a system.
fn has_system(client: &ApiClient, name: &str) -> bool {
    // A machine without a record was never installed.
    let answer = client.query(&Query::Node(name.into())).ok();
    let shown: Option<NodeStatus> = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
    shown.is_some_and(|shown| shown.state.is_installed())
}

/// The running server to use, and its URL: that of a demonstration, or any with `live`. `None` if a temporary one is needed.
pub(super) fn running_server(
    root: &Path,
    live: bool,
    terminal: &Terminal,
) -> CliResult<Option<(ApiClient, String)>> {
    let found = match ApiClient::find(root) {
        // The server may be that of another site.
        Err(failure) if !live => {
            terminal.note(&format!(
                "the running server is not used: {}",
                failure.message()
            ));
            None
        }
        found => found?,
    };
    let Some((client, status)) = found else {
        return match live {
            true => Err(Failure::unreachable(anyhow!("server not running"))
                .help("start it with `bootwright serve`, or omit --live")),
            false => Ok(None),
        };
    };
    if !status.demonstration && !live {
        terminal.note(
            "the running server is not used without --live, since its site is not a demonstration",
        );
        return Ok(None);
    }
    Ok(Some((client, machines(root)?)))
}

/// The running server's URL for machines.
fn machines(root: &Path) -> CliResult<String> {
    let config = config(root)?;
    let listen = config
        .http
        .listen
        .as_ref()
        .map(|listen| listen.value.clone());
    // Without `listen` the server uses port 80, or 8080 if it cannot bind 80.
    let listeners = listen.map_or_else(
        || vec!["127.0.0.1:80".into(), "127.0.0.1:8080".into()],
        |listen| vec![listen],
    );
    let mut servers = listeners
        .iter()
        .map(|place| format!("http://{}", reachable(place, 80)));
    let server_url = servers.find(|server| answers(server));
    server_url.ok_or_else(|| {
        Failure::unreachable(anyhow!(
            "the server does not answer machines at {}",
            listeners.join(" or ")
        ))
    })
}

/// Whether a Bootwright server answers machines at this URL.
pub(super) fn answers(server: &str) -> bool {
    let health = HttpClient::new().get(&format!("{server}/healthz"));
    health
        .is_ok_and(|health| health.body.starts_with(b"ok") || health.body.starts_with(b"degraded"))
}

fn boots(
    hardware: Hardware,
    has_system: bool,
    play: &arguments::PlayArgs,
    server: &str,
    terminal: &Terminal,
) -> CliResult {
    let faults = InjectedFaults {
        fails: play.fail,
        loses_callbacks: play.lose_callbacks,
    };
    let mut machine = VirtualMachine::new(hardware.clone(), faults, |step| {
        // A closed pipe is reported at the next header line.
        if terminal
            .show(&format!(
                "  {}\n",
                super::terminal::plain(&step.to_string())
            ))
            .is_err()
        {}
    });
    if has_system {
        machine = machine.with_system();
    }
    for boot in 1..=play.boots {
        let mac = hardware
            .macs
            .first()
            .map_or(String::new(), |mac| format!(", MAC {mac}"));
        terminal.show(&format!(
            "\nboot {boot}: {} ({}{mac})\n",
            play.node, hardware.platform
        ))?;
        match machine.boot(server) {
            BootOutcome::NoAnswer => {
                return Err(Failure::unreachable(anyhow!(
                    "no server answers at {server}"
                )));
            }
            BootOutcome::InstallerFailed if !play.fail => {
                return Err(Failure::refused(anyhow!("the installation failed")));
            }
            BootOutcome::Waiting => break,
            _ => {}
        }
    }
    Ok(())
}

/// Prints the machine's log.
fn print_log(client: &ApiClient, play: &arguments::PlayArgs, terminal: &Terminal) -> CliResult {
    // Events without consequences are written to the journal within a second.
    thread::sleep(Duration::from_millis(1_100));
    let question = Query::log(play.node.clone());
    let lines = log::formatted(&client.query(&question)?, terminal);
    terminal.show(&format!(
        "\nwhat the server recorded (bootwright nodes {} log)\n{}",
        play.node,
        lines.concat()
    ))?;
    Ok(())
}

/// The hardware of the machine with this name or MAC.
fn hardware(site: &Site, name: &str, bios: bool) -> CliResult<Hardware> {
    let mac: Option<Mac> = name.parse().ok();
    let bare = Hardware {
        macs: Vec::new(),
        serial: None,
        uuid: None,
        asset: None,
        platform: if bios {
            Platform::Pcbios
        } else {
            Platform::Efi
        },
        arch: bios.then_some(Arch::I386),
    };
    match (declared(site, name), mac) {
        (Some(node), _) => Ok(hardware_of(node, bare)),
        (None, Some(mac)) => Ok(Hardware {
            macs: vec![mac],
            ..bare
        }),
        (None, None) => Err(no_node(
            site,
            name,
            "`bootwright nodes` lists the nodes; use a MAC to simulate an undeclared machine",
        )),
    }
}

/// The node of this name, or with this MAC.
pub(super) fn declared<'s>(site: &'s Site, name: &str) -> Option<&'s Arc<Node>> {
    match name.parse() {
        Ok(mac) => site.identities.mac.get(&mac),
        // Otherwise it is a name.
        Err(_) => site.nodes.get(name),
    }
}

/// The error for an unknown node, with a similar name as help, else `help`.
pub(super) fn no_node(site: &Site, name: &str, help: &str) -> Failure {
    let similar = suggest(name, site.nodes.keys().map(NodeName::as_str));
    let help = similar.map_or(help.into(), |similar| format!("did you mean `{similar}`?"));
    Failure::refused(anyhow!("there is no node `{name}`")).help(help)
}

/// The hardware of a node; `bare` has the values that are not declared.
pub(super) fn hardware_of(node: &Node, bare: Hardware) -> Hardware {
    let mut macs: Vec<Mac> = node.macs().into_iter().map(|mac| mac.value).collect();
    if macs.is_empty() {
        macs.push(generated_mac(node.name.value.as_str()));
    }
    Hardware {
        macs,
        serial: node
            .body
            .serial
            .as_ref()
            .map(|serial| serial.value.to_string()),
        uuid: node.body.uuid.as_ref().map(|uuid| uuid.value.to_string()),
        asset: node
            .body
            .asset
            .as_ref()
            .map(|asset| asset.value.to_string()),
        arch: bare
            .arch
            .or(node.settings.arch.as_deref().map(|at| at.value)),
        ..bare
    }
}

/// A MAC for a node that declares none: derived from the name, locally administered.
fn generated_mac(name: &str) -> Mac {
    let digest = Sha256::digest(name.as_bytes());
    Mac([0x02, 0, 0, digest[0], digest[1], digest[2]])
}
