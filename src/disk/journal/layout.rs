//! The names of the journal's files, and what the manifest and the checkpoint say.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde::{Deserialize, Serialize};

use super::medium::Storage;

/// The manifest's file.
pub(super) const MANIFEST: &str = "manifest.jsonl";
/// The checkpoint's file.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// A place between two lines of the journal. The default is its beginning.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// The name of a segment's file.
pub(super) fn name(segment: u64) -> String {
    format!("{segment:08}.jsonl")
}

/// The number of the segment whose file has this name.
fn number(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// The numbers of the segments that are there, in order.
pub(super) fn segments(medium: &dyn Storage) -> io::Result<BTreeSet<u64>> {
    Ok(medium
        .names()?
        .iter()
        .filter_map(|file| number(file))
        .collect())
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ManifestRecord {
    /// A segment was begun.
    Opened(u64),
    /// A segment will not change any more.
    Sealed(SealedSegment),
}

/// A segment that will not change any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedSegment {
    /// Its number.
    pub(super) segment: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// The machines that it speaks of, 16 hexadecimal digits each.
    #[serde(with = "hexadecimal")]
    pub(super) machines: BTreeSet<u64>,
}

impl ManifestRecord {
    /// The record as a line.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("numbers and texts are JSON");
        line.push(b'\n');
        line
    }
}

/// What the manifest says.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Every segment that was begun, with what is known of it once it is sealed.
    pub(super) listed: BTreeMap<u64, Option<SealedSegment>>,
    /// The length of its readable part.
    pub(super) good: u64,
    /// Whether there is more than that.
    pub(super) torn: bool,
}

impl Manifest {
    /// Reads what the manifest's file holds, up to the first line that is none.
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

    /// What is known of a segment that is sealed.
    pub(super) fn sealed(&self, segment: u64) -> Option<&SealedSegment> {
        self.listed.get(&segment)?.as_ref()
    }
}

/// The state as it was at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// All lines before it are in the state.
    pub(super) position: Position,
    /// The state.
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

    /// The checkpoint as the file holds it: a line that says what follows, then the state.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        let head = CheckpointHead {
            version: Checkpoint::VERSION,
            position: self.position,
            bytes: self.state.len() as u64,
        };
        let mut head = serde_json::to_vec(&head).expect("numbers are JSON");
        head.push(b'\n');
        // A state may be large: it is not copied to another place.
        self.state.splice(..0, head);
        self.state
    }

    /// Reads what the file holds; none when it is not whole or of another version.
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

/// Machines as journal lines name them.
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
