//! Background tasks of the server: they follow the site, probe machines and addresses, search for other DHCP servers, verify
//! images, make deliveries and keep the witness.

pub(crate) mod addresses;
pub(crate) mod compaction;
pub(crate) mod deliveries;
pub(crate) mod dhcp_silence;
pub(crate) mod follow_site;
pub(crate) mod images;
pub(crate) mod probe;
pub(crate) mod rogue_dhcp;
pub(crate) mod witness;
