//! `task.toml`: what a task is made of and what it can express.
//!
//! A task says nothing twice that its base says: what it leaves out is the base's. Files of the same name
//! replace the base's, others come in addition.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::model::{Arch, HashKind, StageName, TaskName, Vars};

use super::{
    installer_setting::InstallerSetting,
    layout::{LayoutVariables, RepoLayout},
    quote::FileFormat,
};

/// What a task is, with everything that it takes from its base.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskSpec {
    /// What it installs, for people.
    pub title: String,
    /// The task whose templates and keys it takes where it has none.
    pub base: Option<TaskName>,
    /// Whether anything is installed at all.
    pub installs: bool,
    /// Whether what installs it is the agent in the microkernel.
    pub microkernel: bool,
    /// Whether its machines run the script by which a broker takes them over.
    pub hands_over: bool,
    /// How its installer is told about the network.
    pub dialect: Dialect,
    /// How it is known to be complete.
    pub completion: Vec<Completion>,
    /// Stages of its own, besides those that every task has.
    pub stages: BTreeSet<StageName>,
    /// The kinds of password hashes that its installer takes.
    pub hashes: BTreeSet<AcceptedHash>,
    /// The settings that it can express; a task that does not say is not held to it.
    pub expresses: Option<BTreeSet<InstallerSetting>>,
    /// What it can express at the first boot only, by a script.
    pub to_first_boot: BTreeSet<InstallerSetting>,
    /// Values that the installed system has anyway, by setting.
    pub fixed: BTreeMap<InstallerSetting, BTreeSet<String>>,
    /// Whether Secure Boot keeps its first-boot scripts from running.
    pub secure_boot_skips_first_boot: bool,
    /// What stands for `{arch}` in paths.
    pub arch: BTreeMap<Arch, String>,
    /// Where a repo may have its files: the first layout that fits is used.
    pub layouts: Vec<RepoLayout>,
    /// What machines are given.
    pub files: Vec<FileSpec>,
}

/// How an installer is told about the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Not at all.
    #[default]
    None,
    /// ESXi's `network` line.
    Esxi,
    /// Kickstart's `network` lines and dracut's kernel arguments; the rest as NetworkManager keyfiles.
    Kickstart,
    /// netcfg's kernel arguments; the rest as files for systemd-networkd.
    Netcfg,
    /// Netplan's format, as cloud-init reads it.
    Netplan,
}

/// How a task is known to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Completion {
    /// The machine reports `finished`.
    Callback,
    /// The machine answers on this TCP port of its static address.
    Probe {
        /// The port.
        port: u16,
    },
}

/// A kind of password hash, as a task names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedHash {
    Des,
    Md5,
    Bcrypt,
    Sha256,
    Sha512,
    Sha512Rounds,
    Yescrypt,
}

/// One file that machines are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileSpec {
    /// Its name under `/t/<token>/`; `{mac}` stands for the boot card's address with hyphens.
    pub name: String,
    /// Another name for the same content.
    pub also: Option<String>,
    /// The template that it is made from.
    pub template: Option<String>,
    /// The file of the layout that it is.
    pub repo_file: Option<String>,
    /// The code that makes it.
    pub make: Option<GeneratedFile>,
    /// Whether the installer reads its orders from it.
    pub document: bool,
    /// For whom alone it is made.
    pub only: Option<OnlyFor>,
    /// Its media type.
    pub r#type: Option<String>,
    /// What the filter `quote` quotes for, and what its lines are held to.
    pub quoting: FileFormat,
}

/// For which machines a file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnlyFor {
    /// Those that boot by GRUB: with Secure Boot, and ARM.
    Grub,
}

/// Files that code makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratedFile {
    /// The image's own boot.cfg, rewritten.
    BootCfg,
}

/// The keys of a `task.toml` as they are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TaskToml {
    title: Option<String>,
    pub(super) base: Option<TaskName>,
    installs: Option<bool>,
    microkernel: Option<bool>,
    hands_over: Option<bool>,
    network: Option<Dialect>,
    completion: Option<Vec<Completion>>,
    stages: Option<BTreeSet<StageName>>,
    hashes: Option<BTreeSet<AcceptedHash>>,
    expresses: Option<BTreeSet<InstallerSetting>>,
    to_first_boot: Option<BTreeSet<InstallerSetting>>,
    fixed: Option<BTreeMap<InstallerSetting, BTreeSet<String>>>,
    secure_boot_skips_first_boot: Option<bool>,
    arch: Option<BTreeMap<Arch, String>>,
    layout: Option<Vec<RepoLayout>>,
    file: Vec<FileSpec>,
}

/// The media types that a file may have.
const TYPES: [&str; 6] = [
    "text/plain; charset=utf-8",
    "text/x-shellscript; charset=utf-8",
    "text/yaml; charset=utf-8",
    "application/json",
    "application/xml",
    "application/octet-stream",
];

impl TaskToml {
    /// Adds what `base` says wherever this says nothing.
    pub(super) fn over(self, base: TaskSpec, name: &TaskName) -> TaskSpec {
        let mut files = base.files;
        for file in self.file {
            match files.iter_mut().find(|known| known.name == file.name) {
                Some(known) => *known = file,
                None => files.push(file),
            }
        }
        TaskSpec {
            title: self.title.unwrap_or_else(|| name.to_string()),
            base: self.base,
            installs: self.installs.unwrap_or(base.installs),
            microkernel: self.microkernel.unwrap_or(base.microkernel),
            hands_over: self.hands_over.unwrap_or(base.hands_over),
            dialect: self.network.unwrap_or(base.dialect),
            completion: self.completion.unwrap_or(base.completion),
            stages: self.stages.unwrap_or(base.stages),
            hashes: self.hashes.unwrap_or(base.hashes),
            expresses: self.expresses.or(base.expresses),
            to_first_boot: self.to_first_boot.unwrap_or(base.to_first_boot),
            fixed: self.fixed.unwrap_or(base.fixed),
            secure_boot_skips_first_boot: self
                .secure_boot_skips_first_boot
                .unwrap_or(base.secure_boot_skips_first_boot),
            arch: self.arch.unwrap_or(base.arch),
            layouts: self.layout.unwrap_or(base.layouts),
            files,
        }
    }

    /// What is wrong with the files, one line each.
    pub(super) fn mistakes(&self) -> Vec<String> {
        self.file.iter().flat_map(FileSpec::mistakes).collect()
    }
}

impl FileSpec {
    /// The media type it is served with.
    pub fn content_type(&self) -> &'static str {
        let wanted = self.r#type.as_deref().unwrap_or(match self.repo_file {
            Some(_) => "application/octet-stream",
            None => TYPES[0],
        });
        TYPES
            .iter()
            .find(|known| **known == wanted)
            .copied()
            .unwrap_or(TYPES[0])
    }

    fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let name = &self.name;
        let made = [
            self.template.is_some(),
            self.repo_file.is_some(),
            self.make.is_some(),
        ];
        if made.into_iter().filter(|set| *set).count() != 1 {
            found.push(format!(
                "file `{name}` needs exactly one of `template`, `repo-file` and `make`"
            ));
        }
        if [Some(name), self.also.as_ref()]
            .into_iter()
            .flatten()
            .any(|name| !is_file_name(name))
        {
            found.push(format!("`{name}` is not a name for a file: expected letters, digits, `-`, `_`, `.`, `{{mac}}` and at most one `/`"));
        }
        if let Some(wanted) = self
            .r#type
            .as_deref()
            .filter(|wanted| !TYPES.contains(wanted))
        {
            found.push(format!(
                "`{wanted}` is not a type we serve: expected one of {}",
                TYPES.join(", ")
            ));
        }
        found
    }
}

fn is_file_name(name: &str) -> bool {
    let plain = name.replace("{mac}", "");
    let parts: Vec<&str> = name.split('/').collect();
    let letters = plain
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    letters
        && parts.len() <= 2
        && parts
            .iter()
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

impl TaskSpec {
    /// Every path that its layouts name in a repo with these `vars`, for every architecture, in lower case, with the name
    /// that templates use.
    pub fn layout_paths(&self, vars: &Vars) -> Vec<(&str, String)> {
        let arches: Vec<Option<&str>> = match self.arch.is_empty() {
            true => vec![None],
            false => self.arch.values().map(|word| Some(word.as_str())).collect(),
        };
        let words: Vec<LayoutVariables<'_>> = arches
            .into_iter()
            .map(|arch| LayoutVariables { arch, vars })
            .collect();
        let files = self
            .layouts
            .iter()
            .flat_map(|layout| layout.files.iter().chain(layout.extra()));
        let mut list: Vec<(&str, String)> = files
            .flat_map(|(key, path)| {
                words
                    .iter()
                    .map(|words| (key.as_str(), words.filled(path).to_lowercase()))
            })
            .collect();
        list.sort();
        list.dedup();
        list
    }

    /// Whether ESXi's loader starts it, which brings its own configuration.
    pub fn has_boot_cfg(&self) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.make == Some(GeneratedFile::BootCfg))
    }

    /// Whether its machines say by themselves when their first boot is through.
    pub fn tells_that_it_is_finished(&self, secure_boot: bool) -> bool {
        let has_callback = self.completion.contains(&Completion::Callback);
        has_callback && !(secure_boot && self.secure_boot_skips_first_boot)
    }

    /// The paths at which a repo may have what machines are given under this name.
    pub fn paths_of(&self, name: &str) -> Vec<String> {
        let mut files = self.files.iter();
        let file = files.find(|file| file.name.eq_ignore_ascii_case(name));
        let Some(key) = file.and_then(|file| file.repo_file.as_deref()) else {
            return Vec::new();
        };
        let paths = self.layout_paths(&Vars::new()).into_iter();
        paths
            .filter(|(known, _)| *known == key)
            .map(|(_, path)| path)
            .collect()
    }

    /// The word that stands for `{arch}` in paths on such a machine.
    pub fn arch_word(&self, arch: Arch) -> Option<&str> {
        // A BIOS build of iPXE calls itself i386 on 64-bit machines too, so it says nothing about the machine.
        let arch = if arch == Arch::I386 && !self.arch.contains_key(&arch) {
            Arch::X86_64
        } else {
            arch
        };
        self.arch.get(&arch).map(String::as_str)
    }

    /// Whether its installer takes such a hash.
    pub fn takes(&self, kind: HashKind) -> bool {
        self.hashes.iter().any(|hash| hash.kind() == kind)
    }

    /// Whether a machine may report such a stage.
    pub fn has_stage(&self, name: &str) -> bool {
        STAGES.contains(&name) || self.stages.contains(name)
    }
}

/// The stages that every task has.
pub const STAGES: [&str; 6] = [
    "installing",
    "installed",
    "handed-over",
    "finished",
    "failed",
    "no-disk",
];

impl AcceptedHash {
    /// The kind of hash that the word names.
    pub fn kind(self) -> HashKind {
        match self {
            AcceptedHash::Des => HashKind::Des,
            AcceptedHash::Md5 => HashKind::Md5,
            AcceptedHash::Bcrypt => HashKind::Bcrypt,
            AcceptedHash::Sha256 => HashKind::Sha256,
            AcceptedHash::Sha512 => HashKind::Sha512,
            AcceptedHash::Sha512Rounds => HashKind::Sha512Rounds,
            AcceptedHash::Yescrypt => HashKind::Yescrypt,
        }
    }
}

impl TryFrom<String> for Completion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "callback" {
            return Ok(Completion::Callback);
        }
        let port = text
            .strip_prefix("probe:tcp:")
            .and_then(|port| port.parse().ok());
        port.map(|port| Completion::Probe { port }).ok_or_else(|| {
            format!(
                "`{text}` is no way to complete: expected `callback` or such as `probe:tcp:443`"
            )
        })
    }
}
