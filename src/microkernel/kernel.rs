//! Finds the kernel and its modules.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// A kernel image and the directory of its modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The image, unchanged, with the signature of its distribution.
    pub(crate) image: PathBuf,
    /// `/lib/modules/<release>`, or another directory of that name.
    pub(crate) modules: PathBuf,
    /// The release, such as `6.1.0-56-amd64`.
    pub(crate) release: String,
}

/// Why no kernel was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// No kernel is installed.
    #[error("no kernel is installed: no `{0}` has its modules in `{1}`")]
    None(String, String),
    #[error("`{0}` is not a Linux kernel that firmware can boot (bzImage)")]
    NotAKernel(PathBuf),
    #[error("`{0}` has no modules for the kernel's release, {1}")]
    NoModules(PathBuf, String),
    #[error("cannot read `{0}`: {1}")]
    Unreadable(PathBuf, io::Error),
}

impl Kernel {
    /// The newest kernel under `root` whose modules are installed. It need not be the running one.
    pub(crate) fn newest(root: &Path) -> Result<Kernel, KernelError> {
        let (boot, modules) = (root.join("boot"), root.join("lib/modules"));
        let none = || {
            let boot = boot.join("vmlinuz-*").display().to_string();
            KernelError::None(boot, modules.display().to_string())
        };
        let entries = match fs::read_dir(&boot) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            Err(error) => return Err(KernelError::Unreadable(boot, error)),
        };
        let mut releases = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| KernelError::Unreadable(boot.clone(), error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let release = name.strip_prefix("vmlinuz-").map(str::to_owned);
            releases.extend(release.filter(|release| has_modules(&modules.join(release))));
        }
        releases.sort_by(|a, b| by_version(a, b));
        let release = releases.pop().ok_or_else(none)?;
        Kernel::from_image(
            &boot.join(format!("vmlinuz-{release}")),
            Some(&modules.join(&release)),
            root,
        )
    }

    /// This kernel, with the given modules, or the installed ones of its release. `modules` may be the directory of the
    /// release or one above it.
    pub(crate) fn from_image(
        image: &Path,
        modules: Option<&Path>,
        root: &Path,
    ) -> Result<Kernel, KernelError> {
        let release = release(image)?;
        let installed = root.join("lib/modules");
        let named = modules.unwrap_or(&installed);
        let places = [
            named.to_path_buf(),
            named.join(&release),
            named.join("lib/modules").join(&release),
            named.join("usr/lib/modules").join(&release),
        ];
        let is_of_release = |place: &PathBuf| {
            place
                .file_name()
                .is_some_and(|name| name == release.as_str())
                && has_modules(place)
        };
        match places.into_iter().find(is_of_release) {
            Some(modules) => Ok(Kernel {
                image: image.into(),
                modules,
                release,
            }),
            None => Err(KernelError::NoModules(named.into(), release)),
        }
    }
}

fn has_modules(path: &Path) -> bool {
    path.join("kernel").is_dir()
}

/// The release in a kernel's image ("The Linux/x86 boot protocol", 2.00: the magic number is at 0x202, the offset of the
/// version string less 0x200 is at 0x20e).
fn release(image: &Path) -> Result<String, KernelError> {
    let unreadable = |error| KernelError::Unreadable(image.into(), error);
    let mut file = File::open(image).map_err(unreadable)?;
    let mut header = [0; 0x210];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(KernelError::NotAKernel(image.into()));
        }
        read => read.map_err(unreadable)?,
    }
    if &header[0x202..0x206] != b"HdrS" {
        return Err(KernelError::NotAKernel(image.into()));
    }
    let at = u64::from(u16::from_le_bytes([header[0x20e], header[0x20f]])) + 0x200;
    file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
    let mut version = Vec::new();
    file.take(256)
        .read_to_end(&mut version)
        .map_err(unreadable)?;
    let end = version.iter().position(|byte| matches!(byte, b' ' | 0));
    let release = String::from_utf8_lossy(&version[..end.unwrap_or(0)]).into_owned();
    let is_release = release.starts_with(|c: char| c.is_ascii_digit())
        && !release.contains(|c: char| c == '/' || c.is_control());
    match is_release {
        true => Ok(release),
        false => Err(KernelError::NotAKernel(image.into())),
    }
}

/// Compares versions: numbers by their value.
fn by_version(a: &str, b: &str) -> std::cmp::Ordering {
    version_parts(a).cmp(&version_parts(b))
}

/// The numbers and words of a version; a number is greater than a word.
fn version_parts(version: &str) -> Vec<(Option<u128>, &str)> {
    let mut version_parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        version_parts.push((piece.parse().ok().filter(|_| is_digit), piece));
        rest = after;
    }
    version_parts
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The beginning of an image with this release.
    pub(in crate::microkernel) fn image(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        let version = format!("{release} (builder@mirror.example) #1 SMP\0");
        image[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        image
    }

    fn install(root: &Path, release: &str, with_modules: bool) {
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(
            root.join("boot").join(format!("vmlinuz-{release}")),
            image(release),
        )
        .unwrap();
        if with_modules {
            fs::create_dir_all(root.join("lib/modules").join(release).join("kernel")).unwrap();
        }
    }

    #[test]
    fn the_newest_kernel_with_modules_is_used() {
        let root = tempfile::tempdir().unwrap();
        let error = Kernel::newest(root.path()).unwrap_err();
        assert!(matches!(error, KernelError::None(..)), "{error}");
        for (release, with_modules) in [
            ("6.1.0-9-amd64", true),
            ("6.1.0-56-amd64", true),
            ("6.10.1-amd64", false),
            ("5.10.0-99-amd64", true),
        ] {
            install(root.path(), release, with_modules);
        }
        let kernel = Kernel::newest(root.path()).unwrap();
        assert_eq!(kernel.release, "6.1.0-56-amd64");
        assert_eq!(
            kernel.modules,
            root.path().join("lib/modules/6.1.0-56-amd64")
        );
    }

    #[test]
    fn a_given_kernel_needs_modules_of_its_release() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("package");
        install(&package, "6.1.0-56-cloud-amd64", true);
        let image = package.join("boot/vmlinuz-6.1.0-56-cloud-amd64");
        for modules in ["", "lib/modules", "lib/modules/6.1.0-56-cloud-amd64"] {
            let kernel =
                Kernel::from_image(&image, Some(&package.join(modules)), root.path()).unwrap();
            assert_eq!(
                kernel.modules,
                package.join("lib/modules/6.1.0-56-cloud-amd64"),
                "{modules}"
            );
        }
        install(root.path(), "6.1.0-49-amd64", true);
        let others = root.path().join("lib/modules/6.1.0-49-amd64");
        for modules in [Some(others.as_path()), None] {
            let error = Kernel::from_image(&image, modules, root.path()).unwrap_err();
            assert!(
                error.to_string().contains("6.1.0-56-cloud-amd64"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_a_kernel_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("vmlinuz");
        let mut nameless = image("6.1");
        nameless[0x300] = b'/';
        for bytes in [vec![], vec![0; 0x1000], nameless] {
            fs::write(&path, bytes).unwrap();
            let error = Kernel::from_image(&path, None, root.path()).unwrap_err();
            assert!(matches!(error, KernelError::NotAKernel(_)), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = Kernel::from_image(&path, None, root.path()).unwrap_err();
        assert!(matches!(error, KernelError::Unreadable(..)), "{error}");
    }
}
