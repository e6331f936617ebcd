//! Runs scripts, command by command.

use std::collections::BTreeMap;

use super::{
    Left, Setting, Settings, World,
    images::{Image, Images},
    url::{join, split},
    words::{Next, commands, expand},
};

/// A boot runs no more commands than this: a script that waits for ever ends here.
const MOST_COMMANDS: usize = 2_000;

/// A script that was fetched so often from one place is a machine that is kept waiting.
const MOST_OF_ONE: usize = 4;

/// A script that chains a script that chains a script ends here.
const DEEPEST: usize = 16;

/// Runs the script at `url` and says how the machine leaves iPXE.
pub fn run(url: &str, settings: Settings, world: &mut dyn World) -> Left {
    let mut shell = Shell {
        settings,
        world,
        images: Images::default(),
        commands: 0,
        fetched: BTreeMap::new(),
        depth: 0,
    };
    let end = match shell.get(url, None) {
        Some(image) => shell.start(&image),
        None => End::Failed,
    };
    match end {
        End::Left(left) => left,
        end => Left::Exit {
            success: end == End::Done,
        },
    }
}

/// How a command or a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Done,
    Failed,
    /// `exit`: the script ends, with success or without.
    Exited(bool),
    /// The script goes on at this line.
    Goto(usize),
    /// iPXE is left, whatever stands behind.
    Left(Left),
}

/// What a command makes of its script.
enum Flow {
    /// It goes on, or fails.
    Result(bool),
    /// It ends with this.
    End(End),
}

struct Shell<'w> {
    settings: Settings,
    world: &'w mut dyn World,
    images: Images,
    commands: usize,
    fetched: BTreeMap<String, usize>,
    depth: usize,
}

/// A script and where it came from.
struct Script<'a> {
    url: &'a str,
    lines: Vec<&'a str>,
}

impl Shell<'_> {
    /// Starts an image. A script comes back when it is done.
    fn start(&mut self, image: &Image) -> End {
        if !image.is_script() {
            let (url, words) = (image.url.clone(), image.words.clone());
            return End::Left(Left::Program { url, words });
        }
        if self.depth == DEEPEST {
            return End::Failed;
        }
        self.depth += 1;
        let text = String::from_utf8_lossy(&image.bytes).into_owned();
        let end = self.script(&Script {
            url: &image.url,
            lines: text.lines().collect(),
        });
        self.depth -= 1;
        end
    }

    fn script(&mut self, script: &Script<'_>) -> End {
        let mut at = 0;
        while let Some(line) = script.lines.get(at) {
            at += 1;
            match self.line(line, script) {
                End::Done => {}
                End::Goto(line) => at = line,
                // A line that fails and catches nothing ends its script.
                end => return end.stopped(),
            }
        }
        End::Done
    }

    fn line(&mut self, line: &str, script: &Script<'_>) -> End {
        if line.starts_with(':') {
            return End::Done;
        }
        let mut success = true;
        let mut runs = true;
        for command in commands(line) {
            if runs {
                let words: Vec<String> = command
                    .words
                    .iter()
                    .map(|word| expand(word, &self.settings))
                    .collect();
                match self.command(&words, script) {
                    Flow::Result(result) => success = result,
                    Flow::End(end) => return end,
                }
            }
            runs = match command.next {
                Some(Next::Always) => true,
                Some(Next::OnSuccess) => success,
                Some(Next::OnFailure) => !success,
                None => break,
            };
        }
        if success { End::Done } else { End::Failed }
    }

    fn command(&mut self, words: &[String], script: &Script<'_>) -> Flow {
        self.commands += 1;
        if self.commands > MOST_COMMANDS {
            return Flow::End(End::Left(Left::Waiting));
        }
        let Some((command, arguments)) = words.split_first() else {
            return Flow::Result(true);
        };
        let plain: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (command.as_str(), plain.as_slice()) {
            ("echo", _) => self.world.say(&plain.join(" ")),
            ("sleep", [seconds, ..]) => self.world.say(&format!("(waits {seconds} s)")),
            ("set", [name, value @ ..]) => self.set(name, &value.join(" ")),
            ("clear", [name]) => self.settings.clear(name),
            ("inc", [name, by @ ..]) => self.increase(name, by.first().copied()),
            ("isset", arguments) => {
                return Flow::Result(arguments.iter().any(|value| !value.is_empty()));
            }
            ("iseq", [one, other]) => return Flow::Result(one == other),
            ("goto", [label]) => return goto(label, script),
            ("exit", code) => return exit(code.first().copied()),
            ("chain" | "imgexec", _) => return self.chain(&plain, script),
            ("imgfetch" | "module" | "initrd" | "kernel" | "imgselect", _) => {
                return self.image(command, &plain, script);
            }
            ("imgargs", [name, words @ ..]) => return self.arguments(name, words),
            ("boot", named) => return self.boot(named.first().copied()),
            ("imgfree", names) => self.free(names),
            ("sanboot", _) if self.world.has_system() => return Flow::End(End::Left(Left::Disk)),
            ("reboot", _) => return Flow::End(End::Left(Left::Restart)),
            ("poweroff" | "shell" | "prompt", _) => return Flow::End(End::Left(Left::Halt)),
            ("dhcp" | "ifconf" | "ifopen" | "ifstat" | "imgstat" | "route" | "config", _) => {}
            _ => return Flow::Result(false),
        }
        Flow::Result(true)
    }

    fn set(&mut self, name: &str, value: &str) {
        let name = name.split(':').next().unwrap_or(name);
        match value {
            "" => self.settings.clear(name),
            value => self.settings.set(name, Setting::Text(value.into())),
        }
    }

    fn increase(&mut self, name: &str, by: Option<&str>) {
        let by = by.and_then(|by| by.parse().ok()).unwrap_or(1);
        let sum = self.settings.number(name).saturating_add(by);
        self.settings.set(name, Setting::Text(sum.to_string()));
    }

    /// `chain`: fetches and starts. With `--replace` the script behind it never goes on.
    fn chain(&mut self, arguments: &[&str], script: &Script<'_>) -> Flow {
        let Some(options) = Options::read(arguments) else {
            return Flow::Result(false);
        };
        let url = join(script.url, options.url);
        if self.is_kept_waiting(&url) {
            return Flow::End(End::Left(Left::Waiting));
        }
        let Some(mut image) = self.get(&url, options.name) else {
            return Flow::Result(false);
        };
        image.words = options.words;
        match self.start(&image) {
            End::Left(left) => Flow::End(End::Left(left)),
            end if options.replaces => Flow::End(End::Exited(end == End::Done)),
            end => Flow::Result(end == End::Done),
        }
    }

    /// `kernel`, `initrd` and their like: fetches and keeps.
    fn image(&mut self, command: &str, arguments: &[&str], script: &Script<'_>) -> Flow {
        let Some(options) = Options::read(arguments) else {
            return Flow::Result(false);
        };
        let selects = matches!(command, "kernel" | "imgselect");
        if selects && self.images.select(options.url) {
            return Flow::Result(true);
        }
        let url = join(script.url, options.url);
        let Some(mut image) = self.get(&url, options.name) else {
            return Flow::Result(false);
        };
        image.words = options.words;
        let name = image.name.clone();
        self.images.keep(image);
        Flow::Result(!selects || self.images.select(&name))
    }

    fn arguments(&mut self, name: &str, words: &[&str]) -> Flow {
        let Some(image) = self.images.find(name) else {
            return Flow::Result(false);
        };
        image.words = words.iter().map(ToString::to_string).collect();
        Flow::Result(true)
    }

    fn boot(&mut self, named: Option<&str>) -> Flow {
        if named.is_some_and(|name| !self.images.select(name)) {
            return Flow::Result(false);
        }
        let Some(image) = self.images.chosen().cloned() else {
            return Flow::Result(false);
        };
        match self.start(&image) {
            End::Left(left) => Flow::End(End::Left(left)),
            end => Flow::Result(end == End::Done),
        }
    }

    fn free(&mut self, names: &[&str]) {
        match names {
            [] => self.images.free_all(),
            names => names.iter().for_each(|name| self.images.free(name)),
        }
    }

    fn get(&mut self, url: &str, name: Option<&str>) -> Option<Image> {
        let bytes = self.world.fetch(url)?;
        *self.fetched.entry(url.into()).or_default() += 1;
        let path = split(url).1.split('?').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        Some(Image {
            name: name.unwrap_or(last).into(),
            url: url.into(),
            words: Vec::new(),
            bytes,
        })
    }

    fn is_kept_waiting(&self, url: &str) -> bool {
        self.fetched
            .get(url)
            .is_some_and(|times| *times >= MOST_OF_ONE)
    }
}

impl End {
    /// What it means for whoever started the script.
    fn stopped(self) -> End {
        match self {
            End::Exited(true) => End::Done,
            End::Exited(false) | End::Goto(_) => End::Failed,
            end => end,
        }
    }
}

fn goto(label: &str, script: &Script<'_>) -> Flow {
    let found = script
        .lines
        .iter()
        .position(|line| line.strip_prefix(':').map(str::trim) == Some(label));
    match found {
        Some(line) => Flow::End(End::Goto(line)),
        None => Flow::Result(false),
    }
}

fn exit(code: Option<&str>) -> Flow {
    Flow::End(End::Exited(code.is_none_or(|code| code == "0")))
}

/// What stands after a command that fetches.
struct Options<'a> {
    url: &'a str,
    name: Option<&'a str>,
    replaces: bool,
    words: Vec<String>,
}

impl<'a> Options<'a> {
    fn read(arguments: &[&'a str]) -> Option<Options<'a>> {
        let (mut name, mut replaces) = (None, false);
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--name" | "-n" => name = Some(*rest.next()?),
                "--timeout" | "-t" => drop(rest.next()?),
                "--replace" | "-r" => replaces = true,
                option if option.starts_with('-') => {}
                url => {
                    let words = rest.map(ToString::to_string).collect();
                    return Some(Options {
                        url,
                        name,
                        replaces,
                        words,
                    });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by URL, and what was asked for and shown.
    #[derive(Default)]
    struct Fake {
        files: BTreeMap<&'static str, &'static str>,
        has_system: bool,
        seen: Vec<String>,
    }

    impl World for Fake {
        fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
            self.seen.push(url.trim_start_matches("http://s").into());
            self.files.get(url).map(|text| text.as_bytes().to_vec())
        }

        fn say(&mut self, line: &str) {
            self.seen.push(format!("> {line}"));
        }

        fn has_system(&self) -> bool {
            self.has_system
        }
    }

    fn played(
        script: &'static str,
        others: &[(&'static str, &'static str)],
        has_system: bool,
    ) -> (Left, Vec<String>) {
        let files = others.iter().copied().chain([("http://s/a", script)]);
        let mut fake = Fake {
            files: files.collect(),
            has_system,
            seen: Vec::new(),
        };
        let mut settings = Settings::default();
        settings.set("platform", Setting::Text("efi".into()));
        let left = run("http://s/a", settings, &mut fake);
        (left, fake.seen.split_off(1))
    }

    fn program(url: &str, words: &[&str]) -> Left {
        let words = words.iter().map(ToString::to_string).collect();
        Left::Program {
            url: url.into(),
            words,
        }
    }

    #[test]
    fn scripts_end_as_in_ipxe() {
        let exit = |success| Left::Exit { success };
        for (script, left, seen) in [
            ("#!ipxe\necho a  b\n", exit(true), vec!["> a b"]),
            ("#!ipxe\nexit 1\necho no\n", exit(false), vec![]),
            ("#!ipxe\nexit\n", exit(true), vec![]),
            ("#!ipxe\nunknown\necho no\n", exit(false), vec![]),
            ("#!ipxe\nunknown ||\necho yes\n", exit(true), vec!["> yes"]),
            (
                "#!ipxe\niseq ${platform} efi || goto bios\necho efi\nexit\n:bios\necho bios\n",
                exit(true),
                vec!["> efi"],
            ),
            (
                "#!ipxe\niseq ${platform} pcbios || goto efi\nexit 1\n:efi\necho efi\n",
                exit(true),
                vec!["> efi"],
            ),
            (
                "#!ipxe\niseq a b && goto no ||\necho on\n",
                exit(true),
                vec!["> on"],
            ),
            ("#!ipxe\ngoto nowhere\necho no\n", exit(false), vec![]),
            (
                "#!ipxe\nset n:int32 0\n:loop\ninc n\necho ${n}\niseq ${n} 3 || goto loop\n",
                exit(true),
                vec!["> 1", "> 2", "> 3"],
            ),
            (":\n#!ipxe\n", program("http://s/a", &[]), vec![]),
            ("#!ipxe\n:ever\ngoto ever\n", Left::Waiting, vec![]),
            (
                "#!ipxe\nsanboot --drive 0x80 ||\necho none\nexit\n",
                exit(true),
                vec!["> none"],
            ),
        ] {
            let expected: Vec<String> = seen.into_iter().map(String::from).collect();
            assert_eq!(played(script, &[], false), (left, expected), "{script}");
        }
        assert_eq!(
            played("#!ipxe\nsanboot --drive 0x80\n", &[], true).0,
            Left::Disk
        );
    }

    #[test]
    fn a_kernel_is_started_with_its_command_line() {
        let files = [
            ("http://s/k/linux", "kernel"),
            ("http://s/k/initrd", "initrd"),
        ];
        let script = "#!ipxe\nimgfree\nkernel k/linux initrd=i url=http://s/x a=${platform} --- || goto no\ninitrd --name i k/initrd || goto no\nboot || goto no\n:no\nexit 1\n";
        let (left, seen) = played(script, &files, false);
        assert_eq!(
            left,
            program(
                "http://s/k/linux",
                &["initrd=i", "url=http://s/x", "a=efi", "---"]
            )
        );
        assert_eq!(seen, ["/k/linux", "/k/initrd"]);
        let (left, seen) = played(
            "#!ipxe\nkernel gone || goto no\n:no\nimgargs gone a || echo none\nboot || exit 1\n",
            &[],
            false,
        );
        assert_eq!(
            (left, seen),
            (
                Left::Exit { success: false },
                vec!["/gone".into(), "> none".into()]
            )
        );
    }

    #[test]
    fn a_chained_script_comes_back_unless_it_replaces() {
        let other = |text| [("http://s/b", text)];
        let exit = |success| Left::Exit { success };
        for (script, text, left, seen) in [
            (
                "#!ipxe\nchain b || echo failed\necho on\n",
                "#!ipxe\nexit 1\n",
                exit(true),
                vec!["/b", "> failed", "> on"],
            ),
            (
                "#!ipxe\nchain b || echo failed\necho on\n",
                "#!ipxe\nexit\n",
                exit(true),
                vec!["/b", "> on"],
            ),
            (
                "#!ipxe\nchain --replace --autofree --timeout 9 b || echo failed\n",
                "#!ipxe\nexit 1\n",
                exit(false),
                vec!["/b"],
            ),
            (
                "#!ipxe\nchain --replace c || echo failed\n",
                "",
                exit(true),
                vec!["/c", "> failed"],
            ),
            (
                "#!ipxe\nchain b\n",
                "MZ",
                program("http://s/b", &[]),
                vec!["/b"],
            ),
        ] {
            let expected: Vec<String> = seen.into_iter().map(String::from).collect();
            assert_eq!(
                played(script, &other(text), false),
                (left, expected),
                "{script}"
            );
        }
    }

    #[test]
    fn a_machine_that_is_kept_waiting_is_seen() {
        let waits = [(
            "http://s/b",
            "#!ipxe\n:rest\nsleep 30\nchain --replace http://s/b ||\ngoto rest\n",
        )];
        let (left, seen) = played("#!ipxe\nchain b\n", &waits, false);
        assert_eq!(left, Left::Waiting);
        assert_eq!(
            seen.iter().filter(|line| *line == "/b").count(),
            MOST_OF_ONE
        );
    }
}
