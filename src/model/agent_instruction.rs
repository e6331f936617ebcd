//! The instructions for a machine that runs the microkernel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An instruction for a machine that runs the microkernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInstruction {
    /// The name of the machine on the server.
    pub node: String,
    /// The reason, for the machine's screen.
    pub reason: String,
    #[serde(flatten)]
    pub action: AgentAction,
}

/// The action of an instruction. The agent shows an unknown action and polls again after 30 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum AgentAction {
    /// Polls again after this time, plus up to a fifth at random, so that not all machines poll at once.
    Wait { seconds: u32 },
    /// Reboots from the network.
    Reboot,
    /// Powers off.
    PowerOff,
}

/// The instruction to write a disk image: the document of task `image`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInstruction {
    /// The version of this format: [`ImageInstruction::VERSION`].
    pub version: u32,
    /// The name of the machine on the server.
    pub node: String,
    /// The URL of the image.
    pub image: String,
    /// The checksum (FIPS 180-4) of the image file, compressed or not, in hexadecimal. This one or `sha512` is set.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Like `sha256`.
    #[serde(default)]
    pub sha512: Option<String>,
    /// The disk to write to.
    pub disk: ImageTarget,
    /// The seal of the disk.
    pub seal: SealInstruction,
    /// The contents of the seed volume: the URL of each file, by its name.
    pub seed: BTreeMap<String, String>,
    /// The URL to which stages and log lines are reported: `<this>/stage/<name>`.
    pub callbacks: String,
}

/// What to do about seals. A seal is described in [`crate::model::SEAL_OFFSET`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealInstruction {
    /// The text of the seal that the installation leaves; none if the site has no id.
    pub text: Option<String>,
    /// The URL where to ask whether a disk with a seal may be overwritten; its text is appended.
    pub ask: String,
}

/// The checksum of an image, in lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    Sha256(String),
    Sha512(String),
}

impl ImageInstruction {
    /// Version 1 had no seals.
    pub const VERSION: u32 = 2;

    /// The image's checksum; none if it is missing or invalid.
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

/// The settings `disk` and `keep` of a machine. An empty field is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageTarget {
    /// The device path.
    pub path: String,
    pub serial: String,
    /// The World Wide Identifier, without a prefix.
    pub wwid: String,
    pub model: String,
    /// The minimum size in bytes.
    pub min_bytes: u64,
    /// Which of the matching disks.
    pub pick: DiskPick,
    /// Whether data of other systems may be overwritten.
    pub wipe: bool,
    /// Disks that are never written to, by device or serial number.
    pub keep: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskPick {
    /// The only one: there must be exactly one.
    #[default]
    Only,
    Smallest,
    Largest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_one_object() {
        let instruction = |action| AgentInstruction {
            node: "web1".into(),
            reason: "policy web binds it".into(),
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
            let expected = format!(r#"{{"node":"web1","reason":"policy web binds it",{text}}}"#);
            assert_eq!(
                serde_json::to_string(&instruction(action)).unwrap(),
                expected
            );
            assert_eq!(
                serde_json::from_str::<AgentInstruction>(&expected).unwrap(),
                instruction(action)
            );
        }
    }
}
