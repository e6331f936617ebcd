//! Writes a machine's network settings in each installer's format.
//!
//! Each format returns the settings that it does not support as [`UnsupportedSetting`]s. Some of them can be applied at the
//! first boot of the installed system, and contain the commands for that. The task decides whether those are used.

mod view;
mod bond;
mod esxi;
mod esxi_first_boot;
mod esxi_teaming;
mod kickstart;
mod dracut;
mod keyfile;
mod netcfg;
mod networkd;
mod netplan;

use crate::model::{Hostname, SourceSpan};

use super::{installer_setting::InstallerSetting, task::Dialect};

pub use esxi_first_boot::NIC;
pub(super) use view::is_configured;
pub use view::{LinkView, invalid_names, named};

/// A machine's network settings in one installer's format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetText {
    /// Lines for the installer's document.
    pub lines: Vec<String>,
    /// Arguments for the kernel command line, or for `kernelopt` of ESXi's boot.cfg.
    pub cmdline: Vec<String>,
    /// The name of a NIC that the installed system is not to keep.
    pub temporary_name: Option<&'static str>,
    /// Files for the installed system.
    pub files: Vec<NetFile>,
    /// Packages that the installed system needs for the files.
    pub packages: Vec<&'static str>,
    /// Whether the files replace what the installer wrote.
    pub replaces: bool,
    pub unsupported: Vec<UnsupportedSetting>,
    /// Settings that some readers of the format do not apply.
    pub risks: Vec<ReaderRisk>,
}

/// A file of the installed system.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NetFile {
    pub path: String,
    /// In octal.
    pub mode: &'static str,
    pub text: String,
}

/// A setting that an installer does not support.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsupportedSetting {
    pub setting: InstallerSetting,
    /// For example `bond0: LACP needs a distributed switch`.
    pub detail: String,
    pub span: Option<SourceSpan>,
    /// Shell lines that apply it at the first boot. Empty if that is not possible.
    pub first_boot_commands: Vec<String>,
}

/// A setting that some readers of the format do not apply.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderRisk {
    pub message: String,
    pub help: &'static str,
    pub span: Option<SourceSpan>,
}

/// Writes a machine's network settings in the format of `dialect`.
pub fn express(dialect: Dialect, view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    match dialect {
        Dialect::None => NetText::default(),
        Dialect::Esxi => esxi::express(view, hostname),
        Dialect::Kickstart => kickstart::express(view, hostname),
        Dialect::Netcfg => netcfg::express(view, hostname),
        Dialect::Netplan => netplan::express(view),
    }
}
