//! ESXi's boot.cfg: the image's own, rewritten for one machine.
//!
//! Line by line: order and keys that we do not know stay, since a newer image may need them.

/// The name of boot.cfg in a task's layouts.
pub const LAYOUT_KEY: &str = "boot-cfg";

/// What a machine's boot.cfg says beyond the image's.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Where the kernel and the modules are, without a `/` at its end.
    pub prefix: String,
    /// Words for `kernelopt`: `ks=…`, `BOOTIF=…`, the installer's address.
    pub words: Vec<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line<'a> {
    /// A key, its value, and the key as it was spelled.
    Pair {
        key: String,
        spelled: &'a str,
        value: &'a str,
    },
    /// A comment, a blank line, or what is neither.
    Other(&'a str),
}

/// Splits the text into its lines. Of several lines with one of our keys the loader takes the last one, so the
/// others are left out.
fn lines(text: &str) -> Vec<Line<'_>> {
    let lines: Vec<Line<'_>> = text.lines().map(line).collect();
    let repeated = |at: usize, line: &Line<'_>| match line {
        Line::Pair { key, .. }
            if ["kernel", "kernelopt", "modules", "prefix"].contains(&key.as_str()) =>
        {
            lines[at + 1..]
                .iter()
                .any(|later| matches!(later, Line::Pair { key: other, .. } if other == key))
        }
        _ => false,
    };
    lines
        .iter()
        .enumerate()
        .filter(|(at, line)| !repeated(*at, line))
        .map(|(_, line)| line.clone())
        .collect()
}

fn line(text: &str) -> Line<'_> {
    let text = text.trim_end_matches('\r');
    match text.split_once('=') {
        Some((key, value)) if !text.trim_start().starts_with('#') => {
            let spelled = key.trim();
            Line::Pair {
                key: spelled.to_ascii_lowercase(),
                spelled,
                value: value.trim(),
            }
        }
        _ => Line::Other(text.trim_end()),
    }
}

/// The files that a boot.cfg names, in lower case and without a leading `/`.
pub fn named_files(text: &str) -> Vec<String> {
    lines(text)
        .iter()
        .flat_map(|line| match line {
            Line::Pair { key, value, .. } if key == "kernel" => vec![plain(value)],
            Line::Pair { key, value, .. } if key == "modules" => {
                modules(value).map(plain).collect()
            }
            _ => Vec::new(),
        })
        .filter(|path| !path.is_empty())
        .map(|path| path.to_lowercase())
        .collect()
}

fn modules(value: &str) -> impl Iterator<Item = &str> {
    value
        .split("---")
        .map(str::trim)
        .filter(|module| !plain(module).is_empty())
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
    changes: &Changes,
    find: impl Fn(&str) -> Option<String>,
) -> Result<String, Vec<String>> {
    let lines = lines(text);
    let missing: Vec<String> = named_files(text)
        .into_iter()
        .filter(|path| find(path).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(missing
            .iter()
            .map(|path| format!("boot.cfg names `{path}`, and the image has no such file"))
            .collect());
    }
    let values = |wanted: &'static str| {
        lines.iter().filter_map(move |line| match line {
            Line::Pair { key, value, .. } if key == wanted => Some(value),
            _ => None,
        })
    };
    let names = |key| values(key).any(|value| modules(value).next().is_some());
    if let Some(key) = ["kernel", "modules"].into_iter().find(|key| !names(key)) {
        return Err(vec![format!(
            "boot.cfg has no line `{key}=` that names a file"
        )]);
    }
    let spelling = |path: &str| find(&plain(path).to_lowercase()).unwrap_or_default();
    let mut written = String::new();
    let mut add = |line: &str| {
        written.push_str(line);
        written.push('\n');
    };
    for line in &lines {
        match line {
            Line::Pair { key, .. } if key == "prefix" => {}
            Line::Pair {
                key,
                spelled,
                value,
            } if key == "kernel" => {
                add(&format!("prefix={}", changes.prefix));
                add(&format!("{spelled}={}", spelling(value)));
                if values("kernelopt").next().is_none() {
                    add(&format!("kernelopt={}", kernelopt("", &changes.words)));
                }
            }
            Line::Pair {
                key,
                spelled,
                value,
            } if key == "modules" => {
                let list: Vec<String> = modules(value).map(spelling).collect();
                add(&format!("{spelled}={}", list.join(" --- ")));
            }
            Line::Pair {
                key,
                spelled,
                value,
            } if key == "kernelopt" => {
                add(&format!("{spelled}={}", kernelopt(value, &changes.words)));
            }
            Line::Pair { spelled, value, .. } => add(&format!("{spelled}={value}")),
            Line::Other(text) => add(text),
        }
    }
    Ok(written)
}

/// The image's own words, but for those that would contradict ours, then ours.
fn kernelopt(own: &str, words: &[String]) -> String {
    let key = |word: &str| {
        word.split_once('=')
            .map(|(key, _)| key.to_ascii_lowercase())
    };
    let stays = |word: &&str| {
        let contradicts = key(word).is_some_and(|own| {
            ["ks", "bootif"].contains(&own.as_str())
                || words.iter().any(|word| key(word).as_ref() == Some(&own))
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

    fn changes() -> Changes {
        Changes {
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
