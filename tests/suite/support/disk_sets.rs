//! Disk sets with real signatures: tests/fixtures/disks/NAME.gz, and the table of what may happen to each disk.
//!
//! `make.sh` beside them makes the sets, and `pack.py` describes the format. The tests of the script and the agent's unit
//! tests both read the table.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A line of the table: what happens if this disk is selected.
pub(crate) struct DiskCase {
    pub(crate) disk: String,
    /// Why it is refused, without `wipe` and with it; empty if it is chosen.
    pub(crate) reasons: [String; 2],
}

/// A disk or a partition, as a file in `dev`.
pub(crate) struct SetDevice {
    pub(crate) name: String,
    /// The disk, for a partition.
    pub(crate) disk: Option<String>,
    pub(crate) bytes: u64,
    /// The type of a partition as udev has it.
    pub(crate) kind: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/disks")
}

/// The lines of the table by set.
pub(crate) fn table() -> BTreeMap<String, Vec<DiskCase>> {
    let text = fs::read_to_string(folder().join("table.txt")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [set, disk, without, with] = cells[..] else {
            panic!("not four cells: {line}");
        };
        let reason = |cell: &str| if cell == "chosen" { "" } else { cell }.to_owned();
        let with = if with == "the same" { without } else { with };
        let case = DiskCase {
            disk: disk.into(),
            reasons: [without, with].map(reason),
        };
        (set.to_owned(), case)
    };
    let mut sets: BTreeMap<String, Vec<DiskCase>> = BTreeMap::new();
    for (set, case) in lines.map(case) {
        sets.entry(set).or_default().push(case);
    }
    assert!(sets.len() > 20, "{:?}", sets.keys());
    sets
}

/// Writes the disks `a`, `b`, … of a set as `dev/sda`, `dev/sdb`, … with a file for each partition.
pub(crate) fn expand(set: &str, dev: &Path) -> Vec<SetDevice> {
    fs::create_dir_all(dev).unwrap();
    let packed = File::open(folder().join(format!("{set}.gz"))).unwrap();
    let mut packed = BufReader::new(flate2::read::GzDecoder::new(packed));
    let mut devices: Vec<SetDevice> = Vec::new();
    let mut ranges: Vec<Vec<(u64, Vec<u8>)>> = Vec::new();
    let mut line = String::new();
    while packed.read_line(&mut line).unwrap() > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["disk", name, bytes] => {
                devices.push(SetDevice {
                    name: format!("sd{name}"),
                    disk: None,
                    bytes: bytes.parse().unwrap(),
                    kind: String::new(),
                });
                ranges.push(Vec::new());
            }
            ["at", at, length] => {
                let mut bytes = vec![0; length.parse().unwrap()];
                packed.read_exact(&mut bytes).unwrap();
                let last = ranges.last_mut().unwrap();
                last.push((at.parse().unwrap(), bytes));
            }
            _ => panic!("{line}"),
        }
        line.clear();
    }
    let mut all = Vec::new();
    for (disk, ranges) in devices.into_iter().zip(ranges) {
        write(&dev.join(&disk.name), 0, disk.bytes, &ranges);
        let partitions = partitions(&dev.join(&disk.name), &disk.name);
        for (partition, start) in &partitions {
            write(&dev.join(&partition.name), *start, partition.bytes, &ranges);
        }
        all.push(disk);
        all.extend(partitions.into_iter().map(|(partition, _)| partition));
    }
    all
}

/// Writes the part of a disk that begins at `start`.
fn write(path: &Path, start: u64, length: u64, ranges: &[(u64, Vec<u8>)]) {
    let file = File::create(path).unwrap();
    file.set_len(length).unwrap();
    for (at, bytes) in ranges {
        let (from, to) = (
            (*at).max(start),
            (at + bytes.len() as u64).min(start + length),
        );
        if from < to {
            let part =
                &bytes[usize::try_from(from - at).unwrap()..usize::try_from(to - at).unwrap()];
            file.write_all_at(part, from - start).unwrap();
        }
    }
}

/// The partitions of a disk with their offsets, from `sfdisk`.
fn partitions(path: &Path, disk: &str) -> Vec<(SetDevice, u64)> {
    let output = Command::new("sfdisk").arg("--json").arg(path).output();
    let output = output.expect("sfdisk is installed");
    // A disk without a partition table is an error.
    let Ok(table) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        return Vec::new();
    };
    let table = &table["partitiontable"];
    let list = table["partitions"].as_array().cloned().unwrap_or_default();
    let partition = |(at, entry): (usize, &serde_json::Value)| {
        let number = |key: &str| entry[key].as_u64().unwrap() * 512;
        let kind = entry["type"].as_str().unwrap().to_lowercase();
        let is_gpt = table["label"] == "gpt";
        let device = SetDevice {
            name: format!("{disk}{}", at + 1),
            disk: Some(disk.into()),
            bytes: number("size"),
            kind: if is_gpt { kind } else { format!("0x{kind}") },
        };
        (device, number("start"))
    };
    list.iter().enumerate().map(partition).collect()
}
