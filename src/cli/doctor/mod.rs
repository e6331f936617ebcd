//! `doctor`: checks this machine for problems that prevent a network boot.
//!
//! [`collect`], [`probe`] and [`programs`] read the state of this machine; every other file turns that state into findings,
//! without input or output. Nothing is changed. No server and no root is needed: checks that need root are reported as
//! unknown.

mod finding;
mod account;
mod ports;
mod networks;
mod loaders;
mod other_dhcp;
mod nft;
mod ufw;
mod firewall_state;
mod firewalld;
mod firewall;
mod files;
mod clock;
mod programs;
mod probe;
mod collect;
mod show;

use std::path::Path;

use super::{
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    terminal::Terminal,
};
use finding::{FindingLevel, count};

pub(super) fn run(root: &Path, json: bool, terminal: &Terminal) -> CliResult {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let areas = collect::collect(root, terminal)?;
    let text = match json {
        true => show::json(&areas),
        false => show::text(&areas, terminal),
    };
    terminal.show(&text)?;
    match count(&areas, FindingLevel::Error) {
        0 => Ok(()),
        _ => Err(Failure::already_reported()),
    }
}

#[cfg(test)]
mod tests;
