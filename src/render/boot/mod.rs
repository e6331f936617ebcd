//! Boot scripts and configurations for each loader: iPXE, GRUB, ESXi's mboot, and PXELINUX.
//!
//! Those of an attempt come from the task's templates. Here are the ones for every other answer to a boot, and
//! [`boot_cfg`], which rewrites an ESXi image's boot.cfg for an attempt.

pub mod boot_cfg;
pub mod ipxe;
pub mod grub;
pub mod mboot;
pub mod pxelinux;

use crate::model::{LocalBoot, Platform};

/// What a machine boots. Each loader's module writes it in the loader's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootAction {
    /// An attempt's installer, by the text that its task has rendered for this loader.
    Installer(Vec<u8>),
    /// The local disk.
    Disk(DiskBoot),
    /// The local disk, since the machine is held for this reason.
    Held {
        reason: String,
        disk: DiskBoot,
    },
    /// Nothing yet: the machine must request again, for this reason.
    Wait(String),
    Microkernel(MicrokernelBoot),
}

/// How a machine boots its local disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskBoot {
    /// The node's `local-boot`; `auto` if none.
    pub how: Option<LocalBoot>,
    /// Its firmware; if none, the script tests it.
    pub platform: Option<Platform>,
    /// The reason, shown on the machine's screen.
    pub reason: Option<String>,
    /// The URL to which a BIOS machine reports that its disk does not boot.
    pub no_disk: Option<String>,
}

/// The microkernel that a machine boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicrokernelBoot {
    /// The URL of the directory that has both files.
    pub base: String,
    /// Their names in that directory, and in the directory of the same name of the TFTP server.
    pub kernel: &'static str,
    pub initrd: &'static str,
    /// The arguments on its command line.
    pub cmdline: Vec<String>,
}

impl DiskBoot {
    /// Boots the disk in the way that fits the firmware, and shows a reason.
    pub fn because(reason: impl ToString) -> DiskBoot {
        DiskBoot {
            reason: Some(reason.to_string()),
            ..DiskBoot::default()
        }
    }
}

/// Why ESXi's loaders boot the disk of a machine that is to boot something else.
pub const NEEDS_IPXE: &str = "what it boots is started by iPXE, not by ESXi's loader";

/// How many characters of a reason a loader shows.
const MAX_SCREEN_LINE: usize = 200;

/// A reason as one line that every loader prints as it is: no variables, no operators, only ASCII.
fn screen_line(reason: &str) -> String {
    let plain: String = reason
        .chars()
        .map(|c| match c {
            '\u{20}'..='\u{7e}' if !"${}#;&|".contains(c) => c,
            _ => ' ',
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut line = words.join(" ");
    line.truncate(MAX_SCREEN_LINE);
    line
}

/// The reason for booting the disk, as a loader shows it.
fn disk_reason(reason: Option<&str>) -> String {
    reason.map_or_else(|| "booting the disk".into(), screen_line)
}

/// The text of a boot for ESXi's loaders, which can neither wait nor start anything but ESXi. `local` boots the disk and shows a
/// reason.
fn esxi_loader(action: &BootAction, local: fn(Option<&str>) -> String) -> String {
    match action {
        BootAction::Installer(config) => String::from_utf8_lossy(config).into_owned(),
        BootAction::Disk(disk) | BootAction::Held { disk, .. } => local(disk.reason.as_deref()),
        BootAction::Wait(reason) => local(Some(reason)),
        BootAction::Microkernel(_) => local(Some(NEEDS_IPXE)),
    }
}
