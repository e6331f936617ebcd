//! The commands of ESXi's kickstart dialect and their arguments.

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: `--overwritevmfs`.
    Nothing,
    /// A value: `--ip=…`.
    Value,
    /// A value or nothing: `--firstdisk`, `--firstdisk=local`.
    Either,
}

use Takes::{Either, Nothing, Value};

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) names: &'static [&'static str],
    pub(super) arguments: &'static [(&'static str, Takes)],
    /// How many words it takes beside arguments.
    pub(super) words: usize,
}

/// Where a disk is chosen.
const INSTALL: &[(&str, Takes)] = &[
    ("--disk", Value),
    ("--drive", Value),
    ("--firstdisk", Either),
    ("--overwritevmfs", Nothing),
    ("--preservevmfs", Nothing),
    ("--novmfsondisk", Nothing),
    ("--ignoressd", Nothing),
    ("--overwritevsan", Nothing),
    ("--ignoreprereqwarnings", Nothing),
    ("--ignoreprereqerrors", Nothing),
    ("--dpuPciSlots", Value),
    ("--forcemigrate", Nothing),
];

const COMMANDS: &[Command] = &[
    Command {
        names: &["vmaccepteula", "accepteula"],
        arguments: &[],
        words: 0,
    },
    Command {
        names: &["rootpw"],
        arguments: &[("--iscrypted", Nothing)],
        words: 1,
    },
    Command {
        names: &["install", "installorupgrade"],
        arguments: INSTALL,
        words: 0,
    },
    Command {
        names: &["upgrade"],
        arguments: &[
            ("--disk", Value),
            ("--drive", Value),
            ("--firstdisk", Either),
            ("--diskBootedFrom", Nothing),
        ],
        words: 0,
    },
    Command {
        names: &["clearpart"],
        arguments: &[
            ("--alldrives", Nothing),
            ("--drives", Value),
            ("--ignoredrives", Value),
            ("--firstdisk", Either),
            ("--overwritevmfs", Nothing),
        ],
        words: 0,
    },
    Command {
        names: &["part", "partition"],
        arguments: &[
            ("--ondisk", Value),
            ("--ondrive", Value),
            ("--onfirstdisk", Either),
        ],
        words: 1,
    },
    Command {
        names: &["network"],
        arguments: &[
            ("--bootproto", Value),
            ("--device", Value),
            ("--ip", Value),
            ("--netmask", Value),
            ("--gateway", Value),
            ("--nameserver", Value),
            ("--hostname", Value),
            ("--vlanid", Value),
            ("--addvmportgroup", Value),
            ("--nodns", Nothing),
        ],
        words: 0,
    },
    Command {
        names: &["keyboard"],
        arguments: &[],
        words: 1,
    },
    Command {
        names: &["serialnum", "vmserialnum"],
        arguments: &[("--esx", Value)],
        words: 0,
    },
    Command {
        names: &["reboot"],
        arguments: &[("--noeject", Nothing)],
        words: 0,
    },
    Command {
        names: &["dryrun"],
        arguments: &[],
        words: 0,
    },
    Command {
        names: &["paranoid"],
        arguments: &[],
        words: 0,
    },
    Command {
        names: &["include", "%include"],
        arguments: &[],
        words: 1,
    },
];

/// Commands that are taken and do nothing.
const DEPRECATED: &[&str] = &[
    "auth",
    "authconfig",
    "autopart",
    "bootloader",
    "cmdline",
    "esxlocation",
    "firewall",
    "firewallport",
    "firstboot",
    "harddrive",
    "ignoredisk",
    "interactive",
    "text",
    "timezone",
    "virtualdisk",
    "vnc",
    "zerombr",
    "vmlicense",
    "lang",
    "langsupport",
    "skipx",
    "mouse",
    "xconfig",
];

/// The arguments of script sections.
pub(super) const SECTION: &[(&str, Takes)] = &[
    ("--interpreter", Value),
    ("--timeout", Value),
    ("--ignorefailure", Value),
];

/// Returns a command by its name.
pub(super) fn command(name: &str) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.names.contains(&name))
}

/// Whether a command is taken and does nothing.
pub(super) fn is_deprecated(name: &str) -> bool {
    DEPRECATED.contains(&name)
}

/// One argument of a line, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Parts the words of a line into arguments and other words.
pub(super) fn parted(words: &[String]) -> (Vec<Argument>, Vec<String>) {
    let mut arguments = Vec::new();
    let mut others = Vec::new();
    for word in words {
        match (word.starts_with("--"), word.split_once('=')) {
            (true, Some((name, value))) => arguments.push(Argument {
                name: name.into(),
                value: Some(value.into()),
            }),
            (true, None) => arguments.push(Argument {
                name: word.clone(),
                value: None,
            }),
            (false, _) => others.push(word.clone()),
        }
    }
    (arguments, others)
}
