//! `doctor`: what is in the way of a first try.
//!
//! `look` and its neighbours [`ask`] and [`programs`] see how this machine is; every other file turns what was seen
//! into findings, values in and values out. Nothing is changed, no server is needed, and no root: what only root
//! can see is named as not looked at.

mod finding;
mod who;
mod ports;
mod networks;
mod loaders;
mod others;
mod nft;
mod ufw;
mod firewalld;
mod firewall;
mod files;
mod clock;
mod programs;
mod ask;
mod look;
mod show;

use std::path::Path;

use super::{
    client::{is_site, no_site},
    failure::{Failure, Outcome},
    terminal::Terminal,
};
use finding::{Mark, count};

pub(super) fn run(root: &Path, json: bool, terminal: &Terminal) -> Outcome {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let areas = look::look(root, terminal)?;
    let text = match json {
        true => show::json(&areas),
        false => show::written(&areas, terminal),
    };
    terminal.show(&text)?;
    match count(&areas, Mark::Error) {
        0 => Ok(()),
        _ => Err(Failure::said()),
    }
}

#[cfg(test)]
mod tests;
