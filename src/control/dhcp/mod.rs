//! DHCP for one machine: its identity, its address and its boot file.

pub(super) mod pool;
pub(super) mod requester;
pub(super) mod lease;
pub(super) mod respond;
