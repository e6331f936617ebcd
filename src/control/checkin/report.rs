//! Parses and limits the report of a machine in the microkernel.
//!
//! A report may come from any program on any machine, or from anyone who has a machine's token. A fact of the wrong
//! type or above a limit is dropped; the other facts are used.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::model::{DiskFact, Facts, Identity, NicFact};

use crate::control::Report;

/// The maximum size of a report in bytes. The facts that are kept of it are far smaller.
pub const MAX_REPORT_BYTES: usize = 256 << 10;

/// The maximum length of a text in characters; the rest is cut.
const MAX_TEXT: usize = 256;
/// The maximum length of a fact's name in characters.
const MAX_NAME: usize = 64;
const MAX_NICS: usize = 64;
const MAX_DISKS: usize = 256;
const MAX_ENTRIES: usize = 512;
/// The maximum number of facts with unknown names.
const MAX_CUSTOM: usize = 256;

/// A report of a machine in the microkernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    pub facts: Facts,
    /// The facts that were dropped, with the reasons.
    pub dropped: Vec<String>,
}

/// Why a body is not a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or not UTF-8.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// JSON of another structure.
    #[error("a report is `{{\"version\": 1, \"facts\": {{…}}}}`")]
    Shape,
}

impl Reported {
    /// Parses a report: `{"version": 1, "facts": {…}}`. Known facts have the types of [`Facts`]. Others are stored
    /// as text, including those under `custom`.
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
        for name in reported.facts.limit() {
            reported.drop(&name, "has no room: a machine has at most 32 KiB of facts");
        }
        Ok(reported)
    }

    /// The identities of the board in the report.
    pub(crate) fn identity(&self) -> Identity {
        let facts = &self.facts;
        Report {
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
            return self.drop(&shortened(name, MAX_NAME), "has an invalid name");
        }
        let cleaned = match name {
            "nics" => self.list::<NicFact>(name, "mac", value, MAX_NICS),
            "disks" => self.list::<DiskFact>(name, "path", value, MAX_DISKS),
            _ => cleaned(value, 0),
        };
        let Some(cleaned) = cleaned else {
            let is_list = ["nics", "disks"].contains(&name);
            return self.drop(
                name,
                if is_list {
                    "is not a list"
                } else {
                    "is too large"
                },
            );
        };
        let text = match &cleaned {
            Value::String(text) => text.clone(),
            Value::Null => return,
            other => other.to_string(),
        };
        let is_known = Facts::NAMES.contains(&name);
        if !is_known && self.facts.custom.len() == MAX_CUSTOM {
            return self.drop(name, "exceeds the number of facts");
        }
        let text = if is_known {
            text
        } else {
            shortened(&text, MAX_TEXT)
        };
        match Facts::parse(name, &text) {
            Some(fact) => self.facts.update(fact),
            None => self.drop(name, "is not of its type"),
        }
    }

    /// The valid entries of a list, at most `max` of them. Each must have the field `required`.
    fn list<T: DeserializeOwned>(
        &mut self,
        name: &str,
        required: &str,
        value: &Value,
        max: usize,
    ) -> Option<Value> {
        let entries = value.as_array()?;
        if entries.len() > max {
            self.drop(
                name,
                &format!("has more than {max} entries: the first count"),
            );
        }
        let mut valid = Vec::new();
        for entry in entries.iter().take(max) {
            match cleaned(entry, 0).and_then(|entry| self.entry::<T>(name, required, entry)) {
                Some(entry) => valid.push(entry),
                None => self.drop(name, "has an invalid entry"),
            }
        }
        Some(Value::Array(valid))
    }

    /// An entry without the fields that are not of their type; none if that is the required one.
    fn entry<T: DeserializeOwned>(
        &mut self,
        name: &str,
        required: &str,
        entry: Value,
    ) -> Option<Value> {
        if T::deserialize(&entry).is_ok() {
            return Some(entry);
        }
        let fields = entry.as_object()?;
        let identified = (required.to_owned(), fields.get(required)?.clone());
        T::deserialize(&Value::from_iter([identified.clone()])).ok()?;
        let mut kept = Map::new();
        for (field, value) in fields {
            let alone = [identified.clone(), (field.clone(), value.clone())];
            match T::deserialize(&Value::from_iter(alone)) {
                Ok(_) => drop(kept.insert(field.clone(), value.clone())),
                Err(_) => self.drop(name, &format!("has an entry with an invalid `{field}`")),
            }
        }
        Some(Value::Object(kept))
    }

    fn drop(&mut self, name: &str, why: &str) {
        let what = format!("fact `{name}` {why}");
        if !self.dropped.contains(&what) && self.dropped.len() < MAX_ENTRIES {
            self.dropped.push(what);
        }
    }
}

/// Whether this is a valid name of a fact: letters, digits, `_`, `-` and `.`, which expressions and logs can
/// display.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain) && !name.starts_with('.')
}

/// Returns a value with its texts shortened and without control characters; none if it is too large or nested too
/// deeply.
fn cleaned(value: &Value, depth: usize) -> Option<Value> {
    Some(match value {
        _ if depth > 4 => return None,
        Value::String(text) => Value::String(shortened(text, MAX_TEXT)),
        Value::Array(list) if list.len() > MAX_ENTRIES => return None,
        Value::Array(list) => {
            let list = list.iter().map(|entry| cleaned(entry, depth + 1));
            Value::Array(list.collect::<Option<_>>()?)
        }
        Value::Object(map) if map.len() > MAX_ENTRIES => return None,
        Value::Object(map) => {
            let entries = map
                .iter()
                .map(|(name, value)| Some((shortened(name, MAX_NAME), cleaned(value, depth + 1)?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
        plain => plain.clone(),
    })
}

fn shortened(text: &str, max: usize) -> String {
    let plain = text.trim().chars().map(|c| match c {
        c if c.is_control() => ' ',
        c => c,
    });
    plain.take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MAX_FACTS;

    fn read(facts: &str) -> Reported {
        Reported::read(format!(r#"{{"version":1,"facts":{facts}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn facts_of_the_wrong_type_are_dropped_and_the_rest_is_used() {
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
                "fact `nics` has an invalid entry",
                "fact `disks` is not a list",
                "fact `cores` is a known fact, not one of `custom`",
            ]
        );
    }

    #[test]
    fn the_first_entries_of_a_list_count_and_an_invalid_field_is_left_out() {
        let nic =
            |n: usize| format!(r#"{{"mac":"52:54:00:00:00:{n:02x}","speed_mbit":-1,"link":true}}"#);
        let nics: Vec<_> = (0..70).map(nic).collect();
        let disk = |n: usize| format!(r#"{{"path":"/dev/sd{n}","size_bytes":"lots"}}"#);
        let disks: Vec<_> = (0..300).map(disk).collect();
        let report = |nics: &[String], disks: &[String]| {
            read(&format!(
                r#"{{"nics":[{}],"disks":[{}]}}"#,
                nics.join(","),
                disks.join(",")
            ))
        };
        let reported = report(&nics, &disks);
        let found = reported.facts.nics.unwrap();
        assert_eq!(found.len(), MAX_NICS);
        assert_eq!((found[63].speed_mbit, found[63].link), (None, Some(true)));
        assert_eq!(found[63].mac.to_string(), "52:54:00:00:00:3f");
        let found = reported.facts.disks.unwrap();
        assert_eq!((found.len(), found[255].size_bytes), (MAX_DISKS, None));
        assert_eq!(
            reported.dropped,
            [
                "fact `nics` has more than 64 entries: the first count",
                "fact `nics` has an entry with an invalid `speed_mbit`",
                "fact `disks` has more than 256 entries: the first count",
                "fact `disks` has an entry with an invalid `size_bytes`",
            ]
        );
    }

    #[test]
    fn an_invalid_report_is_rejected_with_the_reason() {
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
    fn all_facts_of_a_report_together_are_limited() {
        let text = "x".repeat(MAX_TEXT);
        let custom: Vec<_> = (0..MAX_CUSTOM)
            .map(|n| format!("\"c{n:03}\":\"{text}\""))
            .collect();
        let reported = read(&format!(r#"{{{}, "cores": 4}}"#, custom.join(",")));
        assert!(reported.facts.size() <= MAX_FACTS);
        assert_eq!(reported.facts.cores, Some(4));
        let without_room = MAX_CUSTOM - reported.facts.custom.len();
        assert!(without_room > 100 && reported.dropped.len() == without_room);
        assert_eq!(
            reported.dropped.last().unwrap(),
            "fact `c255` has no room: a machine has at most 32 KiB of facts"
        );
    }

    #[test]
    fn texts_and_lists_are_limited() {
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
        assert!(product.starts_with("a [31m b") && product.chars().count() == MAX_TEXT);
        assert_eq!(facts.bmc.as_deref(), Some("{{ secret('x') }}"));
        assert_eq!(facts.disks.as_ref().unwrap().len(), MAX_DISKS);
        assert_eq!((facts.memory_mib, facts.cores), (None, None));
        // The disks take a part of the room.
        assert!(facts.custom.len() > 100 && facts.custom.len() <= MAX_CUSTOM);
        for what in ["`disks`", "`../../x`", "`memory_mib`", "`cores`", "`pci`"] {
            let is_dropped = reported.dropped.iter().any(|text| text.contains(what));
            assert!(is_dropped, "{what}");
        }
    }
}
