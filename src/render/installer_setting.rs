//! The settings that not every installer can express, by name.

use std::fmt;

use serde::Deserialize;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// Something that an operator can ask for and that not every installer can express.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum InstallerSetting {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl InstallerSetting {
            fn name(self) -> &'static str {
                match self { $(InstallerSetting::$name => $text,)* }
            }
        }
    };
}

impl fmt::Display for InstallerSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            // A task.toml has one word for what three keys say.
            InstallerSetting::DiskSize => "disk.min-size, disk.smallest or disk.largest",
            setting => setting.name(),
        })
    }
}

settings! {
    /// root's password.
    RootPassword "root-password",
    /// Keys that may log in.
    SshKeys "ssh-keys",
    /// An account besides root.
    User "user",
    /// Packages beyond the installer's minimum.
    Packages "packages",
    /// Scripts at the first boot.
    FirstBoot "first-boot",
    /// The time zone.
    Timezone "timezone",
    /// The locale.
    Locale "locale",
    /// The keyboard layout.
    Keyboard "keyboard",
    /// Words for the installer's kernel.
    KernelArgs "kernel-args",
    /// Words for the installed system's kernel.
    BootArgs "boot-args",
    /// The firmware's boot order.
    BootOrder "boot-order",
    /// Disks that are never touched.
    Keep "keep",
    /// The installation disk by path.
    DiskPath "disk.path",
    /// The installation disk by ESXi's list.
    DiskFirst "disk.first",
    /// The installation disk by serial number.
    DiskSerial "disk.serial",
    /// The installation disk by model.
    DiskModel "disk.model",
    /// The installation disk by size.
    DiskSize "disk.size",
    /// NTP servers.
    Ntp "ntp",
    /// The largest packet.
    Mtu "mtu",
    /// More DNS servers than the installer takes.
    Dns "dns",
    /// DNS search domains.
    Search "search",
    /// Routes beyond the default one.
    Routes "routes",
    /// A default gateway.
    Gateway "gateway",
    /// IPv6.
    Ipv6 "ipv6",
    /// More than one address on a link.
    Addresses "address",
    /// More than one network card.
    Interface "interface",
    /// Several cards as one.
    Bond "bond",
    /// Tagged networks.
    Vlan "vlan",
    /// Bridges.
    Bridge "bridge",
    /// The host name of a machine that asks DHCP for its address.
    Hostname "hostname",
}
