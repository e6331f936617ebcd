//! `bootwright.toml`: the configuration of the server, read once at start.

use serde::{Deserialize, Serialize};

use super::{ByteSize, List, Mac, PortRange, Spanned, Subnet, TimeSpan};

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
    /// The whole file. Every key is optional.
    ServerConfig {
        /// The id of the site, which binds it to its state directory; written by `init`. A site without one is a
        /// demonstration.
        site_id: Option<Spanned<String>>,
        /// The listener for machines.
        http: HttpConfig,
        /// The listener for operators.
        operator: OperatorConfig,
        dhcp: DhcpConfig,
        tftp: TftpConfig,
        paths: PathsConfig,
        identity: IdentityConfig,
        limits: LimitsConfig,
        journal: JournalConfig,
        run: RunConfig,
    }
    /// `[http]`: the listener for machines.
    HttpConfig {
        /// Address and port; default `[::]:80`, and 8080 with a warning if port 80 is in use.
        listen: Option<Spanned<String>>,
        /// The addresses that machines use, with or without a port, at most one per family.
        advertise: Option<List<String>>,
        /// Whether a reported MAC address is compared with the kernel's neighbour table.
        confirm_neighbour: Option<Spanned<ConfirmNeighbour>>,
        /// The subnets of machines besides those of the declared networks.
        allow_from: Option<List<Subnet>>,
        /// The names by which machines address the server, besides its addresses.
        names: Option<List<String>>,
    }
    /// `[identity]`: what does not identify a machine.
    IdentityConfig {
        /// MACs that several machines have, such as that of a network adapter that is used for installations.
        ignore_macs: Option<List<Mac>>,
        /// Kernel drivers of NICs that do not identify a machine.
        ignore_drivers: Option<List<String>>,
    }
    /// `[operator]`: the listener for operators.
    OperatorConfig {
        /// Address and port.
        listen: Option<Spanned<String>>,
        /// A file with the bearer token; default: `operator-token` in the state directory.
        token_file: Option<Spanned<String>>,
        /// A file with the certificate chain of the listener (PEM), which then uses TLS.
        tls_cert: Option<Spanned<String>>,
        /// The file with its private key (PEM).
        tls_key: Option<Spanned<String>>,
        /// A file with the certificates that commands trust; default: only the one in `tls_cert`.
        tls_ca: Option<Spanned<String>>,
    }
    /// `[dhcp]`.
    DhcpConfig {
        /// Whether it answers; also needs a network whose `dhcp` is not `off`.
        enabled: Option<Spanned<bool>>,
        /// Interfaces by name or address; default: those with an address in such a network.
        interfaces: Option<List<String>>,
        /// Whether port 67 is used; false: only the proxy on port 4011.
        port_67: Option<Spanned<bool>>,
    }
    /// `[tftp]`.
    TftpConfig {
        /// Whether it answers.
        enabled: Option<Spanned<bool>>,
        /// Address and port; default `[::]:69`.
        listen: Option<Spanned<String>>,
        /// The ports of transfers to addresses that cannot be checked; default: the one in `listen`.
        ports: Option<Spanned<PortRange>>,
    }
    /// `[paths]`.
    PathsConfig {
        /// The state directory.
        state: Option<Spanned<String>>,
        /// The directory of what is stored about the state directory outside of it.
        witness: Option<Spanned<String>>,
        /// The base of relative repo paths; default: the site.
        repos: Option<Spanned<String>>,
        /// The directory of `secret("name")`.
        secrets: Option<Spanned<String>>,
        /// Searched for loaders before the directories of the distribution's packages.
        loaders: Option<List<String>>,
    }
    /// `[limits]`.
    LimitsConfig {
        /// The maximum number of attempts that are opened per hour.
        installs_per_hour: Option<Spanned<u32>>,
        /// The maximum number of undeclared machines that are stored.
        discovered: Option<Spanned<u32>>,
        /// The maximum number of connections.
        connections: Option<Spanned<u32>>,
        /// The maximum number of connections from one address, except loopback.
        connections_per_address: Option<Spanned<u32>>,
    }
    /// `[journal]`.
    JournalConfig {
        /// How long events that only report are kept.
        keep: Option<Spanned<TimeSpan>>,
        /// The size of the journal above which the oldest of them are removed earlier.
        max: Option<Spanned<ByteSize>>,
        /// How far the clock may be ahead of the last event when the server starts after it did not stop normally.
        gap: Option<Spanned<TimeSpan>>,
    }
    /// `[run]`.
    RunConfig {
        /// The user that the server runs as after it has opened its sockets.
        user: Option<Spanned<String>>,
    }
}

impl IdentityConfig {
    pub fn ignores_mac(&self, mac: Mac) -> bool {
        let ignored = self.ignore_macs.iter().flat_map(List::values);
        ignored.into_iter().any(|ignored| *ignored == mac)
    }

    pub fn ignores_driver(&self, driver: Option<&str>) -> bool {
        let ignored = self.ignore_drivers.iter().flat_map(List::values);
        ignored
            .into_iter()
            .any(|ignored| Some(ignored.as_str()) == driver)
    }
}

/// What happens if the kernel's neighbour table does not confirm a reported MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfirmNeighbour {
    /// `Strict` for machines on the links of this host, `Log` for those behind a router.
    Auto,
    /// It is logged.
    Log,
    /// The machine gets no token.
    Strict,
    /// There is no comparison.
    Off,
}
