//! A machine's network settings in each installer's own words.
//!
//! Every dialect says what it can and returns the rest as losses. A loss that the installed system can make up
//! for at its first boot carries the script that does so; whether that script may be used is the task's to say.

mod view;
mod esxi;
mod esxi_later;
mod kickstart;
mod dracut;
mod keyfile;
mod netcfg;
mod networkd;
mod netplan;

use crate::model::{Hostname, SourceSpan};

use super::{installer_setting::InstallerSetting, task::Dialect};

pub use esxi_later::NIC;
pub use view::{LinkView, named, unsound};

/// A machine's network settings in one installer's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetText {
    /// Lines for the document.
    pub lines: Vec<String>,
    /// Words for the kernel command line, `kernelopt` of ESXi's boot.cfg among them.
    pub words: Vec<String>,
    /// Files for the installed system.
    pub files: Vec<NetFile>,
    /// Packages that the installed system needs for them.
    pub packages: Vec<&'static str>,
    /// Whether the files take the place of what the installer wrote.
    pub replaces: bool,
    /// What cannot be said.
    pub losses: Vec<UnsupportedSetting>,
}

/// A file of the installed system.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NetFile {
    /// Its path.
    pub path: String,
    /// Its mode in octal.
    pub mode: &'static str,
    /// Its text.
    pub text: String,
}

/// Something that an installer cannot say.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsupportedSetting {
    /// The setting that is lost.
    pub setting: InstallerSetting,
    /// What exactly: `bond0: LACP needs a distributed switch`.
    pub what: String,
    /// Where it was declared.
    pub span: Option<SourceSpan>,
    /// Shell lines that make up for it at the first boot; none when nothing can.
    pub later: Vec<String>,
}

/// Says a machine's network settings in the words of `dialect`.
pub fn express(dialect: Dialect, view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    match dialect {
        Dialect::None => NetText::default(),
        Dialect::Esxi => esxi::express(view, hostname),
        Dialect::Kickstart => kickstart::express(view, hostname),
        Dialect::Netcfg => netcfg::express(view, hostname),
        Dialect::Netplan => netplan::express(view),
    }
}
