//! The clock: leases, the journal and what installers trust hang on it.

use super::finding::DoctorFinding;
use crate::model::Timestamp;

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct ClockReading {
    /// The wall clock.
    pub(super) now: Timestamp,
    /// Whether something keeps it right, or why that is not known.
    pub(super) is_kept: Result<bool, String>,
    /// When the last line of the journal was written; none when there is none, or why it cannot be read.
    pub(super) last: Result<Option<Timestamp>, String>,
}

/// This program was not there before, 2026-01-01 UTC.
const FIRST: Timestamp = Timestamp(1_767_225_600_000);

/// A later line than the clock by so much, in milliseconds, is no matter of rounding.
const LATE: i64 = 60_000;

/// Says how the clock is.
pub(super) fn findings(seen: &ClockReading) -> Vec<DoctorFinding> {
    let now = seen.now;
    let (set, or) = (
        "timedatectl set-ntp true",
        "or install chrony; a container has the clock of its host",
    );
    let mut findings = Vec::new();
    findings.push(match (&seen.is_kept, now < FIRST) {
        (_, true) => DoctorFinding::error(format!(
            "it says {now}, which is before this program was written: installers refuse certificates and packages by such a time"
        ))
        .run(set)
        .help(or),
        (Ok(true), false) => DoctorFinding::ok(format!("{now}, synchronised")),
        (Ok(false), false) => DoctorFinding::warning(format!(
            "{now}, not synchronised: when it jumps, the journal's times do"
        ))
        .run(set)
        .help(or),
        (Err(error), false) => DoctorFinding::unknown(format!(
            "{now}; whether it is synchronised cannot be told: {error}"
        )),
    });
    match &seen.last {
        Ok(None) => {}
        Ok(Some(last)) if last.0 - now.0 > LATE => findings.push(
            DoctorFinding::warning(format!(
                "the journal's last line is of {last}, which is still to come: the clock is behind now, or was ahead then"
            ))
            .help("set the clock before anything else is installed: leases go by it"),
        ),
        Ok(Some(last)) => findings.push(DoctorFinding::ok(format!("the journal's last line is of {last}"))),
        Err(error) => findings.push(DoctorFinding::unknown(format!("the journal cannot be read: {error}"))),
    }
    findings
}
