//! An ISO 9660 image as a tree of extents.
//!
//! [`IsoIndex::read`] walks an image once and keeps where each file lies; nothing is extracted, and the bytes are read
//! from the image when they are asked for. Names come from Rock Ridge, else from Joliet, else as plain ISO 9660 has them,
//! without their `;1` and in small letters. No file is opened here: an image is whatever can be read and sought in.

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
