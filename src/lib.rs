//! Bare metal from a git directory.
//!
//! A *site* (a directory of files) says what every machine should be; a *journal* (an append-only log)
//! says what has happened to it. Bootwright answers machines that boot from the network and hands each
//! one the installer of its policy, rendered with its own static address and hostname.
//!
//! The list below is the reading order and the dependency order at once: a module uses only modules
//! above it. Above the line "shell" there are no files, sockets, clocks, threads or environment: values
//! in, values out. A test (`tests/suite/architecture.rs`) holds us to both.

// core
pub mod model;
pub mod site;
pub mod matcher;
pub mod journal;
pub mod render;
pub mod boot;
pub mod iso;
pub mod control;

// shell
pub mod disk;
pub mod net;
mod agent;
mod microkernel;
pub mod serve;
pub mod cli;
