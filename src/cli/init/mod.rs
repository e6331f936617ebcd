//! `init`: creates a site with settings detected on this machine, or declares the state directory of an existing one.

mod host;
mod password;
mod texts;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, anyhow};

use super::{
    arguments::{self, InitState},
    failure::{CliResult, Failure},
    offline,
    terminal::Terminal,
};
use crate::{
    control::DeclaredState,
    disk::{journal::LockError, secrets::PasswordHashCache, state::SecretKey},
    model::PasswordHash,
    serve::offline::adopt,
};
use host::HostSettings;

pub(super) fn run(dir: &Path, init: &arguments::InitArgs, terminal: &Terminal) -> CliResult {
    match init.state {
        Some(state) => declare_state(dir, state, terminal),
        None => create_site(dir, init, terminal),
    }
}

/// Declares what is installed on machines without a record in the state directory of an existing site.
fn declare_state(dir: &Path, state: InitState, terminal: &Terminal) -> CliResult {
    let declared = match state {
        InitState::New => DeclaredState::New,
        InitState::Installed => DeclaredState::Installed,
        InitState::FromMachines => DeclaredState::FromMachines,
    };
    let held = "stop the server of this site first, then start it again";
    let message = offline::declare_state(dir, declared).map_err(|failure| {
        match failure.cause::<LockError>() {
            Some(LockError::Held(_)) => failure.help(held),
            _ => failure,
        }
    })?;
    Ok(terminal.show(&(message + "\n"))?)
}

fn create_site(dir: &Path, init: &arguments::InitArgs, terminal: &Terminal) -> CliResult {
    let existing: Vec<&str> = texts::NAMES
        .into_iter()
        .filter(|name| dir.join(name).symlink_metadata().is_ok())
        .collect();
    if !existing.is_empty() {
        return Err(Failure::refused(anyhow!(
            "`{}` already contains {}",
            dir.display(),
            existing.join(", ")
        ))
        .help(
            "existing files are not overwritten: choose another directory, or move these files",
        ));
    }
    let host = HostSettings::detect(Path::new("/"), std::env::home_dir().as_deref());
    terminal.show(&host.to_string())?;
    let prompts = !init.no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
    let password = if prompts {
        password::prompt()?
            .map(|password| hash(&password))
            .transpose()?
    } else {
        None
    };
    let id = id()?;
    for (name, text) in texts::write(&host, &id, password.as_ref().map(PasswordHash::expose)) {
        create(&dir.join(name), &text)?;
    }
    let state = adopt(dir).map_err(|error| {
        Failure::refused(
            error.context("the site was created, but its state directory cannot be used"),
        )
        .help("set `state` in `[paths]` of bootwright.toml, then run `bootwright init --state new`")
    })?;
    let site = dir.display();
    terminal.show(&format!(
        "Wrote     {}\nState     {}\nNext      edit {site}/policies.d/nodes.toml, then: bootwright --site {site} check\n",
        texts::NAMES.join("  "),
        state.display()
    ))?;
    Ok(())
}

fn create(path: &Path, text: &str) -> CliResult {
    let create = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create_new(path)?.write_all(text.as_bytes())
    };
    Ok(create().with_context(|| format!("cannot write `{}`", path.display()))?)
}

/// A random site id.
fn id() -> CliResult<String> {
    Ok(random::<16>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn hash(password: &str) -> CliResult<PasswordHash> {
    // The salt is derived from the key, and this key is used only once.
    Ok(PasswordHashCache::new(SecretKey(random()?)).hash(password))
}

fn random<const N: usize>() -> CliResult<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}
