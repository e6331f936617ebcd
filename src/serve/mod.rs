//! Everything wired together: a site and its journal become a server.
//!
//! [`load`] makes a snapshot of a site's files; [`engine`] is the one place where decisions are taken, in
//! order, and made durable before their answers leave; [`backend`] gives them to the listeners; [`reload`]
//! puts a new snapshot in the old one's place; `start` opens it all, and [`offline`] does what can be done
//! without a server.

mod clock;
mod bases;
mod needed;
mod outside;
mod render_cache;
pub mod load;
mod memory;
mod site_id;
mod server_log;
mod dhcp_stats;
mod rogue_dhcp;
mod addresses;
mod engine;
mod attempt_files;
mod neighbour_check;
mod booting;
mod boot_scripts;
mod views;
mod machine_log;
mod explain;
mod inventory;
mod fetched;
mod backend;
mod microkernel;
mod discover;
mod reload;
mod probe;
mod image_verification;
mod deliver;
mod backlog;
mod links;
mod dhcp;
mod grub;
mod mboot;
mod tftp;
mod replay;
mod user;
mod choose;
mod banner;
mod listeners;
mod running;
mod start;
pub mod offline;
mod repos;

pub use banner::Banner;
pub(crate) use clock::is_synchronised;
pub(crate) use discover::missing_microkernel;
pub use explain::explain;
pub(crate) use listeners::wanted;
pub use load::{Loaded, SiteLoader};
pub(crate) use memory::keep_little;
pub(crate) use microkernel::{INITRD, KERNEL};
pub(crate) use needed::{find as find_loaders, needed as needed_loaders};
pub use repos::{RepoShown, Repos, list};
pub use running::Running;
pub(crate) use site_id::state_path;
pub use start::{Options, start};
pub(crate) use user::{drop_privileges, ids as user_ids};
pub use views::{rendered, rendered_for};
