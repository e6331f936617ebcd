//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::terminal::Color;
use crate::model::{ByteSize, TimeSpan};

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done
  1  the site has errors, doctor found one, or the command was refused
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
    pub(super) command: CliCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Write a site that fits this machine.
    ///
    /// Nothing that exists is overwritten. With `--state`, say what the state directory of an existing site stands
    /// for, after it was lost or left behind.
    #[command(after_help = EXIT_CODES)]
    Init(InitArgs),
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
    /// Look at this machine for what is in the way of a first try: ports, interfaces, loaders, firewall, clock.
    ///
    /// Nothing is changed and no server is needed. Without root it says what it could not look at. An error of its
    /// findings is exit code 1.
    #[command(after_help = EXIT_CODES)]
    Doctor {
        /// As JSON: `{errors, warnings, unknown, findings: [{area, severity, message, run, help}]}`.
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
    Play(PlayArgs),
    /// Let real firmware boot a node in QEMU, until its installer has read its document.
    ///
    /// Without root, DHCP and TFTP: QEMU brings the network. The machine has the node's MAC, serial number and UUID,
    /// and its network is laid out so that the node's static address works. It goes against the same server as `play`.
    /// Exit code 0: a document was read to its end; 1: none was, and why; 3: QEMU, a ROM or firmware is missing.
    #[command(after_help = EXIT_CODES)]
    Try(TryArgs),
    /// Show the machines, or one of them.
    #[command(after_help = EXIT_CODES)]
    Nodes(NodesArgs),
    /// Write a file that declares a machine which no file mentions, ready to commit.
    ///
    /// It holds what identifies the machine, the address that it was given, and comments of what it reported. Without
    /// `--policy` a machine that is not installed gets `installs = 0`: nothing touches it. Nothing is overwritten, and
    /// a file with which the site would have an error is not written.
    #[command(after_help = EXIT_CODES)]
    Adopt(AdoptArgs),
    /// Make the microkernel that machines boot which no file mentions.
    #[command(after_help = EXIT_CODES)]
    Microkernel {
        #[command(subcommand)]
        command: MicrokernelCommand,
    },
    /// Show where files come from: every repo, or what is in one of them.
    #[command(after_help = EXIT_CODES)]
    Repos(ReposArgs),
    /// Read the manual: list its topics, show one of them, or search all of them.
    ///
    /// On a terminal a page is shown by the program that PAGER names, else by `less`.
    #[command(after_help = EXIT_CODES)]
    Manual(ManualArgs),
    #[command(flatten)]
    Change(ChangeCommand),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
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
pub(super) struct PlayArgs {
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

/// Arguments of `try`.
#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The node, or the MAC of one.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// A machine with a BIOS [default: what it reported, or its loader says; UEFI for ESXi, else BIOS].
    #[arg(long, conflicts_with = "uefi")]
    pub(super) bios: bool,
    /// A machine with UEFI.
    #[arg(long)]
    pub(super) uefi: bool,
    /// Its memory [default: 1GiB; for a real image what its installer needs].
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<ByteSize>,
    /// Its disk, which is thrown away and takes the room of what is written alone.
    #[arg(long, value_name = "SIZE", default_value = "32GiB")]
    pub(super) disk: ByteSize,
    /// For how long at most.
    #[arg(long = "for", value_name = "SPAN", default_value = "5m")]
    pub(super) span: TimeSpan,
    /// Go on when the document was read: the installation itself.
    #[arg(long)]
    pub(super) keep: bool,
    /// Show its screen in a window.
    #[arg(long, conflicts_with = "display")]
    pub(super) window: bool,
    /// Show its screen where QEMU's `-display` says, such as `vnc=127.0.0.1:1`.
    #[arg(long, value_name = "KIND")]
    pub(super) display: Option<String>,
    /// Try against the running server although its site is no demonstration: the machine counts as the real one.
    #[arg(long)]
    pub(super) live: bool,
}

/// Arguments of `nodes`.
#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    /// One machine, by name or MAC.
    pub(super) name: Option<String>,
    /// What of it.
    #[arg(value_enum)]
    pub(super) of: Option<NodeView>,
    /// Those alone that no file declares: `adopt` writes one for them.
    #[arg(long, conflicts_with = "name")]
    pub(super) unclaimed: bool,
    /// Go on as the log grows.
    #[arg(long, short)]
    pub(super) follow: bool,
    /// As JSON; of a log the lines of the journal.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `adopt`.
#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The machine, by the name that `nodes` shows, or a MAC.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// What it is to be called [default: its host's name, else the one it has].
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The policy that is to install it.
    #[arg(long)]
    pub(super) policy: Option<String>,
    /// The file's format.
    #[arg(long, value_enum, default_value_t = FileFormat::Toml)]
    pub(super) format: FileFormat,
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// TOML.
    Toml,
    /// KDL.
    Kdl,
}

/// What there is to do with the microkernel.
#[derive(Debug, Subcommand)]
pub(super) enum MicrokernelCommand {
    /// Put it together from a kernel that is here, its modules, and this program.
    ///
    /// Nothing is downloaded. A running server needs no restart, and machines that boot meanwhile get the old pair or the
    /// new one. The same files make the same bytes.
    #[command(after_help = EXIT_CODES)]
    Build(BuildArgs),
}

/// Arguments of `microkernel build`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The kernel [default: the newest `/boot/vmlinuz-*` whose modules are installed].
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,
    /// Its modules: their directory, or that of a package unpacked [default: `/lib/modules`].
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub(super) modules: Option<PathBuf>,
    /// Where firmware is looked for; may be given several times [default: `/lib/firmware`].
    #[arg(long, value_name = "DIR")]
    pub(super) firmware: Vec<PathBuf>,
    /// Where `vmlinuz` and `initrd` are written [default: `microkernel/` in the site's state directory].
    #[arg(long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
}

/// Arguments of `repos`.
#[derive(Debug, Args)]
pub(super) struct ReposArgs {
    /// One repo.
    pub(super) name: Option<String>,
    /// What of it: list a directory, or write a file's bytes.
    #[arg(value_enum)]
    pub(super) of: Option<RepoAction>,
    /// Where in it.
    pub(super) path: Option<String>,
    /// As JSON: an array of `{name, kind, at, bytes, files, task, guessed, system, trouble}`.
    #[arg(long, conflicts_with = "name")]
    pub(super) json: bool,
}

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// The page [default: the list of all].
    pub(super) topic: Option<String>,
    /// Print what contains all of these words, with its topic and heading.
    #[arg(long, num_args = 1.., value_name = "WORDS")]
    pub(super) search: Vec<String>,
}

/// What there is to do with one repo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RepoAction {
    /// List a directory.
    Ls,
    /// Write a file's bytes.
    Cat,
}

/// What there is to see of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NodeView {
    /// What has happened to it.
    Log,
    /// What it reported of itself.
    Facts,
}

/// The commands that change something.
#[derive(Debug, Subcommand)]
pub(super) enum ChangeCommand {
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
        state: MarkState,
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
    /// Let a machine that waits in the microkernel switch itself off.
    #[command(after_help = EXIT_CODES)]
    PowerOff {
        /// The machine, by name or MAC.
        node: String,
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
pub(super) enum MarkState {
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
