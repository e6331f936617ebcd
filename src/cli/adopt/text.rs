//! The text of the file that declares an adopted machine, in TOML or KDL.
//!
//! Values that the machine reported are only written to comments and in plain characters, since it may have sent anything.

use std::net::IpAddr;

use crate::cli::arguments::DeclarationFormat;
use crate::model::{ByteSize, DiskFact, Facts, NetworkName, NicFact, NodeName, Platform};

/// The number of NICs, and of disks, that are described.
const MAX_DESCRIBED: usize = 16;

/// The machine to declare.
#[derive(Debug, Clone)]
pub(super) struct AdoptedNode {
    pub(super) name: NodeName,
    /// Its name in `nodes` before it was declared.
    pub(super) before: String,
    pub(super) macs: Vec<String>,
    pub(super) serial: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) network: Option<NetworkName>,
    /// The address that was assigned to it.
    pub(super) address: Option<IpAddr>,
    /// Free addresses, to suggest if it has none.
    pub(super) free: Vec<(NetworkName, IpAddr)>,
    /// Its host name, if the declaration must set it.
    pub(super) hostname: Option<String>,
    /// The key `installs`; `None` leaves the default.
    pub(super) installs: Option<u32>,
    pub(super) facts: Facts,
}

/// A line of the file.
enum FileLine {
    Comment(String),
    Texts(&'static str, Vec<String>),
    Number(&'static str, u32),
    /// A key in a comment, for the operator to uncomment, with a note.
    Suggestion(&'static str, String, String),
}

impl AdoptedNode {
    pub(super) fn text(&self, format: DeclarationFormat) -> String {
        let head = self.description().into_iter();
        let mut text: String = head.map(|line| format.comment(&line)).collect();
        text += &format.opening(&self.name);
        text.extend(self.lines().iter().map(|line| format.line(line)));
        text + format.closing()
    }

    /// The comment at the top of the file: the machine's hardware.
    fn description(&self) -> Vec<String> {
        let facts = &self.facts;
        let mut lines = vec![format!("Adopted from {}.", self.before)];
        let names = [&facts.manufacturer, &facts.product];
        let firmware = facts.firmware.map(|firmware| match firmware {
            Platform::Efi => "UEFI".to_string(),
            Platform::Pcbios => "BIOS".to_string(),
        });
        let model = joined(" ", names.into_iter().flatten().cloned());
        lines.extend(joined(", ", model.into_iter().chain(firmware)));
        let counted = |count: Option<u64>, noun| count.map(|count| format!("{count} {noun}"));
        let parts = [
            facts.cpu_model.clone(),
            counted(facts.sockets, "sockets"),
            counted(facts.cores, "cores"),
            counted(facts.memory_mib, "MiB of memory"),
        ];
        lines.extend(joined(", ", parts.into_iter().flatten()));
        let nics = facts.nics.iter().flatten().take(MAX_DESCRIBED);
        lines.extend(nics.map(nic));
        let disks = facts.disks.iter().flatten().take(MAX_DESCRIBED);
        lines.extend(disks.map(disk));
        lines.extend(facts.bmc.as_ref().map(|bmc| format!("bmc {bmc}")));
        lines
    }

    fn lines(&self) -> Vec<FileLine> {
        let mut lines = self.identity();
        let text = |key, value: &str| FileLine::Texts(key, vec![value.into()]);
        lines.extend(self.policy.as_ref().map(|policy| text("policy", policy)));
        let network = self.network.as_ref();
        lines.extend(network.map(|network| text("network", network.as_str())));
        lines.extend(self.address.map(|ip| text("address", &ip.to_string())));
        for (network, ip) in &self.free {
            let note = format!("free in network {network}");
            lines.push(FileLine::Suggestion("address", ip.to_string(), note));
        }
        lines.extend(self.hostname.as_ref().map(|name| text("hostname", name)));
        match self.installs {
            None => {}
            Some(0) => {
                let comment = "It is never installed while this is 0. To install it, set 1 and a policy or a repo.";
                lines.push(FileLine::Comment(comment.into()));
            }
            Some(_) => {
                let comment = "It is installed. To install it once more, increase this by one.";
                lines.push(FileLine::Comment(comment.into()));
            }
        }
        lines.extend(
            self.installs
                .map(|number| FileLine::Number("installs", number)),
        );
        lines
    }

    /// The MACs identify it. Serial numbers and UUIDs may occur twice; they are used only if it has no MAC.
    fn identity(&self) -> Vec<FileLine> {
        let others = [("serial", &self.serial), ("uuid", &self.uuid)];
        let others = others
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)));
        if self.macs.is_empty() {
            return others
                .map(|(key, value)| FileLine::Texts(key, vec![value]))
                .collect();
        }
        let note = || "not needed: its MACs identify it".into();
        let others = others.map(|(key, value)| FileLine::Suggestion(key, value, note()));
        let macs = FileLine::Texts("mac", self.macs.clone());
        std::iter::once(macs).chain(others).collect()
    }
}

impl DeclarationFormat {
    /// The extension of a file's name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            DeclarationFormat::Toml => "toml",
            DeclarationFormat::Kdl => "kdl",
        }
    }

    fn opening(self, name: &NodeName) -> String {
        match self {
            DeclarationFormat::Toml if name.as_str().contains('.') => {
                format!("[node.\"{name}\"]\n")
            }
            DeclarationFormat::Toml => format!("[node.{name}]\n"),
            DeclarationFormat::Kdl => format!("node \"{name}\" {{\n"),
        }
    }

    fn closing(self) -> &'static str {
        match self {
            DeclarationFormat::Toml => "",
            DeclarationFormat::Kdl => "}\n",
        }
    }

    fn line(self, line: &FileLine) -> String {
        let text = match line {
            FileLine::Comment(comment) => self.comment(comment),
            FileLine::Texts(key, values) => format!("{}\n", self.key(key, values)),
            FileLine::Number(key, value) => match self {
                DeclarationFormat::Toml => format!("{key} = {value}\n"),
                DeclarationFormat::Kdl => format!("{key} {value}\n"),
            },
            FileLine::Suggestion(key, value, note) => {
                let key = self.key(key, std::slice::from_ref(value));
                self.comment(&format!("{key}    ({note})"))
            }
        };
        match self {
            DeclarationFormat::Toml => text,
            DeclarationFormat::Kdl => format!("    {text}"),
        }
    }

    fn key(self, key: &str, values: &[String]) -> String {
        let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        match (self, quoted.as_slice()) {
            (DeclarationFormat::Toml, [one]) => format!("{key} = {one}"),
            (DeclarationFormat::Toml, all) => format!("{key} = [{}]", all.join(", ")),
            (DeclarationFormat::Kdl, all) => format!("{key} {}", all.join(" ")),
        }
    }

    fn comment(self, text: &str) -> String {
        let text = printable(text);
        match self {
            DeclarationFormat::Toml => format!("# {text}\n"),
            DeclarationFormat::Kdl => format!("// {text}\n"),
        }
    }
}

fn nic(nic: &NicFact) -> String {
    let speed = nic.speed_mbit.map(|speed| format!("{speed} Mbit/s"));
    let link = nic.link.map(|link| match link {
        true => "link up".to_string(),
        false => "no link".to_string(),
    });
    let switch = nic.lldp.as_ref().map(|switch| format!("at {switch}"));
    let parts = [nic.driver.clone(), speed, link, switch];
    let parts = parts.into_iter().flatten();
    let all = std::iter::once(format!("NIC {}", nic.mac)).chain(parts);
    joined(", ", all).unwrap_or_default()
}

fn disk(disk: &DiskFact) -> String {
    let size = disk.size_bytes.map(|size| ByteSize(size).to_string());
    let serial = disk
        .serial
        .as_ref()
        .map(|serial| format!("serial {serial}"));
    let contents = disk
        .contents
        .as_ref()
        .map(|contents| format!("contains {contents}"));
    let parts = [
        disk.model.clone(),
        size,
        disk.transport.clone(),
        serial,
        contents,
    ];
    let all = std::iter::once(format!("disk {}", disk.path)).chain(parts.into_iter().flatten());
    joined(", ", all).unwrap_or_default()
}

fn joined(between: &str, parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

/// A quoted string, valid in both formats.
fn quoted(text: &str) -> String {
    let text = printable(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// Replaces every character except printable ASCII and letters and digits of any script. What remains is valid in comments
/// of both formats (TOML 1.0 "Comment", KDL 2.0 "Disallowed Literal Code Points").
fn printable(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    text.chars()
        .map(|c| if plain(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopted() -> AdoptedNode {
        let mut facts = Facts::default();
        for (name, text) in [
            ("manufacturer", "Example"),
            ("product", "R1\u{202e}\n[node.evil]"),
            ("firmware", "efi"),
            ("cores", "4"),
            ("memory_mib", "8192"),
            (
                "nics",
                r#"[{"mac":"52:54:00:00:00:01","driver":"virtio_net","link":true}]"#,
            ),
            (
                "disks",
                r#"[{"path":"/dev/vda","size_bytes":32000000000,"serial":"D1","contents":"zfs"}]"#,
            ),
        ] {
            facts.update(Facts::parse(name, text).unwrap());
        }
        AdoptedNode {
            name: "web7".parse().unwrap(),
            before: "52-54-00-00-00-01".into(),
            macs: vec!["52:54:00:00:00:01".into(), "52:54:00:00:00:02".into()],
            serial: Some("S\"1".into()),
            uuid: None,
            policy: None,
            network: None,
            address: None,
            free: vec![(
                "lab".parse().unwrap(),
                "192.0.2.50".parse::<IpAddr>().unwrap(),
            )],
            hostname: None,
            installs: Some(0),
            facts,
        }
    }

    #[test]
    fn a_machine_that_is_not_installed_is_declared_and_protected() {
        let toml = adopted().text(DeclarationFormat::Toml);
        assert_eq!(
            toml,
            "# Adopted from 52-54-00-00-00-01.\n\
             # Example R1??[node.evil], UEFI\n\
             # 4 cores, 8192 MiB of memory\n\
             # NIC 52:54:00:00:00:01, virtio_net, link up\n\
             # disk /dev/vda, 32.0 GB, serial D1, contains zfs\n\
             [node.web7]\n\
             mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n\
             # serial = \"S\\\"1\"    (not needed: its MACs identify it)\n\
             # address = \"192.0.2.50\"    (free in network lab)\n\
             # It is never installed while this is 0. To install it, set 1 and a policy or a repo.\n\
             installs = 0\n"
        );
        let kdl = adopted().text(DeclarationFormat::Kdl);
        let body = kdl.split_once("node \"web7\" {\n").unwrap().1;
        assert_eq!(
            body,
            "    mac \"52:54:00:00:00:01\" \"52:54:00:00:00:02\"\n\
             \x20   // serial \"S\\\"1\"    (not needed: its MACs identify it)\n\
             \x20   // address \"192.0.2.50\"    (free in network lab)\n\
             \x20   // It is never installed while this is 0. To install it, set 1 and a policy or a repo.\n\
             \x20   installs 0\n}\n"
        );
    }

    #[test]
    fn an_installed_machine_keeps_its_address_and_host_name() {
        let installed = AdoptedNode {
            name: "web.7".parse().unwrap(),
            policy: Some("web".into()),
            network: Some("lab".parse().unwrap()),
            address: "192.0.2.50".parse().ok(),
            free: Vec::new(),
            hostname: Some("web7.lab.example".into()),
            installs: Some(2),
            serial: None,
            facts: Facts::default(),
            ..adopted()
        };
        assert_eq!(
            installed.text(DeclarationFormat::Toml),
            "# Adopted from 52-54-00-00-00-01.\n\
             [node.\"web.7\"]\n\
             mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n\
             policy = \"web\"\n\
             network = \"lab\"\n\
             address = \"192.0.2.50\"\n\
             hostname = \"web7.lab.example\"\n\
             # It is installed. To install it once more, increase this by one.\n\
             installs = 2\n"
        );
    }

    #[test]
    fn a_machine_without_a_mac_is_identified_by_its_serial_number() {
        let board = AdoptedNode {
            macs: Vec::new(),
            facts: Facts::default(),
            ..adopted()
        };
        let text = board.text(DeclarationFormat::Toml);
        assert!(text.contains("\nserial = \"S\\\"1\"\n"), "{text}");
    }
}
