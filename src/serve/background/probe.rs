//! Machines that cannot say that they are finished are asked: a connection to their static address.
//!
//! Only after `installed`, since the old system, still up, would answer too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::{
    control::SettingLayers,
    journal::{MachineId, Stage},
    render::task::Completion,
    serve::{engine::Engine, operator::views},
};

/// Between two rounds.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// For how long one machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks every machine that is waited for, until the server ends.
pub(crate) async fn run(engine: Arc<Engine>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        for (machine, attempt, address) in awaited(&engine) {
            // A refusal or a silence is the usual answer of a machine that still boots.
            if let Ok(Ok(_)) = timeout(PATIENCE, TcpStream::connect(address)).await {
                let ((), ticket) = engine.transaction(|transaction| {
                    transaction.on_inferred_stage(machine, attempt, Stage::Finished)
                });
                if let Err(error) = ticket.durable().await {
                    tracing::error!("{error}");
                }
            }
        }
    }
}

/// Machines that are installed, have not finished, and whose task is complete when they answer: those that cannot say so
/// themselves. A host's web server answers before its first-boot scripts have ended.
fn awaited(engine: &Engine) -> Vec<(MachineId, u32, SocketAddr)> {
    engine.read(|transaction| {
        let mut list = Vec::new();
        for machine in transaction.server.state.machines.values() {
            let Some(attempt) = machine
                .current()
                .filter(|attempt| attempt.is_installed() && !attempt.is_finished())
            else {
                continue;
            };
            let Some(task) = transaction.snapshot.library.task(&attempt.task) else {
                continue;
            };
            let port = task
                .spec
                .completion
                .iter()
                .find_map(|completion| match completion {
                    Completion::Probe { port } => Some(*port),
                    Completion::Callback => None,
                });
            let Some(port) = port else { continue };
            let node = transaction.node_of(machine.id);
            let status = transaction.status(Some(machine.id), node.as_ref());
            let site = &transaction.snapshot.site;
            let policy = status.policy.as_ref();
            let policy = policy.and_then(|name| site.policies.get(name));
            let layers = SettingLayers::new(site, node.as_deref(), policy.map(AsRef::as_ref));
            let secure = layers.get(|settings| settings.secure_boot.as_deref());
            let secure = secure.copied().unwrap_or(false);
            if task.spec.reports_finished(secure) {
                continue;
            }
            let status = views::with_address(transaction, status);
            let address = status.address.and_then(|address| address.parse().ok());
            list.extend(address.map(|ip| (machine.id, attempt.number, SocketAddr::new(ip, port))));
        }
        list
    })
}
