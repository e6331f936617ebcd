//! The integration tests: one binary, a module per subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod journal_files;
