//! The witness: what is stored about a state directory outside of it, so that an old copy of the directory is detected.
//!
//! ```text
//! /var/lib/bootwright-witness/<site id>/     or [paths] witness
//!   position       the generation of the state, and the number of its decisions
//!   seal-key       a copy of the key of the seals: disks are recognised after the loss of the state directory
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    atomic,
    state::{SEAL_KEY, SecretKey, StateDirectory},
};
use crate::model::Timestamp;

const POSITION: &str = "position";

/// The directory of a site's witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    path: PathBuf,
}

/// How far a state has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedPosition {
    /// The random generation of the state directory. An operator's declaration of what it means begins another one.
    pub generation: String,
    /// The number of decisions about installations. It only grows.
    pub decisions: u64,
    /// The time of its latest event.
    pub at: Timestamp,
}

/// The comparison of a state with its witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Testimony {
    /// It is at least as far.
    Current,
    /// There is no witness yet.
    Missing,
    /// It is older than the witness, or another one, for this reason.
    Behind(String),
}

impl Witness {
    pub fn new(path: &Path) -> Witness {
        Witness { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the stored position; none if nothing was stored.
    pub fn position(&self) -> io::Result<Option<WitnessedPosition>> {
        let path = self.path.join(POSITION);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let position = parse(&text);
        position.map(Some).ok_or_else(|| {
            let why = format!("`{}` is damaged: remove it to begin again", path.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }

    /// Stores a position. The directory is created, private to its owner.
    pub fn store(&self, position: &WitnessedPosition) -> io::Result<()> {
        let WitnessedPosition {
            generation,
            decisions,
            at,
        } = position;
        let text = format!("generation {generation}\ndecisions {decisions}\nat {at}\n");
        atomic::create_dir(&self.path)?;
        atomic::replace(&self.path.join(POSITION), &[text.as_bytes()])
    }

    /// Compares a state's position with the stored one.
    pub fn compare(&self, state: &WitnessedPosition) -> io::Result<Testimony> {
        let Some(stored) = self.position()? else {
            return Ok(Testimony::Missing);
        };
        let (path, at) = (self.path.display(), stored.at);
        Ok(match () {
            () if stored.generation != state.generation => Testimony::Behind(format!(
                "the state directory is not the one that its witness {path} has seen last ({at})"
            )),
            () if stored.decisions > state.decisions => Testimony::Behind(format!(
                "the state directory is older than its witness {path}: it has {} decisions until {}, the witness {} until {at}",
                state.decisions, state.at, stored.decisions
            )),
            () => Testimony::Current,
        })
    }

    /// Provides the key of the seals, in the state directory and here. It is created if both have none. Returns a warning if
    /// this witness cannot have a copy.
    pub fn seal_key(&self, state: &StateDirectory) -> io::Result<(SecretKey, Option<String>)> {
        let copy = self.path.join(SEAL_KEY);
        if !state.has_seal_key()
            && let Some(bytes) = key(&copy)?
        {
            state.write_seal_key(&bytes)?;
        }
        let key_of_state = state.seal_key()?;
        let warning = self.copy_key(&copy, &key_of_state).err().map(|error| {
            let path = copy.display();
            format!(
                "`{path}` cannot be written ({error}): without it the seals of disks cannot be checked after the loss of the \
                 state directory"
            )
        });
        Ok((key_of_state, warning))
    }

    fn copy_key(&self, copy: &Path, key_of_state: &SecretKey) -> io::Result<()> {
        if key(copy)?.as_ref() == Some(key_of_state) {
            return Ok(());
        }
        atomic::create_dir(&self.path)?;
        atomic::replace(copy, &[&key_of_state.0])
    }
}

fn parse(text: &str) -> Option<WitnessedPosition> {
    let mut lines = text.lines();
    let mut value = |name: &str| Some(lines.next()?.strip_prefix(name)?.trim_start().to_owned());
    Some(WitnessedPosition {
        generation: value("generation ").filter(|generation| !generation.is_empty())?,
        decisions: value("decisions ")?.parse().ok()?,
        at: value("at ")?.parse().ok()?,
    })
}

/// Reads a key; none if the file is missing or is no key.
fn key(path: &Path) -> io::Result<Option<SecretKey>> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.try_into().ok().map(SecretKey)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => {
            let path = path.display();
            Err(io::Error::new(
                error.kind(),
                format!("`{path}` cannot be read: {error}"),
            ))
        }
    }
}

/// Whether a file does not exist, or a directory of its path is a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(generation: &str, decisions: u64) -> WitnessedPosition {
        WitnessedPosition {
            generation: generation.into(),
            decisions,
            at: Timestamp(1_795_348_800_000),
        }
    }

    #[test]
    fn a_state_that_is_behind_its_witness_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let witness = Witness::new(&dir.path().join("a/b"));
        assert_eq!(
            witness.compare(&position("g", 0)).unwrap(),
            Testimony::Missing
        );
        witness.store(&position("g", 5)).unwrap();
        assert_eq!(witness.position().unwrap(), Some(position("g", 5)));
        for (state, is_behind) in [
            (position("g", 5), false),
            (position("g", 6), false),
            (position("g", 4), true),
            (position("h", 5), true),
            (position("h", 9), true),
        ] {
            let found = witness.compare(&state).unwrap();
            assert_eq!(
                matches!(found, Testimony::Behind(_)),
                is_behind,
                "{state:?}"
            );
        }
    }

    #[test]
    fn a_damaged_witness_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let witness = Witness::new(dir.path());
        for text in [
            "",
            "generation \n",
            "generation g\ndecisions x\nat y\n",
            "\u{fffd}",
        ] {
            fs::write(dir.path().join(POSITION), text).unwrap();
            let error = witness.compare(&position("g", 0)).unwrap_err().to_string();
            assert!(
                error.ends_with("is damaged: remove it to begin again"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_key_of_the_seals_survives_the_loss_of_either_copy() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        let witness = Witness::new(&dir.path().join("witness"));
        let (first, warning) = witness.seal_key(&state).unwrap();
        assert_eq!(warning, None);
        for lost in [state.path(), witness.path()] {
            fs::remove_file(lost.join(SEAL_KEY)).unwrap();
            assert_eq!(witness.seal_key(&state).unwrap(), (first.clone(), None));
            assert!(lost.join(SEAL_KEY).exists());
        }
        // A file in the place of the witness's directory.
        let other = StateDirectory::open(&dir.path().join("other")).unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "").unwrap();
        let (_, warning) = Witness::new(&blocked.join("witness"))
            .seal_key(&other)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(warning.unwrap().contains("cannot be written"));
    }
}
