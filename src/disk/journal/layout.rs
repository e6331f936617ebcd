//! The names of the journal's files, and the formats of the manifest and the checkpoint.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde::{Deserialize, Serialize};

use super::storage::Storage;

pub(super) const MANIFEST: &str = "manifest.jsonl";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const RESERVE: &str = "reserve";

/// A position between two lines of the journal. The default is its beginning.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    pub segment: u64,
    /// In bytes, from the segment's beginning.
    pub offset: u64,
}

/// The name of a segment's file.
pub(super) fn name(segment: u64) -> String {
    format!("{segment:08}.jsonl")
}

/// The name of a segment's compacted lines until they replace it.
pub(super) fn compacted(segment: u64) -> String {
    format!("compacted-{segment:08}")
}

/// Whether a file of this name holds compacted lines that have not replaced their segment.
pub(super) fn is_compacted(file: &str) -> bool {
    file.starts_with("compacted-")
}

/// The number of the segment whose file has this name.
pub(super) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// The numbers of the existing segments, in order.
pub(super) fn segments(storage: &dyn Storage) -> io::Result<BTreeSet<u64>> {
    Ok(storage
        .names()?
        .iter()
        .filter_map(|file| number(file))
        .collect())
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ManifestRecord {
    Opened(u64),
    Sealed(SealedSegment),
}

/// A segment that is complete and does not change any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedSegment {
    pub(super) segment: u64,
    pub(super) bytes: u64,
    /// The length before it was compacted. The file may still be the one from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compacted_from: Option<u64>,
    /// The machines that it mentions, 16 hexadecimal digits each.
    #[serde(with = "hexadecimal")]
    pub(super) machines: BTreeSet<u64>,
}

impl SealedSegment {
    /// Whether a file of this length is the segment, compacted or not.
    pub(super) fn has_length(&self, length: u64) -> bool {
        length == self.bytes || self.compacted_from == Some(length)
    }

    /// Whether a file of this length is the compacted segment.
    pub(super) fn is_compacted(&self, length: u64) -> bool {
        self.compacted_from.is_some() && length == self.bytes
    }
}

impl ManifestRecord {
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("numbers and texts are JSON");
        line.push(b'\n');
        line
    }
}

/// The contents of the manifest.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Every segment, with its details once it is sealed.
    pub(super) listed: BTreeMap<u64, Option<SealedSegment>>,
    /// The length of its readable part in bytes.
    pub(super) good: u64,
    /// Whether bytes follow the readable part.
    pub(super) torn: bool,
}

impl Manifest {
    /// Parses the manifest up to the first invalid line.
    pub(super) fn parse(bytes: &[u8]) -> Manifest {
        let mut manifest = Manifest::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.ends_with(b"\n");
            let Some(record) = serde_json::from_slice(line).ok().filter(|_| whole) else {
                manifest.torn = true;
                break;
            };
            manifest.good += line.len() as u64;
            match record {
                ManifestRecord::Opened(segment) => {
                    manifest.listed.entry(segment).or_default();
                }
                ManifestRecord::Sealed(sealed) => {
                    manifest.listed.insert(sealed.segment, Some(sealed));
                }
            }
        }
        manifest
    }

    /// The details of a sealed segment.
    pub(super) fn sealed(&self, segment: u64) -> Option<&SealedSegment> {
        self.listed.get(&segment)?.as_ref()
    }
}

/// The state at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// All lines before it are included in the state.
    pub(super) position: Position,
    pub(super) state: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CheckpointHead {
    version: u32,
    position: Position,
    bytes: u64,
}

impl Checkpoint {
    const VERSION: u32 = 1;

    /// Encodes the checkpoint: a header line, then the state.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        let head = CheckpointHead {
            version: Checkpoint::VERSION,
            position: self.position,
            bytes: self.state.len() as u64,
        };
        let mut head = serde_json::to_vec(&head).expect("numbers are JSON");
        head.push(b'\n');
        // The state may be large: it is extended in place.
        self.state.splice(..0, head);
        self.state
    }

    /// Parses a checkpoint; none when it is incomplete or of another version.
    pub(super) fn parse(mut bytes: Vec<u8>) -> Option<Checkpoint> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let head: CheckpointHead = serde_json::from_slice(&bytes[..end]).ok()?;
        let state = bytes.split_off(end);
        let whole = head.version == Checkpoint::VERSION && head.bytes == state.len() as u64;
        whole.then_some(Checkpoint {
            position: head.position,
            state,
        })
    }
}

/// Machine ids in the format of journal lines.
mod hexadecimal {
    use std::{borrow::Cow, collections::BTreeSet};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        machines: &BTreeSet<u64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(machines.iter().map(|machine| format!("{machine:016x}")))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeSet<u64>, D::Error> {
        let texts = Vec::<Cow<'de, str>>::deserialize(from)?;
        let number = |text: &Cow<str>| u64::from_str_radix(text, 16).map_err(D::Error::custom);
        texts.iter().map(number).collect()
    }
}
