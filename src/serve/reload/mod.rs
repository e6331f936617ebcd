//! How the files of a site become a snapshot.
//!
//! [`load`] reads, checks and renders a site; what it needs from outside the site, such as images, secrets and
//! loaders, is found here as well, and the site that goes live at a start is chosen here.

pub(crate) mod bases;
pub(crate) mod loaders;
pub(crate) mod external;
pub(crate) mod render_cache;
pub mod load;
pub(crate) mod replay;
pub(crate) mod chosen_site;
