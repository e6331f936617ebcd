//! The whole server under strace: the events that an answer depends on are written and synced before it is sent.

use std::{collections::BTreeMap, fs, io::Write, net::TcpStream, time::Duration};

use crate::support::{
    client::{Client, events, log, token, until},
    needs::needs,
    server::Process,
    site::{TestSite, boot_path},
};

/// Events that nothing depends on, so they need no sync of their own.
const NON_DURABLE: [&str; 9] = [
    "boot",
    "dead-token",
    "dropped",
    "hand-out",
    "overdue",
    "reloaded",
    "remark",
    "suppressed",
    "unrendered",
];

/// One system call: the numbers of the lines on which it began and ended.
struct Call {
    text: String,
    began: usize,
    ended: usize,
}

impl Call {
    fn is(&self, names: &[&str], file: &str) -> bool {
        let name = self.text.split('(').next().unwrap_or_default();
        names.contains(&name)
            && self.text[name.len()..]
                .split_once('<')
                .is_some_and(|(_, rest)| rest.contains(file))
    }

    /// A write to the journal's segment.
    fn is_line(&self) -> bool {
        self.is(&["write"], "/journal/00000001.jsonl>")
    }

    fn is_sync(&self) -> bool {
        self.is(&["fdatasync"], "/journal/00000001.jsonl>")
    }

    fn is_answer(&self) -> bool {
        self.is(&["write", "writev", "sendto", "sendmsg"], "TCP:[")
            && self.text.contains("HTTP/1.1 ")
    }

    /// The kinds of the events in it.
    fn events(&self) -> impl Iterator<Item = &str> {
        let rest = self.text.split("\\\"event\\\":\\\"").skip(1);
        rest.filter_map(|rest| rest.split('\\').next())
    }
}

/// Parses a trace, and joins the calls that another thread interrupted.
fn calls(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap_or_default();
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (at, text));
        } else if let Some((_, rest)) = text.split_once(" resumed>") {
            let (began, first) = begun.remove(thread).unwrap_or((at, ""));
            let text = format!("{first}{rest}");
            calls.push(Call {
                text,
                began,
                ended: at,
            });
        } else {
            calls.push(Call {
                text: text.into(),
                began: at,
                ended: at,
            });
        }
    }
    calls
}

/// The requests in order: a part of the line that the answer depends on, and a part of the answer.
#[derive(Default)]
struct Asked(Vec<(String, String)>);

impl Asked {
    fn note(&mut self, line: &str, answer: &str) {
        let escaped = |text: &str| text.replace('"', "\\\"");
        self.0.push((escaped(line), escaped(answer)));
    }

    fn order(&mut self, operators: &mut Client, what: &str, json: &str, line: &str) {
        let output = operators
            .post(&format!("/api/v1/nodes/n01/{what}"), json)
            .good();
        self.note(line, output.trim_end());
    }

    fn callback(&mut self, machines: &mut Client, path: &str, line: &str) {
        assert_eq!(machines.get(path).good(), "ok\n");
        self.note(line, "ok\\n");
    }
}

#[test]
fn every_response_is_sent_after_its_journal_line_is_synced() {
    needs!("strace");
    let site = TestSite::new(1);
    let trace = site.beside("trace");
    let syscalls = "trace=write,writev,sendto,sendmsg,fdatasync,fsync,rename,renameat,renameat2";
    let to = trace.to_str().unwrap();
    let wrap = [
        "strace", "-f", "-yy", "-s", "20000", "-e", syscalls, "-o", to,
    ];
    let mut process = Process::under(&wrap, &site);
    let mut asked = Asked::default();
    let (machines, operators) = (&mut process.machines, &mut process.operators);
    asked.order(
        operators,
        "hold",
        r#"{"reason":"look"}"#,
        r#""reason":"look""#,
    );
    asked.order(operators, "release", "{}", r#""event":"released""#);
    let token = token(&machines.boot(1));
    asked.note(
        r#""event":"attempt""#,
        "echo Bootwright: installing n01.lab.example",
    );
    machines.get(&format!("/t/{token}/ks.cfg")).good();
    asked.note(r#""event":"serving""#, "--ip=192.0.2.11");
    for stage in ["installing", "step-1", "installed", "finished"] {
        let line = format!(r#""stage":"{stage}""#);
        asked.callback(machines, &format!("/t/{token}/stage/{stage}"), &line);
    }
    asked.callback(
        machines,
        &format!("/t/{token}/log/info/word"),
        r#""text":"word""#,
    );
    asked.callback(
        machines,
        &format!("/t/{token}/fact/rack/7"),
        r#""rack":"7""#,
    );
    let stranger = machines
        .get("/boot?mac=52-54-00-00-00-99&platform=efi")
        .good();
    asked.note(r#"52:54:00:00:00:99"#, stranger.lines().nth(1).unwrap());
    asked.order(
        operators,
        "mark",
        r#"{"state":"installed"}"#,
        r#""event":"marked""#,
    );
    asked.order(operators, "reinstall", "{}", r#""event":"reinstall""#);
    asked.order(
        operators,
        "forget",
        r#"{"wipe-allowed":true}"#,
        r#""event":"forgotten""#,
    );
    process.end();
    let text = fs::read_to_string(trace).unwrap();
    let calls = calls(&text);
    let answers = asked.0.len();
    check_answers(&calls, asked);
    check_documents(&calls);
    let durable = check_lines(&calls);
    println!(
        "{answers} answers left after their lines were synced, and each of {durable} durable writes was synced"
    );
}

#[test]
fn an_attempt_opens_even_if_its_client_disconnects_meanwhile() {
    needs!("strace");
    let site = TestSite::new(1);
    let slow = ["trace=rename", "inject=rename:delay_enter=2000000"];
    let mut process = Process::under(
        &[
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            slow[0],
            "-e",
            slow[1],
        ],
        &site,
    );
    let mut client = TcpStream::connect(process.machines.address()).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", boot_path(1));
    client.write_all(request.as_bytes()).unwrap();
    let attempts = site.state().join("attempts");
    until("the file of the attempt, with a temporary name", || {
        fs::read_dir(&attempts).unwrap().next()?.ok()
    });
    // A reset, as a firmware sends that has waited too long.
    let socket = socket2::SockRef::from(&client);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the attempt", || {
        let log = log(&mut process.operators, 1);
        events(&log).contains(&"attempt").then_some(())
    });
    process.end();
}

/// Each answer is sent after the sync of the line it depends on.
fn check_answers(calls: &[Call], asked: Asked) {
    let mut after = 0;
    for (line, answer) in asked.0 {
        let find = |what: &str, from: usize, fits: &dyn Fn(&Call) -> bool| {
            let found = calls[from..].iter().position(fits);
            from + found.unwrap_or_else(|| panic!("no {what} for {line}"))
        };
        let written = find("write", 0, &|call| {
            call.is_line() && call.text.contains(&line)
        });
        let sent = find("answer", after, &|call| {
            call.is_answer() && call.text.contains(&answer)
        });
        let synced = calls.iter().any(|call| {
            call.is_sync() && call.began > calls[written].ended && call.ended < calls[sent].began
        });
        assert!(synced, "{answer} was sent before {line} was synced");
        after = sent + 1;
    }
}

/// An attempt's documents are synced under their own names before the script that refers to them is sent.
fn check_documents(calls: &[Call]) {
    let position = |what: &str, fits: &dyn Fn(&Call) -> bool| {
        calls
            .iter()
            .position(fits)
            .unwrap_or_else(|| panic!("no {what}"))
    };
    let renamed = position("rename", &|call| {
        call.text.starts_with("rename") && call.text.contains("/state/attempts/")
    });
    let synced = calls[..renamed]
        .iter()
        .any(|call| call.is(&["fsync", "fdatasync"], "/state/attempts/"));
    assert!(synced, "the documents were renamed before they were synced");
    let named = renamed
        + calls[renamed..]
            .iter()
            .position(|call| call.is(&["fsync"], "/state/attempts>"))
            .unwrap();
    let line = position("line", &|call| {
        call.is_line() && call.events().any(|event| event == "attempt")
    });
    assert!(calls[named].ended < calls[line].began);
}

/// Each write of lines with a durable one is synced before the next write.
fn check_lines(calls: &[Call]) -> usize {
    let mut durable = 0;
    for (at, call) in calls.iter().enumerate().filter(|(_, call)| call.is_line()) {
        if call.events().all(|event| NON_DURABLE.contains(&event)) {
            continue;
        }
        durable += 1;
        let next = calls[at + 1..]
            .iter()
            .find(|call| call.is_line() || call.is_sync());
        assert!(next.is_some_and(Call::is_sync), "not synced: {}", call.text);
    }
    assert!(durable > 10, "only {durable} durable writes were seen");
    durable
}
