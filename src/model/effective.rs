//! The effective values of settings: the declared value, or else the default. All defaults are defined here.
//!
//! A declared object stores each value with its span, for diagnostics and for `explain`. Code that acts on a value reads it
//! here. A test compares the manual's page on the configuration with this table.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Accept, BootOrder, Bridge, ByteSize, ConfirmNeighbour, Deadlines, DhcpConfig, DhcpMode,
    HttpConfig, JournalConfig, LimitsConfig, LinkSettings, LocalBoot, NetworkBody, NodeBody,
    OperatorConfig, PathsConfig, Rule, Settings, TftpConfig, TimeSpan, UndeclaredMode, User,
};

macro_rules! effective {
    ($($heading:literal $declared:ty $(where $life:lifetime)? => $effective:ident {
        $($key:literal $field:ident: $type:ty = $default:expr,)*
    })*) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $effective {
                $(pub $field: $type,)*
            }

            impl $effective {
                /// Returns each value from the first layer that has it.
                pub fn of<'a $(, $life: 'a)?>(layers: impl Iterator<Item = &'a $declared> + Clone) -> Self {
                    $effective {
                        $($field: {
                            let set = layers.clone().find_map(|layer| layer.$field.as_ref());
                            set.map_or_else(|| $default.into(), |at| at.value.clone().into())
                        },)*
                    }
                }
            }

            impl $(<$life>)? $declared {
                /// Returns the values in effect if no other layer sets any.
                pub fn effective(&self) -> $effective {
                    $effective::of([self].into_iter())
                }
            }
        )*

        /// Lists the defaults: the heading of the manual's page, the key, and the value as it can be written.
        pub fn defaults() -> Vec<(&'static str, &'static str, Value)> {
            vec![$($(($heading, $key, json!($default)),)*)*]
        }
    };
}

effective! {
    "defaults" Settings => EffectiveSettings {
        "secure-boot" secure_boot: bool = false,
        "local-boot" local_boot: LocalBoot = LocalBoot::Auto,
        "boot-order" boot_order: BootOrder = BootOrder::Leave,
        "retries" retries: u32 = 2u32,
    }
    "deadlines" Deadlines => EffectiveDeadlines {
        "document" document: Duration = TimeSpan::minutes(10),
        "installing" installing: Duration = TimeSpan::minutes(45),
        "installed" installed: Duration = TimeSpan::minutes(60),
        "finished" finished: Duration = TimeSpan::minutes(30),
    }
    "user" User => EffectiveUser {
        "sudo" sudo: bool = false,
    }
    "network" NetworkBody => EffectiveNetwork {
        "on-link" on_link: bool = false,
        "dhcp" dhcp: DhcpMode = DhcpMode::Off,
        "lease" lease: Duration = TimeSpan::hours(12),
        "unknown" unknown: UndeclaredMode = UndeclaredMode::Watch,
    }
    "policy" Rule => EffectiveRule {
        "order" order: i64 = 100i64,
        "enabled" enabled: bool = true,
        "accept" accept: Accept = Accept::Declared,
    }
    "node" NodeBody => EffectiveNode {
        "installs" installs: u32 = 1u32,
    }
    "Common keys" LinkSettings<'l> where 'l => EffectiveLink {
        "dhcp" dhcp: bool = false,
        "on-link" on_link: bool = false,
    }
    "bridge" Bridge => EffectiveBridge {
        "stp" stp: bool = false,
    }
    "[http]" HttpConfig => EffectiveHttp {
        "confirm-neighbour" confirm_neighbour: ConfirmNeighbour = ConfirmNeighbour::Auto,
    }
    "[operator]" OperatorConfig => EffectiveOperator {
        "listen" listen: String = "127.0.0.1:8067",
    }
    "[dhcp]" DhcpConfig => EffectiveDhcp {
        "enabled" enabled: bool = true,
        "port-67" port_67: bool = true,
    }
    "[tftp]" TftpConfig => EffectiveTftp {
        "enabled" enabled: bool = true,
    }
    "[paths]" PathsConfig => EffectivePaths {
        "secrets" secrets: String = "/etc/bootwright/secrets",
    }
    "[limits]" LimitsConfig => EffectiveLimits {
        "installs-per-hour" installs_per_hour: u32 = 10u32,
        "discovered" discovered: u32 = 5_000u32,
        "connections" connections: u32 = 8_192u32,
        "connections-per-address" connections_per_address: u32 = 1_024u32,
    }
    "[journal]" JournalConfig => EffectiveJournal {
        "keep" keep: Duration = TimeSpan::hours(90 * 24),
        "max" max: ByteSize = ByteSize(512 << 20),
        "gap" gap: Duration = TimeSpan::hours(1),
    }
}
