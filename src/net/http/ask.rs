//! What a request asks, as plain values: no header, no escape and no socket is left in them.

use std::{net::SocketAddr, sync::Arc};

use hyper::body::Bytes;

use crate::control::{Callback, Report};

/// The two ends of a connection. An IPv4 address that came through an IPv6 socket is shown as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The machine's end. It never identifies the machine.
    pub address: SocketAddr,
    /// Our end: it tells by which of our networks the request came.
    pub local: SocketAddr,
}

/// `GET /boot.ipxe` and `GET /autoexec.ipxe`: the entry script is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRequest {
    /// Who asks.
    pub peer: Peer,
    /// Where the machine reaches us: `http://192.0.2.1:8080`, without a slash at its end.
    pub base: Arc<str>,
}

/// `GET /boot`: what a machine that boots from the network says of itself. Texts are trimmed, never empty,
/// and hold no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRequest {
    /// What it says, each hardware address once: the card it booted from first.
    pub report: Report,
    /// The id that the entry script carries on: requests with the same one are the same boot.
    pub boot: Option<String>,
    /// Parameters that were left out because they could not be read, each with the reason, for the log.
    pub dropped: Vec<String>,
    /// Who asks.
    pub peer: Peer,
    /// Where the machine reaches us.
    pub base: Arc<str>,
}

/// `GET` or `HEAD /loader/<name>`: a program that firmware starts first is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderRequest {
    /// Its name.
    pub name: String,
    /// Whether the whole body was asked for: a `GET` without `Range`.
    pub whole: bool,
    /// Who asks.
    pub peer: Peer,
}

/// `GET` or `HEAD /mboot/<repo>/<path>`: ESXi's loader is wanted, or what it looks for beside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MbootRequest {
    /// The repo's name as given.
    pub repo: String,
    /// The path beside the loader; as in a [`RepoRequest`].
    pub path: String,
    /// Whether only the head was asked for.
    pub head: bool,
    /// Whether the whole body was asked for: a `GET` without `Range`.
    pub whole: bool,
    /// Who asks.
    pub peer: Peer,
    /// Where the machine reaches us.
    pub base: Arc<str>,
}

/// `GET` or `HEAD /t/<token>/<name>`: a document or hand-out of an attempt is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRequest {
    /// The attempt's token as given.
    pub token: String,
    /// The document's name; it may hold a slash: `01-00-50-56-aa-bb-01/boot.cfg`.
    pub name: String,
    /// Whether only the head was asked for.
    pub head: bool,
    /// Whether the whole body was asked for: a `GET` without `Range`. Nothing else counts as reading.
    pub whole: bool,
    /// Who asks.
    pub peer: Peer,
}

/// `GET` or `POST` on one of an attempt's callbacks. `HEAD` never becomes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// The attempt's token as given.
    pub token: String,
    /// What the machine tells. Texts hold no control characters.
    pub callback: Callback,
    /// Who tells it.
    pub peer: Peer,
}

/// `POST /c/<token>/report` and `GET /c/<token>/order`: a machine in the microkernel checks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckInRequest {
    /// The machine's token as given.
    pub token: String,
    /// What it reports, as it came; none when it only asks what to do.
    pub report: Option<Bytes>,
    /// Who asks.
    pub peer: Peer,
}

/// `GET` or `HEAD /repo/<repo>/<path>`: a repo's file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRequest {
    /// The repo's name as given.
    pub repo: String,
    /// The path inside the repo: no empty step, no `.` and no `..`, never empty.
    pub path: String,
    /// Whether only the head was asked for.
    pub head: bool,
    /// Who asks.
    pub peer: Peer,
}

/// What an operator wants to know. Machines are named as given: by node name or by MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorQuery {
    /// Every machine.
    Nodes,
    /// One machine.
    Node(String),
    /// One machine's log, as lines of JSON.
    Log {
        /// Which machine.
        node: String,
        /// Only what came after this mark.
        after: Option<String>,
    },
    /// What one machine reported of itself.
    Facts(String),
    /// Why one machine gets what it gets.
    Explain(String),
    /// Every machine that something binds, as Ansible reads it.
    Inventory,
    /// The server itself: revision, problems of a rejected reload.
    Status,
}

/// What an operator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Install this machine once more.
    Reinstall(String),
    /// Give this machine no installer until it is released.
    Hold {
        /// Which machine.
        node: String,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Clear this machine's holds and its retry count.
    Release(String),
    /// Record that this machine is in a state that the server did not see.
    Mark {
        /// Which machine.
        node: String,
        /// The state.
        state: String,
    },
    /// Forget this machine's history.
    Forget {
        /// Which machine.
        node: String,
        /// Whether it may be forgotten although a later installation could then wipe it.
        wipe_allowed: bool,
    },
    /// Let this machine, which waits in the microkernel, switch itself off.
    PowerOff(String),
    /// Stop every hand-out.
    Pause,
    /// Start them again.
    Resume,
    /// Release every machine.
    ReleaseAll,
}
