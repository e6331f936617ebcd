//! The steps of stories about seals and old copies of the state.
//!
//! | Step | |
//! |---|---|
//! | `leave #1 S` | the installation of #1 leaves the seal `S`; `key`, `site`, `newer` or `damaged` changes it |
//! | `ask #2 S` | the installer of #2 asks whether it may overwrite a disk with the seal; with `wipe` if that is set |
//! | `copy` | the state directory is copied |
//! | `rollback` | the copy replaces it |
//! | `suspect` | the server starts with a state that may be old |
//!
//! In the facts of `report`, `$S` is the text of the seal.

use std::collections::BTreeMap;

use bootwright::{
    control::{Seal, SealAuthority, SealVerdict},
    journal::{JournalLine, SiteEvent},
};

use super::story::Lab;

/// The seals and the copy of the state of a story.
#[derive(Default)]
pub(super) struct StorySeals {
    texts: BTreeMap<String, String>,
    copy: Vec<JournalLine>,
}

pub(super) fn authority() -> SealAuthority {
    SealAuthority::new("5f0c", [8; 32])
}

impl StorySeals {
    /// Facts with the texts of their seals.
    pub(super) fn put_into(&self, facts: &str) -> String {
        let texts = self.texts.iter();
        texts.fold(facts.to_owned(), |facts, (name, text)| {
            facts.replace(&format!("${name}"), text)
        })
    }
}

impl Lab {
    pub(super) fn seal_step(&mut self, verb: &str, rest: &str) -> String {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (verb, words.as_slice()) {
            ("copy", []) => {
                self.seals.copy = self.lines.clone();
                String::new()
            }
            ("rollback", []) => {
                self.lines = self.seals.copy.clone();
                self.server.state = bootwright::journal::JournalState::default();
                for line in &self.lines {
                    self.server.state.apply(line);
                }
                self.restart()
            }
            ("suspect", []) => {
                self.transaction(|transaction| {
                    transaction.record_site(SiteEvent::Suspected {
                        reason: "the state may be old".into(),
                    });
                });
                String::new()
            }
            ("leave", [attempt, name, how @ ..]) => self.leave(attempt, name, how.first().copied()),
            ("ask", [attempt, name, how @ ..]) => {
                let token = self.token(attempt);
                let text = self.seals.texts[*name].clone();
                let wipe = how == ["wipe"];
                let verdict =
                    self.transaction(|transaction| transaction.check_seal(token, &text, wipe));
                match verdict {
                    None => "404".into(),
                    Some(SealVerdict::Overwrite) => "overwrite".into(),
                    Some(SealVerdict::Keep(reason)) => format!("keep: {reason}"),
                }
            }
            _ => panic!("`{verb} {rest}` is no step"),
        }
    }

    /// Makes the seal that an attempt leaves.
    fn leave(&mut self, attempt: &str, name: &str, how: Option<&str>) -> String {
        let id = self.attempt(attempt);
        let machine = self.server.state.machine(id.machine).unwrap();
        let opened = machine.attempt(id).unwrap();
        let node = machine.node.as_ref().map(|node| node.as_str().to_owned());
        let by_mac = || machine.boot_mac().unwrap().hyphens();
        let seal = Seal {
            machine: id.machine,
            node: node.unwrap_or_else(by_mac),
            installs: opened.installs,
            sealed: opened.sealed,
        };
        let text = match how {
            None => authority().text(&seal),
            Some("key") => SealAuthority::new("5f0c", [9; 32]).text(&seal),
            Some("site") => SealAuthority::new("other", [8; 32]).text(&seal),
            Some("newer") => authority().text(&seal).replace("-seal/1/", "-seal/2/"),
            Some("damaged") => authority().text(&seal)[..40].to_owned(),
            Some(other) => panic!("`{other}` is no change of a seal"),
        };
        self.seals.texts.insert(name.to_owned(), text);
        String::new()
    }
}
