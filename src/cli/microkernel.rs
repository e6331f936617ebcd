//! `microkernel build`: the kernel and the initial file system that machines boot which no file mentions.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use super::{
    arguments::{BuildArgs, MicrokernelCommand},
    client::{config, is_site, no_site},
    failure::{CliResult, Failure},
    terminal::Terminal,
};
use crate::{
    disk::{atomic, state::MICROKERNEL},
    microkernel::{self, BuiltMicrokernel, Kernel, KernelError, MOST_BYTES},
    model::ByteSize,
    serve::{INITRD, KERNEL, state_path},
};

pub(super) fn run(root: &Path, command: &MicrokernelCommand, terminal: &Terminal) -> CliResult {
    let MicrokernelCommand::Build(build) = command;
    // Where it is to go is asked first: what follows takes a while.
    let (dir, owner) = match &build.output {
        Some(dir) => (dir.clone(), None),
        None => {
            let state = state(root)?;
            (state.join(MICROKERNEL), Some(state))
        }
    };
    let kernel = kernel(build)?;
    let firmware = match build.firmware.is_empty() {
        true => vec![PathBuf::from("/lib/firmware")],
        false => build.firmware.clone(),
    };
    // The program as it runs, also when its file was replaced.
    let program = Path::new("/proc/self/exe");
    let made = microkernel::initrd(&kernel, program, &firmware).map_err(Failure::unreachable)?;
    let image = fs::read(&kernel.image)
        .with_context(|| format!("cannot read `{}`", kernel.image.display()))
        .map_err(Failure::unreachable)?;
    let owner = owner.as_deref();
    // The kernel last: where it is, the pair is whole.
    write(&dir, INITRD, &made.initrd, owner).map_err(Failure::unreachable)?;
    write(&dir, KERNEL, &image, owner).map_err(Failure::unreachable)?;
    let bytes = made.initrd.len() + image.len();
    Ok(terminal.show(&said(&kernel, &made, bytes as u64, &dir))?)
}

/// The state directory of the site.
fn state(root: &Path) -> CliResult<PathBuf> {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let state = state_path(root, &config(root)?);
    state.map_err(|error| {
        let error = anyhow::Error::new(error).context("cannot tell where the state directory is");
        Failure::unreachable(error).help("`--output DIR` says where to write")
    })
}

fn kernel(build: &BuildArgs) -> CliResult<Kernel> {
    let root = Path::new("/");
    let kernel = match &build.kernel {
        Some(image) => Kernel::named(image, build.modules.as_deref(), root),
        None => Kernel::newest(root),
    };
    kernel.map_err(|error| {
        let help = match &error {
            KernelError::None(..) => {
                "install one, such as Debian's package `linux-image-amd64`, or name one with `--kernel` and `--modules`"
            }
            KernelError::NotOne(_) => "a distribution's `vmlinuz` is one",
            KernelError::NoModules(..) => {
                "`--modules DIR` names them: `lib/modules` of the package that the kernel is from"
            }
            KernelError::Unreadable(..) => "",
        };
        let failure = Failure::unreachable(anyhow!(error));
        failure.maybe_help((!help.is_empty()).then(|| help.into()))
    })
}

/// Writes one of the pair. In the state directory it belongs to whom the directory belongs: the server is to read it.
fn write(dir: &Path, name: &str, bytes: &[u8], state: Option<&Path>) -> anyhow::Result<()> {
    let path = dir.join(name);
    let written = || -> std::io::Result<()> {
        atomic::create_dir(dir)?;
        atomic::replace(&path, &[bytes])?;
        match state {
            Some(state) => {
                let owner = fs::metadata(state)?;
                for path in [dir, &path] {
                    chown(path, Some(owner.uid()), Some(owner.gid()))?;
                }
                Ok(())
            }
            None => fs::set_permissions(&path, fs::Permissions::from_mode(0o644)),
        }
    };
    written().with_context(|| format!("cannot write `{}`", path.display()))
}

fn said(kernel: &Kernel, made: &BuiltMicrokernel, bytes: u64, dir: &Path) -> String {
    let mut said = format!(
        "microkernel: Linux {}, {} modules, {} files of firmware, {} together\n  {}\n  {}\n",
        kernel.release,
        made.modules,
        made.firmware.len(),
        ByteSize(bytes),
        dir.join(KERNEL).display(),
        dir.join(INITRD).display(),
    );
    if bytes > MOST_BYTES {
        said += &format!(
            "warning: that is more than {}: machines load it slowly\n",
            ByteSize(MOST_BYTES)
        );
    }
    if !made.no_room.is_empty() {
        said += &format!(
            "without room for the firmware {}; cards that need it stay silent\n",
            made.no_room.join(", ")
        );
    }
    if made.missing_firmware > 0 {
        said += &format!(
            "{} files of firmware that some of its drivers may ask for are not on this machine; packages such as Debian's \
             `firmware-bnx2x` have them\n",
            made.missing_firmware
        );
    }
    said
}
