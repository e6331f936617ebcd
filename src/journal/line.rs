//! One line of the journal: an event with its moment, as JSON.
//!
//! The keys are `at`, `machine`, `event`, those of the event, and `revision`.

use serde::{Deserialize, Serialize};

use super::{Event, MachineId};
use crate::model::{Revision, Timestamp};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalLine {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// To which machine; none for what concerns the whole site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
    /// By which state of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// What a line of a journal turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum ParsedLine {
    /// An event that is known.
    Known(Box<JournalLine>),
    /// An event of a later release. It is kept and skipped; a critical one holds its machine.
    Unknown {
        /// When.
        at: Timestamp,
        /// To which machine.
        machine: Option<MachineId>,
        /// Its name.
        event: String,
        /// Whether its writer says that nobody may act who does not understand it.
        critical: bool,
    },
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a journal: {0}")]
pub struct JournalLineError(String);

/// What every release's lines have.
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
    /// Writes the line, without a line feed.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a line has only text keys, so it is JSON")
    }

    /// Reads a line.
    pub fn parse(text: &str) -> Result<ParsedLine, JournalLineError> {
        let error = match serde_json::from_str(text) {
            Ok(line) => return Ok(ParsedLine::Known(Box::new(line))),
            Err(error) => JournalLineError(error.to_string()),
        };
        let Ok(head) = serde_json::from_str::<LineHeader>(text) else {
            return Err(error);
        };
        if Event::is_known(&head.event) {
            return Err(error);
        }
        Ok(ParsedLine::Unknown {
            at: head.at,
            machine: head.machine,
            event: head.event,
            critical: head.critical,
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
    fn a_later_release_s_event_is_told_from_a_broken_line() {
        let unknown = r#"{"at":"2026-11-22T12:00:00.120Z","machine":"00000000000000ab","event":"teleported","critical":true}"#;
        let Ok(ParsedLine::Unknown {
            event, critical, ..
        }) = JournalLine::parse(unknown)
        else {
            panic!()
        };
        assert_eq!((event.as_str(), critical), ("teleported", true));
        for broken in [
            "",
            "{",
            r#"{"event":"paused"}"#,
            r#"{"at":"2026-11-22T12:00:00.120Z","event":"attempt","attempt":"one"}"#,
        ] {
            assert!(JournalLine::parse(broken).is_err(), "{broken}");
        }
    }
}
