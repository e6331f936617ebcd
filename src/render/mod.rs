//! Renders a machine's boot files and installer documents from templates.
//!
//! [`compile()`] turns every template and `task.toml` into a [`Library`] and reports mistakes with their lines.
//! [`render_attempt`] renders one machine's files from it. Network settings, boot.cfg and the choice of ESXi's disk are
//! written by code that covers what each installer supports ([`net`], [`boot::boot_cfg`]). Everything else is templates:
//! undefined values are errors, and values are quoted for the file's format ([`quote`]). [`check`] applies the rules of ESXi's
//! file formats, which its installer does not enforce.
//!
//! Nothing is read here. Data from outside the site comes in as [`ExternalInputs`], and [`needed_lookups`] lists what the
//! shell has to look up.

mod installer_setting;
pub mod quote;
mod filters;
mod engine;
mod scan;
mod growth;
mod fingerprint;
pub mod layout;
mod task_vars;
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
mod regional;
mod requested_settings;
mod system_accounts;
mod values;
mod urls;
pub mod net;
mod vars;
mod request;
mod packages;
mod located_files;
mod contacts;
mod repo;
mod disk;
mod esxi_options;
mod esxi;
mod hostname;
mod context;
mod esxi_values;
mod hand_over;
mod first_boot;
mod attempt_renderer;
pub mod check;
mod attempt;

pub use attempt::{inspect_attempt, render_attempt};
pub use broker::HAND_OVER;
pub use compile::compile;
pub use external::{ExternalInputs, RepoContents, RepoLookup, TreeFile, TreeFiles, needed_lookups};
pub use fingerprint::Fingerprint;
pub use hostname::hostname;
pub use installer_setting::InstallerSetting;
pub use library::{Library, Task};
pub use repo::repo_problem;
pub use request::{FileBody, FileKind, RenderRequest, RenderedAttempt, RenderedFile};
pub use task::TaskSpec;
pub use urls::{Urls, encoded};
