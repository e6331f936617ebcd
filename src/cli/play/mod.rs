//! `play`: a virtual machine boots from the network, installs, and reports back, all over HTTP.
//!
//! [`VirtualMachine`] is the machine: it asks for the same files in the same order as firmware, iPXE, ESXi's loader and
//! the installers do, and makes the callbacks that stand in the documents it was given. It runs nothing of what it
//! fetches, and no time passes. [`run`] lets one loose on the running server, or on one of its own.

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
    nodes::NodeStatus,
    terminal::Terminal,
};
use crate::{
    model::{Arch, Mac, Node, NodeName, Platform},
    net::http::OperatorQuery,
    site::{Site, suggest},
};
use http::HttpClient;
use private_server::PrivateServer;

pub use machine::{BootOutcome, Hardware, InjectedFaults, VirtualMachine};
pub use step::PlayStep;

pub(super) fn run(root: &Path, play: &arguments::PlayArgs, terminal: &Terminal) -> CliResult {
    let loaded = check::loaded(root)?;
    let hardware = hardware(&loaded.snapshot.site, &play.node, play.bios)?;
    match against(root, play.live, "played", terminal)? {
        Some((client, server)) => {
            terminal.show(&format!("playing against the running server, {server}\n"))?;
            let played = boots(
                hardware,
                has_system(&client, &play.node),
                play,
                &server,
                terminal,
            );
            recorded(&client, play, terminal)?;
            played
        }
        None => {
            let own = PrivateServer::start(root)?;
            terminal.show("playing with a server of its own and throwaway state\n")?;
            let played = boots(hardware, false, play, &own.machines(), terminal);
            recorded(&ApiClient::at(own.operators(), root)?, play, terminal)?;
            own.stop()?;
            played
        }
    }
}

/// Tells whether the machine was installed before: then its disk boots.
fn has_system(client: &ApiClient, name: &str) -> bool {
    // A machine that the server does not know was never installed.
    let answer = client.ask(&OperatorQuery::Node(name.into())).ok();
    let shown: Option<NodeStatus> = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
    shown.is_some_and(|shown| ["installed", "finished"].contains(&shown.state.as_str()))
}

/// The running server to go against: that of a demonstration, or any that is asked for. `done` is what would be done
/// there.
pub(super) fn against(
    root: &Path,
    live: bool,
    done: &str,
    terminal: &Terminal,
) -> CliResult<Option<(ApiClient, String)>> {
    let Some((client, status)) = ApiClient::find(root)? else {
        return match live {
            true => Err(Failure::unreachable(anyhow!("no server answers"))
                .help("start it with `bootwright serve`, or leave --live out")),
            false => Ok(None),
        };
    };
    let demonstration = status
        .get("demonstration")
        .and_then(serde_json::Value::as_bool)
        == Some(true);
    if !demonstration && !live {
        terminal.note(&format!("a server runs, but its site is no demonstration, so nothing is {done} against it without --live"));
        return Ok(None);
    }
    Ok(Some((client, machines(root)?)))
}

/// Where the running server answers machines.
fn machines(root: &Path) -> CliResult<String> {
    let config = config(root)?;
    let listen = config
        .http
        .listen
        .as_ref()
        .map(|listen| listen.value.clone());
    // Without an address the server takes port 80, or 8080 where it cannot have that.
    let places = listen.map_or_else(
        || vec!["127.0.0.1:80".into(), "127.0.0.1:8080".into()],
        |listen| vec![listen],
    );
    let mut servers = places
        .iter()
        .map(|place| format!("http://{}", reachable(place, 80)));
    let found = servers.find(|server| answers(server));
    found.ok_or_else(|| {
        Failure::unreachable(anyhow!(
            "the server does not answer machines at {}",
            places.join(" or ")
        ))
    })
}

/// Tells whether one of our servers answers machines there.
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
    let trouble = InjectedFaults {
        fails: play.fail,
        loses_callbacks: play.lose_callbacks,
    };
    let mut machine = VirtualMachine::new(hardware.clone(), trouble, |step| {
        // A pipe that was closed is noticed at the next header.
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
        let card = hardware
            .macs
            .first()
            .map_or(String::new(), |mac| format!(", card {mac}"));
        terminal.show(&format!(
            "\nboot {boot}: {} ({}{card})\n",
            play.node, hardware.platform
        ))?;
        match machine.boot(server) {
            BootOutcome::NoAnswer => {
                return Err(Failure::unreachable(anyhow!(
                    "nobody answers machines at {server}"
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

/// Shows what the server made of it.
fn recorded(client: &ApiClient, play: &arguments::PlayArgs, terminal: &Terminal) -> CliResult {
    // What merely tells is written within a second.
    thread::sleep(Duration::from_millis(1_100));
    let question = OperatorQuery::Log {
        node: play.node.clone(),
        after: None,
    };
    let lines = log::written(&client.ask(&question)?, terminal);
    terminal.show(&format!(
        "\nwhat the server recorded (bootwright nodes {} log)\n{}",
        play.node,
        lines.concat()
    ))?;
    Ok(())
}

/// The machine that a name or a MAC stands for.
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
        arch: if bios { Arch::I386 } else { Arch::X86_64 },
    };
    match (declared(site, name), mac) {
        (Some(node), _) => Ok(of_node(node, bare)),
        (None, Some(mac)) => Ok(Hardware {
            macs: vec![mac],
            ..bare
        }),
        (None, None) => Err(no_node(
            site,
            name,
            "`bootwright nodes` lists the nodes; a MAC plays a machine that nobody declared",
        )),
    }
}

/// The node of this name, or with this MAC.
pub(super) fn declared<'s>(site: &'s Site, name: &str) -> Option<&'s Arc<Node>> {
    match name.parse() {
        Ok(mac) => site.identities.mac.get(&mac),
        // A name then.
        Err(_) => site.nodes.get(name),
    }
}

/// What is said when there is none; `help` unless a name is near.
pub(super) fn no_node(site: &Site, name: &str, help: &str) -> Failure {
    let near = suggest(name, site.nodes.keys().map(NodeName::as_str));
    let help = near.map_or(help.into(), |near| format!("did you mean `{near}`?"));
    Failure::refused(anyhow!("there is no node `{name}`")).help(help)
}

/// The machine that a node stands for, beside what `bare` says.
pub(super) fn of_node(node: &Node, bare: Hardware) -> Hardware {
    let mut macs: Vec<Mac> = node.macs().into_iter().map(|mac| mac.value).collect();
    if macs.is_empty() {
        macs.push(made_up(node.name.value.as_str()));
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
        ..bare
    }
}

/// A card for a node that declares none: always the same one, locally administered.
fn made_up(name: &str) -> Mac {
    let digest = Sha256::digest(name.as_bytes());
    Mac([0x02, 0, 0, digest[0], digest[1], digest[2]])
}
