//! Findings about the clock: leases, the journal and certificate checks depend on it.

use super::finding::DoctorFinding;
use crate::model::Timestamp;

#[derive(Debug, Clone)]
pub(super) struct ClockReading {
    pub(super) now: Timestamp,
    /// Whether it is synchronised, or why that is unknown.
    pub(super) is_synchronised: Result<bool, String>,
    /// The time of the journal's last line; `None` if the journal is empty.
    pub(super) last: Result<Option<Timestamp>, String>,
}

/// This program was released after 2026-01-01 UTC.
const RELEASED: Timestamp = Timestamp(1_767_225_600_000);

/// How far the journal's last line may be ahead of the clock.
const TOLERANCE_MS: i64 = 60_000;

pub(super) fn findings(clock: &ClockReading) -> Vec<DoctorFinding> {
    let now = clock.now;
    let (set, or) = (
        "timedatectl set-ntp true",
        "or install chrony; a container uses the clock of its host",
    );
    let mut findings = Vec::new();
    findings.push(match (&clock.is_synchronised, now < RELEASED) {
        (_, true) => DoctorFinding::error(format!(
            "the time is {now}, before this program was released: installers reject certificates and packages at such a time"
        ))
        .run(set)
        .help(or),
        (Ok(true), false) => DoctorFinding::ok(format!("{now}, synchronised")),
        (Ok(false), false) => DoctorFinding::warning(format!(
            "{now}, not synchronised: if the clock is adjusted, the journal's times jump"
        ))
        .run(set)
        .help(or),
        (Err(error), false) => DoctorFinding::unknown(format!(
            "{now}; cannot determine whether it is synchronised: {error}"
        )),
    });
    match &clock.last {
        Ok(None) => {}
        Ok(Some(last)) if last.0 - now.0 > TOLERANCE_MS => findings.push(
            DoctorFinding::warning(format!(
                "the journal's last line is from {last}, which is in the future: the clock is behind now, or was ahead then"
            ))
            .help("correct the clock before the next installation: leases depend on it"),
        ),
        Ok(Some(last)) => findings.push(DoctorFinding::ok(format!("the journal's last line is from {last}"))),
        Err(error) => findings.push(DoctorFinding::unknown(format!("cannot read the journal: {error}"))),
    }
    findings
}
