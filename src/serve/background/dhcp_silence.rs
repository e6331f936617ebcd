//! Reports what DHCP receives while no machine boots from the network.

use std::{sync::Arc, time::Duration};

use crate::{
    control::Diagnosis,
    serve::engine::{Engine, dhcp_stats::DhcpCounts},
};

/// The counts are logged after this time without a network boot.
const SILENCE: Duration = Duration::from_secs(90);

/// Logs the counts of DHCP messages if no machine has booted from the network.
pub(crate) async fn run(engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(SILENCE).await;
        if !engine.answers_dhcp() {
            continue;
        }
        let counts = engine.dhcp_stats.counts();
        if counts.booting > 0 {
            return;
        }
        tracing::info!("{}", describe(counts));
        if counts.hosts > 0 {
            return;
        }
    }
}

fn describe(counts: DhcpCounts) -> String {
    let seconds = SILENCE.as_secs();
    let diagnosis = match counts.hosts {
        0 => Diagnosis::NoMessages { seconds },
        messages => Diagnosis::OnlyRunningSystems { messages, seconds },
    };
    match counts.unreadable {
        0 => diagnosis.to_string(),
        count => format!("{diagnosis} ({count} datagrams were not DHCP messages)"),
    }
}
