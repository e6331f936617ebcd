//! Network boots: a decision becomes a script.

use crate::{
    control::{self, Blocked, BootFromDisk},
    journal::MachineId,
    model::TaskName,
    net::http::{self, Reply},
    render::{Urls, boot::ipxe::DiskBoot},
    serve::{
        attempt_files,
        boot::{Boot, BootAction, disk_of},
        engine::Engine,
    },
};

impl Engine {
    /// Answers a network boot. The answer leaves when what it rests on is on the disk.
    pub(crate) async fn on_boot(&self, ask: &http::BootRequest) -> Reply {
        let mut boot = Boot {
            ask: control::NetworkBoot {
                report: ask.report.clone(),
                boot: ask.boot.clone(),
                dropped: ask.ignored.clone(),
                ..control::NetworkBoot::default()
            },
            peer: ask.peer,
            base: &ask.base,
        };
        Reply::text(match self.choose(&mut boot).await {
            BootAction::Installer(_, script) => script,
            BootAction::Disk(disk) => self.script_of_disk(&disk, &ask.base),
            BootAction::Wait(blocked) => self.script_of_wait(&blocked, ask),
            BootAction::ProbeAddresses(addresses) => {
                self.script_of_wait(&Blocked::AddressUnprobed(addresses), ask)
            }
            BootAction::Microkernel(token) => match self.script_of_microkernel(ask, token) {
                Some(script) => script,
                None => {
                    let disk = disk_of(ask.report.platform, Some(Blocked::NoMicrokernel));
                    self.script_of_disk(&disk, &ask.base)
                }
            },
            BootAction::Task(machine, task) => self.script_of_task(ask, machine, &task),
        })
    }

    /// The script of a task that installs nothing: rendered anew each time, since no attempt keeps it.
    fn script_of_task(
        &self,
        ask: &http::BootRequest,
        machine: MachineId,
        task: &TaskName,
    ) -> Vec<u8> {
        let rendered = self.read(|transaction| {
            attempt_files::script_of_task(transaction, machine, &ask.report.macs, &ask.base)
        });
        match rendered {
            Ok(script) => script,
            Err(reason) => {
                tracing::error!("task {task}: {reason}");
                let reason = Blocked::TaskUnrendered(task.clone());
                self.script_of_disk(&disk_of(ask.report.platform, Some(reason)), &ask.base)
            }
        }
    }

    fn script_of_wait(&self, blocked: &Blocked, ask: &http::BootRequest) -> Vec<u8> {
        let url = format!("{}/boot?{}", ask.base, query(ask));
        self.snapshot()
            .library
            .ipxe_scripts()
            .wait(&url, &blocked.to_string())
            .into_bytes()
    }

    fn script_of_disk(&self, disk: &BootFromDisk, base: &str) -> Vec<u8> {
        let snapshot = self.snapshot();
        let no_disk = disk.report_to.map(|attempt| {
            let token = self
                .read(|transaction| transaction.server.token(attempt))
                .to_string();
            Urls {
                base: base.into(),
                token,
            }
            .stage("no-disk")
        });
        let reason = disk.reason.as_ref().map(ToString::to_string);
        let local = DiskBoot {
            how: Some(disk.how),
            platform: disk.platform,
            reason: reason.as_deref(),
            no_disk: no_disk.as_deref(),
        };
        let held = disk.reason.as_ref().and_then(Blocked::hold_reason);
        let script = match held {
            Some(reason) => snapshot.library.ipxe_scripts().held(&reason, &local),
            None => snapshot.library.ipxe_scripts().local(&local),
        };
        script.into_bytes()
    }
}

/// The question as it was asked, for a script that asks again.
fn query(ask: &http::BootRequest) -> String {
    let macs = ask
        .report
        .macs
        .iter()
        .map(|mac| format!("mac={}", mac.hyphens()));
    let hex = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        Some(format!(
            "{name}-hex={}",
            text.bytes()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        ))
    };
    let texts = [
        hex("serial", &ask.report.serial),
        hex("asset", &ask.report.asset),
        hex("manufacturer", &ask.report.manufacturer),
        hex("product", &ask.report.product),
        ask.report
            .uuid
            .as_ref()
            .filter(|uuid| {
                uuid.bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            })
            .map(|uuid| format!("uuid={uuid}")),
        ask.report
            .platform
            .map(|platform| format!("platform={platform}")),
        ask.report.arch.map(|arch| format!("arch={arch}")),
        ask.boot
            .as_ref()
            .filter(|boot| boot.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(|boot| format!("boot={boot}")),
    ];
    macs.chain(texts.into_iter().flatten())
        .collect::<Vec<_>>()
        .join("&")
}
