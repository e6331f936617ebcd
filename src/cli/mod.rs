//! The command line: one file for each command.
//!
//! A command turns its arguments into one question or order, puts it to the running server ([`ask`]), and shows
//! the answer. What it shows is plain where nobody watches, and fits the terminal where somebody does
//! ([`terminal`]). What goes wrong ends as a [`failure::Failure`]: an error, what to do about it, an exit code.

mod failure;
mod terminal;
mod table;
mod arguments;
mod client;
mod ask;
mod offline;
mod order;
mod check;
mod render;
mod explain;
mod nodes;
mod node;
mod adopt;
mod log;
mod repos;
mod told;
mod serve;
mod init;
mod doctor;
mod microkernel;
pub mod play;
mod try_;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::agent;
use arguments::{Arguments, Command};
use failure::Outcome;
use terminal::Terminal;

/// Runs the program: reads its arguments, does what they say, and tells how it went.
///
/// As the first process of a microkernel it is the agent, and does not end.
pub fn main() -> ExitCode {
    if agent::is_init() {
        agent::run();
    }
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.color);
    match run(arguments, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&terminal),
    }
}

fn run(arguments: Arguments, terminal: &Terminal) -> Outcome {
    let site = arguments.site.unwrap_or_else(|| PathBuf::from("."));
    let at = |dir: Option<PathBuf>| dir.unwrap_or_else(|| site.clone());
    match arguments.command {
        Command::Init(init) => init::run(&at(init.dir.clone()), &init, terminal),
        Command::Serve { dir } => serve::run(&at(dir), terminal),
        Command::Check { json } => check::run(&site, json, terminal),
        Command::Doctor { json } => doctor::run(&site, json, terminal),
        Command::Render { node, document } => {
            render::run(&site, &node, document.as_deref(), terminal)
        }
        Command::Explain { node, json } => explain::run(&site, &node, json, terminal),
        Command::Play(play) => play::run(&site, &play, terminal),
        Command::Try(tried) => try_::run(&site, &tried, terminal),
        Command::Nodes(nodes) => nodes::run(&site, &nodes, terminal),
        Command::Adopt(adopt) => adopt::run(&site, &adopt, terminal),
        Command::Microkernel { command } => microkernel::run(&site, &command, terminal),
        Command::Repos(repos) => repos::run(&site, &repos, terminal),
        Command::Order(order) => order::run(&site, order, terminal),
    }
}
