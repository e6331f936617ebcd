//! ESXi's boot.cfg: rewrites the image's file for one machine.
//!
//! The order of lines and unknown keys are preserved, since a newer image may need them.

/// The name of boot.cfg in a task's layouts.
pub const LAYOUT_KEY: &str = "boot-cfg";

/// The key whose value the loader prepends to every path.
pub(super) const PREFIX: &str = "prefix";

/// The changes for one machine.
#[derive(Debug, Clone, Default)]
pub struct BootCfgChanges {
    /// The URL of the kernel and the modules, without a trailing `/`.
    pub prefix: String,
    /// Arguments to add to `kernelopt`: `ks=…`, `BOOTIF=…`, the installer's address.
    pub kernelopt: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum BootCfgLine<'a> {
    /// `key` is in lower case, `spelled` as in the file.
    Pair {
        key: String,
        spelled: &'a str,
        value: &'a str,
    },
    /// A comment, a blank line, or a line without `=`.
    Other(&'a str),
}

/// The keys that are read here.
const KEYS: [&str; 6] = [
    "kernel",
    "kernelopt",
    "modules",
    PREFIX,
    CRYPTO,
    "acpitables",
];

/// The key that names the loader's module for Secure Boot.
const CRYPTO: &str = "crypto";

/// Another directory in which the loader searches for that module (esx-boot, `mboot/mboot.c`).
const CRYPTO_FOLDER: &str = "efi/boot";

/// The installer's network options, which are only consistent together (VMware, "Boot Options" of the ESXi installer).
const NETWORK: [&str; 7] = [
    "ip",
    "netmask",
    "gateway",
    "nameserver",
    "netdevice",
    "ksdevice",
    "vlanid",
];

/// Splits the text into lines. The loader uses the last of several lines with one of [`KEYS`], so the others are dropped.
fn lines(text: &str) -> Vec<BootCfgLine<'_>> {
    let mut later: Vec<&str> = Vec::new();
    let is_last = |line: &BootCfgLine<'_>| {
        let key = KEYS.into_iter().find(|key| line.key() == Some(*key));
        let is_repeated = key.is_some_and(|key| later.contains(&key));
        later.extend(key.filter(|_| !is_repeated));
        !is_repeated
    };
    let mut lines: Vec<_> = text.lines().rev().map(line).filter(is_last).collect();
    lines.reverse();
    lines
}

fn line(text: &str) -> BootCfgLine<'_> {
    let text = text.trim_end_matches('\r');
    match text.split_once('=') {
        Some((key, value)) if !text.trim_start().starts_with('#') => {
            let spelled = key.trim();
            BootCfgLine::Pair {
                key: spelled.to_ascii_lowercase(),
                spelled,
                value: value.trim(),
            }
        }
        _ => BootCfgLine::Other(text.trim_end()),
    }
}

impl BootCfgLine<'_> {
    fn key(&self) -> Option<&str> {
        match self {
            BootCfgLine::Pair { key, .. } => Some(key),
            BootCfgLine::Other(_) => None,
        }
    }
}

/// All paths at which a file that a boot.cfg names may be stored, in lower case and without a leading `/`.
pub fn named_files(text: &str) -> Vec<String> {
    let lines = lines(text);
    let files = lines.iter().flat_map(|line| match line {
        BootCfgLine::Pair { key, value, .. } => named_by(key, value),
        BootCfgLine::Other(_) => Vec::new(),
    });
    files.flat_map(|file| file.candidates()).collect()
}

/// A file that a line names.
struct BootCfgFile<'a> {
    path: &'a str,
    /// Whether it is the module for Secure Boot, which may be in [`CRYPTO_FOLDER`].
    is_crypto: bool,
    /// The module's own command line, which follows its path.
    options: &'a str,
}

/// The files that the value of a key names.
fn named_by<'a>(key: &str, value: &'a str) -> Vec<BootCfgFile<'a>> {
    let one = |path: &'a str, is_crypto| BootCfgFile {
        path,
        is_crypto,
        options: "",
    };
    let files = match key {
        "kernel" | CRYPTO => vec![one(value, key == CRYPTO)],
        "modules" | "acpitables" => value.split("---").map(BootCfgFile::read).collect(),
        _ => Vec::new(),
    };
    let has_path = |file: &BootCfgFile<'_>| !trimmed(file.path).is_empty();
    files.into_iter().filter(has_path).collect()
}

impl<'a> BootCfgFile<'a> {
    fn read(module: &'a str) -> BootCfgFile<'a> {
        let module = module.trim();
        let (path, options) = module
            .split_once(char::is_whitespace)
            .unwrap_or((module, ""));
        BootCfgFile {
            path,
            is_crypto: false,
            options: options.trim(),
        }
    }

    /// The paths at which the file may be stored, in the order in which the loader tries them.
    fn candidates(&self) -> impl Iterator<Item = String> + use<> {
        let path = trimmed(self.path).replace('\\', "/").to_lowercase();
        let second = self.is_crypto.then(|| {
            let name = path.rsplit('/').next().unwrap_or(&path);
            format!("{CRYPTO_FOLDER}/{name}")
        });
        let second = second.filter(|second| *second != path);
        std::iter::once(path).chain(second)
    }

    /// The path as the tree spells it, with the options. The error is the path that the tree does not have.
    fn spelled(&self, find: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let mut candidates = self.candidates();
        let path = candidates.find_map(|path| find(&path));
        let path = path.ok_or_else(|| self.candidates().next().unwrap_or_default())?;
        Ok(match self.options {
            "" => path,
            options => format!("{path} {options}"),
        })
    }
}

/// The path without what the loader ignores around it.
fn trimmed(path: &str) -> &str {
    let is_before = |c: char| c.is_whitespace() || matches!(c, '/' | '\\');
    path.trim_start_matches(is_before).trim_end()
}

/// Rewrites the image's boot.cfg. `find` returns a file's path as the tree spells it, if the image has the file. The errors
/// name missing files and lines.
pub fn rewrite(
    text: &str,
    changes: &BootCfgChanges,
    find: impl Fn(&str) -> Option<String>,
) -> Result<String, Vec<String>> {
    let lines = lines(text);
    let has_kernelopt = lines.iter().any(|line| line.key() == Some("kernelopt"));
    let mut unnamed = vec!["kernel", "modules"];
    let mut missing = Vec::new();
    let mut written = String::with_capacity(2 * text.len());
    let mut add = |parts: &[&str]| {
        written.extend(parts.iter().copied());
        written.push('\n');
    };
    for line in &lines {
        let (key, spelled, value) = match line {
            BootCfgLine::Pair {
                key,
                spelled,
                value,
            } => (key.as_str(), *spelled, *value),
            BootCfgLine::Other(text) => {
                add(&[text]);
                continue;
            }
        };
        match key {
            PREFIX => {}
            "kernelopt" => add(&[spelled, "=", &kernelopt(value, &changes.kernelopt)]),
            "kernel" | "modules" | CRYPTO | "acpitables" => {
                if key == "kernel" {
                    add(&[PREFIX, "=", &changes.prefix]);
                }
                let files = named_by(key, value);
                if !files.is_empty() {
                    unnamed.retain(|unnamed| *unnamed != key);
                }
                let spelled_files = files.iter().filter_map(|file| {
                    let spelled = file.spelled(&find);
                    spelled.map_err(|path| missing.push(path)).ok()
                });
                let spelled_files: Vec<String> = spelled_files.collect();
                add(&[spelled, "=", &spelled_files.join(" --- ")]);
                if key == "kernel" && !has_kernelopt {
                    add(&["kernelopt=", &kernelopt("", &changes.kernelopt)]);
                }
            }
            _ => add(&[spelled, "=", value]),
        }
    }
    if !missing.is_empty() {
        return Err(missing
            .iter()
            .map(|path| format!("boot.cfg names `{path}`, which the image does not have"))
            .collect());
    }
    match unnamed.first() {
        Some(key) => Err(vec![format!(
            "boot.cfg has no line `{key}=` that names a file"
        )]),
        None => Ok(written),
    }
}

/// Returns the image's arguments without those that conflict with added ones, then the added ones. If an added one concerns the
/// network, all of the image's network options are dropped: a mixture would be a third configuration.
fn kernelopt(own: &str, added: &[String]) -> String {
    let key = |word: &str| {
        word.split_once('=')
            .map(|(key, _)| key.to_ascii_lowercase())
    };
    let own_keys: Vec<String> = added.iter().filter_map(|word| key(word)).collect();
    let is_of_network = |key: &String| NETWORK.contains(&key.as_str());
    let sets_network = own_keys.iter().any(is_of_network);
    let is_kept = |word: &&str| {
        let conflicts = key(word).is_some_and(|own| {
            ["ks", "bootif"].contains(&own.as_str())
                || own_keys.contains(&own)
                || sets_network && is_of_network(&own)
        });
        !word.eq_ignore_ascii_case("cdromBoot")
            && !conflicts
            && !added.iter().any(|own_keys| own_keys == word)
    };
    let kept = own.split_whitespace().filter(is_kept);
    kept.chain(added.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "bootstate=0\r\ntitle=Loading ESXi installer\r\ntimeout=5\r\nprefix=\r\nKERNEL=/B.B00\r\nkernelopt=runweasel cdromBoot ks=cdrom:/KS.CFG allowLegacyCPU=true\r\nmodules=/jumpstrt.gz --- /useropts.gz --- /sub/k.b00\r\nbuild=7.0.3-0.35\r\nfuture=1\r\n# a comment\r\nupdated=0\r\n";

    fn changes() -> BootCfgChanges {
        BootCfgChanges {
            prefix: "http://192.0.2.1/repo/esxi".into(),
            kernelopt: [
                "ks=http://192.0.2.1/t/0/ks.cfg",
                "BOOTIF=01-00-50-56-aa-bb-01",
            ]
            .map(String::from)
            .into(),
        }
    }

    #[test]
    fn a_module_that_is_only_a_slash_is_dropped() {
        let image = "kernel=b.b00\nmodules=a.gz --- / --- c.gz\n";
        let written = rewrite(image, &changes(), |path| Some(path.into())).unwrap();
        assert!(written.contains("\nmodules=a.gz --- c.gz\n"), "{written}");
    }

    #[test]
    fn spaces_after_the_first_slashes_are_no_part_of_a_path() {
        let image = "kernel=\\ b.b00\nmodules=/a.gz\n";
        let once = rewrite(image, &changes(), |path| Some(path.into())).unwrap();
        assert!(once.contains("\nkernel=b.b00\n"), "{once}");
        assert!(once.contains("\nmodules=a.gz\n"), "{once}");
        let twice = rewrite(&once, &changes(), |path| Some(path.into()));
        assert_eq!(twice, Ok(once));
    }

    #[test]
    fn order_and_unknown_keys_are_preserved() {
        let written = rewrite(IMAGE, &changes(), |path| Some(path.into())).unwrap();
        assert_eq!(
            written,
            "bootstate=0\ntitle=Loading ESXi installer\ntimeout=5\nprefix=http://192.0.2.1/repo/esxi\nKERNEL=b.b00\n\
             kernelopt=runweasel allowLegacyCPU=true ks=http://192.0.2.1/t/0/ks.cfg BOOTIF=01-00-50-56-aa-bb-01\n\
             modules=jumpstrt.gz --- useropts.gz --- sub/k.b00\nbuild=7.0.3-0.35\nfuture=1\n# a comment\nupdated=0\n"
        );
        let again = rewrite(&written, &changes(), |path| Some(path.into())).unwrap();
        assert_eq!(again, written);
    }

    #[test]
    fn file_names_are_written_as_the_tree_spells_them() {
        let written = rewrite(IMAGE, &changes(), |path| Some(path.to_uppercase())).unwrap();
        assert!(written.contains("KERNEL=B.B00\n"));
        assert!(written.contains("modules=JUMPSTRT.GZ --- USEROPTS.GZ --- SUB/K.B00\n"));
    }

    #[test]
    fn the_error_names_a_file_that_the_image_lacks() {
        let found = rewrite(IMAGE, &changes(), |path| {
            (path != "useropts.gz").then(|| path.into())
        });
        assert_eq!(
            found,
            Err(vec![
                "boot.cfg names `useropts.gz`, which the image does not have".into()
            ])
        );
        for lacking in ["title=x\n", "kernel=/\nmodules=m.gz\n"] {
            let found = rewrite(lacking, &changes(), |path| Some(path.into()));
            let wanted = "boot.cfg has no line `kernel=` that names a file";
            assert_eq!(found, Err(vec![wanted.into()]), "{lacking}");
        }
    }

    #[test]
    fn our_network_options_replace_all_of_the_images() {
        let image = "kernel=b.b00\nmodules=a.gz\nkernelopt=vlanid=7 IP=198.51.100.9 runweasel ksdevice=vmnic0\n";
        for (own_keys, expected) in [
            ("ip=192.0.2.11", "runweasel ip=192.0.2.11"),
            (
                "x=1",
                "vlanid=7 IP=198.51.100.9 runweasel ksdevice=vmnic0 x=1",
            ),
        ] {
            let changes = BootCfgChanges {
                kernelopt: vec![own_keys.into()],
                ..changes()
            };
            let written = rewrite(image, &changes, |path| Some(path.into())).unwrap();
            let line = format!("\nkernelopt={expected}\n");
            assert!(written.contains(&line), "{written}");
        }
    }

    #[test]
    fn a_module_keeps_its_own_command_line() {
        let image = "kernel=b.b00\nmodules=/a.gz  x=1 -v --- b.gz---c.gz\n";
        assert_eq!(named_files(image), ["b.b00", "a.gz", "b.gz", "c.gz"]);
        let written = rewrite(image, &changes(), |path| Some(path.into())).unwrap();
        assert!(
            written.contains("\nmodules=a.gz x=1 -v --- b.gz --- c.gz\n"),
            "{written}"
        );
    }

    #[test]
    fn crypto_and_acpi_files_are_found_where_the_loader_searches() {
        let rest = "kernel=b.b00\nmodules=a.gz\n";
        for (line, has, expected) in [
            (
                "crypto=/crypto64.efi",
                "crypto64.efi",
                Ok("crypto=crypto64.efi"),
            ),
            (
                "Crypto=CRYPTO64.EFI",
                "efi/boot/crypto64.efi",
                Ok("Crypto=efi/boot/crypto64.efi"),
            ),
            (
                "crypto=\\efi\\boot\\crypto64.efi",
                "efi/boot/crypto64.efi",
                Ok("crypto=efi/boot/crypto64.efi"),
            ),
            ("crypto=", "", Ok("crypto=")),
            ("crypto=/crypto64.efi", "", Err("crypto64.efi")),
            ("crypto=x.efi\ncrypto=y.efi", "y.efi", Ok("crypto=y.efi")),
            (
                "acpitables=/ssdt.aml --- /ssdt.aml",
                "ssdt.aml",
                Ok("acpitables=ssdt.aml --- ssdt.aml"),
            ),
            ("acpitables=/ssdt.aml", "", Err("ssdt.aml")),
        ] {
            let is_there = |path: &str| [has, "b.b00", "a.gz"].contains(&path);
            let find = |path: &str| is_there(path).then(|| path.to_owned());
            let written = rewrite(&format!("{line}\n{rest}"), &changes(), find);
            let first = written.as_ref().map(|text| text.lines().next().unwrap());
            let missing = |path| {
                vec![format!(
                    "boot.cfg names `{path}`, which the image does not have"
                )]
            };
            assert_eq!(
                first.map_err(Vec::clone),
                expected.map_err(missing),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_that_a_later_one_overrides_is_dropped() {
        let text = "kernel=a.b00\nkernel=b.b00\nmodules=m.gz\n";
        let written = rewrite(text, &changes(), |path| Some(path.into())).unwrap();
        assert_eq!(
            written,
            "prefix=http://192.0.2.1/repo/esxi\nkernel=b.b00\n\
             kernelopt=ks=http://192.0.2.1/t/0/ks.cfg BOOTIF=01-00-50-56-aa-bb-01\nmodules=m.gz\n"
        );
    }
}
