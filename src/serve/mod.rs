//! A site and its journal become a server.
//!
//! [`reload`] makes a snapshot of a site's files; [`engine`] is the one place where decisions are taken, in order, and
//! made durable before their answers are sent; [`boot`] answers machines and [`operator`] operators; [`listen`] has the
//! sockets; [`background`] what runs without a request; [`mod@start`] opens it all, and [`offline`] does what can be done
//! without a server.

mod clock;
mod memory;
mod site_id;
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

pub(crate) use boot::discover::missing_microkernel;
pub(crate) use boot::microkernel::{INITRD, KERNEL};
pub(crate) use clock::is_synchronised;
pub use listen::banner::Banner;
pub(crate) use listen::sockets::wanted;
pub use load::{Loaded, SiteLoader};
pub(crate) use memory::keep_little;
pub use operator::explain::explain;
pub use operator::views::{rendered, rendered_for};
pub use reload::load;
pub(crate) use reload::loaders::{find as find_loaders, needed as needed_loaders};
pub use repos::{RepoShown, Repos, list};
pub use running::Running;
pub(crate) use site_id::state_path;
pub use start::{Options, start};
pub(crate) use user::{drop_privileges, ids as user_ids};
