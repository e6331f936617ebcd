//! Network boots by GRUB: what was chosen becomes a configuration.

use std::sync::Arc;

use crate::{
    control::Blocked,
    model::{LocalBoot, Mac},
    render::boot::grub,
    serve::{attempt_files::GRUB, boot::BootAction, engine::Engine},
};

/// Writes the configuration of the machine that has this card and reaches us at `base`.
pub(crate) fn config(engine: &Arc<Engine>, chosen: BootAction, card: Mac, base: &str) -> String {
    let auto = |blocked: &Blocked| grub::local(LocalBoot::Auto, Some(&blocked.to_string()));
    match chosen {
        BootAction::Installer(attempt, _) => match engine.kept(attempt, GRUB) {
            Ok(Some(config)) => config,
            Ok(None) => auto(&Blocked::WrongLoader(
                "its task has no GRUB configuration, or `secure-boot` is not set for it",
            )),
            Err(reason) => auto(&Blocked::DocumentsUnavailable(reason)),
        },
        BootAction::Disk(disk) => {
            let reason = disk.reason.as_ref().map(ToString::to_string);
            grub::local(disk.how, reason.as_deref())
        }
        BootAction::Wait(blocked) => grub::wait(&blocked.to_string()),
        // TFTP waits for nobody. It asks again, and the answer is there by then.
        BootAction::ProbeAddresses(addresses) => {
            engine.probe_ahead(addresses.clone());
            grub::wait(&Blocked::AddressUnprobed(addresses).to_string())
        }
        BootAction::Microkernel(token) => {
            let config = engine.config_of_microkernel(base, token, card);
            config.unwrap_or_else(|| auto(&Blocked::NoMicrokernel))
        }
        BootAction::Task(..) => auto(&Blocked::WrongLoader(
            "its task is started by iPXE, which Secure Boot does not allow",
        )),
    }
}
