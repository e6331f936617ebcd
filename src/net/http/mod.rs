//! HTTP: one listener for machines, one for operators.
//!
//! A connection is accepted ([`listen`]), takes a seat ([`seats`]) and is served ([`connection`]) over bytes
//! that are watched ([`wire`]). A request is parsed ([`path`], [`query`], [`condition`]) to one of the values
//! of [`ask`], the [`Backend`] is asked once, and what it says is encoded ([`answer`], [`body`], [`mod@file`]).
//! Who may ask at all is checked here ([`guard`], [`throttle`]); what is answered is not decided here.

mod ask;
mod backend;
mod advertise;
mod limits;
mod path;
mod query;
mod condition;
mod pool;
mod stretch;
mod wire;
mod body;
mod answer;
mod file;
mod throttle;
mod seats;
mod connection;
mod listen;
mod machines;
mod guard;
mod operators;

pub use advertise::{Advertise, AdvertiseError};
pub use ask::{
    BootRequest, CallbackRequest, CheckInRequest, DocumentRequest, EntryRequest, LoaderRequest,
    MbootRequest, OperatorCommand, OperatorQuery, Peer, RepoRequest,
};
pub use backend::{
    ApiError, Backend, CallbackReply, CheckInReply, DownloadEnd, DownloadReceipt, FileReply, Reply,
    ServedFile, ServerHealth,
};
pub use condition::{FileVersion, RequestedPart, wanted};
pub use guard::{Guard, GuardError};
pub use hyper::body::Bytes;
pub use limits::{Limits, allow_open_files};
pub use listen::{Listener, Stop};
pub use machines::{MachineListenerConfig, serve_machines};
pub use operators::{OperatorListenerConfig, serve_operators};
pub use query::boot_ask;
