//! `state backup` and `state restore`.

use std::path::Path;

use super::{
    arguments::StateCommand,
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    terminal::Terminal,
};
use crate::{
    disk::journal::LockError,
    model::ByteSize,
    serve::{CheckProgram, Restored, back_up, restore},
    site::counted,
};

pub(super) fn run(site: &Path, command: &StateCommand, terminal: &Terminal) -> CliResult {
    if !is_site(site) {
        return Err(no_site(site));
    }
    let text = match command {
        StateCommand::Backup { file } => {
            let contents =
                back_up(site, file, &CheckProgram::default()).map_err(Failure::refused)?;
            format!(
                "Wrote     {} ({}, {})\nKeep it secret: it contains the keys of this server.\n",
                file.display(),
                counted(contents.files, "file"),
                ByteSize(contents.bytes)
            )
        }
        StateCommand::Restore { file } => {
            let restored = restore(site, file, &CheckProgram::default()).map_err(|error| {
                match error.downcast_ref() {
                    Some(LockError::Held(_)) => Failure::refused(error).help(
                        "stop the server of this site first, then restore and start it again",
                    ),
                    _ => Failure::refused(error),
                }
            })?;
            text(&restored)
        }
    };
    Ok(terminal.show(&text)?)
}

fn text(restored: &Restored) -> String {
    let before = restored.before.as_ref();
    let before = before.map(|path| format!("Before    {}\n", path.display()));
    format!(
        "Restored  {} as of {}\n{}Every installation is held until you declare what is installed: `bootwright init --state \
         from-machines`,\n`bootwright init --state installed` or `bootwright init --state new`.\n",
        restored.state.display(),
        restored.at,
        before.unwrap_or_default()
    )
}
