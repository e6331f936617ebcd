//! An ISO 9660 image as a tree of extents.
//!
//! [`IsoIndex::read`] walks an image once and records where each file is stored. Nothing is extracted: a file's bytes are read
//! from the image on request. Names come from Rock Ridge if the image has it, else from Joliet, else from plain ISO 9660, in
//! lower case and without the version `;1`. No file is opened here: an image is anything that implements `Read` and `Seek`.

mod extents;
mod index;
mod names;
mod read;
mod unsupported;
mod read_ahead;

pub use extents::{Extent, Extents};
pub use index::{EntryKind, IsoEntry, IsoFile, IsoIndex, IsoLookupError};
pub use names::Namespace;
pub use read::IsoError;
