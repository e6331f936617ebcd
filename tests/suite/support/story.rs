//! Stories of machines, replayed line by line.
//!
//! A line has a step, and its result after `=>`. Lines that begin with `|` are the output of the step before them.
//! [`replay`] executes all steps and compares the whole result with the story. MAC addresses are `c1`, `c2`, …;
//! attempts are `#1`, `#2`, … in the order in which they were opened.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;

use super::story_seals::{StorySeals, authority};
use bootwright::{
    api::{Command, MarkedState, NodeCommand},
    control::{
        Callback, CheckedIn, Decision, DeclaredState, Download, HookCall, NetworkBoot, Preparation,
        Report, Reported, Sender, SenderLink, ServerState, Snapshot, TaskTraits, TokenKey,
        Transaction, UrlToken,
    },
    journal::{
        AttemptId, JournalLine, JournalState, LogLevel, MachineId, ParsedLine, SiteEvent, describe,
    },
    matcher,
    model::{AgentAction, Mac, MonotonicTime, Now, Platform, StageName, TimeSpan, Timestamp},
    serve,
    site::{self, LoadCache, Severity, SiteFiles},
};

/// Revisions of a site by name; a story begins with the first one.
pub(crate) type Sites<'a> = &'a [(&'a str, &'a str)];

/// Replays a story, and compares it with the actual results.
pub(crate) fn replay(sites: Sites<'_>, story: &str) {
    let story: Vec<&str> = story.lines().map(str::trim).collect();
    let expected: Vec<&str> = story.into_iter().filter(|line| !line.is_empty()).collect();
    let mut lab = Lab::new(sites);
    let mut actual = Vec::new();
    for line in expected.iter().filter(|line| !line.starts_with('|')) {
        let step = line.split(" => ").next().expect("a split has a first part");
        let (outcome, shown) = lab.step(step);
        actual.push(match outcome.as_str() {
            "" => step.to_owned(),
            outcome => format!("{step} => {outcome}"),
        });
        actual.extend(shown.into_iter().map(|line| format!("| {line}")));
    }
    assert!(
        expected == actual,
        "the results differ:\n{}\n",
        compared(&expected, &actual)
    );
}

/// Formats the actual results, with the expected ones where they differ.
fn compared(expected: &[&str], actual: &[String]) -> String {
    let mut text = String::new();
    for (at, line) in actual.iter().enumerate() {
        text += &format!("{line}\n");
        if let Some(other) = expected.get(at).filter(|expected| *expected != line) {
            text += &format!("    EXPECTED: {other}\n");
        }
    }
    text
}

/// A server without sockets.
pub(crate) struct Lab {
    sites: BTreeMap<String, Arc<Snapshot>>,
    live: Arc<Snapshot>,
    pub(crate) server: ServerState,
    now: Now,
    pub(super) lines: Vec<JournalLine>,
    /// The attempts in the order in which they were opened.
    attempts: Vec<AttemptId>,
    /// The tokens of machines in the microkernel, in the order in which they were first given one.
    admitted: Vec<UrlToken>,
    boots: u32,
    /// Attempts whose files are being rendered, in the order in which that began.
    pending: Vec<(Preparation, NetworkBoot)>,
    /// How much of each machine's log was shown.
    shown: BTreeMap<String, usize>,
    seed: u64,
    pub(super) seals: StorySeals,
}

const BASE: &str = "http://192.0.2.1";
const KEY: TokenKey = TokenKey([7; 32]);

/// A server of a site with an id, so that it makes seals.
fn new_server(state: JournalState, seed: u64, now: Now) -> ServerState {
    ServerState::new(state, KEY, seed, now).with_seals(authority())
}

fn snapshot(name: &str, toml: &str) -> Snapshot {
    let (config, declared) = toml.split_once("=====").unwrap_or(("", toml));
    let texts = [
        ("bootwright.toml", config),
        ("policies.d/site.toml", declared),
    ];
    let files = SiteFiles {
        content: texts
            .map(|(path, text)| (path.into(), text.as_bytes().into()))
            .into(),
        ..SiteFiles::default()
    };
    let (site, mut found) = site::load(&files, &mut LoadCache::default());
    let (rules, mistakes) = matcher::compile(&site);
    found.extend(mistakes);
    found.retain(|diagnostic| diagnostic.severity == Severity::Error);
    assert!(found.is_empty(), "{name}: {found:#?}");
    let traits = |installs, finishes| TaskTraits {
        installs,
        finishes,
        by_mboot: false,
    };
    let tasks = [
        ("esxi", traits(true, true)),
        ("debian", traits(true, true)),
        ("no-report", traits(true, false)),
        ("local", traits(false, false)),
    ];
    Snapshot {
        site,
        rules,
        tasks: tasks
            .map(|(name, traits)| (name.parse().unwrap(), traits))
            .into(),
        ..Snapshot::default()
    }
}

fn mac_of(text: &str) -> Mac {
    let number = text.strip_prefix('c').and_then(|n| n.parse().ok());
    let number = number.unwrap_or_else(|| panic!("`{text}` is not a NIC"));
    Mac([0x52, 0x54, 0, 0, 0, number])
}

fn report<'a>(arguments: impl Iterator<Item = &'a str>) -> Report {
    let mut report = Report {
        platform: Some(Platform::Efi),
        ..Report::default()
    };
    for word in arguments {
        match word.split_once('=') {
            None if word == "routed" => {}
            None => report.macs.push(mac_of(word)),
            Some(("mac", text)) => report.macs.push(text.parse().unwrap()),
            Some(("serial", text)) => report.serial = Some(text.replace('_', " ")),
            Some(("uuid", text)) => report.uuid = Some(text.into()),
            Some(("asset", text)) => report.asset = Some(text.into()),
            Some(("maker", text)) => report.manufacturer = Some(text.into()),
            Some(_) => {}
        }
    }
    report
}

/// `from=c2`: the request comes from this NIC, and is refused unless it is one of the machine's. `claim=c2`: the same, and it is
/// only logged. `routed`: it comes from behind a router.
fn sender(rest: &str) -> Sender {
    let ip = "198.51.100.2".parse().unwrap();
    let compared = |link, strict| Sender::Compared { ip, link, strict };
    let local = |text: &str| SenderLink::Local {
        macs: [mac_of(text)].into_iter().collect(),
        others: 0,
    };
    let mut words = rest.split(' ');
    let sender = words.find_map(|word| match word.split_once('=') {
        Some(("from", nic)) => Some(compared(local(nic), true)),
        Some(("claim", nic)) => Some(compared(local(nic), false)),
        None if word == "routed" => Some(compared(SenderLink::Routed, false)),
        _ => None,
    });
    sender.unwrap_or_default()
}

fn hook_call_text(call: &HookCall) -> String {
    let input: Value = serde_json::from_str(&call.text).unwrap();
    let keys = ["broker", "event", "node", "settings"];
    let values = keys.map(|key| format!("{key} {}", input[key]));
    format!("{} reads {}", call.run.join(" "), values.join(", "))
}

fn span(text: &str) -> Duration {
    text.parse::<TimeSpan>().unwrap().0
}

type Outcome = (String, Vec<String>);

impl Lab {
    pub(crate) fn new(sites: Sites<'_>) -> Self {
        let all: BTreeMap<String, Arc<Snapshot>> = sites
            .iter()
            .map(|(name, toml)| ((*name).to_owned(), Arc::new(snapshot(name, toml))))
            .collect();
        let now = Now {
            wall: Timestamp(1_795_348_800_000),
            mono: MonotonicTime(1_000_000_000),
        };
        let mut lab = Lab {
            live: all[sites[0].0].clone(),
            sites: all,
            server: new_server(JournalState::default(), 1, now),
            now,
            lines: Vec::new(),
            attempts: Vec::new(),
            admitted: Vec::new(),
            pending: Vec::new(),
            boots: 0,
            shown: BTreeMap::new(),
            seed: 1,
            seals: StorySeals::default(),
        };
        lab.transaction(|transaction| transaction.on_reload(None));
        lab
    }

    pub(crate) fn transaction<T>(&mut self, act: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let mut transaction = Transaction::new(&self.live, &mut self.server, self.now);
        let outcome = act(&mut transaction);
        self.lines.extend(transaction.end().lines);
        outcome
    }

    /// The MACs of a machine as `nodes NAME` lists them.
    pub(crate) fn macs(&mut self, name: &str) -> Vec<String> {
        let status = self.transaction(|transaction| {
            let (id, node) = transaction.find(name).unwrap();
            transaction.status(id, node.as_ref())
        });
        status.mac.iter().map(ToString::to_string).collect()
    }

    /// The token for check-ins that the microkernel with this number got, counted from 1.
    pub(crate) fn admitted_token(&self, number: usize) -> UrlToken {
        self.admitted[number - 1]
    }

    /// The journal so far, line by line.
    pub(crate) fn written(&self) -> Vec<String> {
        self.lines.iter().map(JournalLine::text).collect()
    }

    fn without_result(&mut self, act: impl FnOnce(&mut Transaction<'_>)) -> String {
        self.transaction(act);
        String::new()
    }

    /// Executes one step; returns its result and its output.
    pub(crate) fn step(&mut self, step: &str) -> Outcome {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let mut arguments = rest.split(' ');
        let first = arguments.next().unwrap_or("");
        let mut shown = Vec::new();
        let outcome = match verb {
            "boot" => self.boot(rest),
            "rendered" => self.rendered(),
            "serve" => self
                .serve(first, arguments.next().unwrap())
                .err()
                .unwrap_or_default(),
            "read" => self.read(first, arguments.next().unwrap()),
            "break" => self.break_off(first, arguments.next().unwrap()),
            "callback" | "log" | "fact" if first.starts_with('#') => self.call(verb, rest),
            "wait" => self.wait(span(first)),
            "clock" => self.jump(first),
            "restart" => self.restart(),
            "edit" => self.edit(first),
            "lost" => self.lose_state(),
            "copy" | "rollback" | "suspect" | "leave" | "ask" => self.seal_step(verb, rest),
            "declare" => format!(
                "{} marked",
                self.transaction(|transaction| transaction.declare_state(match first {
                    "new" => DeclaredState::New,
                    "installed" => DeclaredState::Installed,
                    "from-machines" => DeclaredState::FromMachines,
                    other => panic!("`{other}` is no declaration"),
                }))
            ),
            "links" => {
                let nets = rest.split(' ').filter(|word| !word.is_empty());
                let nets = nets.map(|net| net.parse().unwrap()).collect();
                self.without_result(|transaction| transaction.on_links(nets))
            }
            "unverified" => {
                let why = rest.strip_prefix(first).unwrap_or_default().trim();
                let image = |name: &str| (name.parse().unwrap(), why.to_owned());
                let unverified = (!why.is_empty()).then(|| image(first));
                self.without_result(|transaction| {
                    transaction.on_unverified_images(unverified.into_iter().collect())
                })
            }
            "arp" => {
                let macs = arguments.map(mac_of).collect();
                self.without_result(|transaction| {
                    transaction.on_arp_reply(first.parse().unwrap(), macs)
                })
            }
            "report" | "poll" => {
                let facts = rest.find('{').map_or("{}", |at| &rest[at..]);
                let sender = sender(rest.split('{').next().unwrap_or_default().trim_end());
                self.check_in(first, (verb == "report").then_some(facts), &sender)
            }
            "pause" => self.without_result(|transaction| transaction.pause()),
            "resume" => self.without_result(|transaction| transaction.resume()),
            "log" => {
                shown = self.log(first);
                String::new()
            }
            "due" => {
                let due = self
                    .transaction(|transaction| transaction.due().clone())
                    .into_iter();
                shown = due
                    .map(|(number, due)| format!("{number} {}: {} {}", due.to, due.node, due.on))
                    .collect();
                String::new()
            }
            "hook" => self
                .transaction(|transaction| transaction.hook_call(first.parse().unwrap(), None))
                .map_or_else(|| "none".into(), |call| hook_call_text(&call)),
            "delivered" => {
                self.without_result(|transaction| transaction.delivered(first.parse().unwrap()))
            }
            "undelivered" => {
                let why = arguments.next().unwrap().replace('_', " ");
                self.without_result(|transaction| {
                    transaction.undelivered(first.parse().unwrap(), 1, &why)
                })
            }
            "status" => self.status(first),
            "explain" => self.transaction(|transaction| {
                let explanation = serve::explain(transaction, first);
                explanation.map_or("unknown".into(), |explanation| explanation.next)
            }),
            "last" => self.transaction(|transaction| {
                let (id, node) = transaction.find(first).unwrap();
                transaction.status(id, node.as_ref()).last
            }),
            "nodes" => self.nodes(),
            "release" if first == "--all" => {
                format!(
                    "{} released",
                    self.transaction(|transaction| transaction.release_all())
                )
            }
            _ => self.operate(verb, first, rest),
        };
        (outcome, shown)
    }

    fn boot(&mut self, rest: &str) -> String {
        self.boots += 1;
        let arguments = rest.split(' ').filter(|word| !word.is_empty());
        let of = |key: &str| {
            let mut arguments = rest.split(' ');
            arguments
                .find_map(|word| word.strip_prefix(key))
                .map(str::to_owned)
        };
        let boot = match of("as=").as_deref() {
            Some("-") => None,
            Some(name) => Some(name.to_owned()),
            None => Some(format!("boot {}", self.boots)),
        };
        let ask = NetworkBoot {
            report: report(arguments),
            boot,
            network: of("on=").map(|name| name.parse().unwrap()),
            sender: sender(rest),
            ..NetworkBoot::default()
        };
        let (decision, pending) = self.transaction(|transaction| {
            let decision = transaction.boot(&ask);
            let Decision::Open(opening) = &decision else {
                return (decision, None);
            };
            let preparation = Preparation::New(opening.clone());
            let job = transaction.reserve(&preparation, &ask, BASE);
            assert!(job.is_some(), "a machine is prepared once at a time");
            match of("render=").as_deref() {
                Some("broken") => {
                    let reason = "the template is broken".into();
                    let disk = transaction.fail(&preparation, reason).expect("it is new");
                    (Decision::Disk(disk), None)
                }
                Some("slow") => (Decision::Preparing, Some((preparation, ask.clone()))),
                Some(other) => panic!("render={other}"),
                None => {
                    let is_open = transaction.complete(&preparation, &ask);
                    assert!(is_open, "nothing has changed");
                    (decision, None)
                }
            }
        });
        self.pending.extend(pending);
        self.answer(decision)
    }

    /// The files that were rendered slowly are stored: their attempt is opened, unless something has changed.
    fn rendered(&mut self) -> String {
        let (preparation, ask) = self.pending.remove(0);
        let is_open = self.transaction(|transaction| {
            let is_open = transaction.complete(&preparation, &ask);
            transaction.cancel(&preparation);
            is_open
        });
        match preparation {
            Preparation::New(opening) if is_open => self.answer(Decision::Open(opening)),
            _ => "decided again".into(),
        }
    }

    fn answer(&mut self, decision: Decision) -> String {
        match decision {
            Decision::Disk(disk) => {
                let report = disk
                    .report_to
                    .map(|of| format!(", reports to {}", self.name_of(of)));
                let reason = disk.reason.map(|reason| format!(": {reason}"));
                format!(
                    "disk{}{}",
                    reason.unwrap_or_default(),
                    report.unwrap_or_default()
                )
            }
            Decision::Wait(reason) => format!("wait: {reason}"),
            Decision::Microkernel(machine) => {
                let token = self.transaction(|transaction| transaction.check_in_token(machine));
                if !self.admitted.contains(&token) {
                    self.admitted.push(token);
                }
                let at = self.admitted.iter().position(|known| *known == token);
                format!("microkernel %{}", at.unwrap_or_default() + 1)
            }
            Decision::ProbeAddresses(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("probe {}", addresses.join(", "))
            }
            Decision::Script(_, task) => format!("script of {task}"),
            Decision::Preparing => "its files are being rendered".into(),
            Decision::Repeat {
                attempt, is_stale, ..
            } => {
                let stale = if is_stale { ", rendered again" } else { "" };
                format!("{} again{stale}", self.name_of(attempt))
            }
            Decision::Open(opening) => {
                self.attempts.push(opening.attempt);
                let policy = opening.policy.map(|name| format!(" by policy {name}"));
                let address = opening.address.map(|ip| format!(" at {ip}"));
                format!(
                    "{}: {}{}{}",
                    self.name_of(opening.attempt),
                    opening.task,
                    policy.unwrap_or_default(),
                    address.unwrap_or_default()
                )
            }
        }
    }

    /// `report %1 FACTS`: the machine with the first token reports these facts; `poll %1`: it only polls.
    fn check_in(&mut self, name: &str, facts: Option<&str>, sender: &Sender) -> String {
        let at: usize = name.strip_prefix('%').unwrap().parse().unwrap();
        let token = self.admitted[at - 1];
        let reported = facts.map(|facts| {
            let facts = self.seals.put_into(facts);
            let report = format!(r#"{{"version":1,"facts":{facts}}}"#);
            Reported::read(report.as_bytes()).unwrap()
        });
        match self.transaction(|transaction| transaction.check_in(token, reported.as_ref(), sender))
        {
            CheckedIn::Instruction(instruction) => match instruction.action {
                AgentAction::Wait { seconds } => {
                    format!(
                        "{} waits {seconds} s: {}",
                        instruction.node, instruction.reason
                    )
                }
                AgentAction::Reboot => {
                    format!("{} reboots: {}", instruction.node, instruction.reason)
                }
                AgentAction::PowerOff => {
                    format!("{} powers off: {}", instruction.node, instruction.reason)
                }
            },
            CheckedIn::TooOften => "too often".into(),
            CheckedIn::Unknown => "404".into(),
        }
    }

    fn name_of(&self, attempt: AttemptId) -> String {
        let at = self.attempts.iter().position(|known| *known == attempt);
        format!(
            "#{}",
            at.expect("every attempt was opened in the story") + 1
        )
    }

    pub(crate) fn attempt(&self, name: &str) -> AttemptId {
        let number: usize = name.strip_prefix('#').unwrap().parse().unwrap();
        self.attempts[number - 1]
    }

    pub(super) fn token(&self, name: &str) -> UrlToken {
        self.server.token(self.attempt(name))
    }

    fn serve(&mut self, attempt: &str, name: &str) -> Result<Download, String> {
        let token = self.token(attempt);
        self.transaction(|transaction| {
            match transaction.authorize_download(token, name, &Sender::Trusted) {
                Ok(handed) => {
                    transaction.on_serving(handed, name);
                    Ok(handed)
                }
                Err(_) => Err("404".into()),
            }
        })
    }

    fn read(&mut self, attempt: &str, name: &str) -> String {
        match self.serve(attempt, name) {
            Ok(handed) => {
                self.transaction(|transaction| transaction.on_read(handed.attempt, name, 1_024));
                String::new()
            }
            Err(answer) => answer,
        }
    }

    fn break_off(&mut self, attempt: &str, name: &str) -> String {
        let attempt = self.attempt(attempt);
        self.transaction(|transaction| transaction.on_aborted(attempt, name));
        String::new()
    }

    fn call(&mut self, verb: &str, rest: &str) -> String {
        let mut arguments = rest.splitn(3, ' ');
        let token = self.token(arguments.next().unwrap());
        let name = arguments.next().unwrap();
        let text = arguments.next().map(str::to_owned);
        let callback = match verb {
            "callback" => Callback::Stage {
                stage: name.parse::<StageName>().unwrap().into(),
                reason: text,
            },
            "log" => Callback::Log {
                level: if name == "error" {
                    LogLevel::Error
                } else {
                    LogLevel::Info
                },
                text: text.unwrap_or_default(),
            },
            _ => Callback::Fact {
                name: name.into(),
                value: text.unwrap_or_default(),
            },
        };
        match self.transaction(|transaction| transaction.callback(token, &callback)) {
            bootwright::control::CallbackOutcome::Accepted => String::new(),
            bootwright::control::CallbackOutcome::UnknownToken => "404".into(),
        }
    }

    fn wait(&mut self, span: Duration) -> String {
        let milliseconds = i64::try_from(span.as_millis()).unwrap();
        self.now.wall.0 += milliseconds;
        self.now.mono.0 += milliseconds;
        self.transaction(|transaction| transaction.tick());
        String::new()
    }

    /// Changes the wall clock, but not the monotonic one.
    fn jump(&mut self, by: &str) -> String {
        let milliseconds = i64::try_from(span(&by[1..]).as_millis()).unwrap();
        self.now.wall.0 += if by.starts_with('-') {
            -milliseconds
        } else {
            milliseconds
        };
        self.transaction(|transaction| transaction.tick());
        String::new()
    }

    /// Restarts the server with the state of its journal; a checkpoint must have the same state.
    pub(super) fn restart(&mut self) -> String {
        let mut state = JournalState::default();
        for line in &self.lines {
            let parsed = JournalLine::parse(&line.text()).unwrap();
            assert_eq!(parsed, ParsedLine::Known(Box::new(line.clone())));
            state.take(&parsed);
        }
        assert_eq!(state, self.server.state, "the journal has another state");
        let checkpoint = serde_json::to_vec(&state).unwrap();
        assert_eq!(
            serde_json::from_slice::<JournalState>(&checkpoint).unwrap(),
            state
        );
        self.seed += 1_000;
        self.now.mono = MonotonicTime(5_000);
        self.server = new_server(state, self.seed, self.now);
        self.transaction(|transaction| {
            transaction.on_reload(None);
            transaction.start_deadlines();
        });
        String::new()
    }

    fn edit(&mut self, name: &str) -> String {
        let before = std::mem::replace(&mut self.live, self.sites[name].clone());
        self.transaction(|transaction| transaction.on_reload(Some(&before)));
        String::new()
    }

    fn lose_state(&mut self) -> String {
        self.seed += 1_000;
        self.lines.clear();
        self.shown.clear();
        self.server = new_server(JournalState::default(), self.seed, self.now);
        self.transaction(|transaction| {
            transaction.record_site(SiteEvent::StateLost {
                reason: "the state directory does not know this site".into(),
            });
            transaction.on_reload(None);
        });
        String::new()
    }

    fn operate(&mut self, verb: &str, name: &str, rest: &str) -> String {
        let command = match verb {
            "reinstall" => NodeCommand::Reinstall {},
            "hold" => NodeCommand::Hold {
                reason: Some("being repaired".into()),
            },
            "release" => NodeCommand::Release {},
            "mark" => NodeCommand::Mark {
                state: MarkedState::Installed,
            },
            "power-off" => NodeCommand::PowerOff {},
            "simulate" => NodeCommand::Simulate {
                macs: vec![mac_of(rest.split(' ').next_back().unwrap())],
            },
            "forget" => NodeCommand::Forget {
                wipe_allowed: rest.ends_with("--wipe-allowed"),
            },
            other => panic!("`{other}` is not a step"),
        };
        match self.transaction(|transaction| transaction.operate(&Command::node(name, command))) {
            Ok(done) => done,
            Err(error) => format!("refused: {error}"),
        }
    }

    /// The lines of a machine's log since they were last shown.
    fn log(&mut self, name: &str) -> Vec<String> {
        let id = self.machine(name);
        let from = self
            .shown
            .insert(name.into(), self.lines.len())
            .unwrap_or(0);
        let state = &self.server.state;
        let own = |line: &&JournalLine| line.machine.map(|of| state.resolve(of)) == id;
        let lines = self.lines[from..].iter().filter(own).map(describe);
        lines
            .map(|line| format!("{} {}", line.kind, line.detail))
            .collect()
    }

    pub(crate) fn machine(&mut self, name: &str) -> Option<MachineId> {
        self.transaction(|transaction| transaction.find(name).and_then(|(id, _)| id))
    }

    fn status(&mut self, name: &str) -> String {
        self.transaction(|transaction| {
            let Some((id, node)) = transaction.find(name) else {
                return "unknown".into();
            };
            let status = transaction.status(id, node.as_ref());
            let reason = status.reason.map(|reason| format!(": {reason}"));
            let installs = status.installs;
            format!(
                "{}{}; {} of {}",
                status.state,
                reason.unwrap_or_default(),
                installs.done,
                installs.wanted
            )
        })
    }

    fn nodes(&mut self) -> String {
        self.transaction(|transaction| {
            let all = transaction.statuses().into_iter();
            let all: Vec<_> = all
                .map(|one| format!("{} {}", one.name, one.state))
                .collect();
            all.join(", ")
        })
    }
}
