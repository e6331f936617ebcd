//! Facts of the processors.

use std::collections::BTreeSet;

use super::SystemRoot;
use crate::model::Facts;

pub(super) fn add_facts(root: &SystemRoot, facts: &mut Facts) {
    let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
    let (mut sockets, mut cores, mut threads) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut socket = "0";
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "processor" => threads += 1,
            "model name" if facts.cpu_model.is_none() => facts.cpu_model = Some(value.into()),
            "physical id" => {
                socket = value;
                sockets.insert(value);
            }
            "core id" => {
                cores.insert((socket, value));
            }
            _ => {}
        }
    }
    // Without topology in the file: one socket, and each processor is a core.
    facts.sockets = (threads > 0).then(|| sockets.len().max(1) as u64);
    let cores = if cores.is_empty() {
        threads
    } else {
        cores.len()
    };
    facts.cores = (threads > 0).then_some(cores as u64);
}
