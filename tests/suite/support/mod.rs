//! What several test modules use: readers of the sources, sites, servers and clients, and the story player.

pub(crate) mod sources;
pub(crate) mod server;
pub(crate) mod wire;
pub(crate) mod http;
pub(crate) mod rendering;
pub(crate) mod story;
