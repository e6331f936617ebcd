//! What a machine boots first.

use super::{
    ClientArch, Loader,
    dhcp::{BootFile, Client, NoReply},
};
use crate::render::boot::{mboot, pxelinux};

/// What is known of the machine that bears on its boot file.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoaderPreference<'a> {
    /// The loader that its settings, or its network's, name.
    pub loader: Option<&'a str>,
    /// Whether it boots with Secure Boot.
    pub secure_boot: bool,
    /// How often it has fetched a loader of late without asking for a script.
    pub loader_fetches: u32,
    /// The loader that has led to a script before.
    pub working_loader: Option<&'a str>,
    /// Where the image's own loader is, when it is ESXi that the machine would install: a path that TFTP and HTTP know.
    pub mboot: Option<&'a str>,
}

impl<'a> LoaderPreference<'a> {
    /// Where the image's own loader is, for a client that starts it without iPXE: with Secure Boot, since nothing else is signed
    /// for it, or when its `loader` says so.
    pub fn starts_mboot(&self, client: Client) -> Option<&'a str> {
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

/// Option 60 and 43 (RFC 2132).
const CLASS: u8 = 60;
const VENDOR: u8 = 43;

/// A loader that was fetched so often without a script after it gives way to the other one
/// ([`Quirk::LADDER`](super::Quirk::LADDER)).
const TRIES: u32 = 2;

/// Finds the boot file for a client. `base` is the server's URL as the machine reaches it; `has` tells whether a
/// loader is there.
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
    let (name, url) = match preference.starts_mboot(client) {
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
            options: vec![(CLASS, b"HTTPClient".to_vec())],
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
    let nothing = |what: &str| Err(NoReply::NoLoaderFor(what.into()));
    match arch {
        ClientArch::EfiX64 if preference.secure_boot => Ok(Loader::SHIM.name),
        // Debian's signed GRUB has TFTP alone, so a shim that came over HTTP leads nowhere.
        ClientArch::HttpX64 | ClientArch::HttpArm64 if preference.secure_boot => {
            Err(NoReply::SecureHttp)
        }
        ClientArch::Bios if preference.mboot.is_some() && has(pxelinux::LOADER) => {
            Ok(pxelinux::LOADER)
        }
        ClientArch::Bios => Ok(Loader::UNDIONLY.name),
        ClientArch::EfiX64 | ClientArch::HttpX64 => Ok(ladder(preference)),
        ClientArch::EfiArm64 => Ok(Loader::SHIM_ARM64.name),
        // U-Boot on ARM says what it is by numbers of its own.
        ClientArch::Other(_) if matches!(client, Client::UBoot(_)) => Ok(Loader::SHIM_ARM64.name),
        ClientArch::EfiIa32
        | ClientArch::HttpArm64
        | ClientArch::RaspberryPi
        | ClientArch::Other(_) => nothing(&arch.to_string()),
    }
}

/// What worked, else the firmware's own driver first; the other one when that leads nowhere.
fn ladder(preference: &LoaderPreference<'_>) -> &'static str {
    let [first, second] = match preference.working_loader {
        Some(name) if name == Loader::IPXE.name => [Loader::IPXE, Loader::SNPONLY],
        _ => [Loader::SNPONLY, Loader::IPXE],
    };
    if (preference.loader_fetches / TRIES).is_multiple_of(2) {
        first.name
    } else {
        second.name
    }
}

fn missing(name: &str) -> NoReply {
    let help = match Loader::named(name) {
        Some(loader) => format!("apt-get install {}", loader.package),
        None => "put it into a directory of `loaders` in `[paths]`".into(),
    };
    NoReply::NoLoader {
        name: name.into(),
        help,
    }
}

fn plain(file: String) -> BootFile {
    BootFile {
        file,
        options: Vec::new(),
    }
}

/// [`Quirk::PI_MENU`](super::Quirk::PI_MENU): discovery control, a menu of one entry, and its prompt.
fn raspberry_pi() -> BootFile {
    let mut menu = vec![6, 1, 3, 10, 4, 0];
    menu.extend(b"PXE");
    menu.extend([9, 20, 0, 0, 17]);
    menu.extend(b"Raspberry Pi Boot");
    menu.push(255);
    BootFile {
        file: "bootcode.bin".into(),
        options: vec![(VENDOR, menu)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://192.0.2.1";

    fn file(client: Client, preference: LoaderPreference<'_>) -> Result<String, String> {
        let has = |name: &str| Loader::named(name).is_some() || name == "own.efi";
        let given = boot_file(client, &preference, BASE, has);
        given
            .map(|given| given.file)
            .map_err(|silence| silence.to_string())
    }

    #[test]
    fn every_firmware_gets_its_own() {
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
            // iPXE never gets a loader again.
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
    fn what_cannot_boot_is_told_why() {
        let none = LoaderPreference::default();
        let gone = LoaderPreference {
            loader: Some("gone.efi"),
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
                "nothing boots UEFI ia32 firmware unless the site brings a `loader`",
            ),
            (
                Client::Pxe(ClientArch::Other(27)),
                none,
                "nothing boots architecture 27 firmware unless the site brings a `loader`",
            ),
            (
                Client::Http(ClientArch::HttpX64),
                secure,
                "with Secure Boot it boots by PXE alone: the signed GRUB fetches over TFTP and not over HTTP",
            ),
            (
                Client::Pxe(ClientArch::EfiX64),
                gone,
                "gone.efi is not there: put it into a directory of `loaders` in `[paths]`",
            ),
        ];
        for (client, preference, expected) in cases {
            assert_eq!(file(client, preference), Err(expected.into()), "{client}");
        }
        let missing = boot_file(Client::Pxe(ClientArch::Bios), &none, BASE, |_| false);
        let expected = "undionly.kpxe is not there: apt-get install ipxe";
        assert_eq!(missing.map_err(|why| why.to_string()), Err(expected.into()));
    }
}
