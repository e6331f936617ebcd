//! Opening a journal: what is there, what is damaged, and what a crash left to put right.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    sync::Arc,
};

use super::{
    layout::{
        self, CHECKPOINT, Checkpoint, MANIFEST, Manifest, ManifestRecord, Position, SealedSegment,
    },
    medium::Storage,
    replay::{Damage, JournalLines, Replay, SegmentRange},
    scan::SegmentScan,
    segment,
};

/// A journal that is ready to be continued.
pub(super) struct Recovered {
    /// What it holds.
    pub(super) replay: Replay,
    /// Where it is continued.
    pub(super) end: JournalEnd,
}

/// The segment that is written next.
#[derive(Debug, Default)]
pub(super) struct JournalEnd {
    /// Its number.
    pub(super) segment: u64,
    /// Its length.
    pub(super) length: u64,
    /// The machines it speaks of so far.
    pub(super) machines: HashSet<u64>,
    /// Whether it is there.
    pub(super) is_begun: bool,
}

/// What is there.
#[derive(Default)]
pub(super) struct Survey {
    manifest: Manifest,
    /// The manifest's file; none when there is none.
    manifest_bytes: Option<Vec<u8>>,
    present: BTreeSet<u64>,
    checkpoint: Option<Checkpoint>,
    stretches: Vec<SegmentRange>,
    /// The segments that may still grow and are whole.
    unsealed: BTreeMap<u64, SegmentScan>,
    /// What is left of a line at the end: from where to where, in the last segment.
    torn: Option<SegmentRange>,
    damage: Vec<Damage>,
    warnings: Vec<String>,
}

/// Opens a journal for writing.
pub(super) fn recover(medium: &Arc<dyn Storage>) -> io::Result<Recovered> {
    let mut survey = survey(medium)?;
    survey.cut(&**medium)?;
    let last = survey.present.last().copied();
    if let Some(last) = last {
        // Answers will rest on lines that an earlier run had no time to sync.
        medium.sync(&layout::name(last))?;
        medium.sync_names()?;
    }
    let end = survey.end();
    if let Err(error) = survey.mend_manifest(&**medium, last) {
        let warning = format!("the journal's manifest cannot be brought up to date: {error}");
        survey.warnings.push(warning);
    }
    Ok(Recovered {
        replay: survey.replay(medium),
        end,
    })
}

/// Finds out what is there, and changes nothing.
pub(super) fn survey(medium: &Arc<dyn Storage>) -> io::Result<Survey> {
    // In this order: while a server writes, a segment may be there and not yet listed, but never the reverse.
    let manifest_bytes = segment::whole(&**medium, MANIFEST)?;
    let mut survey = Survey {
        manifest_bytes,
        present: layout::segments(&**medium)?,
        ..Survey::default()
    };
    survey.manifest = Manifest::parse(survey.manifest_bytes.as_deref().unwrap_or_default());
    if let Some(bytes) = segment::whole(&**medium, CHECKPOINT)? {
        survey.checkpoint = Checkpoint::parse(bytes);
        if survey.checkpoint.is_none() {
            survey.warn("the journal's checkpoint is not readable: every line is read");
        }
    }
    survey.known().into_iter().try_fold(0, |before, number| {
        survey.gap(before, number);
        survey.segment(medium, number).map(|()| number)
    })?;
    Ok(survey)
}

impl Survey {
    /// Makes a replay of it.
    pub(super) fn replay(self, medium: &Arc<dyn Storage>) -> Replay {
        Replay {
            checkpoint: self.checkpoint.map(|checkpoint| checkpoint.state),
            lines: JournalLines::new(medium, self.stretches),
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

    /// Every segment that is there or should be.
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
            why: "it is missing".into(),
            machines: None,
            covered,
        });
    }

    fn segment(&mut self, medium: &Arc<dyn Storage>, number: u64) -> io::Result<()> {
        let Some(length) = medium.length(&layout::name(number))? else {
            self.damage(number, "it is missing");
            return Ok(());
        };
        let start = self.start();
        let from = if number == start.segment {
            start.offset
        } else {
            0
        };
        if let Some(sealed) = self.manifest.sealed(number).map(|sealed| sealed.bytes) {
            if length != sealed {
                self.damage(number, format!("it has {length} bytes, and had {sealed}"));
            }
            if number >= start.segment {
                let scan = SegmentScan::of(medium, number, from);
                self.sealed(number, from, &scan);
            }
        } else {
            let scan = SegmentScan::of(medium, number, 0);
            self.unsealed(number, from, scan);
        }
        Ok(())
    }

    fn sealed(&mut self, number: u64, from: u64, scan: &SegmentScan) {
        self.stretch(number, from, scan.end);
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
            self.stretch(number, from, scan.good);
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

    fn stretch(&mut self, segment: u64, from: u64, to: u64) {
        if from < to {
            self.stretches.push(SegmentRange { segment, from, to });
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
        // One segment, one damage: the first reason says enough.
        if self
            .damage
            .last()
            .is_none_or(|last| last.segment != damage.segment)
        {
            self.damage.push(damage);
        }
    }

    /// Cuts off what is left of a line at the end, and keeps it beside the segment.
    fn cut(&mut self, medium: &dyn Storage) -> io::Result<()> {
        let Some(torn) = self.torn else {
            return Ok(());
        };
        let name = layout::name(torn.segment);
        let bytes = segment::part(medium, &name, torn.from, torn.to)?;
        let (count, from) = (bytes.len(), torn.from);
        let side = format!("cut-{:08}-{from}", torn.segment);
        let kept = match medium.replace(&side, &bytes) {
            Ok(()) => format!("they are in `{side}`"),
            Err(error) => format!("they could not be kept ({error}): {:?}", shown(&bytes)),
        };
        self.warn(format!(
            "the last line of `{name}` was not written to its end; its {count} bytes were cut off, {kept}"
        ));
        medium.truncate(&name, torn.from)
    }

    /// Where the journal is continued: in the last segment if it is whole, else in a new one.
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

    /// Lists what a crash, or its loss, has kept from the manifest.
    fn mend_manifest(&mut self, medium: &dyn Storage, last: Option<u64>) -> io::Result<()> {
        let lost = self.manifest_bytes.is_none() && last.is_some_and(|last| last > 1);
        if lost {
            self.warn("the journal's manifest was missing and has been made again");
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
            medium.replace("cut-manifest", &rest)?;
            self.warn(
                "the journal's manifest was damaged; its unreadable part is in `cut-manifest`",
            );
        }
        bytes.extend(records.iter().flat_map(ManifestRecord::line));
        medium.replace(MANIFEST, &bytes)
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned()
}
