//! The operator API: its requests, its responses, and how HTTP carries them.
//!
//! The server, the command line and the offline reader use these types. [`ApiRequest::to_http`] and [`Endpoint`] map requests
//! to HTTP and back; the fields of a command are its JSON body. Nothing is sent here, and no use case is here.

mod command;
mod error;
mod query;
mod request;
mod variant_names;

pub use command::{Command, CommandReply, MarkedState, NodeCommand, SiteCommand};
pub use error::ApiError;
pub use query::Query;
pub use request::{ApiRequest, Endpoint, HttpForm};
