//! Templates to bytes: what one machine is given, from what its site says of it.
//!
//! [`compile`] turns every template and `task.toml` into a [`Library`], with mistakes at their lines;
//! [`render_attempt`] renders one machine's files from it. Network lines, boot.cfg and ESXi's disk are made by code that
//! knows what each installer can say ([`net`], [`boot::boot_cfg`]); the rest is templates ([`task`], [`context`] in
//! `src/manual/templates.md`), strict and quoted for their format ([`quote`]). [`check`] holds what was rendered for
//! ESXi to the rules that its own installer does not enforce.
//!
//! Nothing is read here: what lies outside of the site comes in as [`ExternalInputs`], and [`needed_lookups`] says what has to
//! be looked up.

mod installer_setting;
pub mod quote;
mod filters;
mod engine;
mod scan;
mod fingerprint;
pub mod layout;
pub mod task;
mod template_sources;
mod template_errors;
mod template_set;
pub mod boot;
mod broker;
mod first_boot_scripts;
mod task_specs;
mod library;
mod references;
mod compile;
mod external;
mod requested_settings;
mod values;
mod urls;
pub mod net;
mod repo;
mod disk;
mod esxi;
mod vars;
mod hostname;
mod context;
mod request;
mod hand_over;
mod first_boot;
mod attempt_renderer;
pub mod check;
mod attempt;

pub use attempt::{inspect_attempt, render_attempt};
pub use broker::HAND_OVER;
pub use compile::compile;
pub use external::{ExternalInputs, RepoContents, RepoLookup, TreeFile, needed_lookups};
pub use fingerprint::Fingerprint;
pub use hostname::hostname;
pub use installer_setting::InstallerSetting;
pub use library::{Library, Task};
pub use request::{FileBody, FileKind, RenderRequest, RenderedAttempt, RenderedFile};
pub use task::TaskSpec;
pub use urls::{Urls, encoded};
