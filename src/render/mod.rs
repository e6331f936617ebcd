//! Templates to bytes: what one machine is given, from what its site says of it.
//!
//! [`compile`] turns every template and `task.toml` into a [`Library`], with mistakes at their lines;
//! [`attempt()`] renders one machine's files from it. Network lines, boot.cfg and ESXi's disk are made by code that
//! knows what each installer can say ([`net`], [`bootcfg`]); the rest is templates ([`task`], [`context`] in
//! `templates/README.md`), strict and quoted for their format ([`quote`]). [`check`] holds what was rendered for
//! ESXi to the rules that its own installer does not enforce.
//!
//! Nothing is read here: what lies outside of the site comes in as [`Outside`], and [`wants`] says what has to
//! be looked up.

mod setting;
pub mod quote;
mod filters;
mod engine;
mod scan;
mod fingerprint;
pub mod layout;
pub mod task;
mod templates;
mod unit;
mod library;
mod broker;
mod loose;
mod references;
mod settings;
mod values;
pub mod bootcfg;
mod outside;
mod urls;
pub mod net;
mod repo;
mod disk;
mod esxi;
mod hostname;
mod context;
mod job;
mod first_boot;
mod pieces;
pub mod scripts;
pub mod grub;
pub mod mboot;
pub mod check;
mod attempt;

pub use attempt::{attempt, inspect};
pub use broker::HAND_OVER;
pub use fingerprint::Fingerprint;
pub use hostname::hostname;
pub use job::{Body, FileKind, Job, Rendered, RenderedFile};
pub use library::{Library, Task, compile};
pub use outside::{Outside, RepoFile, RepoView, Want, wants};
pub use setting::InstallerSetting;
pub use task::TaskSpec;
pub use urls::{Urls, encoded};
