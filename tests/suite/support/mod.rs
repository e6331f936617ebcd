//! Shared by several test modules: readers of the sources, sites, servers and clients, namespaces, and the
//! requirements of a test.

pub(crate) mod sources;
pub(crate) mod needs;
pub(crate) mod child;
pub(crate) mod site;
pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod dhcp;
pub(crate) mod disk_sets;
pub(crate) mod arp;
pub(crate) mod namespace;
pub(crate) mod program;
pub(crate) mod http;
pub(crate) mod loading;
pub(crate) mod rendering;
pub(crate) mod debconf;
pub(crate) mod installer;
pub(crate) mod cloud_init;
pub(crate) mod story;
mod story_seals;

/// The path of the test whose function contains the call, as libtest prints it.
macro_rules! test_name {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        let path = path.strip_suffix("::here").unwrap_or(path);
        path.split_once("::").map_or(path, |(_, path)| path)
    }};
}

pub(crate) use test_name;
pub(crate) mod udp;
