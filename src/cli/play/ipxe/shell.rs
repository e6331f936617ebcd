//! Executes scripts, command by command.

use std::collections::BTreeMap;

use super::{
    IpxeEnvironment, IpxeExit, IpxeSetting, IpxeSettings,
    images::{IpxeImage, IpxeImages},
    line::{Continuation, commands, expand},
    url::{join, split},
};

/// The number of commands of a boot: a script that loops ends here.
const MAX_COMMANDS: usize = 2_000;

/// After so many fetches of the same URL, the scripts wait and retry.
const MAX_FETCHES_OF_ONE_URL: usize = 4;

/// The depth of chained scripts.
const MAX_DEPTH: usize = 16;

/// Runs the script at `url` and returns how the machine leaves iPXE.
pub fn run(url: &str, settings: IpxeSettings, environment: &mut dyn IpxeEnvironment) -> IpxeExit {
    let mut shell = IpxeShell {
        settings,
        environment,
        images: IpxeImages::default(),
        commands: 0,
        fetched: BTreeMap::new(),
        depth: 0,
    };
    let end = match shell.get(url, None) {
        Some(image) => shell.start(&image),
        None => ScriptEnd::Failed,
    };
    match end {
        ScriptEnd::LeaveIpxe(left) => left,
        end => IpxeExit::Exit {
            success: end == ScriptEnd::Done,
        },
    }
}

/// How a command or a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ScriptEnd {
    Done,
    Failed,
    /// `exit`: the script ends, with success or without.
    Exited(bool),
    /// The script continues at this line.
    Goto(usize),
    /// iPXE exits, from all scripts.
    LeaveIpxe(IpxeExit),
}

/// The effect of a command on its script.
enum CommandFlow {
    /// The command succeeded or failed.
    Result(bool),
    /// The script ends.
    ScriptEnd(ScriptEnd),
}

struct IpxeShell<'w> {
    settings: IpxeSettings,
    environment: &'w mut dyn IpxeEnvironment,
    images: IpxeImages,
    commands: usize,
    fetched: BTreeMap<String, usize>,
    depth: usize,
}

/// A script and its URL.
struct IpxeScript<'a> {
    url: &'a str,
    lines: Vec<&'a str>,
}

impl IpxeShell<'_> {
    /// Starts an image. A script returns when it ends.
    fn start(&mut self, image: &IpxeImage) -> ScriptEnd {
        if !image.is_script() {
            let (url, arguments) = (image.url.clone(), image.arguments.clone());
            return ScriptEnd::LeaveIpxe(IpxeExit::Program { url, arguments });
        }
        if self.depth == MAX_DEPTH {
            return ScriptEnd::Failed;
        }
        self.depth += 1;
        let text = String::from_utf8_lossy(&image.bytes).into_owned();
        let end = self.script(&IpxeScript {
            url: &image.url,
            lines: text.lines().collect(),
        });
        self.depth -= 1;
        end
    }

    fn script(&mut self, script: &IpxeScript<'_>) -> ScriptEnd {
        let mut at = 0;
        while let Some(line) = script.lines.get(at) {
            at += 1;
            match self.line(line, script) {
                ScriptEnd::Done => {}
                ScriptEnd::Goto(line) => at = line,
                // A failing line without `||` ends its script.
                end => return end.stopped(),
            }
        }
        ScriptEnd::Done
    }

    fn line(&mut self, line: &str, script: &IpxeScript<'_>) -> ScriptEnd {
        if line.starts_with(':') {
            return ScriptEnd::Done;
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
                    CommandFlow::Result(result) => success = result,
                    CommandFlow::ScriptEnd(end) => return end,
                }
            }
            runs = match command.next {
                Some(Continuation::Always) => true,
                Some(Continuation::OnSuccess) => success,
                Some(Continuation::OnFailure) => !success,
                None => break,
            };
        }
        if success {
            ScriptEnd::Done
        } else {
            ScriptEnd::Failed
        }
    }

    fn command(&mut self, words: &[String], script: &IpxeScript<'_>) -> CommandFlow {
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(IpxeExit::Waiting));
        }
        let Some((command, arguments)) = words.split_first() else {
            return CommandFlow::Result(true);
        };
        let plain: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (command.as_str(), plain.as_slice()) {
            ("echo", _) => self.environment.print(&plain.join(" ")),
            ("sleep", [seconds, ..]) => self.environment.print(&format!("(waits {seconds} s)")),
            ("set", [name, value @ ..]) => self.set(name, &value.join(" ")),
            ("clear", [name]) => self.settings.clear(name),
            ("inc", [name, by @ ..]) => self.increase(name, by.first().copied()),
            ("isset", arguments) => {
                return CommandFlow::Result(arguments.iter().any(|value| !value.is_empty()));
            }
            ("iseq", [one, other]) => return CommandFlow::Result(one == other),
            ("goto", [label]) => return goto(label, script),
            ("exit", code) => return exit(code.first().copied()),
            ("chain" | "imgexec", _) => return self.chain(&plain, script),
            ("imgfetch" | "module" | "initrd" | "kernel" | "imgselect", _) => {
                return self.image(command, &plain, script);
            }
            ("imgargs", [name, words @ ..]) => return self.arguments(name, words),
            ("boot", named) => return self.boot(named.first().copied()),
            ("imgfree", names) => self.free(names),
            ("sanboot", _) if self.environment.has_system() => {
                return CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(IpxeExit::Disk));
            }
            ("reboot", _) => {
                return CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(IpxeExit::Restart));
            }
            ("poweroff" | "shell" | "prompt", _) => {
                return CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(IpxeExit::Halt));
            }
            ("dhcp" | "ifconf" | "ifopen" | "ifstat" | "imgstat" | "route" | "config", _) => {}
            _ => return CommandFlow::Result(false),
        }
        CommandFlow::Result(true)
    }

    fn set(&mut self, name: &str, value: &str) {
        let name = name.split(':').next().unwrap_or(name);
        match value {
            "" => self.settings.clear(name),
            value => self.settings.set(name, IpxeSetting::Text(value.into())),
        }
    }

    fn increase(&mut self, name: &str, by: Option<&str>) {
        let by = by.and_then(|by| by.parse().ok()).unwrap_or(1);
        let sum = self.settings.number(name).saturating_add(by);
        self.settings.set(name, IpxeSetting::Text(sum.to_string()));
    }

    /// `chain`: fetches and starts. With `--replace` the calling script does not continue.
    fn chain(&mut self, arguments: &[&str], script: &IpxeScript<'_>) -> CommandFlow {
        let Some(options) = FetchOptions::read(arguments) else {
            return CommandFlow::Result(false);
        };
        let url = join(script.url, options.url);
        if self.is_retry_loop(&url) {
            return CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(IpxeExit::Waiting));
        }
        let Some(mut image) = self.get(&url, options.name) else {
            return CommandFlow::Result(false);
        };
        image.arguments = options.arguments;
        match self.start(&image) {
            ScriptEnd::LeaveIpxe(left) => CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(left)),
            end if options.replaces => {
                CommandFlow::ScriptEnd(ScriptEnd::Exited(end == ScriptEnd::Done))
            }
            end => CommandFlow::Result(end == ScriptEnd::Done),
        }
    }

    /// `kernel`, `initrd` and similar: fetches and keeps the image.
    fn image(&mut self, command: &str, arguments: &[&str], script: &IpxeScript<'_>) -> CommandFlow {
        let Some(options) = FetchOptions::read(arguments) else {
            return CommandFlow::Result(false);
        };
        let selects = matches!(command, "kernel" | "imgselect");
        if selects && self.images.select(options.url) {
            return CommandFlow::Result(true);
        }
        let url = join(script.url, options.url);
        let Some(mut image) = self.get(&url, options.name) else {
            return CommandFlow::Result(false);
        };
        image.arguments = options.arguments;
        let name = image.name.clone();
        self.images.add(image);
        CommandFlow::Result(!selects || self.images.select(&name))
    }

    fn arguments(&mut self, name: &str, words: &[&str]) -> CommandFlow {
        let Some(image) = self.images.find(name) else {
            return CommandFlow::Result(false);
        };
        image.arguments = words.iter().map(ToString::to_string).collect();
        CommandFlow::Result(true)
    }

    fn boot(&mut self, named: Option<&str>) -> CommandFlow {
        if named.is_some_and(|name| !self.images.select(name)) {
            return CommandFlow::Result(false);
        }
        let Some(image) = self.images.chosen().cloned() else {
            return CommandFlow::Result(false);
        };
        match self.start(&image) {
            ScriptEnd::LeaveIpxe(left) => CommandFlow::ScriptEnd(ScriptEnd::LeaveIpxe(left)),
            end => CommandFlow::Result(end == ScriptEnd::Done),
        }
    }

    fn free(&mut self, names: &[&str]) {
        match names {
            [] => self.images.free_all(),
            names => names.iter().for_each(|name| self.images.free(name)),
        }
    }

    fn get(&mut self, url: &str, name: Option<&str>) -> Option<IpxeImage> {
        let bytes = self.environment.fetch(url)?;
        *self.fetched.entry(url.into()).or_default() += 1;
        let path = split(url).1.split('?').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        Some(IpxeImage {
            name: name.unwrap_or(last).into(),
            url: url.into(),
            arguments: Vec::new(),
            bytes,
        })
    }

    fn is_retry_loop(&self, url: &str) -> bool {
        self.fetched
            .get(url)
            .is_some_and(|times| *times >= MAX_FETCHES_OF_ONE_URL)
    }
}

impl ScriptEnd {
    /// The result for the script's caller.
    fn stopped(self) -> ScriptEnd {
        match self {
            ScriptEnd::Exited(true) => ScriptEnd::Done,
            ScriptEnd::Exited(false) | ScriptEnd::Goto(_) => ScriptEnd::Failed,
            end => end,
        }
    }
}

fn goto(label: &str, script: &IpxeScript<'_>) -> CommandFlow {
    let position = script
        .lines
        .iter()
        .position(|line| line.strip_prefix(':').map(str::trim) == Some(label));
    match position {
        Some(line) => CommandFlow::ScriptEnd(ScriptEnd::Goto(line)),
        None => CommandFlow::Result(false),
    }
}

fn exit(code: Option<&str>) -> CommandFlow {
    CommandFlow::ScriptEnd(ScriptEnd::Exited(code.is_none_or(|code| code == "0")))
}

/// The options and arguments of a command that fetches.
struct FetchOptions<'a> {
    url: &'a str,
    name: Option<&'a str>,
    replaces: bool,
    arguments: Vec<String>,
}

impl<'a> FetchOptions<'a> {
    fn read(arguments: &[&'a str]) -> Option<FetchOptions<'a>> {
        let (mut name, mut replaces) = (None, false);
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--name" | "-n" => name = Some(*rest.next()?),
                "--timeout" | "-t" => drop(rest.next()?),
                "--replace" | "-r" => replaces = true,
                option if option.starts_with('-') => {}
                url => {
                    let arguments = rest.map(ToString::to_string).collect();
                    return Some(FetchOptions {
                        url,
                        name,
                        replaces,
                        arguments,
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

    /// Files by URL, and a record of requests and printed lines.
    #[derive(Default)]
    struct FakeEnvironment {
        files: BTreeMap<&'static str, &'static str>,
        has_system: bool,
        record: Vec<String>,
    }

    impl IpxeEnvironment for FakeEnvironment {
        fn fetch(&mut self, url: &str) -> Option<Vec<u8>> {
            self.record.push(url.trim_start_matches("http://s").into());
            self.files.get(url).map(|text| text.as_bytes().to_vec())
        }

        fn print(&mut self, line: &str) {
            self.record.push(format!("> {line}"));
        }

        fn has_system(&self) -> bool {
            self.has_system
        }
    }

    fn run_script(
        script: &'static str,
        others: &[(&'static str, &'static str)],
        has_system: bool,
    ) -> (IpxeExit, Vec<String>) {
        let files = others.iter().copied().chain([("http://s/a", script)]);
        let mut fake = FakeEnvironment {
            files: files.collect(),
            has_system,
            record: Vec::new(),
        };
        let mut settings = IpxeSettings::default();
        settings.set("platform", IpxeSetting::Text("efi".into()));
        let left = run("http://s/a", settings, &mut fake);
        (left, fake.record.split_off(1))
    }

    fn program(url: &str, arguments: &[&str]) -> IpxeExit {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        IpxeExit::Program {
            url: url.into(),
            arguments,
        }
    }

    #[test]
    fn scripts_end_as_in_ipxe() {
        let exit = |success| IpxeExit::Exit { success };
        for (script, left, record) in [
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
            ("#!ipxe\n:loop\ngoto loop\n", IpxeExit::Waiting, vec![]),
            (
                "#!ipxe\nsanboot --drive 0x80 ||\necho none\nexit\n",
                exit(true),
                vec!["> none"],
            ),
        ] {
            let expected: Vec<String> = record.into_iter().map(String::from).collect();
            assert_eq!(run_script(script, &[], false), (left, expected), "{script}");
        }
        assert_eq!(
            run_script("#!ipxe\nsanboot --drive 0x80\n", &[], true).0,
            IpxeExit::Disk
        );
    }

    #[test]
    fn a_kernel_is_started_with_its_arguments() {
        let files = [
            ("http://s/k/linux", "kernel"),
            ("http://s/k/initrd", "initrd"),
        ];
        let script = "#!ipxe\nimgfree\nkernel k/linux initrd=i url=http://s/x a=${platform} --- || goto no\ninitrd --name i k/initrd || goto no\nboot || goto no\n:no\nexit 1\n";
        let (left, record) = run_script(script, &files, false);
        assert_eq!(
            left,
            program(
                "http://s/k/linux",
                &["initrd=i", "url=http://s/x", "a=efi", "---"]
            )
        );
        assert_eq!(record, ["/k/linux", "/k/initrd"]);
        let (left, record) = run_script(
            "#!ipxe\nkernel gone || goto no\n:no\nimgargs gone a || echo none\nboot || exit 1\n",
            &[],
            false,
        );
        assert_eq!(
            (left, record),
            (
                IpxeExit::Exit { success: false },
                vec!["/gone".into(), "> none".into()]
            )
        );
    }

    #[test]
    fn a_chained_script_returns_unless_it_replaces() {
        let other = |text| [("http://s/b", text)];
        let exit = |success| IpxeExit::Exit { success };
        for (script, text, left, record) in [
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
            let expected: Vec<String> = record.into_iter().map(String::from).collect();
            assert_eq!(
                run_script(script, &other(text), false),
                (left, expected),
                "{script}"
            );
        }
    }

    #[test]
    fn a_retry_loop_is_detected() {
        let waits = [(
            "http://s/b",
            "#!ipxe\n:rest\nsleep 30\nchain --replace http://s/b ||\ngoto rest\n",
        )];
        let (left, record) = run_script("#!ipxe\nchain b\n", &waits, false);
        assert_eq!(left, IpxeExit::Waiting);
        assert_eq!(
            record.iter().filter(|line| *line == "/b").count(),
            MAX_FETCHES_OF_ONE_URL
        );
    }
}
