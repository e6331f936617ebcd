//! `bootwright.toml`: the server itself. Read once at start.

use serde::{Deserialize, Serialize};

use super::{List, Spanned};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

tables! {
    /// The whole file. Every key may be absent.
    ServerConfig {
        /// Ties the site to its state directory; written by `init`. A site without one is a demonstration.
        site_id: Option<Spanned<String>>,
        /// What machines talk to.
        http: HttpConfig,
        /// What operators talk to.
        operator: OperatorConfig,
        /// DHCP.
        dhcp: DhcpConfig,
        /// TFTP.
        tftp: TftpConfig,
        /// Where things are.
        paths: PathsConfig,
        /// Bounds.
        limits: LimitsConfig,
        /// As whom the server runs.
        run: RunConfig,
    }
    /// `[http]`: the machines' listener.
    HttpConfig {
        /// Address and port; default `[::]:80`, and 8080 with a warning when another program has 80.
        listen: Option<Spanned<String>>,
        /// The address machines are told, with a port or without, one for each family.
        advertise: Option<List<String>>,
        /// Whether a claimed MAC is compared with the kernel's neighbour table; default `log`.
        confirm_neighbour: Option<Spanned<ConfirmNeighbour>>,
    }
    /// `[operator]`: the operators' listener.
    OperatorConfig {
        /// Address and port; default `127.0.0.1:8067`.
        listen: Option<Spanned<String>>,
        /// A file that holds the bearer token; needed on any address that is not loopback.
        token_file: Option<Spanned<String>>,
    }
    /// `[dhcp]`.
    DhcpConfig {
        /// Default true; also needs a network whose `dhcp` is not `off`.
        enabled: Option<Spanned<bool>>,
        /// Interfaces by name or address; default: those with an address in such a network.
        interfaces: Option<List<String>>,
        /// Whether port 67 is used; false: proxy on 4011 alone.
        port_67: Option<Spanned<bool>>,
    }
    /// `[tftp]`.
    TftpConfig {
        /// Default true.
        enabled: Option<Spanned<bool>>,
        /// Address and port; default `[::]:69`.
        listen: Option<Spanned<String>>,
    }
    /// `[paths]`.
    PathsConfig {
        /// The state directory.
        state: Option<Spanned<String>>,
        /// Where relative repo paths start; default: the site.
        repos: Option<Spanned<String>>,
        /// Where `secret("name")` reads; default `/etc/bootwright/secrets`.
        secrets: Option<Spanned<String>>,
        /// Searched for loaders before the directories of the distribution's packages.
        loaders: Option<List<String>>,
    }
    /// `[limits]`.
    LimitsConfig {
        /// Attempts opened in an hour; default 10.
        installs_per_hour: Option<Spanned<u32>>,
        /// Unknown machines remembered; default 5000.
        discovered: Option<Spanned<u32>>,
        /// Connections in all; default 8192.
        connections: Option<Spanned<u32>>,
        /// Connections from one address, loopback excepted; default 1024.
        connections_per_address: Option<Spanned<u32>>,
    }
    /// `[run]`.
    RunConfig {
        /// As whom the server runs once its sockets are open.
        user: Option<Spanned<String>>,
    }
}

/// What is done with a claimed MAC that the kernel's neighbour table does not confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfirmNeighbour {
    /// It is logged.
    Log,
    /// The machine gets no token.
    Strict,
    /// Nothing is compared.
    Off,
}
