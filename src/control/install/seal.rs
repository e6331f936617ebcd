//! Seals: what an installation leaves on its disk, and whether a later attempt may overwrite it.
//!
//! The journal may be lost, or be an old copy. A seal shows that the machine was installed all the same. Only the server can
//! make one and check it: its checksum needs the key of the site. An installer that finds a seal asks the server before it
//! writes to the disk ([`Transaction::check_seal`]), and the microkernel reports the seals of all disks.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use super::blocked::Blocked;
use crate::{
    control::{Transaction, UrlToken, name_of},
    journal::{Attempt, HoldCause, MachineEvent, MachineId, Stage},
    model::{Facts, MAX_SEAL_CHARS, Node, SEAL_MAGIC, Timestamp, is_plain},
};

/// The version of the seals that are made.
const VERSION: &str = "1";

/// The part of a machine's name that a seal has, in characters.
const MAX_NAME_CHARS: usize = 64;

/// What makes and checks the seals of one site.
#[derive(Clone)]
pub struct SealAuthority {
    /// The site's id, with only those characters that a seal may have.
    site: String,
    key: [u8; 32],
}

/// What a seal states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    pub machine: MachineId,
    /// The beginning of the machine's name.
    pub node: String,
    /// The node's `installs`.
    pub installs: u32,
    /// When its attempt was opened. No other attempt of a history has the same time.
    pub sealed: Timestamp,
}

/// Why a seal is not one of this site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("its seal is of another site")]
    OtherSite,
    #[error("its seal is of a newer release of Bootwright")]
    NewerVersion,
    #[error("its seal is damaged")]
    Damaged,
    #[error("its seal does not have the checksum of this site's key")]
    WrongChecksum,
}

/// What an installer does with a disk that has a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealVerdict {
    Overwrite,
    /// It writes nothing, for this reason.
    Keep(String),
}

impl SealAuthority {
    pub fn new(site: &str, key: [u8; 32]) -> SealAuthority {
        let plain = |c: char| c.is_ascii() && is_plain(c as u8) && c != '/';
        let site = site.chars().map(|c| if plain(c) { c } else { '_' });
        SealAuthority {
            site: site.take(MAX_NAME_CHARS).collect(),
            key,
        }
    }

    /// Returns the text of a seal.
    pub fn text(&self, seal: &Seal) -> String {
        let Seal {
            machine,
            node,
            installs,
            sealed,
        } = seal;
        let node = sealed_name(node);
        let site = &self.site;
        let stated = format!("{SEAL_MAGIC}{VERSION}/{site}/{machine}/{node}/{installs}/{sealed}");
        let text = format!("{stated}/{}", self.checksum(&stated));
        debug_assert!(text.len() <= MAX_SEAL_CHARS, "{text}");
        text
    }

    /// Reads the text of a seal, and checks that this site has made it.
    pub fn read(&self, text: &str) -> Result<Seal, SealError> {
        let rest = text.strip_prefix(SEAL_MAGIC).ok_or(SealError::Damaged)?;
        let (version, rest) = rest.split_once('/').ok_or(SealError::Damaged)?;
        if version != VERSION {
            let newer = version.parse::<u32>().is_ok_and(|version| version > 1);
            return Err(if newer {
                SealError::NewerVersion
            } else {
                SealError::Damaged
            });
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let [site, machine, node, installs, sealed, checksum] = parts[..] else {
            return Err(SealError::Damaged);
        };
        if site != self.site {
            return Err(SealError::OtherSite);
        }
        let stated = &text[..text.len() - checksum.len() - 1];
        if self.checksum(stated) != checksum {
            return Err(SealError::WrongChecksum);
        }
        Ok(Seal {
            machine: machine.parse().map_err(|_| SealError::Damaged)?,
            node: node.into(),
            installs: installs.parse().map_err(|_| SealError::Damaged)?,
            sealed: sealed.parse().map_err(|_| SealError::Damaged)?,
        })
    }

    /// The first 128 bits of HMAC-SHA256, in hexadecimal digits.
    fn checksum(&self, stated: &str) -> String {
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        hmac.update(stated.as_bytes());
        let digest = hmac.finalize().into_bytes();
        digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for SealAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealAuthority(…)")
    }
}

/// The part of a machine's name that a seal has.
fn sealed_name(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

impl Transaction<'_> {
    /// Returns the text of the seal of an attempt; none if the site has no id.
    pub(crate) fn seal_of(
        &self,
        id: MachineId,
        node: Option<&Node>,
        (installs, sealed): (u32, Timestamp),
    ) -> Option<String> {
        let authority = self.server.seals.as_ref()?;
        Some(authority.text(&Seal {
            machine: id,
            node: name_of(self.server.state.machine(id), node),
            installs,
            sealed,
        }))
    }

    /// Decides whether the attempt with this token may overwrite a disk with this seal. If not, the attempt fails and the
    /// machine is held. `wipe` is whether the settings permit to overwrite any data. Returns none for an unknown token.
    pub fn check_seal(&mut self, token: UrlToken, text: &str, wipe: bool) -> Option<SealVerdict> {
        let attempt = *self.server.index.token.get(&token)?;
        let (id, number) = self.attempt_location(attempt)?;
        let machine = self.machine(id);
        let Some(open) = machine.open().filter(|open| open.number == number).cloned() else {
            return Some(SealVerdict::Keep("its attempt has ended".into()));
        };
        let node = self.node_of(id);
        let verdict = self.judge(id, node.as_deref(), &open, text, wipe);
        match &verdict {
            Ok(reason) => {
                let text = format!("its disk has a seal, which is overwritten: {reason}");
                self.remark_once(id, text);
            }
            Err(reason) if open.failed.is_none() => {
                let reason = format!("sealed: {reason}");
                let cause = HoldCause::Sealed;
                self.record(
                    id,
                    MachineEvent::Stage {
                        attempt: number,
                        stage: Stage::Failed,
                        reason: Some(reason.clone()),
                        late: None,
                        inferred: true,
                    },
                );
                self.hold(id, cause, &reason);
            }
            Err(_) => {}
        }
        Some(match verdict {
            Ok(_) => SealVerdict::Overwrite,
            Err(reason) => SealVerdict::Keep(reason),
        })
    }

    /// Returns why a seal may be overwritten, or why not.
    fn judge(
        &self,
        id: MachineId,
        node: Option<&Node>,
        attempt: &Attempt,
        text: &str,
        wipe: bool,
    ) -> Result<String, String> {
        if wipe {
            return Ok("`wipe` is set".into());
        }
        let machine = self.machine(id);
        let name = name_of(Some(machine), node);
        let hint = "`wipe = true` in `disk` overwrites it";
        let seal = match self.read_seal(text) {
            Ok(seal) => seal,
            // It claims to be of this site, and an operator has requested another installation.
            Err(SealError::WrongChecksum) if machine.reinstall => {
                return Ok("an operator requested another installation".into());
            }
            Err(error) => return Err(format!("{error}; {hint}")),
        };
        if self.server.state.forgotten.contains(&seal.machine) {
            return Ok("the machine was forgotten".into());
        }
        if !self.is_seal_of(&seal, id, &name) {
            let Seal { node, sealed, .. } = seal;
            return Err(format!(
                "its disk has the installation of {node} of {sealed}; {hint}"
            ));
        }
        // In an old copy of the state, a request may be open that this installation has fulfilled. A time in the future is that
        // of a clock that was wrong.
        let is_older = |requested| seal.sealed < requested || seal.sealed > self.now.wall;
        if machine.reinstall && machine.requested.is_none_or(is_older) {
            return Ok("an operator requested another installation".into());
        }
        if seal.installs < attempt.installs {
            return Ok(format!("`installs` is {} now", attempt.installs));
        }
        if seal.sealed != attempt.sealed && machine.tried.contains(&seal.sealed) {
            return Ok("the attempt that left it has failed".into());
        }
        Err(format!(
            "its disk has an installation of {}, which the journal does not have; to keep it: `bootwright mark {name} \
             installed`; to overwrite it: `bootwright reinstall {name}`",
            seal.sealed
        ))
    }

    fn read_seal(&self, text: &str) -> Result<Seal, SealError> {
        let authority = self.server.seals.as_ref();
        authority.ok_or(SealError::OtherSite)?.read(text)
    }

    /// Whether a machine of this name has left the seal.
    fn is_seal_of(&self, seal: &Seal, id: MachineId, name: &str) -> bool {
        self.server.state.resolve(seal.machine) == id || seal.node == sealed_name(name)
    }

    /// Returns whether a machine that is blocked for this reason has to report the seals of its disks from the microkernel, because
    /// the journal does not have its history.
    pub(crate) fn asks_for_seals(&self, id: MachineId, blocked: &Blocked) -> bool {
        self.is_only_asked(blocked) && self.machine(id).facts.disks.is_none()
    }

    /// Returns whether a machine that is blocked for this reason runs the microkernel only to report its disks.
    pub(crate) fn is_only_asked(&self, blocked: &Blocked) -> bool {
        let cause = HoldCause::Unrecorded;
        let is_unrecorded = matches!(blocked, Blocked::Held { cause: of, .. } if *of == cause);
        is_unrecorded && self.server.state.asks_machines
    }

    /// Records the installation of a machine that the journal does not have, if one of its disks has a seal of it. Returns
    /// whether it has.
    pub(crate) fn restore_from_seal(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        facts: &Facts,
    ) -> bool {
        if !self.machine(id).is_unrecorded() {
            return false;
        }
        let name = name_of(Some(self.machine(id)), node);
        let disks = facts.disks.iter().flatten();
        let seals = disks.filter_map(|disk| self.read_seal(disk.seal.as_deref()?).ok());
        let own = seals.filter(|seal| {
            let is_forgotten = self.server.state.forgotten.contains(&seal.machine);
            !is_forgotten && self.is_seal_of(seal, id, &name)
        });
        let Some(newest) = own.max_by_key(|seal| (seal.installs, seal.sealed)) else {
            return false;
        };
        self.record(
            id,
            MachineEvent::Restored {
                installs: newest.installs,
                sealed: newest.sealed,
                node: newest.node,
            },
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn authority() -> SealAuthority {
        SealAuthority::new("5f0c", [1; 32])
    }

    fn seal() -> Seal {
        Seal {
            machine: MachineId(0xab),
            node: "db1".into(),
            installs: 2,
            sealed: Timestamp(1_795_348_800_123),
        }
    }

    #[test]
    fn a_seal_is_read_as_it_was_made() {
        let text = authority().text(&seal());
        assert!(
            text.starts_with(
                "bootwright-seal/1/5f0c/00000000000000ab/db1/2/2026-11-22T12:00:00.123Z/"
            ),
            "{text}"
        );
        assert_eq!(authority().read(&text), Ok(seal()));
    }

    #[test]
    fn a_seal_that_this_site_has_not_made_is_refused_with_the_reason() {
        let text = authority().text(&seal());
        let other = SealAuthority::new("other", [1; 32]).text(&seal());
        let key = SealAuthority::new("5f0c", [2; 32]).text(&seal());
        let cases = [
            (other, SealError::OtherSite),
            (key, SealError::WrongChecksum),
            (text.replace("/2/", "/1/"), SealError::WrongChecksum),
            (text.replace("db1", "db2"), SealError::WrongChecksum),
            (
                text.replace("-seal/1/", "-seal/2/"),
                SealError::NewerVersion,
            ),
            (text.replace("-seal/1/", "-seal/0/"), SealError::Damaged),
            (text[..text.len() - 40].into(), SealError::Damaged),
            (text[..text.len() - 1].into(), SealError::WrongChecksum),
            (format!("{text}/x"), SealError::Damaged),
            (text.replace("bootwright", "Bootwright"), SealError::Damaged),
            (SEAL_MAGIC.into(), SealError::Damaged),
            (String::new(), SealError::Damaged),
        ];
        for (text, expected) in cases {
            assert_eq!(authority().read(&text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_seal_fits_and_no_other_text_is_one(
            site in ".*", node in "[a-z0-9.-]{1,253}", installs: u32, sealed in 0..4_000_000_000_000_i64,
            at: prop::sample::Index, byte: u8,
        ) {
            let authority = SealAuthority::new(&site, [3; 32]);
            let made = Seal { node, installs, sealed: Timestamp(sealed), ..seal() };
            let text = authority.text(&made);
            prop_assert!(text.len() <= MAX_SEAL_CHARS && text.bytes().all(is_plain));
            let read = authority.read(&text).unwrap();
            prop_assert_eq!(&read.node, &sealed_name(&made.node));
            prop_assert_eq!((read.installs, read.sealed), (made.installs, made.sealed));
            let mut bytes = text.clone().into_bytes();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(changed == text || authority.read(&changed).is_err());
        }
    }
}
