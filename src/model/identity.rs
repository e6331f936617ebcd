//! What identifies a machine.
//!
//! Boards share serial numbers and UUIDs, and many have a placeholder instead. This module recognizes placeholders;
//! [`crate::control`] decides which machine an identity belongs to.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Mac, SmallSet};

macro_rules! identities {
    ($($(#[$doc:meta])* $name:ident $fold:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Converts `text` to its canonical form; none if it is a placeholder that identifies no machine.
            pub fn new(text: &str) -> Option<Self> {
                let fold: fn(&str) -> String = $fold;
                (!is_placeholder(text)).then(|| $name(fold(text).into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $name::new(&text).ok_or_else(|| serde::de::Error::custom(format!(
                    "`{text}` is a filler that many boards share: it identifies no machine"
                )))
            }
        }
    )*};
}

identities! {
    /// A serial number (SMBIOS type 1), compared without case and surrounding white space.
    Serial |text| text.trim().to_ascii_lowercase();
    /// A UUID (SMBIOS type 1), compared by its hexadecimal digits only.
    Uuid |text| {
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let digits = digits.to_ascii_lowercase();
        match digits.len() {
            32 => format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]),
            _ => text.trim().to_ascii_lowercase(),
        }
    };
    /// An asset tag (SMBIOS type 3), compared without case and surrounding white space.
    Asset |text| text.trim().to_ascii_lowercase();
}

/// Whether `text` is a placeholder that firmware reports instead of a value.
pub fn is_placeholder(text: &str) -> bool {
    const PLACEHOLDERS: [&str; 22] = [
        "tobefilledbyoem",
        "defaultstring",
        "none",
        "notspecified",
        "notapplicable",
        "na",
        "unknown",
        "systemserialnumber",
        "chassisserialnumber",
        "baseboardserialnumber",
        "serialnumber",
        "assettag",
        "chassisassettag",
        "noassettag",
        "noassetinformation",
        "oem",
        "invalid",
        "empty",
        "default",
        "null",
        "0123456789",
        "123456789",
    ];
    let folded: String = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect::<String>()
        .to_lowercase();
    let first = folded.chars().next();
    // One repeated character: all zeros, all ones (`ffff…`), `xxxx`.
    let monotone = first.is_none_or(|first| folded.chars().all(|c| c == first));
    // One board maker ships this UUID on every board.
    let sample = folded == "03000200040005000006000700080009" || folded == "1234567890";
    monotone || sample || PLACEHOLDERS.contains(&folded.as_str())
}

/// All identities of a machine or in a report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Identity {
    /// MAC addresses of its NICs.
    #[serde(default, skip_serializing_if = "SmallSet::is_empty")]
    pub mac: SmallSet<Mac>,
    #[serde(default, skip_serializing_if = "SmallSet::is_empty")]
    pub serial: SmallSet<Serial>,
    #[serde(default, skip_serializing_if = "SmallSet::is_empty")]
    pub uuid: SmallSet<Uuid>,
    #[serde(default, skip_serializing_if = "SmallSet::is_empty")]
    pub asset: SmallSet<Asset>,
}

impl Identity {
    pub fn is_empty(&self) -> bool {
        self.mac.is_empty()
            && self.serial.is_empty()
            && self.uuid.is_empty()
            && self.asset.is_empty()
    }

    /// Whether it contains all of `other`.
    pub fn covers(&self, other: &Identity) -> bool {
        other.mac.is_subset(&self.mac)
            && other.serial.is_subset(&self.serial)
            && other.uuid.is_subset(&self.uuid)
            && other.asset.is_subset(&self.asset)
    }

    pub fn add(&mut self, other: &Identity) {
        self.mac.extend(other.mac.iter().copied());
        self.serial.extend(other.serial.iter().cloned());
        self.uuid.extend(other.uuid.iter().cloned());
        self.asset.extend(other.asset.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_identify_no_machine() {
        let fillers = [
            "",
            " ",
            "0",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "To be filled by O.E.M.",
            "To Be Filled By O.E.M",
            "Default string",
            "123456789",
            "None",
            "N/A",
            "Not Specified",
            "System Serial Number",
            "xxxxxxx",
            "03000200-0400-0500-0006-000700080009",
        ];
        for text in fillers {
            assert_eq!(
                (Serial::new(text), Uuid::new(text), Asset::new(text)),
                (None, None, None),
                "{text}"
            );
        }
        assert!(Serial::new("CZ12345678").is_some());
    }

    #[test]
    fn spelling_does_not_make_another_machine() {
        assert_eq!(Serial::new(" cz123A "), Serial::new("CZ123a"));
        let uuid = "4c4c4544-0042-4410-8053-b4c04f4d3232";
        assert_eq!(
            Uuid::new("4C4C454400424410 8053B4C04F4D3232"),
            Uuid::new(uuid)
        );
        assert_eq!(Uuid::new(uuid).unwrap().as_str(), uuid);
    }
}
