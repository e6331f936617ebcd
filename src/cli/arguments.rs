//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::terminal::Color;

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done
  1  the site has errors, or the command was refused
  2  the command line is wrong
  3  what is needed cannot be reached: the server, its state, files, the network";

/// Bare metal from a git directory: network boot and installers with each machine's own static address and hostname.
#[derive(Debug, Parser)]
#[command(name = "bootwright", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Arguments {
    /// The site: the directory that holds `bootwright.toml` and `policies.d/` [default: the current directory].
    #[arg(
        long,
        global = true,
        env = "BOOTWRIGHT_SITE",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub(super) site: Option<PathBuf>,
    /// When to colour: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "WHEN"
    )]
    pub(super) color: Color,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a site that fits this machine.
    ///
    /// Nothing that exists is overwritten. With `--state`, say what the state directory of an existing site stands
    /// for, after it was lost or left behind.
    #[command(after_help = EXIT_CODES)]
    Init(Init),
    /// Answer machines and operators until stopped.
    #[command(after_help = EXIT_CODES)]
    Serve {
        /// The site.
        #[arg(value_name = "SITE")]
        dir: Option<PathBuf>,
    },
    /// Find every mistake of the site: read it, hold it to its rules, render everything for everyone.
    ///
    /// Warnings do not change the exit code.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// As JSON: `{errors, warnings, diagnostics: [{severity, message, file, line, column, help}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Show what a node is served, byte for byte; tokens are zeros.
    #[command(after_help = EXIT_CODES)]
    Render {
        /// The node.
        node: String,
        /// One document; without it all of them, each under its name.
        document: Option<String>,
    },
    /// Say why a machine gets what it gets, and where each value comes from.
    #[command(after_help = EXIT_CODES)]
    Explain {
        /// The node's name, or a MAC.
        #[arg(value_name = "NODE|MAC")]
        node: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a virtual machine boot, install and report back over HTTP.
    ///
    /// It plays against the running server of a demonstration; a site with a `site-id` is played with throwaway state
    /// beside the server unless `--live` is given.
    #[command(after_help = EXIT_CODES)]
    Play(Play),
    /// Show the machines, or one of them.
    #[command(after_help = EXIT_CODES)]
    Nodes(Nodes),
    #[command(flatten)]
    Order(Order),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where; the directory is made when there is none.
    pub(super) dir: Option<PathBuf>,
    /// Say what the state directory of an existing site stands for: `new` (nothing is installed yet) or
    /// `installed` (every declared node is).
    #[arg(long, value_enum)]
    pub(super) state: Option<InitState>,
    /// Ask nothing.
    #[arg(long)]
    pub(super) no_input: bool,
}

/// What a state directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InitState {
    /// Nothing is installed yet.
    New,
    /// Every declared node is installed.
    Installed,
}

/// Arguments of `play`.
#[derive(Debug, Args)]
pub(super) struct Play {
    /// The node, or the MAC of a machine that nobody declared.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// The installer ends with an error.
    #[arg(long)]
    pub(super) fail: bool,
    /// None of the machine's reports reaches the server.
    #[arg(long)]
    pub(super) lose_callbacks: bool,
    /// How often it boots from the network.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) boots: u32,
    /// A machine with a BIOS instead of UEFI.
    #[arg(long)]
    pub(super) bios: bool,
    /// Play against the running server although its site is no demonstration: the machine counts as the real one.
    #[arg(long)]
    pub(super) live: bool,
}

/// Arguments of `nodes`.
#[derive(Debug, Args)]
pub(super) struct Nodes {
    /// One machine, by name or MAC.
    pub(super) name: Option<String>,
    /// What of it.
    #[arg(value_enum)]
    pub(super) of: Option<OfNode>,
    /// Go on as the log grows.
    #[arg(long, short)]
    pub(super) follow: bool,
    /// As JSON; of a log the lines of the journal.
    #[arg(long)]
    pub(super) json: bool,
}

/// What there is to see of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OfNode {
    /// What has happened to it.
    Log,
    /// What it reported of itself.
    Facts,
}

/// The commands that change something.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Install a node once more, at its next network boot.
    #[command(after_help = EXIT_CODES)]
    Reinstall {
        /// The node.
        node: String,
    },
    /// Give a machine no installer until it is released.
    #[command(after_help = EXIT_CODES)]
    Hold {
        /// The machine, by name or MAC.
        node: String,
        /// Why, for people to read.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Clear a machine's holds and the count of its failed attempts.
    #[command(after_help = EXIT_CODES)]
    Release {
        /// The machine, by name or MAC.
        #[arg(required_unless_present = "all")]
        node: Option<String>,
        /// Every machine.
        #[arg(long, conflicts_with = "node")]
        all: bool,
    },
    /// Record that a machine is installed although the server did not see it.
    #[command(after_help = EXIT_CODES)]
    Mark {
        /// The machine, by name or MAC.
        node: String,
        /// What it is.
        #[arg(value_enum)]
        state: Marked,
    },
    /// Forget a machine's history, so that it starts from nothing.
    #[command(after_help = EXIT_CODES)]
    Forget {
        /// The machine, by name or MAC.
        node: String,
        /// Even when its next network boot could then install it again.
        #[arg(long)]
        wipe_allowed: bool,
    },
    /// Hand out no installer to anybody until `resume`.
    #[command(after_help = EXIT_CODES)]
    Pause,
    /// Hand out installers again.
    #[command(after_help = EXIT_CODES)]
    Resume,
}

/// What a machine can be marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Marked {
    /// Its disk holds the system that it should.
    Installed,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_site_may_stand_before_or_after_the_command() {
        for line in [
            ["bootwright", "--site", "x", "check"],
            ["bootwright", "check", "--site", "x"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.site, Some(PathBuf::from("x")));
        }
    }

    #[test]
    fn a_release_names_a_machine_or_all() {
        for (line, fits) in [
            (vec!["release"], false),
            (vec!["release", "a"], true),
            (vec!["release", "--all"], true),
            (vec!["release", "a", "--all"], false),
            (vec!["mark", "a", "installed"], true),
            (vec!["mark", "a", "finished"], false),
            (vec!["nodes", "a", "log", "--follow"], true),
            (vec!["nodes", "a", "life"], false),
        ] {
            let line = ["bootwright"].into_iter().chain(line);
            assert_eq!(
                Arguments::try_parse_from(line.clone()).is_ok(),
                fits,
                "{:?}",
                line.collect::<Vec<_>>()
            );
        }
    }
}
