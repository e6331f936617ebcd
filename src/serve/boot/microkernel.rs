//! The microkernel, and the check-ins of machines that run it.
//!
//! It is stored in the state directory, under `microkernel/`. It may be built while the server runs.

use crate::{
    control::{CheckedIn, ReportError, Reported, UrlToken},
    disk::repo::{OpenedRepoFile, RepoError},
    model::Mac,
    net::http::{CheckInReply, CheckInRequest, Reply, ServedFile},
    render::boot::MicrokernelBoot,
    serve::{
        engine::Engine,
        server::{Server, opened},
    },
};

/// The kernel's name in the directory of the microkernel and in its URL.
pub(crate) const KERNEL: &str = "vmlinuz";
/// That of its initial file system.
pub(crate) const INITRD: &str = "initrd";

impl Engine {
    /// Returns how a machine boots the microkernel; `None` if it was not built. `mac` is that of the NIC that boots.
    pub(super) fn microkernel_boot(
        &self,
        base: &str,
        token: UrlToken,
        mac: Option<Mac>,
    ) -> Option<MicrokernelBoot> {
        let boot = || MicrokernelBoot {
            base: format!("{base}/microkernel"),
            kernel: KERNEL,
            initrd: INITRD,
            cmdline: cmdline(base, token, mac),
        };
        self.has_microkernel().then(boot)
    }

    pub(super) fn has_microkernel(&self) -> bool {
        let opens = |name| matches!(self.open_microkernel(name), Some(Ok(_)));
        [KERNEL, INITRD].into_iter().all(opens)
    }

    /// Opens a file of the microkernel; none when it has no such file.
    pub(crate) fn open_microkernel(&self, name: &str) -> Option<Result<OpenedRepoFile, RepoError>> {
        let is_known = [KERNEL, INITRD].contains(&name);
        is_known.then(|| self.microkernel.open(name))
    }

    /// Answers a check-in. The events that the instruction depends on are on the disk before it is sent.
    pub(crate) async fn on_check_in(&self, ask: CheckInRequest) -> CheckInReply {
        let Some(token) = UrlToken::parse(&ask.token) else {
            return CheckInReply::UnknownToken;
        };
        let reported = match ask.report.as_deref().map(Reported::read).transpose() {
            Ok(reported) => reported,
            Err(error) => return CheckInReply::Rejected(no_report(&error)),
        };
        let unverified = self.unverified_images();
        let (checked_in, ticket) = self.transaction(|transaction| {
            transaction.on_unverified_images(unverified);
            transaction.check_in(token, reported.as_ref())
        });
        if let Err(error) = ticket.durable().await {
            tracing::error!("{error}");
            return CheckInReply::Rejected(Reply::error(
                503,
                "the journal cannot be written; try again\n",
            ));
        }
        match checked_in {
            CheckedIn::Instruction(instruction) => {
                let json =
                    serde_json::to_vec(&instruction).expect("an instruction has only text keys");
                CheckInReply::Instruction(json.into())
            }
            CheckedIn::TooOften => CheckInReply::TooOften,
            CheckedIn::Unknown => CheckInReply::UnknownToken,
        }
    }
}

/// The kernel's command line, which the agent reads.
fn cmdline(base: &str, token: UrlToken, mac: Option<Mac>) -> Vec<String> {
    let url = format!("bootwright.url={base}/c/{token}");
    let boot_nic = mac.map(|mac| format!("BOOTIF=01-{}", mac.hyphens()));
    [url].into_iter().chain(boot_nic).collect()
}

fn no_report(error: &ReportError) -> Reply {
    Reply::error(400, format!("{error}\n"))
}

impl Server {
    /// Opens a file of the microkernel.
    pub(crate) fn open_microkernel(&self, name: &str) -> Result<ServedFile, Reply> {
        match self.0.open_microkernel(name) {
            Some(found) => opened(found, "the microkernel"),
            None => Err(Reply::error(404, "the microkernel has no such file\n")),
        }
    }
}
