//! Opening a journal: its segments, its damage, and the repair of what a crash left.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    sync::Arc,
};

use super::{
    layout::{
        self, CHECKPOINT, Checkpoint, MANIFEST, Manifest, ManifestRecord, Position, SealedSegment,
    },
    replay::{Damage, JournalLines, Replay, SegmentRange},
    scan::SegmentScan,
    segment,
    storage::Storage,
};
use crate::disk::atomic;

/// A journal that is ready to be appended to.
pub(super) struct Recovered {
    pub(super) replay: Replay,
    pub(super) end: JournalEnd,
    /// The segment of the checkpoint.
    pub(super) covered: u64,
}

/// The end of the journal: the segment that is written next.
#[derive(Debug, Default)]
pub(super) struct JournalEnd {
    pub(super) segment: u64,
    pub(super) length: u64,
    /// The machines that it mentions so far.
    pub(super) machines: HashSet<u64>,
    /// Whether the segment exists.
    pub(super) is_begun: bool,
}

/// The contents of the journal's directory.
#[derive(Default)]
pub(super) struct Survey {
    manifest: Manifest,
    /// The manifest's bytes; none when it is missing.
    manifest_bytes: Option<Vec<u8>>,
    present: BTreeSet<u64>,
    checkpoint: Option<Checkpoint>,
    ranges: Vec<SegmentRange>,
    /// The segments that may still grow and are undamaged.
    unsealed: BTreeMap<u64, SegmentScan>,
    /// An incomplete line at the end of the last segment.
    torn: Option<SegmentRange>,
    damage: Vec<Damage>,
    warnings: Vec<String>,
}

/// Opens a journal for writing.
pub(super) fn recover(storage: &Arc<dyn Storage>) -> io::Result<Recovered> {
    let mut survey = survey(storage)?;
    survey.cut(&**storage)?;
    survey.remove_leftovers(&**storage)?;
    let last = survey.present.last().copied();
    if let Some(last) = last {
        // Replies will depend on lines that an earlier run did not sync.
        storage.sync(&layout::name(last))?;
        storage.sync_names()?;
    }
    let end = survey.end();
    if let Err(error) = survey.repair_manifest(&**storage, last) {
        let warning = format!("cannot update the journal's manifest: {error}");
        survey.warnings.push(warning);
    }
    Ok(Recovered {
        covered: survey.start().segment,
        replay: survey.replay(storage),
        end,
    })
}

/// Reads the directory and changes nothing.
pub(super) fn survey(storage: &Arc<dyn Storage>) -> io::Result<Survey> {
    // The manifest first: while a server writes, a segment may exist that is not listed yet, but not the reverse.
    let manifest_bytes = segment::whole(&**storage, MANIFEST)?;
    let mut survey = Survey {
        manifest_bytes,
        present: layout::segments(&**storage)?,
        ..Survey::default()
    };
    survey.manifest = Manifest::parse(survey.manifest_bytes.as_deref().unwrap_or_default());
    if let Some(bytes) = segment::whole(&**storage, CHECKPOINT)? {
        survey.checkpoint = Checkpoint::parse(bytes);
        if survey.checkpoint.is_none() {
            survey.warn("the journal's checkpoint is unreadable: all lines are read instead");
        }
    }
    survey.known().into_iter().try_fold(0, |before, number| {
        survey.gap(before, number);
        survey.segment(storage, number).map(|()| number)
    })?;
    Ok(survey)
}

impl Survey {
    pub(super) fn replay(self, storage: &Arc<dyn Storage>) -> Replay {
        Replay {
            checkpoint: self.checkpoint.map(|checkpoint| checkpoint.state),
            lines: JournalLines::new(storage, self.ranges),
            damage: self.damage,
            warnings: self.warnings,
        }
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The position from which lines are read.
    fn start(&self) -> Position {
        self.checkpoint
            .as_ref()
            .map(|checkpoint| checkpoint.position)
            .unwrap_or_default()
    }

    /// Every segment that exists or is missing.
    fn known(&self) -> BTreeSet<u64> {
        let checkpoint = Some(self.start()).filter(|start| start.offset > 0);
        let checkpoint = checkpoint.map(|start| start.segment);
        let listed = self.manifest.listed.keys().copied();
        listed
            .chain(self.present.iter().copied())
            .chain(checkpoint)
            .collect()
    }

    /// Segments are numbered without gaps, from 1 on.
    fn gap(&mut self, before: u64, number: u64) {
        let missing = match number - before {
            ..2 => return,
            2 => layout::name(before + 1),
            _ => format!(
                "{} to {}",
                layout::name(before + 1),
                layout::name(number - 1)
            ),
        };
        let covered = number <= self.start().segment;
        self.damage.push(Damage {
            segment: missing,
            why: "missing".into(),
            machines: None,
            covered,
        });
    }

    fn segment(&mut self, storage: &Arc<dyn Storage>, number: u64) -> io::Result<()> {
        let Some(length) = storage.length(&layout::name(number))? else {
            self.damage(number, "missing");
            return Ok(());
        };
        let start = self.start();
        let from = if number == start.segment {
            start.offset
        } else {
            0
        };
        if let Some(sealed) = self.manifest.sealed(number) {
            if !sealed.has_length(length) && !is_compacted_meanwhile(&**storage, number, length)? {
                let expected = sealed.bytes;
                self.damage(
                    number,
                    format!("it has {length} bytes instead of {expected}"),
                );
            }
            if number >= start.segment {
                let scan = SegmentScan::of(storage, number, from);
                self.sealed(number, from, &scan);
            }
        } else {
            let scan = SegmentScan::of(storage, number, 0);
            self.unsealed(number, from, scan);
        }
        Ok(())
    }

    fn sealed(&mut self, number: u64, from: u64, scan: &SegmentScan) {
        self.add_range(number, from, scan.end);
        if let Some(why) = scan.fault().or_else(|| scan.fault_at_end()) {
            self.damage(number, why);
        }
    }

    fn unsealed(&mut self, number: u64, from: u64, scan: SegmentScan) {
        let is_last = self.present.last() == Some(&number);
        let is_torn = is_last && scan.bad_at_end.len() == 1;
        let fault = scan
            .fault()
            .or_else(|| scan.fault_at_end().filter(|_| !is_torn));
        let short = scan.good < from;
        if number >= self.start().segment {
            self.add_range(number, from, scan.good);
        }
        if is_torn {
            self.torn = Some(SegmentRange {
                segment: number,
                from: scan.good,
                to: scan.end,
            });
        }
        match fault {
            Some(why) => self.damage(number, why),
            None if short => self.damage(number, "it is shorter than it was at the checkpoint"),
            None => {
                self.unsealed.insert(number, scan);
            }
        }
    }

    fn add_range(&mut self, segment: u64, from: u64, to: u64) {
        if from < to {
            self.ranges.push(SegmentRange { segment, from, to });
        }
    }

    fn damage(&mut self, number: u64, why: impl Into<String>) {
        let machines = self
            .manifest
            .sealed(number)
            .map(|sealed| sealed.machines.clone());
        let damage = Damage {
            segment: layout::name(number),
            why: why.into(),
            machines,
            covered: number < self.start().segment,
        };
        // Only the first damage of a segment is reported.
        if self
            .damage
            .last()
            .is_none_or(|last| last.segment != damage.segment)
        {
            self.damage.push(damage);
        }
    }

    /// Removes the files of a write that a crash interrupted, such as a compaction.
    fn remove_leftovers(&mut self, storage: &dyn Storage) -> io::Result<()> {
        let is_leftover = |name: &String| layout::is_compacted(name) || atomic::is_leftover(name);
        for name in storage.names()?.into_iter().filter(is_leftover) {
            if let Err(error) = storage.remove(&name) {
                self.warn(format!("cannot remove `{name}`: {error}"));
            }
        }
        Ok(())
    }

    /// Removes an incomplete line at the end, and stores it in a file beside the segment.
    fn cut(&mut self, storage: &dyn Storage) -> io::Result<()> {
        let Some(torn) = self.torn else {
            return Ok(());
        };
        let name = layout::name(torn.segment);
        let bytes = segment::part(storage, &name, torn.from, torn.to)?;
        let (count, from) = (bytes.len(), torn.from);
        let side = format!("cut-{:08}-{from}", torn.segment);
        let saved = match storage.replace(&side, &bytes) {
            Ok(()) => format!("saved in `{side}`"),
            Err(error) => format!("could not be saved ({error}): {:?}", shown(&bytes)),
        };
        self.warn(format!(
            "the last line of `{name}` is incomplete; its {count} bytes were removed and {saved}"
        ));
        storage.truncate(&name, torn.from)
    }

    /// Where the journal is continued: in the last segment if it is undamaged, otherwise in a new one.
    fn end(&self) -> JournalEnd {
        let last = self.known().last().copied().unwrap_or(0);
        match self.unsealed.get(&last) {
            Some(scan) => JournalEnd {
                segment: last,
                length: scan.good,
                machines: scan.machines.iter().copied().collect(),
                is_begun: true,
            },
            None => JournalEnd {
                segment: last + 1,
                ..JournalEnd::default()
            },
        }
    }

    /// Adds the records that the manifest lacks after a crash or its loss.
    fn repair_manifest(&mut self, storage: &dyn Storage, last: Option<u64>) -> io::Result<()> {
        let lost = self.manifest_bytes.is_none() && last.is_some_and(|last| last > 1);
        if lost {
            self.warn("the journal's manifest was missing and has been created again");
        }
        let mut records = Vec::new();
        for number in &self.present {
            if !self.manifest.listed.contains_key(number) {
                records.push(ManifestRecord::Opened(*number));
            }
            if let Some(scan) = self.unsealed.get(number).filter(|_| Some(*number) != last) {
                records.push(ManifestRecord::Sealed(SealedSegment {
                    segment: *number,
                    bytes: scan.good,
                    compacted_from: None,
                    machines: scan.machines.clone(),
                }));
            }
        }
        if records.is_empty() && !self.manifest.torn {
            return Ok(());
        }
        let mut bytes = self.manifest_bytes.clone().unwrap_or_default();
        let rest = bytes.split_off(self.manifest.good as usize);
        if rest.contains(&b'\n') {
            storage.replace("cut-manifest", &rest)?;
            self.warn(
                "the journal's manifest was damaged; its unreadable part was moved to `cut-manifest`",
            );
        }
        bytes.extend(records.iter().flat_map(ManifestRecord::line));
        storage.replace(MANIFEST, &bytes)
    }
}

/// Whether a server has compacted a segment since the manifest was read.
fn is_compacted_meanwhile(storage: &dyn Storage, number: u64, length: u64) -> io::Result<bool> {
    let manifest = segment::whole(storage, MANIFEST)?.unwrap_or_default();
    let manifest = Manifest::parse(&manifest);
    let sealed = manifest.sealed(number);
    Ok(sealed.is_some_and(|sealed| sealed.has_length(length)))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned()
}
