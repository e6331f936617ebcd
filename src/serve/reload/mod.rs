//! Loads the files of a site into a snapshot.
//!
//! [`load`] reads, checks and renders a site. `check_process` does that first, in a process with limits. `external` and `loaders` find what the site needs from outside, such as images,
//! secrets and loaders. `chosen_site` chooses the revision that goes live when the server starts.

pub(crate) mod bases;
pub(crate) mod loaders;
pub(crate) mod external;
mod protected;
pub(crate) mod render_cache;
pub(crate) mod check_process;
mod rendering;
pub mod load;
pub(crate) mod replay;
pub(crate) mod chosen_site;
