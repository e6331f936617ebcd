//! The microkernel that machines boot which nothing binds, and their check-ins.
//!
//! It lies in the state directory, under `microkernel/`; whether it is there is looked at when it is asked for.

use crate::{
    control::{CheckedIn, ReportError, Reported, Transaction, UrlToken},
    disk::repo::{OpenedRepoFile, RepoError},
    model::{Mac, TaskName},
    net::http::{self, CheckInReply, CheckInRequest, Reply, ServedFile},
    render::boot::{grub, ipxe::MicrokernelBoot},
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
    /// The script by which a machine boots the microkernel; none when it is not there.
    pub(crate) fn script_of_microkernel(
        &self,
        ask: &http::BootRequest,
        token: UrlToken,
    ) -> Option<Vec<u8>> {
        if !self.has_microkernel() {
            return None;
        }
        let url = |name: &str| format!("{}/microkernel/{name}", ask.base);
        // The card it boots from, as PXELINUX tells it.
        let words = words(&ask.base, token, ask.report.macs.first().copied());
        let microkernel = MicrokernelBoot {
            kernel: &url(KERNEL),
            initrd: &url(INITRD),
            cmdline: &words,
        };
        let script = self
            .snapshot()
            .library
            .ipxe_scripts()
            .microkernel(&microkernel);
        Some(script.into_bytes())
    }

    /// The same for GRUB, which fetches over TFTP.
    pub(crate) fn config_of_microkernel(
        &self,
        base: &str,
        token: UrlToken,
        card: Mac,
    ) -> Option<String> {
        let path = |name: &str| format!("/microkernel/{name}");
        let words = words(base, token, Some(card));
        let config = || grub::microkernel(&path(KERNEL), &path(INITRD), &words);
        self.has_microkernel().then(config)
    }

    fn has_microkernel(&self) -> bool {
        let opens = |name| matches!(self.open_microkernel(name), Some(Ok(_)));
        [KERNEL, INITRD].into_iter().all(opens)
    }

    /// Whether what installs a task is the microkernel's agent, and there is no microkernel.
    pub(crate) fn lacks_microkernel_of(
        &self,
        transaction: &Transaction<'_>,
        task: &TaskName,
    ) -> bool {
        let task = transaction.snapshot.library.task(task);
        task.is_some_and(|task| task.spec.microkernel) && !self.has_microkernel()
    }

    /// Opens a file of the microkernel; none when it has no such file.
    pub(crate) fn open_microkernel(&self, name: &str) -> Option<Result<OpenedRepoFile, RepoError>> {
        let is_known = [KERNEL, INITRD].contains(&name);
        is_known.then(|| self.microkernel.open(name))
    }

    /// Takes a check-in. What the order rests on is on the disk when it is told.
    pub(crate) async fn on_check_in(&self, ask: CheckInRequest) -> CheckInReply {
        let Some(token) = UrlToken::parse(&ask.token) else {
            return CheckInReply::UnknownToken;
        };
        let reported = match ask.report.as_deref().map(Reported::read).transpose() {
            Ok(reported) => reported,
            Err(error) => return CheckInReply::Rejected(no_report(&error)),
        };
        let (told, ticket) = self.transaction(|transaction| {
            self.note_unverified_images(transaction);
            transaction.check_in(token, reported.as_ref())
        });
        if let Err(error) = ticket.durable().await {
            tracing::error!("{error}");
            return CheckInReply::Rejected(Reply::error(
                503,
                "the journal cannot be written; try again\n",
            ));
        }
        match told {
            CheckedIn::Instruction(order) => {
                let order = serde_json::to_vec(&order).expect("an instruction has only text keys");
                CheckInReply::Instruction(order.into())
            }
            CheckedIn::TooOften => CheckInReply::TooOften,
            CheckedIn::Unknown => CheckInReply::UnknownToken,
        }
    }
}

/// What the agent finds on the kernel's command line.
fn words(base: &str, token: UrlToken, card: Option<Mac>) -> Vec<String> {
    let url = format!("bootwright.url={base}/c/{token}");
    let card = card.map(|mac| format!("BOOTIF=01-{}", mac.hyphens()));
    [url].into_iter().chain(card).collect()
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
