//! Puts a question to the running server, and to the journal where no server answers.

use std::path::Path;

use super::{client::ApiClient, failure::CliResult, offline, terminal::Terminal};
use crate::net::http::OperatorQuery;

/// Answers a question of one of the commands that only read.
pub(super) fn ask(
    site: &Path,
    question: &OperatorQuery,
    terminal: &Terminal,
) -> CliResult<Vec<u8>> {
    match ApiClient::find(site)? {
        Some((client, _)) => client.ask(question),
        None => {
            let answer = offline::ask(site, question)?;
            terminal.note("no server answers for this site; this is what the journal says, read without its lock");
            Ok(answer)
        }
    }
}
