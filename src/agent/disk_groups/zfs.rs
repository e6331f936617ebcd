//! Labels of ZFS pools.

use std::io::{self, Read, Seek};

use super::{BoundedReader, DiskGroups, named};

/// The size of a label. A device has two at its beginning and two at its end (OpenZFS, `vdev_label.c`).
const LABEL: u64 = 256 << 10;
/// The offset of the list of names and values in a label.
const LIST: u64 = 16 << 10;
/// How much of the list is read: the pool's properties come before the tree of its devices.
const HEAD: usize = 4 << 10;

pub(super) fn add(
    device: &mut BoundedReader<'_, impl Read + Seek>,
    found: &mut DiskGroups,
) -> io::Result<()> {
    let end = device.size / LABEL * LABEL;
    let labels = [
        Some(0),
        Some(LABEL),
        end.checked_sub(2 * LABEL),
        end.checked_sub(LABEL),
    ];
    for label in labels.into_iter().flatten() {
        let Some(list) = device.bytes(label + LIST, HEAD)? else {
            continue;
        };
        let guid = value(&list, "pool_guid").and_then(|value| value.get(8..16));
        let Some(guid) = guid.and_then(|guid| guid.try_into().ok()) else {
            continue;
        };
        let guid = u64::from_be_bytes(guid).to_string();
        let name = value(&list, "name").and_then(text).unwrap_or_default();
        found.protect("a ZFS pool");
        let words = format!("the ZFS pool {}", named(name, &guid));
        found.join(format!("zfs:{guid}"), words);
    }
    Ok(())
}

/// The bytes after a name in an XDR-encoded list: the type, the number of elements, the value (RFC 4506; `nvpair.c`).
fn value<'a>(list: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut coded = u32::try_from(name.len()).ok()?.to_be_bytes().to_vec();
    coded.extend(name.as_bytes());
    coded.resize(coded.len().next_multiple_of(4), 0);
    let at = list
        .windows(coded.len())
        .position(|window| window == coded)?;
    list.get(at + coded.len()..)
}

/// The bytes of a text value.
fn text(value: &[u8]) -> Option<&[u8]> {
    let length = u32::from_be_bytes(value.get(8..12)?.try_into().ok()?);
    value
        .get(12..)?
        .get(..usize::try_from(length).ok()?.min(256))
}
