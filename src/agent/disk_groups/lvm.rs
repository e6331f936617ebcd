//! LVM: the physical volume's label, and the volume group's newest text.
//!
//! The layout is that of `lib/format_text/layout.h` of LVM2.

use std::io::{self, Read, Seek};

use super::{BoundedReader, DiskGroups, plain, u32_at, u64_at};

const SECTOR: usize = 512;
/// The label is in one of the first four sectors.
const LABEL_SECTORS: usize = 4;
/// The largest text that is read. One for a few hundred volumes has some 100 KB.
const MAX_TEXT: u64 = 4 << 20;
/// The most areas of data or metadata in a label; LVM makes up to two.
const MAX_AREAS: usize = 8;

pub(super) fn add(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let Some(start) = device.bytes(0, LABEL_SECTORS * SECTOR)? else {
        return Ok(());
    };
    let is_label =
        |sector: &&[u8]| sector.starts_with(b"LABELONE") && sector[24..32] == *b"LVM2 001";
    let Some(label) = start.chunks_exact(SECTOR).find(is_label) else {
        return Ok(());
    };
    let header = usize::try_from(u32_at(label, 20)).unwrap_or(SECTOR);
    let Some(header) = label.get(header..).filter(|header| header.len() > 40) else {
        return Ok(());
    };
    let volume = with_dashes(&plain(&header[..32]));
    found.volumes.insert(volume.clone());
    for area in areas(&header[40..]) {
        if let Some(text) = text(device, area)? {
            add_text(&text, found);
            break;
        }
    }
    found.wanted_volumes.insert(volume.clone());
    found.join(format!("pv:{volume}"), "a volume group".into());
    Ok(())
}

/// The ID of a physical volume as the text has it.
fn with_dashes(id: &str) -> String {
    let ends = [6, 10, 14, 18, 22, 26, 32];
    let starts = [0].into_iter().chain(ends);
    let parts = starts
        .zip(ends)
        .map(|(from, to)| id.get(from..to).unwrap_or_default());
    parts.collect::<Vec<_>>().join("-")
}

/// The offsets of the areas of metadata. The label lists the areas of data first; a pair of zeros ends each list.
fn areas(lists: &[u8]) -> Vec<u64> {
    let mut pairs = lists.chunks_exact(16).map(|pair| u64_at(pair, 0));
    // Consumes the first list, with its end.
    pairs.by_ref().take(MAX_AREAS).any(|at| at == 0);
    pairs.take(MAX_AREAS).take_while(|at| *at != 0).collect()
}

/// The newest text of an area, which its header leads to; none if there is none, or the area is to be ignored.
fn text(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    area: u64,
) -> io::Result<Option<Vec<u8>>> {
    let Some(header) = device.bytes(area, SECTOR)? else {
        return Ok(None);
    };
    let (whole, offset, size) = (
        u64_at(&header, 32),
        u64_at(&header, 40),
        u64_at(&header, 48),
    );
    let is_ignored = u32_at(&header, 60) & 1 == 1;
    let is_valid = offset >= SECTOR as u64 && offset < whole && size <= MAX_TEXT;
    if is_ignored || !is_valid {
        return Ok(None);
    }
    // The area is a ring after its header.
    let rest = offset.saturating_add(size).saturating_sub(whole);
    let length = |bytes: u64| usize::try_from(bytes).unwrap_or(0);
    let first = device.bytes(area.saturating_add(offset), length(size - rest))?;
    let second = device.bytes(area.saturating_add(SECTOR as u64), length(rest))?;
    Ok(first
        .zip(second)
        .map(|(first, second)| [first, second].concat()))
}

/// Adds the physical volumes and the Ceph OSDs of a text.
fn add_text(text: &[u8], found: &mut DiskGroups) {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let mut path: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        add_ceph(line, found);
        let id = line
            .strip_prefix("id = \"")
            .and_then(|id| id.strip_suffix('"'));
        match (line.strip_suffix('{'), id, &path[..]) {
            (Some(name), ..) => path.push(name.trim()),
            (None, Some(id), [group, "physical_volumes", _]) => {
                let group = plain(group.as_bytes());
                found.wanted_volumes.insert(id.into());
                found.join(format!("pv:{id}"), format!("the volume group {group}"));
            }
            _ if line == "}" => drop(path.pop()),
            _ => {}
        }
    }
}

/// Adds the Ceph OSDs that a line has as tags of a logical volume (`ceph-volume lvm`).
fn add_ceph(line: &str, found: &mut DiskGroups) {
    for tag in line.split("ceph.osd_fsid=").skip(1) {
        let end = tag.find(|c: char| !c.is_ascii_hexdigit() && c != '-');
        let fsid = &tag[..end.unwrap_or(tag.len())];
        found.protect("a Ceph OSD");
        found.join(format!("ceph:{fsid}"), format!("the Ceph OSD {fsid}"));
    }
}
