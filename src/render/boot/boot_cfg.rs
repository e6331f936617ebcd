//! ESXi's boot.cfg: the image's own, rewritten for one machine.
//!
//! Line by line: order and keys that we do not know stay, since a newer image may need them.

/// The name of boot.cfg in a task's layouts.
pub const LAYOUT_KEY: &str = "boot-cfg";

/// The key whose value is put before every path.
pub(super) const PREFIX: &str = "prefix";

/// What a machine's boot.cfg says beyond the image's.
#[derive(Debug, Clone, Default)]
pub struct BootCfgChanges {
    /// Where the kernel and the modules are, without a `/` at its end.
    pub prefix: String,
    /// Words for `kernelopt`: `ks=…`, `BOOTIF=…`, the installer's address.
    pub words: Vec<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BootCfgLine<'a> {
    /// A key, its value, and the key as it was spelled.
    Pair {
        key: String,
        spelled: &'a str,
        value: &'a str,
    },
    /// A comment, a blank line, or what is neither.
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

/// What names the loader's module for Secure Boot.
const CRYPTO: &str = "crypto";

/// Where the loader looks for that module besides (esx-boot, `mboot/mboot.c`).
const CRYPTO_FOLDER: &str = "efi/boot";

/// The installer's words for its network, which stand or fall together (VMware's "Boot Options" of the ESXi installer).
const NETWORK: [&str; 7] = [
    "ip",
    "netmask",
    "gateway",
    "nameserver",
    "netdevice",
    "ksdevice",
    "vlanid",
];

/// Splits the text into its lines. Of several lines with one of our keys the loader takes the last one, so the
/// others are left out.
fn lines(text: &str) -> Vec<BootCfgLine<'_>> {
    let lines: Vec<BootCfgLine<'_>> = text.lines().map(line).collect();
    let repeated = |at: usize, line: &BootCfgLine<'_>| match line {
        BootCfgLine::Pair { key, .. } if KEYS.contains(&key.as_str()) => lines[at + 1..]
            .iter()
            .any(|later| matches!(later, BootCfgLine::Pair { key: other, .. } if other == key)),
        _ => false,
    };
    lines
        .iter()
        .enumerate()
        .filter(|(at, line)| !repeated(*at, line))
        .map(|(_, line)| line.clone())
        .collect()
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

/// The files that a boot.cfg names, in lower case and without a leading `/`: all the places where one may be.
pub fn named_files(text: &str) -> Vec<String> {
    named(&lines(text)).into_iter().flatten().collect()
}

/// The same, the places of one file together, the first one first.
fn named(lines: &[BootCfgLine<'_>]) -> Vec<Vec<String>> {
    let files = lines.iter().flat_map(|line| match line {
        BootCfgLine::Pair { key, value, .. } => named_by(key, value),
        BootCfgLine::Other(_) => Vec::new(),
    });
    files.map(|file| file.places()).collect()
}

/// A file as a line names it.
struct BootCfgFile<'a> {
    path: &'a str,
    /// Whether it is the module for Secure Boot, which may be elsewhere.
    is_crypto: bool,
    /// What stands behind a module's path: its own command line.
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
    let is_there = |file: &BootCfgFile<'_>| !plain(file.path).is_empty();
    files.into_iter().filter(is_there).collect()
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

    /// Where the file may be.
    fn places(&self) -> Vec<String> {
        let path = plain(self.path).to_lowercase();
        let name = path.rsplit('/').next().unwrap_or(&path);
        let besides = format!("{CRYPTO_FOLDER}/{name}");
        let is_elsewhere = self.is_crypto && besides != path;
        let besides = is_elsewhere.then_some(besides);
        [Some(path), besides].into_iter().flatten().collect()
    }

    /// As the tree spells it, with its options.
    fn spelled(&self, find: impl Fn(&str) -> Option<String>) -> String {
        let path = self.places().iter().find_map(|place| find(place));
        let path = path.unwrap_or_default();
        match self.options {
            "" => path,
            options => format!("{path} {options}"),
        }
    }
}

fn plain(path: &str) -> String {
    path.trim()
        .trim_start_matches(['/', '\\'])
        .replace('\\', "/")
}

/// Rewrites the image's boot.cfg. `find` returns a file's path in the spelling of the tree, when the image has it.
/// The errors name what the image lacks.
pub fn rewrite(
    text: &str,
    changes: &BootCfgChanges,
    find: impl Fn(&str) -> Option<String>,
) -> Result<String, Vec<String>> {
    let lines = lines(text);
    let named = named(&lines);
    let missing: Vec<String> = named
        .iter()
        .filter(|places| !places.iter().any(|place| find(place).is_some()))
        .map(|places| {
            let path = &places[0];
            format!("boot.cfg names `{path}`, and the image has no such file")
        })
        .collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let values = |wanted: &'static str| {
        lines.iter().filter_map(move |line| match line {
            BootCfgLine::Pair { key, value, .. } if key == wanted => Some(value),
            _ => None,
        })
    };
    let names = |key| values(key).any(|value| !named_by(key, value).is_empty());
    if let Some(key) = ["kernel", "modules"].into_iter().find(|key| !names(key)) {
        return Err(vec![format!(
            "boot.cfg has no line `{key}=` that names a file"
        )]);
    }
    let mut written = String::new();
    let mut add = |line: &str| {
        written.push_str(line);
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
                add(text);
                continue;
            }
        };
        match key {
            PREFIX => {}
            "kernelopt" => add(&format!("{spelled}={}", kernelopt(value, &changes.words))),
            "kernel" | "modules" | CRYPTO | "acpitables" => {
                if key == "kernel" {
                    add(&format!("{PREFIX}={}", changes.prefix));
                }
                let files = named_by(key, value);
                let files: Vec<String> = files.iter().map(|file| file.spelled(&find)).collect();
                add(&format!("{spelled}={}", files.join(" --- ")));
                if key == "kernel" && values("kernelopt").next().is_none() {
                    add(&format!("kernelopt={}", kernelopt("", &changes.words)));
                }
            }
            _ => add(&format!("{spelled}={value}")),
        }
    }
    Ok(written)
}

/// The image's own words, but for those that would contradict ours, then ours. Half of another network's settings would be
/// a network of its own: where we say any of them, none of the image's stays.
fn kernelopt(own: &str, words: &[String]) -> String {
    let key = |word: &str| {
        word.split_once('=')
            .map(|(key, _)| key.to_ascii_lowercase())
    };
    let ours: Vec<String> = words.iter().filter_map(|word| key(word)).collect();
    let is_of_network = |key: &String| NETWORK.contains(&key.as_str());
    let says_network = ours.iter().any(is_of_network);
    let stays = |word: &&str| {
        let contradicts = key(word).is_some_and(|own| {
            ["ks", "bootif"].contains(&own.as_str())
                || ours.contains(&own)
                || says_network && is_of_network(&own)
        });
        !word.eq_ignore_ascii_case("cdromBoot")
            && !contradicts
            && !words.iter().any(|ours| ours == word)
    };
    let kept = own.split_whitespace().filter(stays);
    kept.chain(words.iter().map(String::as_str))
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
            words: [
                "ks=http://192.0.2.1/t/0/ks.cfg",
                "BOOTIF=01-00-50-56-aa-bb-01",
            ]
            .map(String::from)
            .into(),
        }
    }

    #[test]
    fn a_module_that_is_a_slash_alone_is_left_out() {
        let image = "kernel=b.b00\nmodules=a.gz --- / --- c.gz\n";
        let written = rewrite(image, &changes(), |path| Some(path.into())).unwrap();
        assert!(written.contains("\nmodules=a.gz --- c.gz\n"), "{written}");
    }

    #[test]
    fn order_and_unknown_keys_stay() {
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
    fn names_are_spelled_as_the_tree_spells_them() {
        let written = rewrite(IMAGE, &changes(), |path| Some(path.to_uppercase())).unwrap();
        assert!(written.contains("KERNEL=B.B00\n"));
        assert!(written.contains("modules=JUMPSTRT.GZ --- USEROPTS.GZ --- SUB/K.B00\n"));
    }

    #[test]
    fn a_file_that_the_image_lacks_is_named() {
        let found = rewrite(IMAGE, &changes(), |path| {
            (path != "useropts.gz").then(|| path.into())
        });
        assert_eq!(
            found,
            Err(vec![
                "boot.cfg names `useropts.gz`, and the image has no such file".into()
            ])
        );
        for lacking in ["title=x\n", "kernel=/\nmodules=m.gz\n"] {
            let found = rewrite(lacking, &changes(), |path| Some(path.into()));
            let wanted = "boot.cfg has no line `kernel=` that names a file";
            assert_eq!(found, Err(vec![wanted.into()]), "{lacking}");
        }
    }

    #[test]
    fn of_two_networks_only_ours_is_left() {
        let image = "kernel=b.b00\nmodules=a.gz\nkernelopt=vlanid=7 IP=198.51.100.9 runweasel ksdevice=vmnic0\n";
        for (ours, expected) in [
            ("ip=192.0.2.11", "runweasel ip=192.0.2.11"),
            (
                "x=1",
                "vlanid=7 IP=198.51.100.9 runweasel ksdevice=vmnic0 x=1",
            ),
        ] {
            let changes = BootCfgChanges {
                words: vec![ours.into()],
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
    fn what_else_a_line_names_is_found_where_the_loader_finds_it() {
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
                    "boot.cfg names `{path}`, and the image has no such file"
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
    fn a_line_that_another_one_overrides_is_left_out() {
        let text = "kernel=a.b00\nkernel=b.b00\nmodules=m.gz\n";
        let written = rewrite(text, &changes(), |path| Some(path.into())).unwrap();
        assert_eq!(
            written,
            "prefix=http://192.0.2.1/repo/esxi\nkernel=b.b00\n\
             kernelopt=ks=http://192.0.2.1/t/0/ks.cfg BOOTIF=01-00-50-56-aa-bb-01\nmodules=m.gz\n"
        );
    }
}
