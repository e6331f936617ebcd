//! `reinstall`, `hold`, `release`, `mark`, `forget`, `power-off`, `pause`, `resume`: what changes something.

use std::path::Path;

use serde::Deserialize;

use super::{
    arguments::{self, Marked},
    client::Client,
    failure::Outcome,
    offline,
    terminal::{Terminal, plain},
};
use crate::net::http::Order;

/// What was done, as the server says it.
#[derive(Deserialize)]
struct Done {
    said: String,
}

pub(super) fn run(site: &Path, order: arguments::Order, terminal: &Terminal) -> Outcome {
    let order = translated(order);
    let answer = match Client::find(site)? {
        Some((client, _)) => client.order(&order)?,
        None => {
            let answer = offline::order(site, order)?;
            terminal.note("no server answers for this site; the journal was changed instead, and the next server goes on from there");
            answer
        }
    };
    let said = match serde_json::from_slice::<Done>(&answer) {
        Ok(done) => plain(&done.said),
        // A later server may say it in another shape.
        Err(_) => plain(String::from_utf8_lossy(&answer).trim_end()),
    };
    Ok(terminal.show(&(said + "\n"))?)
}

fn translated(order: arguments::Order) -> Order {
    match order {
        arguments::Order::Reinstall { node } => Order::Reinstall(node),
        arguments::Order::Hold { node, reason } => Order::Hold { node, reason },
        arguments::Order::Release {
            node: Some(node), ..
        } => Order::Release(node),
        arguments::Order::Release { node: None, .. } => Order::ReleaseAll,
        arguments::Order::Mark {
            node,
            state: Marked::Installed,
        } => Order::Mark {
            node,
            state: "installed".into(),
        },
        arguments::Order::Forget { node, wipe_allowed } => Order::Forget { node, wipe_allowed },
        arguments::Order::PowerOff { node } => Order::PowerOff(node),
        arguments::Order::Pause => Order::Pause,
        arguments::Order::Resume => Order::Resume,
    }
}
