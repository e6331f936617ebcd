//! The settings that `defaults`, a policy and a node can all set, and the precedence of these layers.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    Arch, BrokerName, DiskSelector, List, NetworkName, PasswordHash, RepoName, SourceSpan, Spanned,
    TaskName, TimeSpan,
};

/// Any values that an operator sets for templates, each with its span. They are boxed: a node of a `BTreeMap` has
/// room for eleven values, and a site has a map per machine.
pub type Vars = BTreeMap<String, Box<Spanned<serde_json::Value>>>;

macro_rules! settings {
    ($($(#[$doc:meta])* $key:literal $name:ident: $type:ty,)*) => {
        /// The settings that `defaults`, a policy and a node can all set. Unset differs from empty. Every setting
        /// is boxed: a node sets few of them, and a site may have many nodes.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<Box<Spanned<$type>>>,)*
            /// The time limit of each step, after which hooks are called.
            pub deadlines: Deadlines,
            /// Any values, for templates. Merged key by key.
            pub vars: Vars,
        }

        impl Settings {
            /// Sets what is unset from `lower`, a layer of lower precedence. A password's hash and its file are two
            /// forms of one setting: either one overrides both.
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

            /// Whether root's password is set, in either form.
            pub fn has_root_password(&self) -> bool {
                self.root_password_hash.is_some() || self.root_password_file.is_some()
            }

            /// Lists every setting of this layer: its key, its span, and its value as JSON (secrets masked).
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
    /// The source of the operating system's files.
    "repo" repo: RepoName,
    /// What installs it; default: the task of the repo.
    "task" task: TaskName,
    /// The system that takes over the finished machine.
    "broker" broker: BrokerName,
    /// The network of the installed machine; optional if its address is in exactly one.
    "network" network: NetworkName,
    /// The network it boots on, if it differs from `network`.
    "boot-network" boot_network: NetworkName,
    /// Its host name, or a template such as `esx-{{ node.serial | lower }}`.
    "hostname" hostname: String,
    /// `pool`: an address of the network's pool, assigned when the machine is bound.
    "addresses" addresses: AddressSource,
    /// DNS servers.
    "dns" dns: Vec<Spanned<IpAddr>>,
    /// DNS search domains.
    "search" search: Vec<Spanned<String>>,
    /// The domain that completes a node name without one.
    "domain" domain: String,
    /// NTP servers, by address or name.
    "ntp" ntp: Vec<Spanned<String>>,
    /// root's password as a crypt(3) hash.
    "root-password-hash" root_password_hash: PasswordHash,
    /// A file (mode 0600 or 0640) with root's password or its hash.
    "root-password-file" root_password_file: String,
    /// SSH keys that may log in as root, and as `user`.
    "ssh-keys" ssh_keys: Vec<Spanned<String>>,
    /// An account in addition to root.
    "user" user: User,
    /// Packages in addition to the installer's minimum.
    "packages" packages: Vec<Spanned<String>>,
    /// Scripts that run once on the installed system; rendered if their name ends in `.j2`.
    "first-boot" first_boot: Vec<Spanned<String>>,
    /// Time zone, such as `Europe/Berlin`.
    "timezone" timezone: String,
    /// Locale, such as `en_US.UTF-8`.
    "locale" locale: String,
    /// Keyboard layout, such as `us`.
    "keyboard" keyboard: String,
    /// The disk to install to.
    "disk" disk: DiskSelector,
    /// Disks that are never written to, by path or serial number.
    "keep" keep: Vec<Spanned<String>>,
    /// The architecture of the machine's processor, until the machine reports it; default: one that the repo has files for.
    "arch" arch: Arch,
    /// Whether the machine boots with Secure Boot: only loaders signed by a vendor.
    "secure-boot" secure_boot: bool,
    /// Arguments for the installer's kernel command line.
    "kernel-args" kernel_args: Vec<Spanned<String>>,
    /// Arguments for the installed system's kernel command line.
    "boot-args" boot_args: Vec<Spanned<String>>,
    /// How the machine is directed to its local disk.
    "local-boot" local_boot: LocalBoot,
    /// How the installed system changes the firmware's boot order.
    "boot-order" boot_order: BootOrder,
    /// The loader file for this machine.
    "loader" loader: String,
    /// The maximum number of attempts that follow a failed one automatically.
    "retries" retries: u32,
    /// An expression over facts that must be true before anything is wiped.
    "expect" expect: String,
}

/// The source of static addresses for a node that declares none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressSource {
    /// The network's `pool`.
    Pool,
}

/// How a machine is directed to its local disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// By firmware: BIOS `sanboot`, then `exit`; UEFI `exit 1`.
    Auto,
    /// iPXE's `exit`.
    Exit,
    /// iPXE's `exit 1`, which makes UEFI continue with the next boot entry.
    Exit1,
    /// iPXE's `sanboot --no-describe --drive 0x80`, then `exit`.
    Sanboot,
    /// No DHCP answer: slow, but works on all firmware.
    Silent,
}

/// How the installed system changes the firmware's boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// No change.
    Leave,
    /// Moves network boot to the front again (efibootmgr).
    NetworkFirst,
}

/// An account in addition to root.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Required.
    pub name: Option<Spanned<String>>,
    /// The hash of its password as of crypt(3). Without one, only keys can log in.
    pub password_hash: Option<Spanned<PasswordHash>>,
    /// A file with its password or the hash.
    pub password_file: Option<Spanned<String>>,
    /// SSH keys that may log in, in addition to `ssh-keys`.
    pub ssh_keys: Option<List<String>>,
    /// Whether it may become root without a password (sudo).
    pub sudo: Option<Spanned<bool>>,
}

/// The time limit of each step of an installation, after which hooks are called. A missed deadline never stops an
/// installation. Boxed like every setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deadlines {
    /// From the boot answer to the document's last byte.
    pub document: Option<Box<Spanned<TimeSpan>>>,
    /// From the document to `installing`.
    pub installing: Option<Box<Spanned<TimeSpan>>>,
    /// From `installing` to `installed`.
    pub installed: Option<Box<Spanned<TimeSpan>>>,
    /// From `installed` to `finished`.
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
    fn a_password_file_overrides_the_hash_of_a_lower_layer() {
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
        let mut unset = Settings::default();
        unset.fill(&lower);
        assert_eq!(unset, lower);
    }
}
