//! What operators declare and machines report: plain types.
//!
//! Nothing here reads a file or decides anything. A type that can be written in a file implements
//! [`serde::Deserialize`] and rejects malformed values: the error has the culprit in backticks and what was
//! expected. [`crate::site`] checks whether well-formed values are consistent.

mod source_span;
mod small_set;
mod name;
mod mac;
mod units;
mod address;
mod port_range;
mod hostname;
mod time;
mod revision;
mod identity;
mod firmware;
mod facts;
mod fact_limit;
mod agent_instruction;
mod lifecycle_event;
mod seal;
mod secret;
mod disk_guard;
mod disk_selector;
mod settings;
mod link;
mod dhcp_option;
mod declared;
mod server;
mod effective;

pub use address::{AddressRange, HostAddress, Subnet};
pub use agent_instruction::{
    AgentAction, AgentInstruction, Checksum, DiskPick, ImageInstruction, ImageTarget,
    SealInstruction,
};
pub use declared::{
    Accept, Broker, Defaults, DhcpMode, Hook, HookBody, Network, NetworkBody, Node, NodeBody,
    Policy, Repo, RepoBody, Rule, Tag, TagBody, UndeclaredMode,
};
pub use dhcp_option::{
    DHCP_OPTIONS, DhcpOptionError, DhcpOptionKey, DhcpOptionKeyError, DhcpOptionSetting,
    DhcpOptionType, MAX_OPTION_BYTES, SiteOption, SiteOptionValue,
};
pub use disk_guard::{
    NOT_DISKS, ONLY_NAMED, STORAGE_SYSTEMS, StorageSystem, is_disk_name, is_only_named, normal_wwid,
};
pub use disk_selector::DiskSelector;
pub use effective::{
    EffectiveBridge, EffectiveDeadlines, EffectiveDhcp, EffectiveHttp, EffectiveLimits,
    EffectiveLink, EffectiveNetwork, EffectiveNode, EffectiveOperator, EffectivePaths,
    EffectiveRule, EffectiveSettings, EffectiveTftp, EffectiveUser, defaults,
};
pub use fact_limit::MAX_FACTS;
pub use facts::{DiskFact, Facts, NicFact};
pub use firmware::{Arch, BootProgram, Platform};
pub use hostname::{Hostname, HostnameError};
pub use identity::{Asset, Identity, Serial, Uuid, is_placeholder};
pub use lifecycle_event::{LifecycleEvent, Recipient};
pub use link::{Bond, Bridge, Interface, LinkName, LinkSettings, OptionText, Route, Vlan};
pub use mac::{Mac, MacError};
pub use name::{
    BrokerName, HookName, NameError, NetworkName, NodeName, PolicyName, RepoName, StageName,
    TagName, TaskName,
};
pub use port_range::PortRange;
pub use revision::Revision;
pub use seal::{
    MAX_SEAL_CHARS, SEAL_BYTES, SEAL_MAGIC, SEAL_OFFSET, SEALED_FROM, is_plain, seal_sector,
    seal_text,
};
pub use secret::{HashKind, PasswordHash, SecretText};
pub use server::{
    ConfirmNeighbour, DhcpConfig, HttpConfig, IdentityConfig, JournalConfig, LimitsConfig,
    OperatorConfig, PathsConfig, RunConfig, ServerConfig, TftpConfig,
};
pub use settings::{AddressSource, BootOrder, Deadlines, LocalBoot, Settings, User, Vars};
pub use small_set::SmallSet;
pub(crate) use source_span::AT;
pub use source_span::{FileId, List, SourceSpan, Spanned};
pub use time::{MonotonicTime, Now, Timestamp};
pub use units::{ByteSize, TimeSpan};
