//! What operators read: the state of the server and its machines, as the HTTP API returns it.

pub(crate) mod explain;
pub(crate) mod views;
pub(crate) mod inventory;
pub(crate) mod machine_log;
