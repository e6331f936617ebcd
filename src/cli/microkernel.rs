//! `microkernel build`: writes the kernel and the initrd that undeclared machines boot.

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
    microkernel::{self, BuiltMicrokernel, Kernel, KernelError, MAX_BYTES},
    model::ByteSize,
    serve::{INITRD, KERNEL, state_path},
};

pub(super) fn run(root: &Path, command: &MicrokernelCommand, terminal: &Terminal) -> CliResult {
    let MicrokernelCommand::Build(build) = command;
    // The output directory is checked first, since building takes seconds.
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
    // The running program, even if its file was replaced since.
    let program = Path::new("/proc/self/exe");
    let made = microkernel::initrd(&kernel, program, &firmware).map_err(Failure::unreachable)?;
    let image = fs::read(&kernel.image)
        .with_context(|| format!("cannot read `{}`", kernel.image.display()))
        .map_err(Failure::unreachable)?;
    let owner = owner.as_deref();
    // The kernel is written last: if it exists, the pair is complete.
    write(&dir, INITRD, &made.initrd, owner).map_err(Failure::unreachable)?;
    write(&dir, KERNEL, &image, owner).map_err(Failure::unreachable)?;
    let bytes = made.initrd.len() + image.len();
    Ok(terminal.show(&summary(&kernel, &made, bytes as u64, &dir))?)
}

/// The state directory of the site.
fn state(root: &Path) -> CliResult<PathBuf> {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let state = state_path(root, &config(root)?);
    state.map_err(|error| {
        let error = anyhow::Error::new(error).context("cannot determine the state directory");
        Failure::unreachable(error).help("`--output DIR` sets where to write")
    })
}

fn kernel(build: &BuildArgs) -> CliResult<Kernel> {
    let root = Path::new("/");
    let kernel = match &build.kernel {
        Some(image) => Kernel::from_image(image, build.modules.as_deref(), root),
        None => Kernel::newest(root),
    };
    kernel.map_err(|error| {
        let help = match &error {
            KernelError::None(..) => {
                "install one (Debian's package `linux-image-amd64`), or name one with `--kernel` and `--modules`"
            }
            KernelError::NotAKernel(_) => "use the `vmlinuz` of a distribution",
            KernelError::NoModules(..) => {
                "name them with `--modules DIR`: `lib/modules` of the kernel's package"
            }
            KernelError::Unreadable(..) => "",
        };
        let failure = Failure::unreachable(anyhow!(error));
        failure.maybe_help((!help.is_empty()).then(|| help.into()))
    })
}

/// Writes one file of the pair. In the state directory it gets the directory's owner, so that the server can read it.
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

fn summary(kernel: &Kernel, made: &BuiltMicrokernel, bytes: u64, dir: &Path) -> String {
    let mut text = format!(
        "microkernel: Linux {}, {} modules, {} firmware files, {} in total\n  {}\n  {}\n",
        kernel.release,
        made.modules,
        made.firmware.len(),
        ByteSize(bytes),
        dir.join(KERNEL).display(),
        dir.join(INITRD).display(),
    );
    if bytes > MAX_BYTES {
        text += &format!(
            "warning: this is more than {}: machines load it slowly\n",
            ByteSize(MAX_BYTES)
        );
    }
    if !made.left_out_firmware.is_empty() {
        text += &format!(
            "warning: left out for size: firmware {}; network cards that need it do not work\n",
            made.left_out_firmware.join(", ")
        );
    }
    if made.missing_firmware > 0 {
        text += &format!(
            "{} firmware files that some drivers may need are not installed on this machine (Debian: packages such as \
             `firmware-bnx2x`)\n",
            made.missing_firmware
        );
    }
    text
}
