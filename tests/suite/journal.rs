//! The journal on a real disk: killed at random times, traced by strace, read by other processes.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bootwright::disk::journal::{
    self, Compaction, Journal, JournalEntry, JournalFollower, JournalOptions, Position, Retention,
};

use crate::support::{child, needs::needs};

fn options() -> JournalOptions {
    JournalOptions {
        segment: 2_000,
        reserve: 0,
    }
}

fn entry(number: u64, durable: bool) -> JournalEntry {
    JournalEntry {
        text: format!(r#"{{"n":{number},"machine":"{:016x}"}}"#, number % 10),
        durable,
        reports: false,
    }
}

fn number(line: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["n"].as_u64().unwrap()
}

fn numbers(lines: journal::JournalLines) -> Vec<u64> {
    lines.map(|line| number(&line.unwrap())).collect()
}

/// How many lines the checkpoint includes.
fn checkpoint(replay: &journal::Replay) -> u64 {
    let state = replay.checkpoint.as_deref();
    state.map_or(0, |state| {
        std::str::from_utf8(state).unwrap().parse().unwrap()
    })
}

/// The role `append`: appends lines in pairs to the journal in a directory, and prints each durable one that was
/// written. It ends after the given number of pairs, or never.
pub(crate) fn append(arguments: &[String]) {
    let [directory, pairs @ ..] = arguments else {
        panic!("`append` needs a directory");
    };
    let (journal, replay) =
        Journal::open(Path::new(directory), Path::new("site"), options()).unwrap();
    let mut next = checkpoint(&replay);
    next = numbers(replay.lines).last().map_or(next, |last| last + 1);
    let pairs = pairs
        .first()
        .map_or(u64::MAX, |pairs| pairs.parse().unwrap());
    for _ in 0..pairs {
        journal
            .append(vec![entry(next, false), entry(next + 1, true)])
            .wait()
            .unwrap();
        println!("kept {}", next + 1);
        if next.is_multiple_of(300) {
            journal
                .checkpoint(format!("{}", next + 2).into())
                .wait()
                .unwrap();
        }
        next += 2;
    }
}

fn appender(wrap: &[&str], directory: &Path, pairs: &[&str]) -> Command {
    let directory = directory.to_str().unwrap();
    let mut command = child::command(wrap, "append", &[&[directory], pairs].concat());
    command.stderr(Stdio::null());
    command
}

fn last_written(output: &str) -> Option<u64> {
    // The kill may have cut the last line.
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .filter_map(|line| line.split_once("kept ")?.1.parse().ok())
        .next_back()
}

/// A simple generator of random durations. They need to differ, not to be unpredictable.
fn random_durations() -> impl Iterator<Item = Duration> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::from_fn(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        Some(Duration::from_micros(seed % 40_000))
    })
}

#[test]
fn a_hundred_kills_lose_no_durable_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut all_kept = 0;
    let mut rounds_that_wrote = 0;
    for (round, moment) in random_durations().take(100).enumerate() {
        let mut child = appender(&[], dir.path(), &[]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        // Every tenth process is killed while it opens the journal; the others after they have begun to write,
        // however long that takes on a busy machine.
        if round % 10 != 0 {
            while !output.contains("kept ") && stdout.read_line(&mut output).unwrap() > 0 {}
        }
        std::thread::sleep(moment);
        child.kill().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        child.wait().unwrap();
        if let Some(last_written) = last_written(&output) {
            assert!(
                last_written > all_kept,
                "it went on from {last_written}, and had kept {all_kept}"
            );
            all_kept = last_written;
            rounds_that_wrote += 1;
        }
        let replay = journal::read(dir.path()).unwrap();
        assert_eq!(replay.damage, []);
        let start = checkpoint(&replay);
        let found = numbers(replay.lines);
        let end = start + found.len() as u64;
        assert_eq!(found, (start..end).collect::<Vec<_>>());
        assert!(
            end > all_kept || all_kept == 0,
            "{all_kept} was kept, and {end} lines are there"
        );
    }
    assert!(
        rounds_that_wrote >= 90,
        "only {rounds_that_wrote} of 100 came to write anything"
    );
    // Without the checkpoint, all lines since the beginning are read.
    if dir.path().join("checkpoint").exists() {
        std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
    }
    let (_journal, replay) = Journal::open(dir.path(), Path::new("site"), options()).unwrap();
    assert_eq!(replay.damage, []);
    let found = numbers(replay.lines);
    assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
    assert!(found.len() as u64 > all_kept);
}

#[test]
fn a_line_is_written_and_synced_before_it_is_acknowledged() {
    needs!("strace");
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let state = dir.path().join("journal");
    let trace_to = [
        "strace",
        "-f",
        "-y",
        "-e",
        "trace=write,fdatasync,fsync",
        "-s",
        "64",
        "-o",
    ];
    let mut wrap = trace_to.to_vec();
    wrap.push(trace.to_str().unwrap());
    child::output(appender(&wrap, &state, &["20"]));
    check_trace(&std::fs::read_to_string(trace).unwrap());
}

fn check_trace(trace: &str) {
    let calls: Vec<&str> = trace.lines().collect();
    let mut seen = 0;
    for (at, call) in calls.iter().enumerate() {
        let Some(last_written) = call
            .split_once("\"kept ")
            .and_then(|(_, rest)| rest.split_once("\\n"))
        else {
            continue;
        };
        let line = format!("{{\\\"n\\\":{},", last_written.0);
        let first = format!(
            "{{\\\"n\\\":{},",
            last_written.0.parse::<u64>().unwrap() - 1
        );
        let is_write = |call: &&str| {
            call.contains("write(") && (call.contains(&line) || call.contains(&first))
        };
        let written = calls[..at]
            .iter()
            .position(is_write)
            .expect("answered before it was written");
        let file = calls[written].split(['<', '>']).nth(1).unwrap();
        let is_sync = |call: &&str| call.contains("fdatasync(") && call.contains(file);
        assert!(
            calls[written..at].iter().any(is_sync),
            "no sync before: {call}"
        );
        seen += 1;
    }
    assert_eq!(seen, 20, "only {seen} answers were seen in\n{trace}");
}

#[test]
fn a_second_writer_is_refused_and_readers_need_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Path::new("/srv/site"), options()).unwrap();
    journal
        .append((0..100).map(|number| entry(number, true)).collect())
        .wait()
        .unwrap();
    let second = Journal::open(dir.path(), Path::new("/srv/other"), options()).unwrap_err();
    let expected = format!(
        "the state directory is in use by process {}, which serves `/srv/site`",
        std::process::id()
    );
    assert_eq!(second.to_string(), expected);
    let replay = journal::read(dir.path()).unwrap();
    assert_eq!(numbers(replay.lines), (0..100).collect::<Vec<_>>());
    drop(journal);
    assert!(Journal::open(dir.path(), Path::new("/srv/other"), options()).is_ok());
    let missing = journal::read(&dir.path().join("none")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn the_journal_can_be_followed_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Path::new("site"), options()).unwrap();
    assert_eq!(journal::last(dir.path()).unwrap(), None);
    let (mut follower, begin) = JournalFollower::from_end(dir.path()).unwrap();
    assert_eq!(begin, Position::default());
    let mut followed = Vec::new();
    for round in 0..30 {
        let batch = (round * 10..round * 10 + 10).map(|number| entry(number, true));
        journal.append(batch.collect()).wait().unwrap();
        // Slower than it is written, for some time.
        let lines = follower.lines(9).unwrap();
        followed.extend(lines.iter().map(|line| number(line)));
        if round == 15 {
            // The follower keeps the segment that it reads; the next ones are compacted.
            journal.checkpoint(b"0".into()).wait().unwrap();
            let retention = Retention {
                max: 0,
                is_expired: &|_| true,
                retained: &|lines| lines.iter().map(|line| number(line) % 10 == 3).collect(),
            };
            while let Compaction::Compacted { .. } = journal.compact(&retention).unwrap() {}
        }
    }
    let rest = follower.lines(usize::MAX).unwrap();
    followed.extend(rest.iter().map(|line| number(line)));
    let (_, end) = JournalFollower::from_end(dir.path()).unwrap();
    assert!(end.segment > 3, "{end:?}");
    assert!(followed.is_sorted(), "{followed:?}");
    let missing: Vec<u64> = (0..300)
        .filter(|number| !followed.contains(number))
        .collect();
    assert!(
        missing
            .iter()
            .all(|number| number % 10 != 3 && *number < 160),
        "{missing:?}"
    );
    assert!(missing.len() < 150, "{missing:?}");
    assert_eq!(follower.lines(usize::MAX).unwrap(), [""; 0]);
    journal.append(vec![entry(300, true)]).wait().unwrap();
    assert_eq!(follower.lines(usize::MAX).unwrap().len(), 1);
    journal.append(vec![entry(299, true)]).wait().unwrap();
    let last = journal::last(dir.path()).unwrap();
    assert_eq!(last.as_deref().map(number), Some(299));
}

#[test]
fn the_lines_of_one_machine_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Path::new("site"), options()).unwrap();
    for round in 0..30 {
        // Machine 3 is not mentioned in the middle.
        let batch = (round * 10..round * 10 + 10)
            .filter(|number| number % 10 != 3 || !(5..25).contains(&round));
        journal
            .append(batch.map(|number| entry(number, true)).collect())
            .wait()
            .unwrap();
    }
    let lines = journal::lines_of(dir.path(), 3, None).unwrap();
    let found: Vec<_> = lines.map(|line| number(&line.unwrap())).collect();
    let expected: Vec<_> = (0..5).chain(25..30).map(|round| round * 10 + 3).collect();
    assert_eq!(found, expected);
    assert_eq!(journal::lines_of(dir.path(), 99, None).unwrap().count(), 0);
}
