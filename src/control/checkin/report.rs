//! What a machine in the microkernel reports, held to its bounds.
//!
//! A report comes from a program that may run on any machine, and from whoever has a machine's token. A fact that is not of its
//! type, or is too much, is dropped by itself; the others count.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::model::{DiskFact, Facts, Identity, NicFact};

use crate::control::Report;

/// The longest report that is read, in bytes.
pub const LONGEST_REPORT: usize = 1 << 20;

/// What is kept of a text, in characters.
const LONGEST_TEXT: usize = 256;
/// The longest name of a fact, in characters.
const LONGEST_NAME: usize = 64;
const MOST_NICS: usize = 64;
const MOST_DISKS: usize = 256;
const MOST_OTHERS: usize = 512;
/// Facts whose names are not known.
const MOST_CUSTOM: usize = 256;

/// What a machine in the microkernel reports of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// Its facts.
    pub facts: Facts,
    /// What was dropped, and why.
    pub dropped: Vec<String>,
}

/// What is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is no JSON, or not UTF-8.
    #[error("this is no JSON: {0}")]
    Json(String),
    /// It is of another shape.
    #[error("a report is `{{\"version\": 1, \"facts\": {{…}}}}`")]
    Shape,
}

impl Reported {
    /// Reads a report: `{"version": 1, "facts": {…}}`. Known facts have the types of [`Facts`]; others count as text, and so
    /// do those under `custom`.
    pub fn read(body: &[u8]) -> Result<Reported, ReportError> {
        let report: Value =
            serde_json::from_slice(body).map_err(|error| ReportError::Json(error.to_string()))?;
        let Some(facts) = report.get("facts").and_then(Value::as_object) else {
            return Err(ReportError::Shape);
        };
        if report.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(ReportError::Shape);
        }
        let mut reported = Reported::default();
        for (name, value) in facts {
            match (name.as_str(), value) {
                ("custom", Value::Object(custom)) => reported.custom(custom),
                _ => reported.fact(name, value),
            }
        }
        Ok(reported)
    }

    /// The identities it carries.
    pub(crate) fn identity(&self) -> Identity {
        let facts = &self.facts;
        let macs = facts.nics.iter().flatten().map(|nic| nic.mac).collect();
        Report {
            macs,
            serial: facts.serial.clone(),
            uuid: facts.uuid.clone(),
            asset: facts.asset.clone(),
            ..Report::default()
        }
        .identity()
    }

    fn custom(&mut self, custom: &Map<String, Value>) {
        for (name, value) in custom {
            match Facts::NAMES.contains(&name.as_str()) {
                true => self.drop(name, "is a known fact, not one of `custom`"),
                false => self.fact(name, value),
            }
        }
    }

    fn fact(&mut self, name: &str, value: &Value) {
        if !is_name(name) {
            return self.drop(&shortened(name, LONGEST_NAME), "has no name of a fact");
        }
        let cleaned = match name {
            "nics" => self.list::<NicFact>(name, value, MOST_NICS),
            "disks" => self.list::<DiskFact>(name, value, MOST_DISKS),
            _ => cleaned(value, 0),
        };
        let Some(cleaned) = cleaned else {
            return self.drop(name, "is too much");
        };
        let text = match &cleaned {
            Value::String(text) => text.clone(),
            Value::Null => return,
            other => other.to_string(),
        };
        let is_known = Facts::NAMES.contains(&name);
        if !is_known && self.facts.custom.len() == MOST_CUSTOM {
            return self.drop(name, "is one too many");
        }
        let text = if is_known {
            text
        } else {
            shortened(&text, LONGEST_TEXT)
        };
        match Facts::parse(name, &text) {
            Some(fact) => self.facts.update(fact),
            None => self.drop(name, "is not of its type"),
        }
    }

    /// The entries of a list that are what they are to be.
    fn list<T: DeserializeOwned>(
        &mut self,
        name: &str,
        value: &Value,
        most: usize,
    ) -> Option<Value> {
        let entries = value.as_array().filter(|entries| entries.len() <= most)?;
        let mut kept = Vec::new();
        for entry in entries {
            match cleaned(entry, 0).filter(|entry| T::deserialize(entry).is_ok()) {
                Some(entry) => kept.push(entry),
                None => self.drop(name, "has an entry that is none"),
            }
        }
        Some(Value::Array(kept))
    }

    fn drop(&mut self, name: &str, why: &str) {
        let what = format!("fact `{name}` {why}");
        if !self.dropped.contains(&what) && self.dropped.len() < MOST_OTHERS {
            self.dropped.push(what);
        }
    }
}

/// Whether this can be the name of a fact: letters, digits, `_`, `-` and `.`, as an expression or a log can show it.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.chars().all(plain)
        && !name.starts_with('.')
}

/// A value with its texts shortened and without control characters; none when it is too large or too deep.
fn cleaned(value: &Value, depth: usize) -> Option<Value> {
    Some(match value {
        _ if depth > 4 => return None,
        Value::String(text) => Value::String(shortened(text, LONGEST_TEXT)),
        Value::Array(list) if list.len() > MOST_OTHERS => return None,
        Value::Array(list) => {
            let list = list.iter().map(|entry| cleaned(entry, depth + 1));
            Value::Array(list.collect::<Option<_>>()?)
        }
        Value::Object(map) if map.len() > MOST_OTHERS => return None,
        Value::Object(map) => {
            let entries = map.iter().map(|(name, value)| {
                Some((shortened(name, LONGEST_NAME), cleaned(value, depth + 1)?))
            });
            Value::Object(entries.collect::<Option<_>>()?)
        }
        plain => plain.clone(),
    })
}

fn shortened(text: &str, most: usize) -> String {
    let plain = text.trim().chars().map(|c| match c {
        c if c.is_control() => ' ',
        c => c,
    });
    plain.take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(facts: &str) -> Reported {
        Reported::read(format!(r#"{{"version":1,"facts":{facts}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn what_is_of_its_type_counts_and_the_rest_is_dropped_by_itself() {
        let reported = read(
            r#"{"memory_mib": 1024, "cores": "two", "secure_boot": false, "firmware": "efi", "rack": 7,
                "nics": [{"mac": "52:54:00:00:00:01", "link": true}, {"mac": "none"}],
                "disks": "many", "serial": null, "custom": {"colour": "red", "cores": 4}}"#,
        );
        let facts = &reported.facts;
        assert_eq!((facts.memory_mib, facts.cores), (Some(1024), None));
        assert_eq!((facts.secure_boot, &facts.serial), (Some(false), &None));
        assert_eq!(facts.custom["rack"], "7");
        assert_eq!(facts.custom["colour"], "red");
        assert_eq!(facts.nics.as_ref().unwrap().len(), 1);
        assert_eq!(
            reported.dropped,
            [
                "fact `cores` is not of its type",
                "fact `nics` has an entry that is none",
                "fact `disks` is too much",
                "fact `cores` is a known fact, not one of `custom`",
            ]
        );
    }

    #[test]
    fn what_is_no_report_says_so() {
        for body in [
            &b"\xff\xfe"[..],
            b"",
            b"{",
            b"[]",
            b"{\"version\":2,\"facts\":{}}",
            b"{\"facts\":{}}",
        ] {
            assert!(Reported::read(body).is_err(), "{body:?}");
        }
        let deep = format!("{{\"version\":1,\"facts\":{}", "[".repeat(100_000));
        assert!(Reported::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn texts_are_lines_of_a_length_and_lists_have_an_end() {
        let long = "x".repeat(5_000);
        let disk = r#"{"path":"/dev/sda"}"#;
        let disks = vec![disk; 10_000].join(",");
        let custom: Vec<_> = (0..400).map(|n| format!("\"c{n}\":\"v\"")).collect();
        let reported = read(&format!(
            r#"{{"product": "a\u001b[31m\nb{long}", "disks": [{disks}], "../../x": "y", "bmc": "{{{{ secret('x') }}}}",
                "memory_mib": 99999999999999999999999, "cores": -1, "pci": [[[[[[1]]]]]], {}}}"#,
            custom.join(",")
        ));
        let facts = &reported.facts;
        let product = facts.product.as_deref().unwrap();
        assert!(product.starts_with("a [31m b") && product.chars().count() == LONGEST_TEXT);
        assert_eq!(facts.bmc.as_deref(), Some("{{ secret('x') }}"));
        assert_eq!(
            (&facts.disks, facts.memory_mib, facts.cores),
            (&None, None, None)
        );
        assert_eq!(facts.custom.len(), MOST_CUSTOM);
        for what in ["`disks`", "`../../x`", "`memory_mib`", "`cores`", "`pci`"] {
            let told = reported.dropped.iter().any(|told| told.contains(what));
            assert!(told, "{what}");
        }
    }
}
