//! Which disk an installation may use.

use serde::{Deserialize, Serialize};

use super::{ByteSize, List, Spanned};

/// A choice of one disk. Whatever is set must hold; `smallest` or `largest` picks among what is left.
/// Without any of these the installer takes the only disk that stays, and gives up when there are several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DiskSelector {
    /// Its path in the installer, such as `/dev/sda` or `/dev/disk/by-id/…`; for ESXi its name, such as `naa.…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Spanned<String>>,
    /// Its model name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Spanned<String>>,
    /// Its least size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Spanned<ByteSize>>,
    /// The smallest of those that fit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smallest: bool,
    /// The largest of those that fit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub largest: bool,
    /// ESXi's `--firstdisk` list, in order of preference: `local`, `remote`, `usb`, `esx`, a vendor, model or driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<List<String>>,
    /// Whether a disk that holds a VMFS, a ZFS pool or an md array may be wiped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wipe: bool,
}
