//! Parsed requests: plain values without headers, percent-encoding or sockets.

use std::{net::SocketAddr, sync::Arc};

use hyper::body::Bytes;

use crate::control::{Callback, Report};

/// The two addresses of a connection. An IPv4 address of an IPv6 socket is shown as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address. It never identifies the machine.
    pub address: SocketAddr,
    /// This host's address, which identifies the network on which the request arrived.
    pub local: SocketAddr,
}

/// `GET /boot.ipxe` and `GET /autoexec.ipxe`: the entry script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRequest {
    pub peer: Peer,
    /// The server's URL as the machine reaches it, without a slash at the end: `http://192.0.2.1:8080`.
    pub base: Arc<str>,
}

/// `GET /boot`: the identity that a booting machine reports. Texts are trimmed, not empty, and have no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRequest {
    /// Each MAC is in it once, the NIC that the machine booted from first.
    pub report: Report,
    /// The id that the entry script passes on: requests with the same id belong to the same boot.
    pub boot: Option<String>,
    /// Parameters that could not be parsed, each with the reason, for the log.
    pub ignored: Vec<String>,
    pub peer: Peer,
    /// The server's URL as the machine reaches it.
    pub base: Arc<str>,
}

/// `GET` or `HEAD /loader/<name>`: a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderRequest {
    pub name: String,
    /// Whether the whole body is requested: a `GET` without `Range`.
    pub whole: bool,
    pub peer: Peer,
}

/// `GET` or `HEAD /mboot/<repo>/<path>`: ESXi's loader, or a file that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MbootRequest {
    /// As given; it may not exist.
    pub repo: String,
    /// The path relative to the loader; as in a [`RepoRequest`].
    pub path: String,
    /// Whether it is a `HEAD` request.
    pub head: bool,
    /// Whether the whole body is requested: a `GET` without `Range`.
    pub whole: bool,
    pub peer: Peer,
    /// The server's URL as the machine reaches it.
    pub base: Arc<str>,
}

/// `GET` or `HEAD /t/<token>/<name>`: a document or auxiliary file of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRequest {
    /// The attempt's token as given; it may be invalid.
    pub token: String,
    /// The document's name. It may contain a slash: `01-00-50-56-aa-bb-01/boot.cfg`.
    pub name: String,
    /// Whether it is a `HEAD` request.
    pub head: bool,
    /// Whether the whole body is requested: a `GET` without `Range`. Only this counts as reading the document.
    pub whole: bool,
    pub peer: Peer,
}

/// `GET` or `POST` of an attempt's callback. `HEAD` is answered without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// The attempt's token as given; it may be invalid.
    pub token: String,
    /// Its texts have no control characters.
    pub callback: Callback,
    pub peer: Peer,
}

/// `GET` of the question whether an installer may overwrite a disk with a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealRequest {
    /// The attempt's token as given; it may be invalid.
    pub token: String,
    /// The seal's text, valid or not.
    pub text: String,
    /// Whether the settings of the installer permit to overwrite any data.
    pub wipe: bool,
}

/// `POST /c/<token>/report` and `GET /c/<token>/order`: a machine in the microkernel checks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckInRequest {
    /// The machine's token as given; it may be invalid.
    pub token: String,
    /// The report's bytes; none when the machine only polls for an instruction.
    pub report: Option<Bytes>,
    pub peer: Peer,
}

/// `GET` or `HEAD /repo/<repo>/<path>`: a file of a repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRequest {
    /// As given; it may not exist.
    pub repo: String,
    /// The path in the repo: not empty, without empty segments, `.` and `..`.
    pub path: String,
    /// Whether it is a `HEAD` request.
    pub head: bool,
    pub peer: Peer,
}
