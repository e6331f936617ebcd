//! Installs operating systems on bare metal, configured from a git directory.
//!
//! A *site* (a directory of files) declares what every machine should be. A *journal* (an append-only log)
//! records what has happened to it. Bootwright answers machines that boot from the network and serves each
//! one the installer of its policy, rendered with its own static address and host name.
//!
//! The list of modules below is the reading order and the dependency order: a module uses only modules
//! above it. Above the line "shell" there are no files, sockets, clocks, threads or environment variables:
//! values in, values out. A test (`tests/suite/architecture.rs`) enforces both.
//!
//! # Glossary
//!
//! One term has one meaning and one type. Type names are unique in the crate; a test
//! (`tests/suite/type_names.rs`) enforces it.
//!
//! What operators declare:
//!
//! | Term | Meaning | Type |
//! |---|---|---|
//! | site | The directory of files that operators write, and everything that it declares. | [`Site`](site::Site) |
//! | revision | A digest of all files of a site. | [`Revision`](model::Revision) |
//! | settings | What `defaults`, a policy and a node can all set. A higher layer overrides a lower one. | [`Settings`](model::Settings) |
//! | node | The declaration of one machine. | [`Node`](model::Node) |
//! | repo | The source of an operating system's files: an ISO image, a directory or a URL. | [`Repo`](model::Repo) |
//! | network | A subnet of the site, with what DHCP does on it. | [`Network`](model::Network) |
//! | tag | A name for machines: carried by declaration, or derived from facts by an expression. | [`Tag`](model::Tag), [`TagSet`](matcher::TagSet) |
//! | policy | A rule that binds machines to a repo, a task and settings. | [`Policy`](model::Policy) |
//! | task | How one operating system is installed: a directory of templates with a `task.toml`. | [`TaskSpec`](render::TaskSpec) |
//! | broker | A system that takes over a finished machine, such as a configuration manager. | [`Broker`](model::Broker) |
//! | hook | A program that the server runs on lifecycle events. | [`Hook`](model::Hook) |
//! | source span | A range of bytes in one file of the site. A spanned value keeps the span where it was written. | [`SourceSpan`](model::SourceSpan), [`Spanned`](model::Spanned) |
//! | diagnostic | A mistake in the site: its message, its span and how to fix it. | [`Diagnostic`](site::Diagnostic) |
//! | snapshot | A site that was loaded without errors, with its compiled expressions and templates. | [`Snapshot`](control::Snapshot) |
//!
//! What happens to machines:
//!
//! | Term | Meaning | Type |
//! |---|---|---|
//! | machine | A computer that has contacted the server, with the history of its events. | [`Machine`](journal::Machine) |
//! | identity | What identifies a machine: MAC addresses, serial number, UUID, asset tag. | [`Identity`](model::Identity) |
//! | fact | A property that a machine has reported, such as its memory. | [`Facts`](model::Facts) |
//! | event | Something that has happened to a machine, a lease, a delivery or the whole site. | [`Event`](journal::Event) |
//! | journal | The append-only log of all events. One line holds one event with its time. | [`JournalLine`](journal::JournalLine) |
//! | state | Everything that follows from the events of a journal. | [`JournalState`](journal::JournalState) |
//! | binding | The policy, or the node's own declaration, that determines what a machine gets. | [`Binding`](journal::Binding) |
//! | attempt | One attempt to install a machine. | [`Attempt`](journal::Attempt) |
//! | document | A file of an attempt that starts the installation when a machine reads it: a kickstart, a preseed. | [`RenderedFile`](render::RenderedFile) |
//! | stage | A step of an installation that the machine itself reports, such as `installed`. | [`Stage`](journal::Stage) |
//! | hold | A reason to install nothing on a machine until it is released. | [`HoldCause`](journal::HoldCause) |
//! | boot program | The program that requests a boot: iPXE, GRUB, ESXi's mboot, PXELINUX or the firmware. | [`BootProgram`](model::BootProgram) |
//! | loader | The file that firmware loads over the network: iPXE, GRUB or another boot program. | [`Loader`](boot::Loader) |
//! | boot answer | What a network boot gets: the installer, the local disk, a wait, the microkernel or a script. | [`BootAnswer`](journal::BootAnswer) |
//! | microkernel | The Linux image that undeclared machines boot. Its agent reports facts and polls for instructions. | [`AgentInstruction`](model::AgentInstruction) |
//! | lease | An address of a network's range that a NIC holds until a given time. | [`Lease`](journal::Lease) |
//! | lifecycle event | An event that hooks and brokers can receive, such as `finished`. | [`LifecycleEvent`](model::LifecycleEvent) |
//! | delivery | A lifecycle event on its way to a hook or broker. It is retried until it succeeds. | [`PendingDelivery`](journal::PendingDelivery) |
//! | operator API | The HTTP interface of operators: commands change state, queries read it. | [`Command`](api::Command), [`Query`](api::Query) |
//! | transaction | One request against the state: it reads, decides and collects the events to append. | [`Transaction`](control::Transaction) |

// core
pub mod model;
pub mod site;
pub mod matcher;
pub mod journal;
pub mod render;
pub mod boot;
pub mod iso;
pub mod api;
pub mod control;

// shell
pub mod disk;
pub mod net;
mod agent;
mod microkernel;
pub mod serve;
pub mod cli;
