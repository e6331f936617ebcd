//! What a machine in the microkernel is told to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a machine in the microkernel is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInstruction {
    /// What it is called here.
    pub node: String,
    /// Why, for its screen.
    pub reason: String,
    /// The deed.
    #[serde(flatten)]
    pub action: AgentAction,
}

/// The deed itself. One that a microkernel does not know it shows, and asks again after half a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum AgentAction {
    /// Asks again after so many seconds, and up to a fifth more, so that not all ask at once.
    Wait {
        /// How many.
        seconds: u32,
    },
    /// Boots anew, from the network.
    Reboot,
    /// Switches itself off.
    PowerOff,
}

/// What a machine reads that is to be given a disk image: the document of task `image`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInstruction {
    /// The version of this format: 1.
    pub version: u32,
    /// What it is called here.
    pub node: String,
    /// Where the image is.
    pub image: String,
    /// The image's checksum (FIPS 180-4) as it lies there, compressed or not, in hexadecimal. This one or the other is there.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The same.
    #[serde(default)]
    pub sha512: Option<String>,
    /// Which disk it goes to.
    pub disk: ImageTarget,
    /// What the seed volume holds: where each file is, by its name.
    pub seed: BTreeMap<String, String>,
    /// Where stages and lines for the log are reported to: `<this>/stage/<name>`.
    pub callbacks: String,
}

/// The checksum of an image, in hexadecimal digits of lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    Sha256(String),
    Sha512(String),
}

impl ImageInstruction {
    /// The image's checksum; none when there is none, or one that cannot be.
    pub fn checksum(&self) -> Option<Checksum> {
        let sum = |text: &String, digits| {
            let is_sum = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_sum.then(|| text.to_lowercase())
        };
        match (&self.sha512, &self.sha256) {
            (Some(text), _) => sum(text, 128).map(Checksum::Sha512),
            (None, Some(text)) => sum(text, 64).map(Checksum::Sha256),
            (None, None) => None,
        }
    }
}

/// `disk` and `keep` of a machine's settings, as an order says them. What is empty is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageTarget {
    /// The device.
    pub path: String,
    /// The serial number.
    pub serial: String,
    /// The model.
    pub model: String,
    /// The least size in bytes.
    pub min_bytes: u64,
    /// Which of those that fit.
    pub pick: DiskPick,
    /// Whether others' data may be overwritten.
    pub wipe: bool,
    /// Disks that are never touched, by device or serial number.
    pub keep: Vec<String>,
}

/// Which of several disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskPick {
    /// None: there must be one alone.
    #[default]
    Only,
    /// The smallest.
    Smallest,
    /// The largest.
    Largest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_object() {
        let order = |action| AgentInstruction {
            node: "web1".into(),
            reason: "policy web takes it".into(),
            action,
        };
        for (action, text) in [
            (
                AgentAction::Wait { seconds: 30 },
                r#""do":"wait","seconds":30"#,
            ),
            (AgentAction::Reboot, r#""do":"reboot""#),
            (AgentAction::PowerOff, r#""do":"power-off""#),
        ] {
            let expected = format!(r#"{{"node":"web1","reason":"policy web takes it",{text}}}"#);
            assert_eq!(serde_json::to_string(&order(action)).unwrap(), expected);
            assert_eq!(
                serde_json::from_str::<AgentInstruction>(&expected).unwrap(),
                order(action)
            );
        }
    }
}
