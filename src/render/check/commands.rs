//! The commands of ESXi's kickstart dialect and their arguments.

/// Whether an argument takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentValue {
    /// `--overwritevmfs`
    Forbidden,
    /// `--ip=…`
    Required,
    /// `--firstdisk`, `--firstdisk=local`
    Optional,
}

use ArgumentValue::{Forbidden, Optional, Required};

/// One command.
#[derive(Debug)]
pub(super) struct EsxiCommand {
    pub(super) names: &'static [&'static str],
    pub(super) arguments: &'static [(&'static str, ArgumentValue)],
    /// The number of words besides arguments.
    pub(super) words: usize,
}

/// The arguments of commands that choose a disk.
const INSTALL: &[(&str, ArgumentValue)] = &[
    ("--disk", Required),
    ("--drive", Required),
    ("--firstdisk", Optional),
    ("--overwritevmfs", Forbidden),
    ("--preservevmfs", Forbidden),
    ("--novmfsondisk", Forbidden),
    ("--ignoressd", Forbidden),
    ("--overwritevsan", Forbidden),
    ("--ignoreprereqwarnings", Forbidden),
    ("--ignoreprereqerrors", Forbidden),
    ("--dpuPciSlots", Required),
    ("--forcemigrate", Forbidden),
];

const COMMANDS: &[EsxiCommand] = &[
    EsxiCommand {
        names: &["vmaccepteula", "accepteula"],
        arguments: &[],
        words: 0,
    },
    EsxiCommand {
        names: &["rootpw"],
        arguments: &[("--iscrypted", Forbidden)],
        words: 1,
    },
    EsxiCommand {
        names: &["install", "installorupgrade"],
        arguments: INSTALL,
        words: 0,
    },
    EsxiCommand {
        names: &["upgrade"],
        arguments: &[
            ("--disk", Required),
            ("--drive", Required),
            ("--firstdisk", Optional),
            ("--diskBootedFrom", Forbidden),
        ],
        words: 0,
    },
    EsxiCommand {
        names: &["clearpart"],
        arguments: &[
            ("--alldrives", Forbidden),
            ("--drives", Required),
            ("--ignoredrives", Required),
            ("--firstdisk", Optional),
            ("--overwritevmfs", Forbidden),
        ],
        words: 0,
    },
    EsxiCommand {
        names: &["part", "partition"],
        arguments: &[
            ("--ondisk", Required),
            ("--ondrive", Required),
            ("--onfirstdisk", Optional),
        ],
        words: 1,
    },
    EsxiCommand {
        names: &["network"],
        arguments: &[
            ("--bootproto", Required),
            ("--device", Required),
            ("--ip", Required),
            ("--netmask", Required),
            ("--gateway", Required),
            ("--nameserver", Required),
            ("--hostname", Required),
            ("--vlanid", Required),
            ("--addvmportgroup", Required),
            ("--nodns", Forbidden),
        ],
        words: 0,
    },
    EsxiCommand {
        names: &["keyboard"],
        arguments: &[],
        words: 1,
    },
    EsxiCommand {
        names: &["serialnum", "vmserialnum"],
        arguments: &[("--esx", Required)],
        words: 0,
    },
    EsxiCommand {
        names: &["reboot"],
        arguments: &[("--noeject", Forbidden)],
        words: 0,
    },
    EsxiCommand {
        names: &["dryrun"],
        arguments: &[],
        words: 0,
    },
    EsxiCommand {
        names: &["paranoid"],
        arguments: &[],
        words: 0,
    },
    EsxiCommand {
        names: &["include", "%include"],
        arguments: &[],
        words: 1,
    },
];

/// Commands that are accepted and ignored.
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
pub(super) const SECTION: &[(&str, ArgumentValue)] = &[
    ("--interpreter", Required),
    ("--timeout", Required),
    ("--ignorefailure", Required),
];

pub(super) fn command(name: &str) -> Option<&'static EsxiCommand> {
    COMMANDS
        .iter()
        .find(|command| command.names.contains(&name))
}

/// Whether a command is accepted and ignored.
pub(super) fn is_deprecated(name: &str) -> bool {
    DEPRECATED.contains(&name)
}

/// One argument of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EsxiArgument {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// One command of a document, in its parts.
pub(super) struct KsCommand {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) arguments: Vec<EsxiArgument>,
    pub(super) words: Vec<String>,
}

impl KsCommand {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.arguments
            .iter()
            .rev()
            .find(|argument| argument.name == name)?
            .value
            .as_deref()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument.name == name)
    }
}

/// Separates the words of a line into arguments and other words.
pub(super) fn split_arguments(words: &[String]) -> (Vec<EsxiArgument>, Vec<String>) {
    let mut arguments = Vec::new();
    let mut others = Vec::new();
    for word in words {
        match (word.starts_with("--"), word.split_once('=')) {
            (true, Some((name, value))) => arguments.push(EsxiArgument {
                name: name.into(),
                value: Some(value.into()),
            }),
            (true, None) => arguments.push(EsxiArgument {
                name: word.clone(),
                value: None,
            }),
            (false, _) => others.push(word.clone()),
        }
    }
    (arguments, others)
}
