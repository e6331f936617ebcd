//! Everything wired together: a site and its journal become a server.
//!
//! [`load`] makes a snapshot of a site's files; [`engine`] is the one place where decisions are taken, in
//! order, and made durable before their answers leave; [`backend`] gives them to the listeners; [`reload`]
//! puts a new snapshot in the old one's place; `start` opens it all, and [`offline`] does what can be done
//! without a server.

mod clock;
mod bases;
mod outside;
mod sound;
pub mod load;
mod memory;
mod keep;
mod told;
mod engine;
mod handout;
mod doubt;
mod boots;
mod views;
mod explain;
mod backend;
mod reload;
mod probe;
mod replay;
mod user;
mod choose;
mod banner;
mod listeners;
mod running;
mod start;
pub mod offline;

pub use banner::Banner;
pub use explain::explain;
pub use load::{Loaded, Loader};
pub(crate) use memory::keep_little;
pub use running::Running;
pub use start::{Options, start};
pub use views::rendered;
