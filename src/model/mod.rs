//! What operators declare and machines report: plain types.
//!
//! Nothing here reads a file or decides anything. A type that can be written in a file implements
//! [`serde::Deserialize`] and refuses what is malformed with the culprit in backticks and what was
//! expected; whether several well-formed things fit together is the business of [`crate::site`].

mod place;
mod few;
mod name;
mod mac;
mod units;
mod address;
mod hostname;
mod time;
mod revision;
mod identity;
mod firmware;
mod facts;
mod order;
mod occasion;
mod secret;
mod disk;
mod settings;
mod link;
mod declared;
mod server;

pub use address::{AddressRange, HostAddress, Subnet};
pub use declared::{
    Accept, Broker, Defaults, DhcpMode, Hook, HookBody, Network, NetworkBody, Node, NodeBody,
    Policy, Repo, RepoBody, Rule, Tag, TagBody, Unknown,
};
pub use disk::Disk;
pub use facts::{DiskFact, Facts, NicFact};
pub use few::Few;
pub use firmware::{Arch, BootProgram, Platform};
pub use hostname::{Hostname, HostnameError};
pub use identity::{Asset, Identity, Serial, Uuid, is_placeholder};
pub use link::{Bond, Bridge, Interface, LinkName, LinkSettings, Route, Vlan};
pub use mac::{Mac, MacError};
pub use name::{
    BrokerName, HookName, NameError, NetworkName, NodeName, PolicyName, RepoName, StageName,
    TagName, TaskName,
};
pub use occasion::{Occasion, Receiver};
pub use order::{Checksum, Deed, DiskChoice, ImageOrder, Order, Pick};
pub(crate) use place::AT;
pub use place::{At, FileId, List, Place};
pub use revision::Revision;
pub use secret::{HashKind, PasswordHash, SecretText};
pub use server::{
    ConfirmNeighbour, DhcpConfig, HttpConfig, LimitsConfig, OperatorConfig, PathsConfig, RunConfig,
    ServerConfig, TftpConfig,
};
pub use settings::{Addresses, BootOrder, Deadlines, LocalBoot, Settings, User, Vars};
pub use time::{Mono, Now, Timestamp};
pub use units::{ByteSize, Span};
