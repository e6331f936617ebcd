//! Sends a read request to the running server, or reads the journal if no server is running.

use std::{path::Path, sync::Once};

use super::{client::ApiClient, failure::CliResult, offline, terminal::Terminal};
use crate::api::Query;

/// The note is printed once, also for a command with several requests.
static NOTE: Once = Once::new();

/// Returns the JSON answer to a read request.
pub(super) fn query(site: &Path, question: &Query, terminal: &Terminal) -> CliResult<Vec<u8>> {
    match ApiClient::find(site)? {
        Some((client, _)) => client.query(question),
        None => {
            let answer = offline::query(site, question)?;
            NOTE.call_once(|| terminal.note("server not running; showing state from the journal"));
            Ok(answer)
        }
    }
}
