//! The settings that not every installer supports, by name.

use std::fmt;

use serde::Deserialize;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// A setting that not every installer supports.
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
            // task.toml has one name for three keys.
            InstallerSetting::DiskSize => "disk.min-size, disk.smallest or disk.largest",
            setting => setting.name(),
        })
    }
}

settings! {
    RootPassword "root-password",
    SshKeys "ssh-keys",
    /// An account besides root.
    User "user",
    /// Packages besides the installer's minimum.
    Packages "packages",
    FirstBoot "first-boot",
    Timezone "timezone",
    Locale "locale",
    Keyboard "keyboard",
    /// Arguments of the installer's kernel.
    KernelArgs "kernel-args",
    /// Arguments of the installed system's kernel.
    BootArgs "boot-args",
    BootOrder "boot-order",
    /// Disks that must not be touched.
    Keep "keep",
    DiskPath "disk.path",
    /// By ESXi's `--firstdisk` list.
    DiskFirst "disk.first",
    DiskSerial "disk.serial",
    DiskWwid "disk.wwid",
    DiskModel "disk.model",
    DiskSize "disk.size",
    Ntp "ntp",
    Mtu "mtu",
    /// More DNS servers than the installer accepts.
    Dns "dns",
    Search "search",
    /// Routes besides the default route.
    Routes "routes",
    /// A default gateway.
    Gateway "gateway",
    Ipv6 "ipv6",
    /// More than one address on a link.
    Addresses "address",
    /// More than one NIC.
    Interface "interface",
    Bond "bond",
    Vlan "vlan",
    Bridge "bridge",
    /// The host name of a machine that gets its address by DHCP.
    Hostname "hostname",
}
