//! `doctor`: what is in the way of a first try.
//!
//! `look` and its neighbours [`probe`] and [`programs`] see how this machine is; every other file turns what was seen
//! into findings, values in and values out. Nothing is changed, no server is needed, and no root: what only root
//! can see is named as not looked at.

mod finding;
mod account;
mod ports;
mod networks;
mod loaders;
mod other_dhcp;
mod nft;
mod ufw;
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
    let areas = collect::look(root, terminal)?;
    let text = match json {
        true => show::json(&areas),
        false => show::written(&areas, terminal),
    };
    terminal.show(&text)?;
    match count(&areas, FindingLevel::Error) {
        0 => Ok(()),
        _ => Err(Failure::said()),
    }
}

#[cfg(test)]
mod tests;
