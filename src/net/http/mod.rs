//! HTTP: one listener for machines, one for operators.
//!
//! A connection is accepted ([`listen`]) within the limits ([`connection_limit`]) and served ([`connection`]) over a
//! socket that detects stalls ([`wire`]). A request is parsed ([`path`], [`query`], [`condition`]) to a value of
//! [`request`], the [`Backend`] is called once, and its reply is encoded ([`response`], [`body`], [`mod@file`]). Access
//! is checked here ([`guard`], [`throttle`]); what a request gets is decided by the backend.

mod request;
mod backend;
mod advertise;
mod host;
mod limits;
mod request_memory;
mod path;
mod query;
mod condition;
mod pool;
mod file_range;
mod wire;
mod body;
mod response;
mod file;
mod throttle;
mod connection_limit;
mod connection;
mod listen;
mod callback_body;
mod machines;
mod sessions;
mod guard;
pub mod tls;
mod page;
mod operators;

pub use advertise::{Advertise, AdvertiseError};
pub use backend::{
    Backend, CallbackReply, CheckInReply, DownloadEnd, DownloadReceipt, FileReply, Reply,
    ServedFile, ServerHealth,
};
pub use condition::{FileVersion, RequestedPart, requested_part};
pub use guard::Guard;
pub use hyper::body::Bytes;
pub use limits::{Limits, allow_open_files};
pub use listen::{Listener, Stop};
pub use machines::{MachineListenerConfig, serve_machines};
pub use operators::{OperatorListenerConfig, serve_operators};
pub use query::{boot_query, boot_request};
pub use request::{
    BootRequest, CallbackRequest, CheckInRequest, DocumentRequest, EntryRequest, LoaderRequest,
    MbootRequest, Peer, RepoRequest, SealRequest,
};
