//! The server: it runs a site and its journal.
//!
//! [`reload`] loads a site's files into a snapshot. [`engine`] decides all requests, in order, and makes the events durable
//! before the answers are sent. [`boot`] answers machines, and [`operator`] answers operators. [`listen`] opens the sockets,
//! [`background`] runs the periodic tasks, and [`mod@start`] starts everything. [`offline`] reads the state without a server.

mod clock;
mod memory;
mod backup;
mod old_state;
mod site_id;
mod capabilities;
mod user;
mod reload;
mod repos;
mod server_log;
mod engine;
mod server;
mod operator;
mod boot;
mod background;
mod listen;
mod running;
mod start;
pub mod offline;

pub use backup::{Restored, back_up, restore};
pub(crate) use boot::discover::missing_microkernel;
pub(crate) use boot::microkernel::{INITRD, KERNEL};
pub(crate) use clock::is_synchronised;
pub use listen::banner::Banner;
pub(crate) use listen::operator_tls::check as check_operator_tls;
pub(crate) use listen::sockets::listen_addresses;
pub use load::{Loaded, SiteLoader};
pub(crate) use memory::limit_allocator;
pub use operator::explain::explain;
pub use operator::views::{rendered, rendered_for};
pub(crate) use reload::check_process::{COMMAND as CHECK_COMMAND, run as run_check_process};
pub use reload::check_process::{CheckFailure, CheckLimits, CheckProgram};
pub use reload::load;
pub(crate) use reload::loaders::{find as find_loaders, needed as needed_loaders};
pub use repos::{RepoShown, Repos, list};
pub use running::Running;
pub(crate) use site_id::state_path;
pub use start::{Options, start};
pub(crate) use user::{drop_privileges, group_name, ids as user_ids, user_name};
