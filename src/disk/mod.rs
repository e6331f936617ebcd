//! Files and directories: the site and its changes, the journal's segments, and the state directory.
//!
//! This module moves bytes between files and the core. Nothing is decided here: [`crate::site`] interprets the site's
//! files, and the journal's fold interprets events.
//!
//! Two rules hold everywhere. What must survive a crash is written to a new file, synced, renamed, and the
//! directory synced ([`atomic`]), or appended and synced ([`journal`]). A problem that an operator can cause (a file that is
//! too large, a permission that is too wide, a full disk) is returned as a value with the reason and the fix.

pub mod atomic;
pub mod regular;
pub mod bundle;
pub mod site;
pub mod watch;
pub mod journal;
pub mod attempts;
pub mod last_good;
pub mod state;
pub mod witness;
pub mod backup;
pub mod secrets;
pub mod operator_token;
pub mod repo;
pub mod loaders;
pub mod dpkg;
