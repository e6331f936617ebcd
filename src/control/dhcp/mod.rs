//! DHCP for one machine: who asks, which address it gets, which loader it boots.

pub(super) mod pool;
pub(super) mod requester;
pub(super) mod lease;
pub(super) mod respond;
