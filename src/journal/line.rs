//! One line of the journal: an event and its time, as JSON.
//!
//! The keys are `at`, `machine`, `event`, the keys of the event, and `revision`.

use serde::{Deserialize, Serialize};

use super::{Event, MachineId};
use crate::model::{Revision, Timestamp};

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalLine {
    /// The time of the event, by the wall clock.
    pub at: Timestamp,
    /// The machine; none if the event does not concern one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    #[serde(flatten)]
    pub event: Event,
    /// The revision of the site that was live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// The content of a line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum ParsedLine {
    /// An event that this release has.
    Known(Box<JournalLine>),
    /// An event of a later release. It stays in the journal and is skipped. A critical one holds its machine.
    Unknown {
        at: Timestamp,
        machine: Option<MachineId>,
        /// The name of the event.
        event: String,
        /// Whether a release that lacks the event must not install the machine.
        critical: bool,
    },
}

/// Why a text is not a line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a journal: {0}")]
pub struct JournalLineError(String);

/// The keys that the lines of every release have.
#[derive(Deserialize)]
struct LineHeader {
    at: Timestamp,
    #[serde(default)]
    machine: Option<MachineId>,
    event: String,
    #[serde(default)]
    critical: bool,
}

impl JournalLine {
    /// Returns the line as text, without a line feed.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a line has only text keys, so it is JSON")
    }

    /// Parses a line. An event with an unknown name is not an error.
    pub fn parse(text: &str) -> Result<ParsedLine, JournalLineError> {
        let error = match serde_json::from_str(text) {
            Ok(line) => return Ok(ParsedLine::Known(Box::new(line))),
            Err(error) => JournalLineError(error.to_string()),
        };
        let Ok(header) = serde_json::from_str::<LineHeader>(text) else {
            return Err(error);
        };
        if Event::is_known(&header.event) {
            return Err(error);
        }
        Ok(ParsedLine::Unknown {
            at: header.at,
            machine: header.machine,
            event: header.event,
            critical: header.critical,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MachineEvent;

    #[test]
    fn a_line_is_json_in_the_documented_order() {
        let line = JournalLine {
            at: Timestamp(1_795_348_800_120),
            machine: Some(MachineId(0xab)),
            event: MachineEvent::Attempt {
                sealed: Timestamp::default(),
                attempt: 1,
                installs: 1,
                task: "esxi".parse().unwrap(),
                repo: None,
            }
            .into(),
            revision: Some(Revision::new("3f9c2e1")),
        };
        let text = line.text();
        assert_eq!(
            text,
            r#"{"at":"2026-11-22T12:00:00.120Z","machine":"00000000000000ab","event":"attempt","attempt":1,"installs":1,"task":"esxi","revision":"3f9c2e1"}"#
        );
        assert_eq!(
            JournalLine::parse(&text),
            Ok(ParsedLine::Known(Box::new(line)))
        );
    }

    #[test]
    fn an_event_of_a_later_release_is_not_an_invalid_line() {
        let unknown = r#"{"at":"2026-11-22T12:00:00.120Z","machine":"00000000000000ab","event":"teleported","critical":true}"#;
        let Ok(ParsedLine::Unknown {
            event, critical, ..
        }) = JournalLine::parse(unknown)
        else {
            panic!()
        };
        assert_eq!((event.as_str(), critical), ("teleported", true));
        for invalid in [
            "",
            "{",
            r#"{"event":"paused"}"#,
            r#"{"at":"2026-11-22T12:00:00.120Z","event":"attempt","attempt":"one"}"#,
        ] {
            assert!(JournalLine::parse(invalid).is_err(), "{invalid}");
        }
    }
}
