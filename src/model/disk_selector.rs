//! Which disk may be installed to.

use serde::{Deserialize, Serialize};

use super::{ByteSize, List, Spanned};

/// Selects one disk. Every set key must match; `smallest` or `largest` selects one of the matching disks. If
/// nothing is set, the installer uses the only disk that is not removable, and fails if there are several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DiskSelector {
    /// Its path in the installer, such as `/dev/sda` or `/dev/disk/by-id/…`; for ESXi its name, such as `naa.…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Spanned<String>>,
    /// Its World Wide Identifier: `naa.…`, `eui.…`, `0x…`, or a number as multipath tools print it. All paths of a disk have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwid: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Spanned<ByteSize>>,
    /// The smallest of the matching disks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smallest: bool,
    /// The largest of the matching disks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub largest: bool,
    /// ESXi's `--firstdisk` list, in order of preference: `local`, `remote`, `usb`, `esx`, a vendor, model or driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<List<String>>,
    /// Whether a disk that holds a VMFS, a ZFS pool, an array or other protected contents may be wiped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wipe: bool,
}
