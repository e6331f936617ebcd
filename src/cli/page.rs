//! `page`: prints a one-time link to the page of the running server.

use std::path::Path;

use anyhow::anyhow;

use super::{
    client::ApiClient,
    failure::{CliResult, Failure},
    terminal::Terminal,
};

pub(super) fn run(site: &Path, terminal: &Terminal) -> CliResult {
    let Some((client, _)) = ApiClient::find(site)? else {
        return Err(Failure::unreachable(anyhow!("server not running"))
            .help("start it with `bootwright serve`"));
    };
    let (url, seconds) = client.page_link()?;
    terminal.show(&format!("{url}\n"))?;
    terminal.note(&format!(
        "the link can be opened once, within {} minutes; it begins a session of twelve hours",
        seconds / 60
    ));
    Ok(())
}
