//! The file that declares an adopted machine, in either format.
//!
//! What a machine reported of itself stands in comments alone, and in plain characters: it may have sent anything.

use std::net::IpAddr;

use crate::cli::arguments::FileFormat;
use crate::model::{ByteSize, DiskFact, Facts, NetworkName, NicFact, NodeName, Platform};

/// So many cards, and so many disks, are described.
const MOST: usize = 16;

/// What is known of a machine that is adopted.
#[derive(Debug, Clone)]
pub(super) struct AdoptedNode {
    pub(super) name: NodeName,
    /// What it was called before.
    pub(super) before: String,
    pub(super) macs: Vec<String>,
    pub(super) serial: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) network: Option<NetworkName>,
    /// The address that it was given.
    pub(super) address: Option<IpAddr>,
    /// What it could be given instead.
    pub(super) free: Vec<(NetworkName, IpAddr)>,
    /// Its host name, where it has to stay.
    pub(super) hostname: Option<String>,
    /// None: as many as any node.
    pub(super) installs: Option<u32>,
    pub(super) facts: Facts,
}

/// A line of the file.
enum FileLine {
    Remark(String),
    Texts(&'static str, Vec<String>),
    Number(&'static str, u32),
    /// A key that is left to the operator, with a remark.
    Proposal(&'static str, String, String),
}

impl AdoptedNode {
    /// Writes the file.
    pub(super) fn written(&self, format: FileFormat) -> String {
        let head = self.described().into_iter();
        let mut text: String = head.map(|line| format.remark(&line)).collect();
        text += &format.opening(&self.name);
        text.extend(self.lines().iter().map(|line| format.line(line)));
        text + format.closing()
    }

    /// What it is, for whoever reads the file.
    fn described(&self) -> Vec<String> {
        let facts = &self.facts;
        let mut lines = vec![format!("Adopted from {}.", self.before)];
        let made = [&facts.manufacturer, &facts.product];
        let firmware = facts.firmware.map(|firmware| match firmware {
            Platform::Efi => "UEFI".to_string(),
            Platform::Pcbios => "BIOS".to_string(),
        });
        let what = joined(" ", made.into_iter().flatten().cloned());
        lines.extend(joined(", ", what.into_iter().chain(firmware)));
        let counted = |count: Option<u64>, noun| count.map(|count| format!("{count} {noun}"));
        let parts = [
            facts.cpu_model.clone(),
            counted(facts.sockets, "sockets"),
            counted(facts.cores, "cores"),
            counted(facts.memory_mib, "MiB of memory"),
        ];
        lines.extend(joined(", ", parts.into_iter().flatten()));
        let nics = facts.nics.iter().flatten().take(MOST);
        lines.extend(nics.map(nic));
        let disks = facts.disks.iter().flatten().take(MOST);
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
            let remark = format!("free in network {network}");
            lines.push(FileLine::Proposal("address", ip.to_string(), remark));
        }
        lines.extend(self.hostname.as_ref().map(|name| text("hostname", name)));
        match self.installs {
            None => {}
            Some(0) => {
                let remark = "It is never touched while this is 0. To install it: 1, and a policy or a repo.";
                lines.push(FileLine::Remark(remark.into()));
            }
            Some(_) => {
                let remark = "It is installed. For one more installation raise this by one.";
                lines.push(FileLine::Remark(remark.into()));
            }
        }
        lines.extend(
            self.installs
                .map(|number| FileLine::Number("installs", number)),
        );
        lines
    }

    /// Its cards identify it. Boards share serial numbers and UUIDs: these identify it where it has no card.
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
        let remark = || "its cards identify it".into();
        let others = others.map(|(key, value)| FileLine::Proposal(key, value, remark()));
        let cards = FileLine::Texts("mac", self.macs.clone());
        std::iter::once(cards).chain(others).collect()
    }
}

impl FileFormat {
    /// What a file's name ends in.
    pub(super) fn ending(self) -> &'static str {
        match self {
            FileFormat::Toml => "toml",
            FileFormat::Kdl => "kdl",
        }
    }

    fn opening(self, name: &NodeName) -> String {
        match self {
            FileFormat::Toml if name.as_str().contains('.') => format!("[node.\"{name}\"]\n"),
            FileFormat::Toml => format!("[node.{name}]\n"),
            FileFormat::Kdl => format!("node \"{name}\" {{\n"),
        }
    }

    fn closing(self) -> &'static str {
        match self {
            FileFormat::Toml => "",
            FileFormat::Kdl => "}\n",
        }
    }

    fn line(self, line: &FileLine) -> String {
        let text = match line {
            FileLine::Remark(remark) => self.remark(remark),
            FileLine::Texts(key, values) => format!("{}\n", self.key(key, values)),
            FileLine::Number(key, value) => match self {
                FileFormat::Toml => format!("{key} = {value}\n"),
                FileFormat::Kdl => format!("{key} {value}\n"),
            },
            FileLine::Proposal(key, value, remark) => {
                let key = self.key(key, std::slice::from_ref(value));
                self.remark(&format!("{key}    ({remark})"))
            }
        };
        match self {
            FileFormat::Toml => text,
            FileFormat::Kdl => format!("    {text}"),
        }
    }

    fn key(self, key: &str, values: &[String]) -> String {
        let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        match (self, quoted.as_slice()) {
            (FileFormat::Toml, [one]) => format!("{key} = {one}"),
            (FileFormat::Toml, all) => format!("{key} = [{}]", all.join(", ")),
            (FileFormat::Kdl, all) => format!("{key} {}", all.join(" ")),
        }
    }

    fn remark(self, text: &str) -> String {
        let text = tame(text);
        match self {
            FileFormat::Toml => format!("# {text}\n"),
            FileFormat::Kdl => format!("// {text}\n"),
        }
    }
}

fn nic(nic: &NicFact) -> String {
    let speed = nic.speed_mbit.map(|speed| format!("{speed} Mbit/s"));
    let link = nic.link.map(|link| match link {
        true => "link".to_string(),
        false => "no link".to_string(),
    });
    let switch = nic.lldp.as_ref().map(|switch| format!("at {switch}"));
    let parts = [nic.driver.clone(), speed, link, switch];
    let parts = parts.into_iter().flatten();
    let all = std::iter::once(format!("card {}", nic.mac)).chain(parts);
    joined(", ", all).unwrap_or_default()
}

fn disk(disk: &DiskFact) -> String {
    let size = disk.size_bytes.map(|size| ByteSize(size).to_string());
    let serial = disk
        .serial
        .as_ref()
        .map(|serial| format!("serial {serial}"));
    let holds = disk.contents.as_ref().map(|holds| format!("holds {holds}"));
    let parts = [
        disk.model.clone(),
        size,
        disk.transport.clone(),
        serial,
        holds,
    ];
    let all = std::iter::once(format!("disk {}", disk.path)).chain(parts.into_iter().flatten());
    joined(", ", all).unwrap_or_default()
}

fn joined(between: &str, parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

/// A text that both formats take in quotes.
fn quoted(text: &str) -> String {
    let text = tame(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// A text on one line without what either format forbids in a comment (TOML 1.0 "Comment", KDL 2.0 "Disallowed Literal Code
/// Points"): letters and digits of any script, and what else ASCII prints.
pub(super) fn tame(text: &str) -> String {
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
    fn a_machine_that_has_nothing_yet_is_declared_and_not_touched() {
        let toml = adopted().written(FileFormat::Toml);
        assert_eq!(
            toml,
            "# Adopted from 52-54-00-00-00-01.\n\
             # Example R1??[node.evil], UEFI\n\
             # 4 cores, 8192 MiB of memory\n\
             # card 52:54:00:00:00:01, virtio_net, link\n\
             # disk /dev/vda, 32.0 GB, serial D1, holds zfs\n\
             [node.web7]\n\
             mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n\
             # serial = \"S\\\"1\"    (its cards identify it)\n\
             # address = \"192.0.2.50\"    (free in network lab)\n\
             # It is never touched while this is 0. To install it: 1, and a policy or a repo.\n\
             installs = 0\n"
        );
        let kdl = adopted().written(FileFormat::Kdl);
        let body = kdl.split_once("node \"web7\" {\n").unwrap().1;
        assert_eq!(
            body,
            "    mac \"52:54:00:00:00:01\" \"52:54:00:00:00:02\"\n\
             \x20   // serial \"S\\\"1\"    (its cards identify it)\n\
             \x20   // address \"192.0.2.50\"    (free in network lab)\n\
             \x20   // It is never touched while this is 0. To install it: 1, and a policy or a repo.\n\
             \x20   installs 0\n}\n"
        );
    }

    #[test]
    fn a_machine_that_is_installed_keeps_what_it_has() {
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
            installed.written(FileFormat::Toml),
            "# Adopted from 52-54-00-00-00-01.\n\
             [node.\"web.7\"]\n\
             mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n\
             policy = \"web\"\n\
             network = \"lab\"\n\
             address = \"192.0.2.50\"\n\
             hostname = \"web7.lab.example\"\n\
             # It is installed. For one more installation raise this by one.\n\
             installs = 2\n"
        );
    }

    #[test]
    fn a_machine_without_a_card_is_known_by_its_board() {
        let board = AdoptedNode {
            macs: Vec::new(),
            facts: Facts::default(),
            ..adopted()
        };
        let text = board.written(FileFormat::Toml);
        assert!(text.contains("\nserial = \"S\\\"1\"\n"), "{text}");
    }
}
