//! Which kind of client sent a DHCP message.

use std::fmt;

use super::super::ClientArch;

/// The kind of program that sent a DHCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// A client that does not boot from the network: a running system, a phone.
    Host,
    /// Firmware that fetches its boot file over TFTP (PXE 2.1, RFC 4578).
    Pxe(ClientArch),
    /// Firmware that fetches its boot file over HTTP (UEFI 2.5 and later, section 24.7).
    Http(ClientArch),
    /// iPXE, which gets a script, not a loader.
    Ipxe(Option<ClientArch>),
    /// A Raspberry Pi's boot code, which requests files with fixed names over TFTP.
    RaspberryPi,
    /// U-Boot, which only reads the `file` field.
    UBoot(Option<ClientArch>),
}

/// The options of a message that identify its client.
#[derive(Debug, Default)]
pub(super) struct ClientOptions<'a> {
    /// Option 60.
    pub(super) class: &'a [u8],
    /// Option 77.
    pub(super) user_class: &'a [u8],
    /// Option 43.
    pub(super) vendor: &'a [u8],
    /// Option 97.
    pub(super) guid: &'a [u8],
    /// Option 93: the first architecture.
    pub(super) arch: Option<u16>,
    /// Whether the message has option 175, iPXE's own.
    pub(super) has_ipxe_options: bool,
}

impl Client {
    pub(super) fn detect(options: &ClientOptions<'_>) -> Client {
        let arch = options.arch.map(ClientArch::new);
        if options.has_ipxe_options || is_ipxe(options.user_class) {
            return Client::Ipxe(arch);
        }
        if is_raspberry_pi(options, arch) {
            return Client::RaspberryPi;
        }
        if options.class.starts_with(b"U-Boot") {
            return Client::UBoot(arch);
        }
        let arch = arch.or_else(|| arch_in(options.class));
        if options.class.starts_with(b"HTTPClient") {
            return arch.map_or(Client::Host, Client::Http);
        }
        if options.class.starts_with(b"PXEClient") {
            // A client without option 93 predates it: a BIOS.
            return Client::Pxe(arch.unwrap_or(ClientArch::Bios));
        }
        Client::Host
    }

    pub fn boots(self) -> bool {
        self != Client::Host
    }

    /// The architecture of its firmware, if the message has it.
    pub fn arch(self) -> Option<ClientArch> {
        match self {
            Client::Pxe(arch) | Client::Http(arch) => Some(arch),
            Client::Ipxe(arch) | Client::UBoot(arch) => arch,
            Client::RaspberryPi => Some(ClientArch::RaspberryPi),
            Client::Host => None,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Host => f.pad("host"),
            Client::Pxe(arch) => write!(f, "{arch} PXE"),
            Client::Http(arch) => arch.fmt(f),
            Client::Ipxe(Some(arch)) => write!(f, "iPXE, {arch}"),
            Client::Ipxe(None) => f.pad("iPXE"),
            Client::RaspberryPi => f.pad("Raspberry Pi"),
            Client::UBoot(_) => f.pad("U-Boot"),
        }
    }
}

/// iPXE sends the plain text; RFC 3004 puts a length before it.
fn is_ipxe(user_class: &[u8]) -> bool {
    user_class == b"iPXE" || user_class == b"\x04iPXE"
}

/// By its architecture, by the text of option 43, or by the model in its UUID.
fn is_raspberry_pi(options: &ClientOptions<'_>, arch: Option<ClientArch>) -> bool {
    arch == Some(ClientArch::RaspberryPi)
        || contains(options.vendor, b"Raspberry Pi Boot")
        || options.guid.get(1..4) == Some(b"RPi")
}

/// The class holds the architecture too: `PXEClient:Arch:00007:UNDI:003016`.
fn arch_in(class: &[u8]) -> Option<ClientArch> {
    let text = std::str::from_utf8(class).ok()?;
    let number = text.split(':').skip_while(|part| *part != "Arch").nth(1)?;
    number.parse().ok().map(ClientArch::new)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_identify_the_client() {
        let none = ClientOptions::default;
        let cases = [
            (none(), Client::Host),
            (
                ClientOptions {
                    class: b"android-dhcp-14",
                    ..none()
                },
                Client::Host,
            ),
            (
                ClientOptions {
                    class: b"MSFT 5.0",
                    ..none()
                },
                Client::Host,
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00000:UNDI:002001",
                    arch: Some(0),
                    ..none()
                },
                Client::Pxe(ClientArch::Bios),
            ),
            (
                ClientOptions {
                    class: b"PXEClient",
                    ..none()
                },
                Client::Pxe(ClientArch::Bios),
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00007:UNDI:003016",
                    ..none()
                },
                Client::Pxe(ClientArch::EfiX64),
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00009:UNDI:003016",
                    arch: Some(9),
                    ..none()
                },
                Client::Pxe(ClientArch::EfiX64),
            ),
            (
                ClientOptions {
                    class: b"HTTPClient:Arch:00016:UNDI:003000",
                    arch: Some(16),
                    ..none()
                },
                Client::Http(ClientArch::HttpX64),
            ),
            (
                ClientOptions {
                    class: b"HTTPClient:Arch:00019:UNDI:003000",
                    ..none()
                },
                Client::Http(ClientArch::HttpArm64),
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00007:UNDI:003016",
                    arch: Some(7),
                    user_class: b"iPXE",
                    ..none()
                },
                Client::Ipxe(Some(ClientArch::EfiX64)),
            ),
            (
                ClientOptions {
                    user_class: b"\x04iPXE",
                    ..none()
                },
                Client::Ipxe(None),
            ),
            (
                ClientOptions {
                    class: b"PXEClient",
                    has_ipxe_options: true,
                    arch: Some(0),
                    ..none()
                },
                Client::Ipxe(Some(ClientArch::Bios)),
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00041:UNDI:002001",
                    arch: Some(41),
                    ..none()
                },
                Client::RaspberryPi,
            ),
            (
                ClientOptions {
                    class: b"PXEClient:Arch:00000:UNDI:002001",
                    arch: Some(0),
                    guid: b"\0RPi4\x14\x31\xd0\0",
                    ..none()
                },
                Client::RaspberryPi,
            ),
            (
                ClientOptions {
                    class: b"U-Boot.armv8",
                    arch: Some(22),
                    ..none()
                },
                Client::UBoot(Some(ClientArch::Other(22))),
            ),
        ];
        for (options, expected) in cases {
            assert_eq!(Client::detect(&options), expected, "{options:?}");
        }
    }
}
