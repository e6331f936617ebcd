//! The command line: one file for each command.
//!
//! A command turns its arguments into one request to the running server ([`query`], [`operate`]) and prints the answer.
//! Output to a pipe or file is plain; on a terminal it is coloured and fits the width ([`terminal`]). Every error becomes
//! a [`failure::Failure`]: the error, how to fix it, an exit code.

mod failure;
mod terminal;
mod table;
mod answer;
mod operator_token;
mod client_tls;
mod client;
mod offline;
mod query;
mod operate;
mod arguments;
mod check;
mod render;
mod explain;
mod nodes;
mod node;
mod adopt;
mod log;
mod page;
mod repos;
mod log_writer;
mod manual;
mod serve;
mod state;
mod init;
mod doctor;
mod microkernel;
pub mod play;
mod try_;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::agent;
use arguments::{Arguments, CliCommand};
use failure::CliResult;
use terminal::Terminal;

/// Parses the arguments and runs the command. As process 1 of the microkernel it runs the agent and never returns.
pub fn main() -> ExitCode {
    if agent::is_init() {
        agent::run();
    }
    if let Some(limits) = check_process_limits() {
        return crate::serve::run_check_process(&limits);
    }
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.color);
    match run(arguments, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&terminal),
    }
}

/// The arguments of a check process. It is started for each edit, so it does not build the parser of the command line.
fn check_process_limits() -> Option<[u64; 3]> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != crate::serve::CHECK_COMMAND {
        return None;
    }
    let limits: Vec<u64> = arguments.map_while(|text| text.parse().ok()).collect();
    limits.try_into().ok()
}

fn run(arguments: Arguments, terminal: &Terminal) -> CliResult {
    let site = arguments.site.unwrap_or_else(|| PathBuf::from("."));
    let at = |dir: Option<PathBuf>| dir.unwrap_or_else(|| site.clone());
    match arguments.command {
        CliCommand::Init(init) => init::run(&at(init.dir.clone()), &init, terminal),
        CliCommand::Serve { dir } => serve::run(&at(dir), terminal),
        CliCommand::Check { json } => check::run(&site, json, terminal),
        CliCommand::Doctor { json } => doctor::run(&site, json, terminal),
        CliCommand::Render { node, document } => {
            render::run(&site, &node, document.as_deref(), terminal)
        }
        CliCommand::Explain { node, json } => explain::run(&site, &node, json, terminal),
        CliCommand::Play(play) => play::run(&site, &play, terminal),
        CliCommand::Try(tried) => try_::run(&site, &tried, terminal),
        CliCommand::Nodes(nodes) => nodes::run(&site, &nodes, terminal),
        CliCommand::Page => page::run(&site, terminal),
        CliCommand::Adopt(adopt) => adopt::run(&site, &adopt, terminal),
        CliCommand::Microkernel { command } => microkernel::run(&site, &command, terminal),
        CliCommand::State { command } => state::run(&site, &command, terminal),
        CliCommand::Repos(repos) => repos::run(&site, &repos, terminal),
        CliCommand::Manual(manual) => manual::run(&manual, terminal),
        CliCommand::Change(change) => operate::run(&site, change, terminal),
    }
}
