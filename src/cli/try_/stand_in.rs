//! Detects stand-ins: the examples ship files of a few bytes in place of kernels and loaders.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{
    cli::render::directory,
    model::Platform,
    render::{FileBody, RenderedAttempt},
    site::Site,
};

/// A file in place of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandIn {
    /// Its repo.
    pub(super) repo: String,
    pub(super) path: String,
    pub(super) length: u64,
}

/// Every kernel and loader is longer, in bytes.
const MIN_PROGRAM_BYTES: u64 = 16 << 10;

/// Whether the program that the script of `rendered` starts is a stand-in. `None` also for programs that machines fetch
/// from another server.
pub(super) fn find(
    root: &Path,
    site: &Site,
    rendered: &RenderedAttempt,
    base: &str,
    platform: Platform,
) -> io::Result<Option<StandIn>> {
    let Some((repo, path)) = program(rendered, base, platform) else {
        return Ok(None);
    };
    let directory = repo
        .parse()
        .ok()
        .and_then(|repo| directory(root, site, &repo));
    let Some(directory) = directory else {
        return Ok(None);
    };
    let file = File::open(directory.join(&path))?;
    let length = file.metadata()?.len();
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head)?;
    // UEFI programs and ELF files start with a magic number; a BIOS kernel may start with any bytes.
    let is_program =
        length >= MIN_PROGRAM_BYTES || head.starts_with(b"MZ") || head.starts_with(b"\x7fELF");
    Ok((!is_program).then_some(StandIn { repo, path, length }))
}

/// The repo and path of the program that the script starts: on UEFI the first one in it, on BIOS the last.
fn program(rendered: &RenderedAttempt, base: &str, platform: Platform) -> Option<(String, String)> {
    let script = rendered
        .files
        .iter()
        .find(|file| file.name == "boot.ipxe")?;
    let FileBody::Bytes(script) = &script.body else {
        return None;
    };
    let text = String::from_utf8_lossy(script);
    let mut urls = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let command = words.next()?;
        ["kernel", "chain"]
            .contains(&command)
            .then(|| words.next())?
    });
    let url = match platform {
        Platform::Efi => urls.next()?,
        Platform::Pcbios => urls.next_back()?,
    };
    let path = url.strip_prefix(base)?;
    if let Some(rest) = path.strip_prefix("/repo/") {
        let (repo, path) = rest.split_once('/')?;
        return Some((repo.into(), path.into()));
    }
    let (_token, name) = path.strip_prefix("/t/")?.split_once('/')?;
    let file = rendered.files.iter().find(|file| file.name == name)?;
    match &file.body {
        FileBody::Repo { repo, path } => Some((repo.to_string(), path.clone())),
        FileBody::Bytes(_) => None,
    }
}
