//! The command line: clap's definitions of commands and options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{failure::EXIT_CODES, operate::ChangeCommand, terminal::Color};
use crate::model::{ByteSize, TimeSpan};

/// Bare metal from a git directory: network boot and unattended installation, each machine with its own static address and host name.
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
    /// When to use colour: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`.
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
    /// Create a site, with settings detected on this machine.
    ///
    /// Existing files are never overwritten. With `--state`, declare the state directory of an existing site, after it
    /// was lost or moved.
    #[command(after_help = EXIT_CODES)]
    Init(InitArgs),
    /// Run the server until it is stopped.
    #[command(after_help = EXIT_CODES)]
    Serve {
        /// The site.
        #[arg(value_name = "SITE")]
        dir: Option<PathBuf>,
    },
    /// Report every error in the site: parse all files, validate them, and render all documents of all nodes.
    ///
    /// Warnings do not change the exit code.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// Print JSON: `{errors, warnings, diagnostics: [{severity, message, file, line, column, help}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Check this machine for problems that prevent a network boot: ports, interfaces, loaders, firewall, clock.
    ///
    /// Changes nothing and needs no running server. Without root, checks that need root are reported as unknown. The
    /// exit code is 1 if a finding is an error.
    #[command(after_help = EXIT_CODES)]
    Doctor {
        /// Print JSON: `{errors, warnings, unknown, findings: [{area, severity, message, run, help}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Print the documents that the server sends to a node, byte for byte; tokens are zeros.
    #[command(after_help = EXIT_CODES)]
    Render {
        /// The node.
        node: String,
        /// The document to print. Without it, all documents are printed, each under its name.
        document: Option<String>,
    },
    /// Explain what a machine gets at its next boot, and where each value comes from.
    #[command(after_help = EXIT_CODES)]
    Explain {
        /// The node's name, or a MAC.
        #[arg(value_name = "NODE|MAC")]
        node: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Simulate a machine that boots, installs and reports back over HTTP.
    ///
    /// It uses the running server of a demonstration (a site without a `site-id`). Otherwise it starts a temporary server
    /// with temporary state, unless `--live` is given.
    #[command(after_help = EXIT_CODES)]
    Play(PlayArgs),
    /// Boot a node with real firmware in QEMU, until its installer has read its document.
    ///
    /// It needs no root, DHCP or TFTP: QEMU provides the network. The machine has the node's MAC, serial number and
    /// UUID, and a network in which the node's static address works. It uses the same server as `play`. Exit code 0: a
    /// document was read completely. 1: none was; the reason is printed. 3: QEMU, a ROM or firmware is missing.
    #[command(after_help = EXIT_CODES)]
    Try(TryArgs),
    /// List the machines, or show one of them.
    #[command(after_help = EXIT_CODES)]
    Nodes(NodesArgs),
    /// Print a link to the server's page for web browsers.
    ///
    /// The link can be opened once, within ten minutes. It begins a session of twelve hours.
    #[command(after_help = EXIT_CODES)]
    Page,
    /// Write a file that declares an undeclared machine, ready to commit.
    ///
    /// The file contains what identifies the machine, its assigned address, and its reported hardware as comments.
    /// Without `--policy`, a machine that is not installed gets `installs = 0`: it is never installed. Existing files
    /// are never overwritten. The file is not written if the site would have an error with it.
    #[command(after_help = EXIT_CODES)]
    Adopt(AdoptArgs),
    /// Build the microkernel that undeclared machines boot.
    #[command(after_help = EXIT_CODES)]
    Microkernel {
        #[command(subcommand)]
        command: MicrokernelCommand,
    },
    /// Back up the state directory, or replace it with a backup.
    #[command(after_help = EXIT_CODES)]
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
    /// List the repos, or the files in one of them.
    #[command(after_help = EXIT_CODES)]
    Repos(ReposArgs),
    /// Read the manual: list its topics, show one of them, or search all of them.
    ///
    /// On a terminal a page is shown with the pager in `PAGER`, or `less`.
    #[command(after_help = EXIT_CODES)]
    Manual(ManualArgs),
    #[command(flatten)]
    Change(ChangeCommand),
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The directory of the site; created if it does not exist.
    pub(super) dir: Option<PathBuf>,
    /// Declare the state directory of an existing site: `new` (nothing is installed yet), `installed` (every declared
    /// node is installed) or `from-machines` (each machine reports its disks once, from the microkernel).
    #[arg(long, value_enum)]
    pub(super) state: Option<InitState>,
    /// Do not prompt for a password.
    #[arg(long)]
    pub(super) no_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InitState {
    /// Nothing is installed yet.
    New,
    /// Every declared node is installed.
    Installed,
    /// What the seals of their disks show.
    FromMachines,
}

#[derive(Debug, Args)]
pub(super) struct PlayArgs {
    /// The node, or the MAC of an undeclared machine.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// Let the installation fail.
    #[arg(long)]
    pub(super) fail: bool,
    /// Drop all reports of the machine: the server receives none.
    #[arg(long)]
    pub(super) lose_callbacks: bool,
    /// Number of network boots.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) boots: u32,
    /// Simulate BIOS firmware instead of UEFI.
    #[arg(long)]
    pub(super) bios: bool,
    /// Use the running server even if its site is not a demonstration. Its journal then records the boots as the real machine's.
    #[arg(long)]
    pub(super) live: bool,
}

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The node, or its MAC.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// Use BIOS firmware [default: the firmware that the machine reported or its loader implies; UEFI for ESXi, else BIOS].
    #[arg(long, conflicts_with = "uefi")]
    pub(super) bios: bool,
    /// Use UEFI firmware.
    #[arg(long)]
    pub(super) uefi: bool,
    /// Memory [default: 1GiB; for a real image, what its installer needs].
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<ByteSize>,
    /// Size of the disk, which is deleted afterwards; only written blocks use space.
    #[arg(long, value_name = "SIZE", default_value = "32GiB")]
    pub(super) disk: ByteSize,
    /// Time limit.
    #[arg(long = "for", value_name = "SPAN", default_value = "5m")]
    pub(super) span: TimeSpan,
    /// Continue with the installation after the document was read.
    #[arg(long)]
    pub(super) keep: bool,
    /// Show the machine's screen in a window.
    #[arg(long, conflicts_with = "display")]
    pub(super) window: bool,
    /// Show the machine's screen with this value of QEMU's `-display`, such as `vnc=127.0.0.1:1`.
    #[arg(long, value_name = "KIND")]
    pub(super) display: Option<String>,
    /// Use the running server even if its site is not a demonstration. Its journal then records the boot as the real machine's.
    #[arg(long)]
    pub(super) live: bool,
}

#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    /// A machine, by name or MAC.
    pub(super) name: Option<String>,
    /// What to show.
    #[arg(value_enum)]
    pub(super) of: Option<NodeView>,
    /// Only undeclared machines; `adopt` writes a declaration for them.
    #[arg(long, conflicts_with = "name")]
    pub(super) unclaimed: bool,
    /// Print all machines as an Ansible inventory: what `ansible-inventory --list` prints.
    #[arg(long, conflicts_with_all = ["name", "unclaimed", "follow"])]
    pub(super) inventory: bool,
    /// Print new log entries as they are written.
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Print JSON; for a log, the lines of the journal.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The machine, by its name in `nodes`, or a MAC.
    #[arg(value_name = "NODE|MAC")]
    pub(super) node: String,
    /// The node's name [default: its host name, else its name in `nodes`].
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The policy that installs it.
    #[arg(long)]
    pub(super) policy: Option<String>,
    /// The file format.
    #[arg(long, value_enum, default_value_t = DeclarationFormat::Toml)]
    pub(super) format: DeclarationFormat,
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DeclarationFormat {
    /// TOML.
    Toml,
    /// KDL.
    Kdl,
}

#[derive(Debug, Subcommand)]
pub(super) enum MicrokernelCommand {
    /// Assemble it from an installed kernel, its modules, and this program.
    ///
    /// Nothing is downloaded. A running server needs no restart; a machine that boots meanwhile gets either the old pair
    /// of files or the new one. The same input files give the same bytes.
    #[command(after_help = EXIT_CODES)]
    Build(BuildArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Write a backup of the state directory to a new file. The server may run meanwhile.
    ///
    /// The file contains the journal and the keys, and can only be read by its owner.
    #[command(after_help = EXIT_CODES)]
    Backup {
        /// The file to write: `bootwright.tar.gz`. It must not exist.
        file: PathBuf,
    },
    /// Replace the state directory with a backup. The server must not run.
    ///
    /// The directory from before is kept beside it. Every installation is held until `init --state` declares what is
    /// installed.
    #[command(after_help = EXIT_CODES)]
    Restore {
        /// The file that `state backup` wrote.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The kernel [default: the newest `/boot/vmlinuz-*` whose modules are installed].
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,
    /// The kernel's modules: their directory, or that of an unpacked package [default: `/lib/modules`].
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub(super) modules: Option<PathBuf>,
    /// Where to search for firmware; may be given several times [default: `/lib/firmware`].
    #[arg(long, value_name = "DIR")]
    pub(super) firmware: Vec<PathBuf>,
    /// Where to write `vmlinuz` and `initrd` [default: `microkernel/` in the site's state directory].
    #[arg(long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReposArgs {
    /// A repo.
    pub(super) name: Option<String>,
    /// What to do: list a directory, or print a file.
    #[arg(value_enum)]
    pub(super) of: Option<RepoAction>,
    /// A path in the repo.
    pub(super) path: Option<String>,
    /// Print JSON: an array of `{name, kind, at, bytes, files, task, guessed, system, trouble}`.
    #[arg(long, conflicts_with = "name")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// The topic [default: a list of all topics].
    pub(super) topic: Option<String>,
    /// Print the lines that contain all of these words, with their topic and heading.
    #[arg(long, num_args = 1.., value_name = "WORDS")]
    pub(super) search: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RepoAction {
    /// List a directory.
    Ls,
    /// Print a file.
    Cat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NodeView {
    /// Its history.
    Log,
    /// Its reported hardware.
    Facts,
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
