//! Network boots: a decision becomes a script.

use crate::{
    control::{self, Decision, Disk},
    disk::journal::{Health, Ticket},
    journal::MachineId,
    model::{LocalBoot, Platform, TaskName},
    net::http::{self, Reply},
    render::{
        Urls,
        scripts::{self, Local},
    },
};

use super::{engine::Engine, handout};

/// What a machine is answered with while the journal cannot be written.
const UNWRITABLE: &str = "held: the journal cannot be written; see the server's log";

impl Engine {
    /// Answers a network boot. The answer leaves when what it rests on is on the disk.
    pub(crate) async fn on_boot(&self, ask: &http::BootAsk) -> Reply {
        let ((script, disk), ticket) = self.decide(ask);
        if let Err(error) = ticket.durable().await {
            tracing::error!("{error}");
            return script_reply(
                self.script_of_disk(&disk_because(ask, UNWRITABLE), &ask.base)
                    .into_bytes(),
            );
        }
        match disk {
            Some(disk) => script_reply(self.script_of_disk(&disk, &ask.base).into_bytes()),
            None => script_reply(script),
        }
    }

    fn decide(&self, ask: &http::BootAsk) -> ((Vec<u8>, Option<Disk>), Ticket) {
        let healthy = self.health() == Health::Good;
        let network = self
            .live()
            .network_at(ask.peer.local.ip())
            .map(|network| network.name.value.clone());
        let mut question = control::BootAsk {
            report: ask.report.clone(),
            boot: ask.boot.clone(),
            network,
            dropped: ask.dropped.clone(),
            unconfirmed: None,
        };
        self.turn(|turn| {
            let doubt = self.doubt(turn, ask);
            if self.is_strict() {
                question.unconfirmed = doubt.clone();
            }
            let decision = turn.boot(&question);
            if let (Some(doubt), Some(machine)) = (doubt, installed_now(&decision)) {
                turn.remark_once(machine, doubt);
            }
            let decision = match decision {
                Decision::Open(opening) if !healthy => turn.not_opened(&opening, UNWRITABLE.into()),
                Decision::Open(opening) => {
                    match handout::open(turn, &self.attempts, &opening, &question.report, &ask.base)
                    {
                        Ok(script) => return (script, None),
                        Err(decision) => decision,
                    }
                }
                Decision::Repeat {
                    machine,
                    attempt,
                    is_stale,
                } => {
                    let kept = if is_stale {
                        self.forget_script(attempt);
                        handout::refresh(
                            turn,
                            &self.attempts,
                            machine,
                            attempt,
                            &question.report,
                            &ask.base,
                        )
                    } else {
                        self.script(attempt)
                    };
                    match kept {
                        Ok(script) => return (script, None),
                        Err(reason) => {
                            tracing::error!("attempt {}: {reason}", attempt.number);
                            Decision::Disk(disk_of(ask.report.platform, Some(reason)))
                        }
                    }
                }
                other => other,
            };
            self.script_of(&decision, ask)
        })
    }

    fn script_of(&self, decision: &Decision, ask: &http::BootAsk) -> (Vec<u8>, Option<Disk>) {
        let snapshot = self.snapshot();
        match decision {
            Decision::Disk(disk) => (Vec::new(), Some(disk.clone())),
            Decision::Wait(reason) => {
                let url = format!("{}/boot?{}", ask.base, query(ask));
                (
                    scripts::wait(&snapshot.library, &url, reason).into_bytes(),
                    None,
                )
            }
            Decision::Microkernel => {
                let reason =
                    "no microkernel is installed here; declare it, or let a policy take it";
                (
                    Vec::new(),
                    Some(disk_of(ask.report.platform, Some(reason.into()))),
                )
            }
            Decision::Script(machine, task) => self.script_of_task(ask, *machine, task),
            Decision::Open(_) | Decision::Repeat { .. } => {
                unreachable!("these have scripts of their own")
            }
        }
    }

    /// The script of a task that installs nothing: rendered anew each time, since no attempt keeps it.
    fn script_of_task(
        &self,
        ask: &http::BootAsk,
        machine: MachineId,
        task: &TaskName,
    ) -> (Vec<u8>, Option<Disk>) {
        let rendered =
            self.look(|turn| handout::script_of_task(turn, machine, &ask.report.macs, &ask.base));
        match rendered {
            Ok(script) => (script, None),
            Err(reason) => {
                tracing::error!("task {task}: {reason}");
                (
                    Vec::new(),
                    Some(disk_of(
                        ask.report.platform,
                        Some(format!("task {task} cannot be rendered")),
                    )),
                )
            }
        }
    }

    fn script_of_disk(&self, disk: &Disk, base: &str) -> String {
        let snapshot = self.snapshot();
        let no_disk = disk.report_to.map(|attempt| {
            let token = self.look(|turn| turn.world.token(attempt)).to_string();
            Urls {
                base: base.into(),
                token,
            }
            .stage("no-disk")
        });
        let local = Local {
            how: Some(disk.how),
            platform: disk.platform,
            reason: disk.reason.as_deref(),
            no_disk: no_disk.as_deref(),
        };
        match disk
            .reason
            .as_deref()
            .and_then(|reason| reason.strip_prefix("held: "))
        {
            Some(reason) => scripts::held(&snapshot.library, reason, &local),
            None => scripts::local(&snapshot.library, &local),
        }
    }
}

/// The machine that a decision hands an installer.
fn installed_now(decision: &Decision) -> Option<MachineId> {
    match decision {
        Decision::Open(opening) => Some(opening.machine),
        Decision::Repeat { machine, .. } => Some(*machine),
        Decision::Disk(_) | Decision::Wait(_) | Decision::Microkernel | Decision::Script(..) => {
            None
        }
    }
}

fn disk_because(ask: &http::BootAsk, reason: &str) -> Disk {
    disk_of(ask.report.platform, Some(reason.into()))
}

fn disk_of(platform: Option<Platform>, reason: Option<String>) -> Disk {
    Disk {
        how: LocalBoot::Auto,
        platform,
        reason,
        report_to: None,
    }
}

fn script_reply(script: Vec<u8>) -> Reply {
    Reply::text(script)
}

/// The question as it was asked, for a script that asks again.
fn query(ask: &http::BootAsk) -> String {
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
