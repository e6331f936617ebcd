//! Detects by a TCP connection that a machine is finished, for tasks that cannot report it.
//!
//! A machine is probed at its static address, and only after `installed`: before that, a previous system that still runs would
//! answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::{
    control::SettingLayers,
    journal::{MachineId, Stage},
    render::task::Completion,
    serve::{engine::Engine, operator::views},
};

/// The interval between probes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// The time that a machine has to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Probes all awaited machines until the server stops.
pub(crate) async fn run(engine: Arc<Engine>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        for (machine, attempt, address) in awaited(&engine) {
            // While a machine boots, the connection is usually refused or times out.
            if let Ok(Ok(_)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
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

/// Returns the machines that are installed but not finished, and whose task is complete when they accept a connection. Tasks
/// that report `finished` are not probed: a host's web server answers before its first-boot scripts have ended.
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
            if task.spec.reports_finished(layers.effective().secure_boot) {
                continue;
            }
            let status = views::with_address(transaction, status);
            let address = status.address.and_then(|address| address.parse().ok());
            list.extend(address.map(|ip| (machine.id, attempt.number, SocketAddr::new(ip, port))));
        }
        list
    })
}
