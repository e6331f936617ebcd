//! Tests of the journal's files, most of them on a fake disk.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    fake::{DiskEvent, FakeDisk},
    *,
};

fn text(number: u64, machine: u64) -> String {
    format!(r#"{{"n":{number},"machine":"{machine:016x}"}}"#)
}

fn entry(number: u64, durable: bool) -> JournalEntry {
    JournalEntry {
        text: text(number, number),
        durable,
        reports: !durable,
    }
}

fn options(segment: u64) -> JournalOptions {
    JournalOptions {
        segment,
        reserve: 0,
    }
}

fn open(disk: &FakeDisk, segment: u64) -> (Journal, Replay) {
    Journal::over(Arc::new(disk.clone()), options(segment)).unwrap()
}

fn lines(replay: Replay) -> Vec<String> {
    replay.lines.map(Result::unwrap).collect()
}

/// Returns the lines of a replay of the disk, which must be undamaged.
fn replayed(disk: &FakeDisk) -> Vec<String> {
    let (_journal, replay) = open(disk, u64::MAX);
    assert_eq!(replay.damage, []);
    lines(replay)
}

fn texts(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| text(number, number))
        .collect()
}

/// A disk with three sealed segments of two lines each, and one that is written.
fn four_segments() -> FakeDisk {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 2 * (text(1, 1).len() as u64 + 1));
    for number in 1..=7 {
        journal.append(vec![entry(number, true)]).wait().unwrap();
    }
    disk
}

/// Waits until another thread has done its work. The limit only bounds a hang.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "timed out");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn appended_lines_are_replayed_in_order() {
    let disk = FakeDisk::default();
    let (journal, replay) = open(&disk, u64::MAX);
    assert_eq!(lines(replay), texts([]));
    assert_eq!(
        journal.append(vec![entry(1, false), entry(2, true)]).wait(),
        Ok(())
    );
    assert_eq!(journal.append(vec![entry(3, false)]).wait(), Ok(()));
    drop(journal);
    assert_eq!(replayed(&disk), texts(1..=3));
}

#[test]
fn an_entry_that_need_not_be_durable_is_written_without_another_append() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal.append(vec![entry(1, false)]).wait().unwrap();
    wait_until(|| disk.text("00000001.jsonl").is_some());
    drop(journal);
}

#[test]
fn every_durable_entry_is_written_then_synced_then_answered() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 200);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (disk, journal) = (&disk, &journal);
            scope.spawn(move || {
                for number in 0..25 {
                    let entry = entry(thread * 100 + number, number % 3 != 2);
                    let line = entry.durable.then(|| entry.text.clone());
                    journal.append(vec![entry]).wait().unwrap();
                    if let Some(line) = line {
                        disk.record_confirmation(&line);
                    }
                }
            });
        }
    });
    let events = disk.events();
    let mut seen = 0;
    for (at, event) in events.iter().enumerate() {
        let DiskEvent::Answer(line) = event else {
            continue;
        };
        let before = &events[..at];
        let is_write =
            |event: &DiskEvent| matches!(event, DiskEvent::Write(_, text) if text.contains(line));
        let written = before
            .iter()
            .position(is_write)
            .expect("answered before it was written");
        let DiskEvent::Write(file, _) = &before[written] else {
            unreachable!()
        };
        let synced = before[written..].contains(&DiskEvent::Sync(file.clone()));
        assert!(synced, "{line} was answered before it was synced");
        let is_named = |event: &DiskEvent| *event == DiskEvent::SyncNames;
        let first = before
            .iter()
            .position(|event| matches!(event, DiskEvent::Write(name, _) if name == file));
        assert!(
            before[first.unwrap()..].iter().any(is_named),
            "{file} was new and its name not synced"
        );
        seen += 1;
    }
    assert_eq!(seen, 4 * 17);
}

#[test]
fn many_machines_share_one_sync() {
    let disk = FakeDisk::default();
    disk.slow_down(Duration::from_millis(5));
    let (journal, _) = open(&disk, u64::MAX);
    let tickets: Vec<_> = (0..200)
        .map(|number| journal.append(vec![entry(number, true)]))
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let events = disk.events();
    let syncs = events
        .iter()
        .filter(|event| matches!(event, DiskEvent::Sync(_)))
        .count();
    assert!(syncs < 20, "{syncs} syncs for 200 entries");
    drop(journal);
    assert_eq!(replayed(&disk), texts(0..200));
}

#[test]
fn a_crash_at_any_byte_loses_at_most_the_line_that_is_being_written() {
    let run = |disk: &FakeDisk| {
        let (journal, _) = Journal::over(Arc::new(disk.clone()), options(200)).ok()?;
        let mut kept = 0;
        for number in 0..6 {
            let number = number * 2;
            let both = vec![entry(number, false), entry(number + 1, true)];
            journal.append(both).wait().ok()?;
            kept = number + 2;
            disk.record_confirmation(&kept.to_string());
        }
        Some(kept)
    };
    let whole = FakeDisk::default();
    assert_eq!(run(&whole), Some(12));
    let written = |event: &DiskEvent| match event {
        DiskEvent::Write(_, text) => text.len(),
        _ => 0,
    };
    let total: usize = whole.events().iter().map(written).sum();
    assert!(total > 500, "{total}");
    for fuse in 1..=total {
        let disk = FakeDisk::default();
        disk.crash_after(fuse);
        run(&disk);
        let answered = disk.events().iter().rev().find_map(|event| match event {
            DiskEvent::Answer(count) => count.parse().ok(),
            _ => None,
        });
        let answered: u64 = answered.unwrap_or(0);
        let names = disk.names().unwrap();
        let segments = names.iter().filter(|name| name.starts_with("0000"));
        let content: String = segments.filter_map(|name| disk.text(name)).collect();
        let killed = replayed(&disk.after_kill());
        assert_eq!(
            killed.len(),
            content.matches('\n').count(),
            "after byte {fuse}"
        );
        let lost = replayed(&disk.after_power_loss());
        for found in [killed, lost] {
            assert!(
                found.len() as u64 >= answered,
                "after byte {fuse}: {} of {answered}",
                found.len()
            );
            assert_eq!(found, texts(0..found.len() as u64), "after byte {fuse}");
        }
    }
}

#[test]
fn an_incomplete_last_line_is_removed_and_stored() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    drop(journal);
    let whole = disk.text("00000001.jsonl").unwrap().len();
    disk.modify("00000001.jsonl", |text| text + r#"{"n":2,"mach"#);
    let unlocked = recover::survey(&(Arc::new(disk.clone()) as Arc<dyn Storage>)).unwrap();
    let unlocked = unlocked.replay(&(Arc::new(disk.clone()) as Arc<dyn Storage>));
    assert_eq!((unlocked.warnings.len(), lines(unlocked)), (0, texts([1])));
    let (journal, replay) = open(&disk, u64::MAX);
    let warning = format!(
        "the last line of `00000001.jsonl` is incomplete; its 12 bytes were removed and saved in \
         `cut-00000001-{whole}`"
    );
    assert_eq!(replay.warnings, [warning]);
    assert_eq!(
        disk.text(&format!("cut-00000001-{whole}")).unwrap(),
        r#"{"n":2,"mach"#
    );
    journal.append(vec![entry(3, true)]).wait().unwrap();
    drop(journal);
    assert_eq!(replayed(&disk), texts([1, 3]));
}

#[test]
fn a_full_disk_leaves_no_partial_line_and_recovers_automatically() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    let good = disk.text("00000001.jsonl");
    disk.limit_room(10);
    assert_eq!(
        journal.append(vec![entry(2, true)]).wait(),
        Err(JournalError::Full)
    );
    wait_until(|| disk.text("00000001.jsonl") == good);
    assert_eq!(journal.health(), JournalHealth::Full);
    assert_eq!(journal.append(vec![]).wait(), Err(JournalError::Full));
    assert_eq!(
        journal.append(vec![entry(3, false)]).wait(),
        Err(JournalError::Full)
    );
    assert_eq!(
        journal.checkpoint(b"{}".into()).wait(),
        Err(JournalError::Full)
    );
    // The writer may be in the middle of another attempt, which it takes back.
    wait_until(|| disk.text("00000001.jsonl") == good);
    disk.remove_limit();
    // Nothing is appended.
    wait_until(|| journal.health() == JournalHealth::Good);
    assert_eq!(journal.append(vec![]).wait(), Ok(()));
    assert_eq!(journal.append(vec![entry(4, true)]).wait(), Ok(()));
    drop(journal);
    assert_eq!(replayed(&disk), texts([1, 2, 3, 4]));
}

#[test]
fn a_disk_that_is_full_from_the_start_blocks_no_call() {
    let disk = FakeDisk::default();
    disk.limit_room(0);
    let (journal, _) = open(&disk, u64::MAX);
    assert_eq!(
        journal.append(vec![entry(1, true)]).wait(),
        Err(JournalError::Full)
    );
    // Room for the line, not for the manifest's.
    disk.limit_room(text(1, 1).len() + 3);
    assert_eq!(journal.append(vec![]).wait(), Err(JournalError::Full));
    assert_eq!(disk.text("00000001.jsonl").as_deref(), Some(""));
    disk.remove_limit();
    assert_eq!(journal.append(vec![]).wait(), Ok(()));
    drop(journal);
    assert_eq!(replayed(&disk), texts([1]));
}

#[test]
fn data_that_was_not_synced_is_written_again() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    let good = disk.text("00000001.jsonl");
    disk.fail_to_sync(true);
    let broken = "the disk is broken".to_string();
    let failed = journal.append(vec![entry(2, true)]).wait();
    assert_eq!(failed, Err(JournalError::Failed(broken.clone())));
    assert_eq!(journal.health(), JournalHealth::Failing(broken));
    assert_eq!(disk.text("00000001.jsonl"), good);
    disk.fail_to_sync(false);
    assert_eq!(journal.append(vec![entry(3, true)]).wait(), Ok(()));
    assert_eq!(journal.health(), JournalHealth::Good);
    drop(journal);
    assert_eq!(replayed(&disk.after_power_loss()), texts([1, 2, 3]));
}

#[test]
fn a_checkpoint_saves_reading_and_may_be_deleted() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 100);
    for number in 1..=5 {
        journal.append(vec![entry(number, true)]).wait().unwrap();
    }
    journal.append(vec![entry(6, false)]).wait().unwrap();
    assert_eq!(journal.checkpoint(b"{\"state\":6}\n".into()).wait(), Ok(()));
    journal.append(vec![entry(7, true)]).wait().unwrap();
    drop(journal);
    let after = disk.after_power_loss();
    let (journal, replay) = open(&after, 100);
    assert_eq!(replay.checkpoint.as_deref(), Some(&b"{\"state\":6}\n"[..]));
    assert_eq!((replay.damage.len(), lines(replay)), (0, texts([7])));
    drop(journal);
    let damaged = disk.after_kill();
    damaged.modify("checkpoint", |text| text.replace("state", "sta"));
    let (_journal, replay) = open(&damaged, 100);
    assert_eq!(
        replay.warnings,
        ["the journal's checkpoint is unreadable: all lines are read instead"]
    );
    assert_eq!(
        (replay.checkpoint.clone(), lines(replay)),
        (None, texts(1..=7))
    );
    disk.delete("checkpoint");
    assert_eq!(replayed(&disk), texts(1..=7));
}

#[test]
fn a_checkpoint_of_an_empty_journal_is_not_damage() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 100);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    drop(journal);
    let (journal, replay) = open(&disk, 100);
    assert_eq!(replay.damage, []);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    drop(journal);
    assert_eq!(replayed(&disk), texts([1]));
}

#[test]
fn a_segment_that_is_missing_names_the_machines_it_may_concern() {
    let known = |machines: &[u64]| Some(machines.iter().copied().collect::<BTreeSet<_>>());
    for (segment, machines, rest) in [
        ("00000002.jsonl", known(&[3, 4]), texts([1, 2, 5, 6, 7])),
        ("00000004.jsonl", None, texts(1..=6)),
    ] {
        let disk = four_segments();
        disk.delete(segment);
        let (journal, replay) = open(&disk, u64::MAX);
        let damage = Damage {
            segment: segment.into(),
            why: "missing".into(),
            machines,
            covered: false,
        };
        assert_eq!(replay.damage, std::slice::from_ref(&damage));
        assert_eq!(lines(replay), rest);
        // A line that is appended now does not take the place of the lost one.
        journal.append(vec![entry(8, true)]).wait().unwrap();
        drop(journal);
        let (_journal, replay) = open(&disk, u64::MAX);
        assert_eq!(replay.damage, [damage]);
        assert_eq!(lines(replay).last(), texts([8]).last());
    }
}

#[test]
fn every_machine_that_a_lost_line_may_name_is_concerned() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 10);
    let merged = JournalEntry {
        text: format!(
            r#"{{"machine":"{:016x}","event":"merged","into":"{:016x}"}}"#,
            5, 6
        ),
        durable: true,
        reports: false,
    };
    journal.append(vec![merged]).wait().unwrap();
    journal.append(vec![entry(7, true)]).wait().unwrap();
    drop(journal);
    disk.delete("00000001.jsonl");
    let (_journal, replay) = open(&disk, 10);
    assert_eq!(replay.damage[0].machines, Some(BTreeSet::from([5, 6])));
}

#[test]
fn a_missing_segment_is_reported_even_if_a_checkpoint_covers_it() {
    let disk = four_segments();
    let (journal, _) = open(&disk, u64::MAX);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    drop(journal);
    disk.delete("00000001.jsonl");
    let (_journal, replay) = open(&disk, u64::MAX);
    let reported: Vec<_> = replay
        .damage
        .iter()
        .map(|damage| (&*damage.segment, damage.covered))
        .collect();
    assert_eq!(reported, [("00000001.jsonl", true)]);
}

#[test]
fn an_invalid_line_is_damage_unless_it_is_the_last() {
    let spoil = |text: String| text.replacen("\"n\"", "\"n", 1);
    for (segment, why, machines, rest) in [
        (
            "00000003.jsonl",
            "it has 41 bytes instead of 82",
            Some(BTreeSet::from([5, 6])),
            texts([1, 2, 3, 4, 5, 7]),
        ),
        (
            "00000002.jsonl",
            "it has 81 bytes instead of 82",
            Some(BTreeSet::from([3, 4])),
            texts([1, 2, 4, 5, 6, 7]),
        ),
    ] {
        let disk = four_segments();
        disk.modify(segment, |text| match segment {
            "00000003.jsonl" => text.lines().next().unwrap().to_string() + "\n",
            _ => spoil(text),
        });
        let length = disk.text(segment).unwrap().len();
        let (_journal, replay) = open(&disk, u64::MAX);
        let damage = replay.damage.first().unwrap().clone();
        let had = disk.text("00000001.jsonl").unwrap().len();
        let why = why
            .replace("41", &length.to_string())
            .replace("81", &length.to_string());
        let why = why.replace("82", &had.to_string());
        assert_eq!(
            (&*damage.segment, damage.why, damage.machines),
            (segment, why, machines)
        );
        assert_eq!(lines(replay), rest);
    }
}

#[test]
fn damage_in_the_last_segment_concerns_all_machines() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal
        .append((1..=3).map(|number| entry(number, true)).collect())
        .wait()
        .unwrap();
    drop(journal);
    let line = text(1, 1).len() + 1;
    disk.modify("00000001.jsonl", |text| {
        text.replacen("{\"n\":2", "\0\0\0\0\0\0", 1)
    });
    let (journal, replay) = open(&disk, u64::MAX);
    let damage = Damage {
        segment: "00000001.jsonl".into(),
        why: format!("the line at byte {line} is invalid"),
        machines: None,
        covered: false,
    };
    assert_eq!(replay.damage, [damage]);
    assert_eq!(lines(replay), texts([1, 3]));
    journal.append(vec![entry(4, true)]).wait().unwrap();
    assert_eq!(disk.text("00000002.jsonl").unwrap(), text(4, 4) + "\n");
}

#[test]
fn a_lost_manifest_is_created_again() {
    for change in [None, Some("{\"opened\":1}\nrubbish\n{\"opened\":9}\n")] {
        let disk = four_segments();
        match change {
            None => disk.delete("manifest.jsonl"),
            Some(text) => disk.modify("manifest.jsonl", |_| text.into()),
        }
        let (journal, replay) = open(&disk, u64::MAX);
        assert_eq!((replay.warnings.len(), replay.damage.len()), (1, 0));
        drop(journal);
        disk.delete("00000002.jsonl");
        let (_journal, replay) = open(&disk, u64::MAX);
        assert_eq!(replay.damage[0].machines, Some(BTreeSet::from([3, 4])));
    }
    // Without the manifest, gaps in the numbers show which segments are missing.
    let disk = four_segments();
    disk.delete("manifest.jsonl");
    disk.delete("00000001.jsonl");
    disk.delete("00000002.jsonl");
    let (_journal, replay) = open(&disk, u64::MAX);
    assert_eq!(replay.damage[0].segment, "00000001.jsonl to 00000002.jsonl");
    assert_eq!(replay.damage[0].machines, None);
}

#[test]
fn a_journal_without_the_segments_of_its_checkpoint_continues_in_a_new_segment() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal
        .append((1..=3).map(|number| entry(number, true)).collect())
        .wait()
        .unwrap();
    journal.checkpoint(b"{}".into()).wait().unwrap();
    drop(journal);
    disk.modify("00000001.jsonl", |text| {
        text.lines().next().unwrap().to_string() + "\n"
    });
    let (journal, replay) = open(&disk, u64::MAX);
    assert_eq!(
        replay.damage[0].why,
        "it is shorter than it was at the checkpoint"
    );
    assert_eq!(lines(replay), texts([]));
    journal.append(vec![entry(4, true)]).wait().unwrap();
    drop(journal);
    let (_journal, replay) = open(&disk, u64::MAX);
    assert_eq!(lines(replay), texts([4]));
}

#[test]
#[should_panic(expected = "an entry of the journal is one line")]
fn an_entry_of_two_lines_is_a_bug() {
    let (journal, _) = open(&FakeDisk::default(), u64::MAX);
    let two = JournalEntry {
        text: "{\n}".into(),
        durable: false,
        reports: false,
    };
    drop(journal.append(vec![two]));
}

#[test]
fn no_call_waits_for_a_writer_that_has_ended() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, 1 << 20);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    disk.panic();
    for number in 2..4 {
        let ticket = journal.append(vec![entry(number, true)]);
        assert_eq!(ticket.wait(), Err(JournalError::Closed), "{number}");
    }
    assert!(matches!(journal.health(), JournalHealth::Failing(_)));
    assert_eq!(
        journal.checkpoint(Vec::new()).wait(),
        Err(JournalError::Closed)
    );
}

/// Removes lines whose number is not a multiple of three, from expired segments.
fn thirds<'a>(max: u64, is_expired: &'a dyn Fn(&str) -> bool) -> Retention<'a> {
    Retention {
        max,
        is_expired,
        retained: &|lines| lines.iter().map(|line| is_third(line)).collect(),
    }
}

fn is_third(line: &str) -> bool {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["n"].as_u64().unwrap().is_multiple_of(3)
}

fn third_texts(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    texts(
        numbers
            .into_iter()
            .filter(|number| number.is_multiple_of(3)),
    )
}

/// Compacts until nothing is due. Returns the names of the compacted segments.
fn compact(journal: &Journal, retention: &Retention<'_>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Compaction::Compacted { segment, .. }) = journal.compact(retention) {
        names.push(segment);
    }
    names
}

#[test]
fn sealed_segments_before_the_checkpoint_are_compacted_once_they_expire() {
    let disk = four_segments();
    let (journal, _) = open(&disk, 2 * (text(1, 1).len() as u64 + 1));
    let all = thirds(u64::MAX, &|_| true);
    // Without a checkpoint, a position in any segment may be needed.
    assert_eq!(compact(&journal, &all), [""; 0]);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    let old = thirds(u64::MAX, &|last| !last.contains(r#""n":6"#));
    assert_eq!(
        compact(&journal, &old),
        ["00000001.jsonl", "00000002.jsonl"]
    );
    assert_eq!(compact(&journal, &old), [""; 0]);
    assert_eq!(disk.text("00000001.jsonl").as_deref(), Some(""));
    assert_eq!(disk.text("00000002.jsonl").unwrap(), text(3, 3) + "\n");
    assert_eq!(disk.text("compacted-00000001"), None);
    journal.append(vec![entry(8, true)]).wait().unwrap();
    drop(journal);
    for disk in [disk.after_kill(), disk.after_power_loss()] {
        disk.delete("checkpoint");
        assert_eq!(replayed(&disk), texts([3, 5, 6, 7, 8]));
    }
    // A compacted segment that is lost concerns the machines of the lines that stayed.
    disk.delete("00000002.jsonl");
    let (_journal, replay) = open(&disk, u64::MAX);
    assert_eq!(replay.damage[0].machines, Some(BTreeSet::from([3])));
}

#[test]
fn the_oldest_segments_are_compacted_while_the_journal_is_too_large() {
    let disk = four_segments();
    let (journal, _) = open(&disk, u64::MAX);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    let line = text(1, 1).len() as u64 + 1;
    let never = |_: &str| false;
    let names = compact(&journal, &thirds(5 * line, &never));
    assert_eq!(names, ["00000001.jsonl"]);
    let result = journal.compact(&thirds(0, &|_| true)).unwrap();
    assert!(
        matches!(result, Compaction::Compacted { before, after, .. } if (before, after) == (2 * line, line))
    );
    compact(&journal, &thirds(0, &|_| true));
    let bytes = 3 * line;
    let result = journal.compact(&thirds(0, &|_| true));
    assert_eq!(result, Ok(Compaction::NotDue { bytes }));
}

#[test]
fn a_damaged_segment_is_not_compacted() {
    for spoil in [
        |text: String| text.replacen("\"n\"", "\"n", 1),
        // Of the same length.
        |text: String| text.replacen("\"n\"", "\"n|", 1),
    ] {
        let disk = four_segments();
        let (journal, _) = open(&disk, u64::MAX);
        journal.checkpoint(b"{}".into()).wait().unwrap();
        disk.modify("00000002.jsonl", spoil);
        let names = compact(&journal, &thirds(u64::MAX, &|_| true));
        assert_eq!(names, ["00000001.jsonl", "00000003.jsonl"]);
    }
}

#[test]
fn a_crash_at_any_write_of_a_compaction_leaves_the_old_or_the_new_segment() {
    let run = |disk: &FakeDisk| {
        let (journal, _) = open(disk, u64::MAX);
        let names = compact(&journal, &thirds(u64::MAX, &|_| true));
        // The journal is still written.
        journal.append(vec![entry(8, true)]).wait().ok()?;
        Some(names.len())
    };
    let begun = four_segments();
    let (journal, _) = open(&begun, u64::MAX);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    drop(journal);
    assert_eq!(run(&begun.after_kill()), Some(3));
    let mut outcomes = BTreeSet::new();
    for fuse in 1.. {
        let disk = begun.after_kill();
        disk.crash_after(fuse);
        let is_complete = run(&disk).is_some();
        for after in [disk.after_kill(), disk.after_power_loss()] {
            after.delete("checkpoint");
            let (journal, replay) = open(&after, u64::MAX);
            assert_eq!(replay.damage, [], "after byte {fuse}");
            let found = lines(replay);
            let lines = |number: u64| match found.contains(&text(number, number)) {
                true => texts([number]),
                false => third_texts([number]),
            };
            let expected: Vec<String> = (1..=8).flat_map(lines).collect();
            assert_eq!(found, expected, "after byte {fuse}");
            outcomes.insert(found.len());
            let names = after.names().unwrap();
            assert!(!names.iter().any(|name| name.starts_with("compacted")));
            // A segment is compacted as a whole, and again after the crash.
            journal.checkpoint(b"{}".into()).wait().unwrap();
            compact(&journal, &thirds(u64::MAX, &|_| true));
            drop(journal);
            after.delete("checkpoint");
            let left = replayed(&after);
            assert_eq!(left[..3], texts([3, 6, 7]), "after byte {fuse}");
        }
        if is_complete {
            break;
        }
    }
    assert!(outcomes.len() >= 4, "{outcomes:?}");
}

#[test]
fn a_full_disk_leaves_a_segment_uncompacted() {
    let disk = four_segments();
    let (journal, _) = open(&disk, u64::MAX);
    journal.checkpoint(b"{}".into()).wait().unwrap();
    disk.limit_room(3);
    let result = journal.compact(&thirds(u64::MAX, &|_| true));
    assert_eq!(result, Err(JournalError::Full));
    disk.remove_limit();
    assert_eq!(journal.append(vec![entry(8, true)]).wait(), Ok(()));
    assert_eq!(compact(&journal, &thirds(u64::MAX, &|_| true)).len(), 3);
}

/// Appends until the journal has used its reserve.
fn fill(journal: &Journal) -> u64 {
    let mut number = 10;
    while journal.health() == JournalHealth::Good {
        journal.append(vec![entry(number, true)]).wait().unwrap();
        number += 1;
    }
    number
}

#[test]
fn a_full_disk_has_a_reserve_for_the_last_lines() {
    let disk = FakeDisk::default();
    let with_reserve = JournalOptions {
        segment: u64::MAX,
        reserve: 1_000,
    };
    let (journal, _) = Journal::over(Arc::new(disk.clone()), with_reserve).unwrap();
    journal.append(vec![entry(1, true)]).wait().unwrap();
    assert_eq!(disk.text("reserve").map(|text| text.len()), Some(1_000));
    disk.limit_room(200);
    let mut number = fill(&journal);
    assert_eq!(disk.text("reserve"), None);
    // The journal is written in the room of the reserve, and then in memory.
    assert_eq!(journal.health(), JournalHealth::Full);
    while journal.append(vec![entry(number, true)]).wait() == Ok(()) {
        number += 1;
    }
    assert!(number > 25, "{number}");
    assert!(journal.has_room());
    disk.remove_limit();
    wait_until(|| journal.health() == JournalHealth::Good);
    assert_eq!(disk.text("reserve").map(|text| text.len()), Some(1_000));
    drop(journal);
    let expected = texts([1].into_iter().chain(10..=number));
    assert_eq!(replayed(&disk.after_power_loss()), expected);
}

#[test]
fn what_waits_for_a_full_disk_is_bounded_and_the_oldest_reports_are_dropped_first() {
    let disk = FakeDisk::default();
    let (journal, _) = open(&disk, u64::MAX);
    journal.append(vec![entry(1, true)]).wait().unwrap();
    disk.limit_room(0);
    let long = |number: u64, reports: bool| JournalEntry {
        text: format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(100 << 10)),
        durable: true,
        reports,
    };
    for number in 0..100 {
        let result = journal.append(vec![long(number, true)]).wait();
        assert_eq!(result, Err(JournalError::Full));
    }
    let mut decides = 100;
    while journal.has_room() {
        assert_eq!(
            journal.append(vec![long(decides, false)]).wait(),
            Err(JournalError::Full)
        );
        decides += 1;
    }
    assert!((138..145).contains(&decides), "{decides}");
    disk.remove_limit();
    wait_until(|| journal.health() == JournalHealth::Good);
    assert!(journal.has_room());
    drop(journal);
    let (_journal, replay) = open(&disk, u64::MAX);
    let numbers: Vec<u64> = lines(replay)
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["n"]
                .as_u64()
                .unwrap()
        })
        .collect();
    // All that decide, and the newest of the others as far as they fit.
    let reports = numbers.len() as u64 - 1 - (decides - 100);
    assert_eq!(numbers[0], 1);
    let expected: Vec<u64> = (100 - reports..decides).collect();
    assert_eq!(numbers[1..], expected);
    assert!(reports < 3, "{reports}");
}
