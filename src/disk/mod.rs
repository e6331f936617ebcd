//! Files and directories: the site and its changes, the journal's segments, and what the state directory
//! keeps.
//!
//! Bytes move between files and the core here. Nothing is decided: what a file means is the business of
//! [`crate::site`], what an event means that of the journal's fold.
//!
//! Two rules hold everywhere. What must survive a crash is written to a new file, synced, renamed, and the
//! directory synced ([`atomic`]), or appended and synced ([`journal`]). What an operator can break (a file
//! that is too large, a permission that is too wide, a full disk) comes back as a value that says what is
//! wrong and what helps.

pub mod atomic;
pub mod bundle;
pub mod site;
pub mod watch;
pub mod journal;
pub mod attempts;
pub mod last_good;
pub mod state;
pub mod secrets;
pub mod repo;
pub mod loaders;
pub mod dpkg;
