//! Converts the outcome of a boot to the format of the requesting boot program.

use std::sync::Arc;

use crate::{
    control::{self, Blocked, BootFromDisk, Report},
    journal::{AttemptId, MachineId},
    model::Mac,
    net::http::{self, Reply},
    render::{
        Urls,
        boot::{BootAction, DiskBoot, NEEDS_IPXE, grub, mboot, pxelinux},
    },
    serve::{
        boot::{Boot, BootResult},
        engine::{
            Engine,
            documents::{self, BOOT_CFG, GRUB},
        },
        reload::check_process::try_job,
    },
};

impl Engine {
    /// Returns the first script of every machine, with a new random number for its boot. `base` is the server's URL as the
    /// machine reaches it.
    pub(crate) fn entry_script(&self, base: &str) -> Result<String, getrandom::Error> {
        let mut number = [0; 8];
        getrandom::fill(&mut number)?;
        let boot = format!("{:016x}", u64::from_be_bytes(number));
        Ok(self.snapshot().library.ipxe_scripts().entry(base, &boot))
    }

    /// Answers iPXE.
    pub(crate) async fn on_boot(self: &Arc<Self>, request: &http::BootRequest) -> Reply {
        let mut boot = Boot {
            request: control::NetworkBoot {
                report: request.report.clone(),
                boot: request.boot.clone(),
                dropped: request.ignored.clone(),
                ..control::NetworkBoot::default()
            },
            peer: request.peer,
            base: request.base.clone(),
            may_wait: true,
        };
        let boot_disk = |blocked| {
            let disk = BootFromDisk::without_settings(request.report.platform, Some(blocked));
            self.disk(disk, &request.base)
        };
        let action = match self.boot(&mut boot).await {
            BootResult::Installer(_, script) => BootAction::Installer(script),
            BootResult::Disk(disk) => self.disk(disk, &request.base),
            BootResult::Wait(blocked) => wait(&blocked),
            BootResult::ProbeAddresses(addresses) => wait(&Blocked::AddressUnprobed(addresses)),
            BootResult::Microkernel(token) => {
                // PXELINUX passes the MAC of the NIC that boots in the same way.
                let mac = request.report.macs.first().copied();
                match self.microkernel_boot(&request.base, token, mac) {
                    Some(boot) => BootAction::Microkernel(boot),
                    None => boot_disk(Blocked::NoMicrokernel),
                }
            }
            BootResult::Task(machine, task) => {
                let report = Report {
                    macs: request.report.macs.clone(),
                    ..Report::default()
                };
                match self.task_script(machine, report, &request.base).await {
                    Ok(script) => BootAction::Installer(script),
                    Err(reason) => {
                        tracing::error!("task {task}: {reason}");
                        boot_disk(Blocked::TaskUnrendered(task))
                    }
                }
            }
        };
        let url = || format!("{}/boot?{}", request.base, http::boot_query(request));
        Reply::text(self.snapshot().library.ipxe_scripts().answer(&action, url))
    }

    /// Answers GRUB. `mac` is the MAC of the NIC that GRUB was loaded through.
    pub(crate) fn grub_config(
        self: &Arc<Self>,
        outcome: BootResult,
        mac: Mac,
        base: &str,
    ) -> String {
        grub::answer(&match outcome {
            BootResult::Installer(attempt, _) => {
                let missing =
                    "its task has no GRUB configuration, or `secure-boot` is not set for it";
                self.file_of(attempt, GRUB, missing)
            }
            BootResult::Disk(disk) => self.disk(disk, base),
            BootResult::Wait(blocked) => wait(&blocked),
            // GRUB requests again, and the result is known by then.
            BootResult::ProbeAddresses(addresses) => {
                self.probe_in_background(addresses.clone());
                wait(&Blocked::AddressUnprobed(addresses))
            }
            BootResult::Microkernel(token) => match self.microkernel_boot(base, token, Some(mac)) {
                Some(boot) => BootAction::Microkernel(boot),
                None => without_settings(Blocked::NoMicrokernel),
            },
            BootResult::Task(..) => without_settings(Blocked::WrongLoader(
                "its task is started by iPXE, which Secure Boot does not allow",
            )),
        })
    }

    /// Answers mboot over HTTP.
    pub(crate) fn boot_cfg(&self, outcome: BootResult) -> String {
        mboot::answer(&self.esxi_action(outcome))
    }

    /// Answers PXELINUX, which starts mboot on a BIOS.
    pub(crate) fn pxelinux_config(&self, outcome: BootResult, mac: Mac) -> String {
        let attempt = match &outcome {
            BootResult::Installer(attempt, _) => Some(*attempt),
            _ => None,
        };
        let action = match (self.esxi_action(outcome), attempt) {
            (BootAction::Installer(_), Some(attempt)) => {
                let repo = self.read(|transaction| {
                    let machine = transaction.server.state.machine(attempt.machine)?;
                    machine.attempt(attempt)?.repo.clone()
                });
                match repo {
                    Some(repo) => return pxelinux::install(repo.as_str(), &mac.hyphens()),
                    None => without_settings(Blocked::WrongLoader("its repo is gone")),
                }
            }
            (action, _) => action,
        };
        pxelinux::answer(&action)
    }

    /// Returns the answer for ESXi's loaders, which can neither wait nor request again.
    fn esxi_action(&self, outcome: BootResult) -> BootAction {
        match outcome {
            BootResult::Installer(attempt, _) => {
                let missing = "ESXi's loader starts only ESXi, and its task is another one";
                self.file_of(attempt, BOOT_CFG, missing)
            }
            BootResult::Disk(disk) => BootAction::Disk(DiskBoot {
                reason: disk.reason.map(|reason| reason.to_string()),
                ..DiskBoot::default()
            }),
            BootResult::Wait(blocked) => without_settings(blocked),
            BootResult::ProbeAddresses(addresses) => {
                without_settings(Blocked::AddressUnprobed(addresses))
            }
            BootResult::Microkernel(_) | BootResult::Task(..) => {
                without_settings(Blocked::WrongLoader(NEEDS_IPXE))
            }
        }
    }

    /// Returns the file of an attempt that a loader reads, or a boot of the disk if its task has no such file.
    fn file_of(&self, attempt: AttemptId, name: &str, missing: &'static str) -> BootAction {
        match self.file_text(attempt, name) {
            Ok(Some(text)) => BootAction::Installer(text.into_bytes()),
            Ok(None) => without_settings(Blocked::WrongLoader(missing)),
            Err(reason) => without_settings(Blocked::DocumentsUnavailable(reason)),
        }
    }

    fn disk(&self, disk: BootFromDisk, base: &str) -> BootAction {
        let no_disk = disk.report_to.map(|attempt| {
            let token = self.read(|transaction| transaction.server.no_disk_token(attempt));
            let urls = Urls {
                base: base.into(),
                token: token.to_string(),
            };
            urls.stage("no-disk")
        });
        let held = disk.reason.as_ref().and_then(Blocked::hold_reason);
        let boot = DiskBoot {
            how: Some(disk.local_boot),
            platform: disk.platform,
            reason: disk.reason.map(|reason| reason.to_string()),
            no_disk,
        };
        match held {
            Some(reason) => BootAction::Held { reason, disk: boot },
            None => BootAction::Disk(boot),
        }
    }

    /// Renders the script of a task that installs nothing. It belongs to no attempt, so it is not stored.
    async fn task_script(
        self: &Arc<Self>,
        machine: MachineId,
        report: Report,
        base: &Arc<str>,
    ) -> Result<Vec<u8>, String> {
        let (engine, base) = (self.clone(), base.clone());
        let rendered = tokio::task::spawn_blocking(move || {
            let ((job, snapshot), _) = engine.transaction_at(|transaction, snapshot| {
                let job = transaction.task_job(machine, &report, &base);
                (job, snapshot.clone())
            });
            try_job(&engine.check_program, &job, &snapshot).map_err(|failure| failure.reason())?;
            let rendered = job.run(&snapshot).map_err(|error| error.to_string())?;
            documents::script_of(&rendered)
        });
        rendered
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn wait(blocked: &Blocked) -> BootAction {
    BootAction::Wait(blocked.to_string())
}

fn without_settings(blocked: Blocked) -> BootAction {
    BootAction::Disk(DiskBoot::because(blocked))
}
