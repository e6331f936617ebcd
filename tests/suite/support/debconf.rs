//! A frontend of debconf that shows nothing and records each question that it would have shown.
//!
//! It has the protocol of debconf-devel(7), as a script of Debian's installer uses it: values, flags, priorities and
//! substitutions. A question is asked if its priority is at least [`THRESHOLD`] and it has not been seen; a
//! preseed file marks what it sets as seen. The installer waits there for somebody who answers. Here the script ends.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, ExitStatus, Stdio},
};

/// The priorities, the lowest first.
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// The lowest priority that is asked.
const THRESHOLD: &str = "high";

/// What a `templates` file says of one question, in its first language.
type Template = BTreeMap<String, String>;

#[derive(Debug, Default, Clone)]
struct Question {
    template: String,
    value: Option<String>,
    is_seen: bool,
    flags: BTreeMap<String, String>,
    substitutions: BTreeMap<String, String>,
}

/// A question that an installer would have waited at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) priority: &'static str,
    pub(crate) name: String,
}

/// The database and the questions asked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Debconf {
    templates: BTreeMap<String, Template>,
    questions: BTreeMap<String, Question>,
    pub(crate) asked: Vec<Asked>,
    /// Questions of the current screen.
    pending: Vec<Asked>,
    /// Every command with its reply, for a test that fails.
    pub(crate) log: Vec<String>,
}

impl Debconf {
    /// Adds the questions of a `templates` file.
    pub(crate) fn load_templates(&mut self, text: &str) {
        for template in templates(text) {
            let name = template["template"].clone();
            let question = self.questions.entry(name.clone()).or_default();
            question.template.clone_from(&name);
            self.templates.insert(name, template);
        }
    }

    /// The value of a question, or its default.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let question = self.questions.get(name)?;
        let default = || self.templates.get(&question.template)?.get("default");
        let value = question.value.as_ref().or_else(default);
        Some(value.cloned().unwrap_or_default())
    }

    pub(crate) fn has_template(&self, name: &str) -> bool {
        self.templates.contains_key(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let question = self.questions.entry(name.into()).or_default();
        question.value = Some(value.into());
    }

    /// Answers questions as `debconf-set-selections` of the installer does.
    pub(crate) fn preseed(&mut self, text: &str) {
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut rest = line;
            let mut word = || {
                let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                rest = after.trim_start();
                word
            };
            let (_, name, _) = (word(), word(), word());
            self.set(name, rest);
            self.questions.get_mut(name).expect("it is set").is_seen = true;
        }
    }

    /// The answers: each question that has been seen, with its value.
    pub(crate) fn answers(&self) -> BTreeMap<&str, Option<&str>> {
        let seen = self
            .questions
            .iter()
            .filter(|(_, question)| question.is_seen);
        seen.map(|(name, question)| (name.as_str(), question.value.as_deref()))
            .collect()
    }

    /// Runs a script as the program that uses this frontend.
    pub(crate) fn run(&mut self, program: &mut Command) -> ExitStatus {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script starts");
        self.serve(&mut child);
        child.wait().expect("the script ends")
    }

    /// Answers a script until it ends.
    fn serve(&mut self, child: &mut Child) {
        let mut replies = child.stdin.take().expect("a pipe");
        let commands = BufReader::new(child.stdout.take().expect("a pipe"));
        for line in commands.lines() {
            let line = line.expect("text");
            if line.trim() == "STOP" {
                continue;
            }
            let reply = self.reply(&line);
            self.log.push(format!("{line} -> {reply}"));
            // A script that has ended reads nothing.
            if writeln!(replies, "{reply}").is_err() {
                break;
            }
            if line.starts_with("GO") && !self.asked.is_empty() {
                child.kill().expect("the script is killed");
                break;
            }
        }
    }

    /// The reply to one command: a code and a text.
    fn reply(&mut self, line: &str) -> String {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let known = self.questions.contains_key(name);
        let missing = format!("10 {name} doesn't exist");
        match command.to_uppercase().as_str() {
            "VERSION" => "0 2.1".into(),
            "CAPB" => "0 multiselect backup progresscancel".into(),
            "GO" => {
                self.asked.append(&mut self.pending);
                "0 ok".into()
            }
            "EXIST" => format!("0 {known}"),
            "INPUT" => self.input(name, words.next().unwrap_or_default()),
            "GET" if known => format!("0 {}", self.value(name).unwrap_or_default()),
            "SET" if known => {
                let value = rest.trim_start()[name.len()..].trim_start();
                self.set(name, value);
                "0 value set".into()
            }
            "RESET" if known => {
                let question = self.questions.get_mut(name).expect("it exists");
                (question.value, question.is_seen) = (None, false);
                "0".into()
            }
            "FGET" if known => {
                let flag = words.next().unwrap_or_default();
                let question = &self.questions[name];
                match flag {
                    "seen" => format!("0 {}", question.is_seen),
                    _ => format!("0 {}", question.flags.get(flag).map_or("false", |set| set)),
                }
            }
            "FSET" if known => {
                let flag = words.next().unwrap_or_default().to_owned();
                let value = words.next().unwrap_or_default().to_owned();
                let question = self.questions.get_mut(name).expect("it exists");
                match flag.as_str() {
                    "seen" => question.is_seen = value == "true",
                    _ => drop(question.flags.insert(flag, value.clone())),
                }
                format!("0 {value}")
            }
            "SUBST" if known => {
                let key = words.next().unwrap_or_default().to_owned();
                let value = words.collect::<Vec<_>>().join(" ");
                let question = self.questions.get_mut(name).expect("it exists");
                question.substitutions.insert(key, value);
                "0".into()
            }
            "METAGET" if known => self.field(name, words.next().unwrap_or_default()),
            "REGISTER" => {
                let question = Question {
                    template: name.to_owned(),
                    ..Question::default()
                };
                let own = words.next().unwrap_or_default().to_owned();
                self.questions.entry(own).or_insert(question);
                "0".into()
            }
            "UNREGISTER" => {
                self.questions.remove(name);
                "0".into()
            }
            "BEGINBLOCK" | "PROGRESS" | "TITLE" | "SETTITLE" | "INFO" | "ENDBLOCK" | "CLEAR"
            | "PURGE" | "X_SAVE" => "0".into(),
            "GET" | "SET" | "RESET" | "FGET" | "FSET" | "SUBST" | "METAGET" => missing,
            _ => format!("20 unknown command {command}"),
        }
    }

    fn input(&mut self, priority: &str, name: &str) -> String {
        let rank = |of: &str| PRIORITIES.iter().position(|one| *one == of);
        let Some(question) = self.questions.get(name) else {
            return format!("10 {name} doesn't exist");
        };
        let Some(rank_here) = rank(priority) else {
            return format!("20 no priority {priority}");
        };
        if question.is_seen || rank_here < rank(THRESHOLD).expect("a priority") {
            return "30 question skipped".into();
        }
        self.pending.push(Asked {
            priority: PRIORITIES[rank_here],
            name: name.into(),
        });
        "0 question will be asked".into()
    }

    /// A field of a question's template, with substitutions.
    fn field(&self, name: &str, field: &str) -> String {
        let question = &self.questions[name];
        let field = field.to_lowercase();
        if field == "value" {
            return format!("0 {}", self.value(name).unwrap_or_default());
        }
        let template = self.templates.get(&question.template);
        let Some(text) = template.and_then(|template| template.get(&field)) else {
            return format!("10 {name} has no {field}");
        };
        let mut text = text.clone();
        for (key, value) in &question.substitutions {
            text = text.replace(&format!("${{{key}}}"), value);
        }
        format!("0 {text}")
    }
}

/// The paragraphs of a `templates` file, each with its fields in lower case and without translations.
fn templates(text: &str) -> Vec<Template> {
    let mut all = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut template = Template::new();
        for line in paragraph.lines() {
            if let Some((field, value)) = line.split_once(": ")
                && !line.starts_with(' ')
            {
                template.insert(field.trim_start_matches('_').to_lowercase(), value.into());
            }
        }
        if template.contains_key("template") {
            all.push(template);
        }
    }
    all
}
