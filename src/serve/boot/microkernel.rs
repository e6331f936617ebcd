//! Serves the microkernel and answers the check-ins of machines that run it.
//!
//! The microkernel is stored under `microkernel/` in the state directory. It can be built while the server runs.

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

/// The file name of the kernel, in the directory and in the URL.
pub(crate) const KERNEL: &str = "vmlinuz";
/// The file name of the initial file system.
pub(crate) const INITRD: &str = "initrd";

impl Engine {
    /// Returns how a machine boots the microkernel, or `None` if it is not built. `mac` is the MAC of the NIC that boots.
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

    /// Opens a file of the microkernel. Returns `None` if it has no file of this name.
    pub(crate) fn open_microkernel(&self, name: &str) -> Option<Result<OpenedRepoFile, RepoError>> {
        let is_known = [KERNEL, INITRD].contains(&name);
        is_known.then(|| self.microkernel.open(name))
    }

    /// Answers a check-in, once the events that the instruction depends on are on the disk.
    pub(crate) async fn on_check_in(&self, request: CheckInRequest) -> CheckInReply {
        let Some(token) = UrlToken::parse(&request.token) else {
            return CheckInReply::UnknownToken;
        };
        let reported = match request.report.as_deref().map(Reported::read).transpose() {
            Ok(reported) => reported,
            Err(error) => return CheckInReply::Rejected(no_report(&error)),
        };
        let refused = || {
            let text = "the journal cannot be written; try again\n";
            CheckInReply::Rejected(Reply::error(503, text))
        };
        if !self.journal.has_room() {
            return refused();
        }
        let sender = self.sender_of(request.peer);
        let (checked_in, ticket) = self.transaction_with_images(|transaction, _| {
            transaction.check_in(token, reported.as_ref(), &sender)
        });
        if let Err(error) = ticket.durable().await {
            tracing::error!("{error}");
            return refused();
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

/// Returns the arguments of the kernel's command line that the agent reads.
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
