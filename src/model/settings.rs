//! What `defaults`, a policy and a node may all set, and how one layer covers another.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    BrokerName, DiskSelector, List, NetworkName, PasswordHash, RepoName, SourceSpan, Spanned,
    TaskName, TimeSpan,
};

/// Anything an operator sets for templates, each key with its place. Boxed, since the nodes of such a map have room
/// for eleven values, and a site has a map for every machine.
pub type Vars = BTreeMap<String, Box<Spanned<serde_json::Value>>>;

macro_rules! settings {
    ($($(#[$doc:meta])* $key:literal $name:ident: $type:ty,)*) => {
        /// What `defaults`, a policy and a node may all set. Unset is not the same as empty. Every setting is boxed:
        /// a node sets few of them, and a site may have many nodes.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<Box<Spanned<$type>>>,)*
            /// How long each step may take before people are told.
            pub deadlines: Deadlines,
            /// Anything, for templates. Merged key by key.
            pub vars: Vars,
        }

        impl Settings {
            /// Fills what is unset from `lower`, a layer of lower precedence. A password's hash and its
            /// file are two forms of one setting: either covers both.
            pub fn fill(&mut self, lower: &Settings) {
                let has_password = self.has_root_password();
                let (hash, file) = (self.root_password_hash.take(), self.root_password_file.take());
                $(if self.$name.is_none() { self.$name.clone_from(&lower.$name); })*
                if has_password {
                    (self.root_password_hash, self.root_password_file) = (hash, file);
                }
                self.deadlines.fill(&lower.deadlines);
                for (key, value) in &lower.vars {
                    self.vars.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }

            /// Tells whether root's password is set, in either form.
            pub fn has_root_password(&self) -> bool {
                self.root_password_hash.is_some() || self.root_password_file.is_some()
            }

            /// Lists every setting that is made here: its key, where, and the value as JSON (secrets masked).
            pub fn listed(&self) -> Vec<(String, SourceSpan, serde_json::Value)> {
                let mut list = Vec::new();
                $(if let Some(at) = &self.$name { list.push(($key.to_string(), at.span, json(&at.value))); })*
                list.extend(self.deadlines.listed());
                list.extend(self.vars.iter().map(|(key, at)| (format!("vars.{key}"), at.span, at.value.clone())));
                list
            }
        }
    };
}

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("a setting has only text keys, so it is JSON")
}

settings! {
    /// Where the operating system's files come from.
    "repo" repo: RepoName,
    /// What installs it; default: the repo's own.
    "task" task: TaskName,
    /// To whom the finished machine is handed over.
    "broker" broker: BrokerName,
    /// Where the machine will live; may be left out where its address lies in exactly one.
    "network" network: NetworkName,
    /// Where it boots, when that is not where it will live.
    "boot-network" boot_network: NetworkName,
    /// Its name: a host name, or a template such as `esx-{{ node.serial | lower }}`.
    "hostname" hostname: String,
    /// `pool`: an address of the network's pool, assigned when the machine is bound.
    "addresses" addresses: AddressSource,
    /// DNS servers.
    "dns" dns: Vec<Spanned<IpAddr>>,
    /// DNS search domains.
    "search" search: Vec<Spanned<String>>,
    /// The domain that completes a bare node name.
    "domain" domain: String,
    /// NTP servers, by address or name.
    "ntp" ntp: Vec<Spanned<String>>,
    /// root's password as a crypt(3) hash.
    "root-password-hash" root_password_hash: PasswordHash,
    /// A file (0600 or 0640) that holds root's password or its hash.
    "root-password-file" root_password_file: String,
    /// Keys that may log in as root, and as `user`.
    "ssh-keys" ssh_keys: Vec<Spanned<String>>,
    /// An account besides root.
    "user" user: User,
    /// Packages beyond the installer's minimum.
    "packages" packages: Vec<Spanned<String>>,
    /// Scripts that run once on the installed system, rendered when they end in `.j2`.
    "first-boot" first_boot: Vec<Spanned<String>>,
    /// Time zone, such as `Europe/Berlin`.
    "timezone" timezone: String,
    /// Locale, such as `en_US.UTF-8`.
    "locale" locale: String,
    /// Keyboard layout, such as `us`.
    "keyboard" keyboard: String,
    /// Which disk is installed to.
    "disk" disk: DiskSelector,
    /// Disks that are never touched, by path or serial number.
    "keep" keep: Vec<Spanned<String>>,
    /// Whether the machine boots with Secure Boot: vendor-signed loaders only.
    "secure-boot" secure_boot: bool,
    /// Words for the installer's kernel command line.
    "kernel-args" kernel_args: Vec<Spanned<String>>,
    /// Words for the installed system's kernel command line.
    "boot-args" boot_args: Vec<Spanned<String>>,
    /// How this machine's firmware is sent to its disk.
    "local-boot" local_boot: LocalBoot,
    /// What the installed system does with the firmware's boot order.
    "boot-order" boot_order: BootOrder,
    /// The loader file for this machine.
    "loader" loader: String,
    /// How many more attempts follow one that failed by itself; default 2.
    "retries" retries: u32,
    /// An expression over facts that must hold before anything is wiped.
    "expect" expect: String,
}

/// Where static addresses come from when a node declares none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressSource {
    /// The network's `pool`.
    Pool,
}

/// How a machine is sent to its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// By firmware: BIOS `sanboot`, then `exit`; UEFI `exit 1`.
    Auto,
    /// iPXE's `exit`.
    Exit,
    /// iPXE's `exit 1`, which makes UEFI go on to the next boot entry.
    Exit1,
    /// iPXE's `sanboot --no-describe --drive 0x80`, then `exit`.
    Sanboot,
    /// No answer to DHCP: slow, but works on everything.
    Silent,
}

/// What the installed system does with the firmware's boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// Nothing.
    Leave,
    /// Puts the network first again (efibootmgr).
    NetworkFirst,
}

/// An account besides root.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Its name. The one key that must be there.
    pub name: Option<Spanned<String>>,
    /// Its password as a crypt(3) hash; without one it logs in by key alone.
    pub password_hash: Option<Spanned<PasswordHash>>,
    /// A file that holds its password or the hash.
    pub password_file: Option<Spanned<String>>,
    /// Keys that may log in, besides those of `ssh-keys`.
    pub ssh_keys: Option<List<String>>,
    /// Whether it may become root without a password (sudo).
    pub sudo: Option<Spanned<bool>>,
}

/// How long each step of an installation may take before people are told. A deadline takes nothing from
/// a machine. Boxed as every setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deadlines {
    /// From the hand-out to the document's last byte; default 10 minutes.
    pub document: Option<Box<Spanned<TimeSpan>>>,
    /// From the document to `installing`; default 45 minutes.
    pub installing: Option<Box<Spanned<TimeSpan>>>,
    /// From `installing` to `installed`; default 60 minutes.
    pub installed: Option<Box<Spanned<TimeSpan>>>,
    /// From `installed` to `finished`; default 30 minutes.
    pub finished: Option<Box<Spanned<TimeSpan>>>,
}

impl Deadlines {
    fn fill(&mut self, lower: &Deadlines) {
        let pairs = [
            (&mut self.document, &lower.document),
            (&mut self.installing, &lower.installing),
            (&mut self.installed, &lower.installed),
            (&mut self.finished, &lower.finished),
        ];
        for (own, lower) in pairs {
            if own.is_none() {
                own.clone_from(lower);
            }
        }
    }

    fn listed(&self) -> impl Iterator<Item = (String, SourceSpan, serde_json::Value)> {
        let steps = [
            ("document", &self.document),
            ("installing", &self.installing),
            ("installed", &self.installed),
            ("finished", &self.finished),
        ];
        steps.into_iter().filter_map(|(step, at)| {
            let at = at.as_ref()?;
            Some((format!("deadlines.{step}"), at.span, json(&at.value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;

    #[test]
    fn a_password_file_covers_the_hash_of_a_lower_layer() {
        let span = SourceSpan {
            file: FileId(0),
            start: 0,
            end: 0,
        };
        let hash: PasswordHash = "x".repeat(13).parse().unwrap();
        let lower = Settings {
            root_password_hash: Some(Box::new(Spanned::new(hash, span))),
            ..Settings::default()
        };
        let mut node = Settings {
            root_password_file: Some(Box::new(Spanned::new("root".into(), span))),
            ..Settings::default()
        };
        node.fill(&lower);
        assert_eq!(node.root_password_hash, None);
        let mut silent = Settings::default();
        silent.fill(&lower);
        assert_eq!(silent, lower);
    }
}
