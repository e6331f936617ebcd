//! The operator API on the server: queries and commands of [`crate::api`].

pub(crate) mod requests;
pub(crate) mod explain;
pub(crate) mod views;
pub(crate) mod inventory;
pub(crate) mod machine_log;
