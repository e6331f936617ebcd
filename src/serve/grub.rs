//! Network boots by GRUB: what was chosen becomes a configuration.

use std::sync::Arc;

use super::{
    booting::{Chosen, PROBING},
    engine::Engine,
    handout::GRUB,
    microkernel::NO_MICROKERNEL,
};
use crate::{
    model::{LocalBoot, Mac},
    render::boot::grub,
};

/// Writes the configuration of the machine that has this card and reaches us at `base`.
pub(crate) fn config(engine: &Arc<Engine>, chosen: Chosen, card: Mac, base: &str) -> String {
    let auto = |reason: &str| grub::local(LocalBoot::Auto, Some(reason));
    match chosen {
        Chosen::Installer(attempt, _) => match engine.kept(attempt, GRUB) {
            Ok(Some(config)) => config,
            Ok(None) => {
                auto("its task has no GRUB configuration, or `secure-boot` is not set for it")
            }
            Err(reason) => auto(&reason),
        },
        Chosen::Disk(disk) => grub::local(disk.how, disk.reason.as_deref()),
        Chosen::Wait(reason) => grub::wait(&reason),
        // TFTP waits for nobody. It asks again, and the answer is there by then.
        Chosen::ProbeAddresses(addresses) => {
            engine.look_ahead(addresses);
            grub::wait(PROBING)
        }
        Chosen::Microkernel(token) => {
            let config = engine.config_of_microkernel(base, token, card);
            config.unwrap_or_else(|| auto(NO_MICROKERNEL))
        }
        Chosen::Task(..) => auto(
            "what this machine is to boot is started by iPXE, which Secure Boot does not allow",
        ),
    }
}
