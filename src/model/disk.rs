//! Which disk an installation may use.

use serde::{Deserialize, Serialize};

use super::{At, ByteSize, List};

/// A choice of one disk. Whatever is set must hold; `smallest` or `largest` picks among what is left.
/// Without any of these the installer takes the only disk that stays, and gives up when there are several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Disk {
    /// Its path in the installer, such as `/dev/sda` or `/dev/disk/by-id/…`; for ESXi its name, such as `naa.…`.
    pub path: Option<At<String>>,
    /// Its serial number.
    pub serial: Option<At<String>>,
    /// Its model name.
    pub model: Option<At<String>>,
    /// Its least size.
    pub min_size: Option<At<ByteSize>>,
    /// The smallest of those that fit.
    pub smallest: bool,
    /// The largest of those that fit.
    pub largest: bool,
    /// ESXi's `--firstdisk` list, in order of preference: `local`, `remote`, `usb`, `esx`, a vendor, model or driver.
    pub first: Option<List<String>>,
    /// Whether a disk that holds a VMFS, a ZFS pool or an md array may be wiped.
    pub wipe: bool,
}
