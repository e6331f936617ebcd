//! Selecting the boot file of a client.

use dhcproto::v4::{DhcpOption, DhcpOptions};

use super::{
    ClientArch, Loader,
    dhcp::{BootFile, Client, NoReply},
};
use crate::render::boot::{mboot, pxelinux};

/// Settings and history of a machine that determine its loader.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoaderPreference<'a> {
    /// The `loader` of its settings or its network's.
    pub loader: Option<&'a str>,
    pub secure_boot: bool,
    /// How many loaders it downloaded recently without requesting a script.
    pub loader_fetches: u32,
    /// The loader that led to a request for a script before.
    pub working_loader: Option<&'a str>,
    /// The path of the ESXi image's own loader over TFTP and HTTP, when the machine would install ESXi.
    pub mboot: Option<&'a str>,
}

impl<'a> LoaderPreference<'a> {
    /// The path of ESXi's loader, for a client that starts it without iPXE: with Secure Boot, because no other loader of
    /// the chain is signed for it, or when `loader` selects it.
    pub fn mboot_path(&self, client: Client) -> Option<&'a str> {
        let is_x64 = matches!(
            client,
            Client::Pxe(ClientArch::EfiX64) | Client::Http(ClientArch::HttpX64)
        );
        let is_wanted = self
            .loader
            .map_or(self.secure_boot, |loader| loader == mboot::LOADER);
        self.mboot.filter(|_| is_x64 && is_wanted)
    }
}

/// After so many downloads of a loader without a request for a script, the other loader is offered
/// ([`Quirk::LOADER_FALLBACK`](super::Quirk::LOADER_FALLBACK)).
const MAX_LOADER_FETCHES: u32 = 2;

/// Selects the boot file for a client. `base` is the server's URL as the machine reaches it; `has` returns whether a
/// loader exists.
pub fn boot_file(
    client: Client,
    preference: &LoaderPreference<'_>,
    base: &str,
    has: impl Fn(&str) -> bool,
) -> Result<BootFile, NoReply> {
    if let Client::Ipxe(_) = client {
        return Ok(plain(format!("{base}/boot.ipxe")));
    }
    if client == Client::RaspberryPi {
        return Ok(raspberry_pi());
    }
    let (name, url) = match preference.mboot_path(client) {
        Some(path) => (path, format!("{base}/{path}")),
        None => {
            let name = loader_for(client, preference, &has)?;
            if !has(name) {
                return Err(missing(name));
            }
            (name, format!("{base}/loader/{name}"))
        }
    };
    Ok(match client {
        Client::Http(_) => BootFile {
            file: url,
            options: one(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec())),
        },
        _ => plain(name.to_owned()),
    })
}

fn loader_for<'a>(
    client: Client,
    preference: &LoaderPreference<'a>,
    has: impl Fn(&str) -> bool,
) -> Result<&'a str, NoReply> {
    let arch = match client {
        Client::Pxe(arch) | Client::Http(arch) | Client::UBoot(Some(arch)) => arch,
        Client::UBoot(None) => ClientArch::EfiArm64,
        Client::Host | Client::Ipxe(_) | Client::RaspberryPi => return Err(NoReply::NotBooting),
    };
    if let Some(loader) = preference.loader.filter(|name| *name != mboot::LOADER) {
        return Ok(loader);
    }
    match arch {
        ClientArch::EfiX64 if preference.secure_boot => Ok(Loader::SHIM.name),
        // Debian's signed GRUB only supports TFTP, so a shim that was loaded over HTTP cannot continue.
        ClientArch::HttpX64 | ClientArch::HttpArm64 if preference.secure_boot => {
            Err(NoReply::SecureHttp)
        }
        ClientArch::Bios if preference.mboot.is_some() && has(pxelinux::LOADER) => {
            Ok(pxelinux::LOADER)
        }
        ClientArch::Bios => Ok(Loader::UNDIONLY.name),
        ClientArch::EfiX64 | ClientArch::HttpX64 => Ok(x64_loader(preference)),
        ClientArch::EfiArm64 => Ok(Loader::SHIM_ARM64.name),
        // U-Boot on ARM has its own architecture numbers.
        ClientArch::Other(_) if matches!(client, Client::UBoot(_)) => Ok(Loader::SHIM_ARM64.name),
        ClientArch::EfiIa32
        | ClientArch::HttpArm64
        | ClientArch::RaspberryPi
        | ClientArch::Other(_) => Err(NoReply::NoLoaderFor(arch.to_string())),
    }
}

/// The loader that worked before, otherwise the one with the firmware's driver; the other one when that fails.
fn x64_loader(preference: &LoaderPreference<'_>) -> &'static str {
    let [first, second] = match preference.working_loader {
        Some(name) if name == Loader::IPXE.name => [Loader::IPXE, Loader::SNPONLY],
        _ => [Loader::SNPONLY, Loader::IPXE],
    };
    if (preference.loader_fetches / MAX_LOADER_FETCHES).is_multiple_of(2) {
        first.name
    } else {
        second.name
    }
}

fn missing(name: &str) -> NoReply {
    let help = match Loader::named(name) {
        Some(loader) => format!("apt-get install {}", loader.package),
        None => "copy it to a directory of `loaders` in `[paths]`".into(),
    };
    NoReply::NoLoader {
        name: name.into(),
        help,
    }
}

fn one(option: DhcpOption) -> DhcpOptions {
    [option].into_iter().collect()
}

fn plain(file: String) -> BootFile {
    BootFile {
        file,
        options: DhcpOptions::new(),
    }
}

/// [`Quirk::PI_MENU`](super::Quirk::PI_MENU): discovery control, a menu with one entry, and its prompt.
fn raspberry_pi() -> BootFile {
    let mut menu = vec![6, 1, 3, 10, 4, 0];
    menu.extend(b"PXE");
    menu.extend([9, 20, 0, 0, 17]);
    menu.extend(b"Raspberry Pi Boot");
    menu.push(255);
    BootFile {
        file: "bootcode.bin".into(),
        options: one(DhcpOption::VendorExtensions(menu)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://192.0.2.1";

    fn file(client: Client, preference: LoaderPreference<'_>) -> Result<String, String> {
        let has = |name: &str| Loader::named(name).is_some() || name == "own.efi";
        let selected = boot_file(client, &preference, BASE, has);
        selected
            .map(|boot| boot.file)
            .map_err(|reason| reason.to_string())
    }

    #[test]
    fn every_firmware_gets_its_boot_file() {
        let none = LoaderPreference::default();
        let secure = LoaderPreference {
            secure_boot: true,
            ..none
        };
        let own = LoaderPreference {
            loader: Some("own.efi"),
            ..none
        };
        let mboot = LoaderPreference {
            secure_boot: true,
            mboot: Some("mboot/esxi/mboot.efi"),
            ..none
        };
        let fetched = |fetched, worked| LoaderPreference {
            loader_fetches: fetched,
            working_loader: worked,
            ..none
        };
        let x64 = Client::Pxe(ClientArch::EfiX64);
        let http = Client::Http(ClientArch::HttpX64);
        let cases = [
            (Client::Pxe(ClientArch::Bios), none, "undionly.kpxe"),
            (x64, none, "snponly.efi"),
            (x64, secure, "shimx64.efi"),
            (x64, own, "own.efi"),
            (Client::Pxe(ClientArch::EfiIa32), own, "own.efi"),
            (http, none, "http://192.0.2.1/loader/snponly.efi"),
            (http, own, "http://192.0.2.1/loader/own.efi"),
            (Client::Pxe(ClientArch::EfiArm64), none, "bootnetaa64.efi"),
            (Client::UBoot(None), none, "bootnetaa64.efi"),
            (
                Client::UBoot(Some(ClientArch::Other(22))),
                none,
                "bootnetaa64.efi",
            ),
            // iPXE gets a script, not a loader.
            (Client::Ipxe(None), own, "http://192.0.2.1/boot.ipxe"),
            (
                Client::Ipxe(Some(ClientArch::Bios)),
                secure,
                "http://192.0.2.1/boot.ipxe",
            ),
            (x64, mboot, "mboot/esxi/mboot.efi"),
            (http, mboot, "http://192.0.2.1/mboot/esxi/mboot.efi"),
            (Client::Pxe(ClientArch::Bios), mboot, "undionly.kpxe"),
            (Client::Ipxe(None), mboot, "http://192.0.2.1/boot.ipxe"),
            (x64, fetched(1, None), "snponly.efi"),
            (x64, fetched(2, None), "ipxe.efi"),
            (x64, fetched(3, None), "ipxe.efi"),
            (x64, fetched(4, None), "snponly.efi"),
            (x64, fetched(0, Some("ipxe.efi")), "ipxe.efi"),
            (x64, fetched(2, Some("ipxe.efi")), "snponly.efi"),
        ];
        for (client, preference, expected) in cases {
            assert_eq!(
                file(client, preference).as_deref(),
                Ok(expected),
                "{client}, {preference:?}"
            );
        }
    }

    #[test]
    fn a_client_without_a_boot_file_gets_the_reason() {
        let none = LoaderPreference::default();
        let missing = LoaderPreference {
            loader: Some("missing.efi"),
            ..none
        };
        let secure = LoaderPreference {
            secure_boot: true,
            ..none
        };
        let cases = [
            (Client::Host, none, "it does not boot from the network"),
            (
                Client::Pxe(ClientArch::EfiIa32),
                none,
                "there is no loader for UEFI ia32 firmware: set `loader` to one of your own",
            ),
            (
                Client::Pxe(ClientArch::Other(27)),
                none,
                "there is no loader for architecture 27 firmware: set `loader` to one of your own",
            ),
            (
                Client::Http(ClientArch::HttpX64),
                secure,
                "with Secure Boot it can only boot by PXE: the signed GRUB fetches files over TFTP, not over HTTP",
            ),
            (
                Client::Pxe(ClientArch::EfiX64),
                missing,
                "missing.efi is missing: copy it to a directory of `loaders` in `[paths]`",
            ),
        ];
        for (client, preference, expected) in cases {
            assert_eq!(file(client, preference), Err(expected.into()), "{client}");
        }
        let missing = boot_file(Client::Pxe(ClientArch::Bios), &none, BASE, |_| false);
        let expected = "undionly.kpxe is missing: apt-get install ipxe";
        assert_eq!(
            missing.map_err(|reason| reason.to_string()),
            Err(expected.into())
        );
    }
}
