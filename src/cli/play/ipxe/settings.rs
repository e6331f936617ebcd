//! iPXE's settings: values of the machine, and variables of scripts.

use std::collections::BTreeMap;

use crate::model::Mac;

/// A value with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpxeSetting {
    /// Text or a number.
    Text(String),
    /// A MAC.
    Mac(Mac),
}

/// All settings by name.
#[derive(Debug, Clone, Default)]
pub struct IpxeSettings(BTreeMap<String, IpxeSetting>);

impl IpxeSettings {
    pub fn set(&mut self, name: &str, value: IpxeSetting) {
        self.0.insert(name.into(), value);
    }

    /// Unsets a setting.
    pub fn clear(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of `name` or `name:type` as text.
    pub fn read(&self, name: &str) -> String {
        let (name, form) = name.split_once(':').unwrap_or((name, ""));
        self.0
            .get(name)
            .map_or(String::new(), |value| value.formatted(form))
    }

    /// The value of `name` as a number; zero if it is not a number.
    pub fn number(&self, name: &str) -> i64 {
        self.read(name).parse().unwrap_or(0)
    }
}

impl IpxeSetting {
    fn formatted(&self, form: &str) -> String {
        match form {
            "hex" => hex(&self.bytes(), ":"),
            "hexhyp" => hex(&self.bytes(), "-"),
            "hexraw" => hex(&self.bytes(), ""),
            "uristring" => crate::render::encoded(&self.natural()),
            _ => self.natural(),
        }
    }

    fn natural(&self) -> String {
        match self {
            IpxeSetting::Text(text) => text.clone(),
            IpxeSetting::Mac(mac) => mac.to_string(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            IpxeSetting::Text(text) => text.clone().into_bytes(),
            IpxeSetting::Mac(mac) => mac.0.to_vec(),
        }
    }
}

fn hex(bytes: &[u8], between: &str) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_formatted_as_the_requested_type() {
        let mut settings = IpxeSettings::default();
        settings.set(
            "mac",
            IpxeSetting::Mac("00:50:56:AA:bb:01".parse().unwrap()),
        );
        settings.set("serial", IpxeSetting::Text("A b&1".into()));
        for (name, expected) in [
            ("mac", "00:50:56:aa:bb:01"),
            ("mac:hexhyp", "00-50-56-aa-bb-01"),
            ("mac:hexraw", "005056aabb01"),
            ("serial", "A b&1"),
            ("serial:hexraw", "4120622631"),
            ("serial:uristring", "A%20b%261"),
            ("asset:hexraw", ""),
        ] {
            assert_eq!(settings.read(name), expected, "{name}");
        }
    }
}
