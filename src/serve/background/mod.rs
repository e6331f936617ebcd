//! What the server does without a request: it follows the site, probes machines and addresses, looks for other DHCP
//! servers, verifies images and makes deliveries.

pub(crate) mod addresses;
pub(crate) mod deliveries;
pub(crate) mod dhcp_silence;
pub(crate) mod follow_site;
pub(crate) mod images;
pub(crate) mod probe;
pub(crate) mod rogue_dhcp;
