//! Tells the operator's programs what they are to hear of, again and again until they have.
//!
//! A program is told when the event is on the disk, and has heard of it when it ends with success. Each is one process, which reads
//! one JSON object and has a minute.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::control::{HookCall, RetryState};
use crate::serve::engine::Engine;
use crate::serve::operator::views;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// So much of what a program complains about is kept, in bytes.
const SAID: usize = 4 << 10;

/// While the journal cannot be written nobody is told anything, and it is looked at so often.
const UNWRITABLE: Duration = Duration::from_secs(10);

/// What became of a program.
type Ended = (u64, Result<(), String>);

/// Tells programs for ever.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut events = engine.appended.subscribe();
    let mut tries = RetryState::default();
    let (sender, mut ended) = mpsc::channel::<Ended>(16);
    let (mut latest, mut is_news) = (0, true);
    loop {
        while is_news {
            is_news = begin(&engine, &mut tries, &sender).await;
        }
        let next = tries.next();
        let wait = next.map_or(Duration::from_secs(3_600), |at| at.since(engine.now().mono));
        tokio::select! {
            changed = events.changed() => {
                if changed.is_err() {
                    return;
                }
                // Most of what happens is nothing that anybody is to hear of.
                let before = std::mem::replace(&mut latest, engine.read(|transaction| transaction.latest_delivery()));
                is_news = latest != before;
            }
            Some((number, outcome)) = ended.recv() => {
                note(&engine, &mut tries, number, outcome).await;
                is_news = true;
            }
            () = sleep(wait.max(Duration::from_millis(10))) => is_news = true,
        }
    }
}

/// Starts what may start; tells whether more may by now, since some had nobody to be told to.
async fn begin(engine: &Arc<Engine>, tries: &mut RetryState, sender: &mpsc::Sender<Ended>) -> bool {
    let now = engine.now().mono;
    let ready = engine.read(|transaction| tries.ready(transaction.due(), now));
    if ready.is_empty() {
        return false;
    }
    let is_written = engine.settled().await;
    let mut has_more = false;
    for number in ready {
        if !is_written {
            tries.failed(number, now.after(UNWRITABLE));
            continue;
        }
        let (hook_call, _ticket) = engine.transaction(|transaction| {
            let node = transaction.due().get(&number).map(|due| due.node.clone());
            let status = node.and_then(|node| views::status(transaction, &node));
            let status = status.map(|status| json!(status));
            transaction.hook_call(number, status.as_ref())
        });
        let Some(hook_call) = hook_call else {
            tries.ended(number);
            has_more = true;
            continue;
        };
        let (root, sender) = (engine.root.clone(), sender.clone());
        tokio::spawn(async move {
            let outcome = tell(&root, &hook_call, PATIENCE).await;
            // When the server ends nobody listens; it is told again at the next start.
            drop(sender.send((hook_call.number, outcome)).await);
        });
    }
    has_more
}

async fn note(engine: &Engine, tries: &mut RetryState, number: u64, outcome: Result<(), String>) {
    let ((), ticket) = match outcome {
        Ok(()) => {
            tries.ended(number);
            engine.transaction(|transaction| transaction.delivered(number))
        }
        Err(reason) => {
            let count = tries.failed(number, engine.now().mono);
            engine.transaction(|transaction| transaction.undelivered(number, count, &reason))
        }
    };
    if let Err(error) = ticket.durable().await {
        tracing::error!("{error}");
    }
}

/// Runs a program; an error says why it has not heard.
async fn tell(root: &Path, hook_call: &HookCall, patience: Duration) -> Result<(), String> {
    let (program, arguments) = hook_call.run.split_first().ok_or("there is no program")?;
    // A path is one of the site; a bare name is looked for where programs are.
    let program = match program.contains('/') {
        true => root.join(program).into_os_string(),
        false => program.into(),
    };
    let shown = program.to_string_lossy().into_owned();
    let started = Command::new(&program)
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| format!("{shown} cannot be started: {error}"))?;
    let group = child.id();
    match timeout(patience, finish(&mut child, &hook_call.text)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            end(group);
            Err(format!("it took longer than {} s", patience.as_secs()))
        }
    }
}

/// Gives a program what it reads, and waits for its end.
async fn finish(child: &mut Child, text: &str) -> Result<(), String> {
    let mut input = child.stdin.take().ok_or("it has no standard input")?;
    let complaints = child.stderr.take().ok_or("it has no standard error")?;
    let stderr = tokio::spawn(last_words(complaints));
    // A program need not read what it is told: how it ends says whether it has heard.
    drop(input.write_all(format!("{text}\n").as_bytes()).await);
    drop(input);
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    // What it left running may hold its standard error.
    let stderr = timeout(Duration::from_secs(1), stderr).await;
    let stderr = stderr.ok().and_then(Result::ok).unwrap_or_default();
    Err(match stderr.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {stderr}"),
    })
}

/// The last line of what a program writes.
async fn last_words(mut from: impl AsyncReadExt + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    // An error is an end, too.
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(SAID);
        kept.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&kept);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let plain = last.unwrap_or_default().trim();
    plain
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// Ends a program with all that it started.
fn end(group: Option<u32>) {
    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };
    let group = group
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = killpg(group, Signal::SIGKILL)
    {
        tracing::warn!("a program that took too long cannot be ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str, text: &str, patience: Duration) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let hook_call = HookCall {
            number: 1,
            run: ["sh", "-c", script].map(str::to_owned).into(),
            text: text.into(),
        };
        tell(dir.path(), &hook_call, patience).await
    }

    #[tokio::test]
    async fn a_program_has_heard_when_it_ends_with_success() {
        let long = "x".repeat(1 << 20);
        let cases = [
            ("read -r line && [ \"$line\" = hello ]", "hello", Ok(())),
            ("true", long.as_str(), Ok(())),
            ("exit 3", "hello", Err("exit status: 3")),
            ("exit 3", long.as_str(), Err("exit status: 3")),
            (
                "echo a >&2; echo b >&2; echo >&2; exit 1",
                "",
                Err("exit status: 1: b"),
            ),
            (
                "yes 0123456789 | head -c 2999997 >&2; exit 1",
                "",
                Err("exit status: 1: 0123456789"),
            ),
            ("kill -9 $$", "", Err("signal: 9 (SIGKILL)")),
            ("sleep 60 & exit 4", "", Err("exit status: 4")),
        ];
        for (script, text, expected) in cases {
            let outcome = told(script, text, Duration::from_secs(30)).await;
            let outcome = outcome.as_ref().copied().map_err(String::as_str);
            assert_eq!(outcome, expected, "{script}");
        }
        let late = told("sleep 60", "", Duration::from_secs(1)).await;
        assert_eq!(late, Err("it took longer than 1 s".into()));
    }

    #[tokio::test]
    async fn what_a_program_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("sleep 60 >{} & sleep 60", pipe.display());
        // It is opened when the program opens it, too, and ends when no process has it open any more.
        let ended = tokio::task::spawn_blocking(move || std::fs::read(pipe));
        assert!(told(&script, "", Duration::from_secs(1)).await.is_err());
        let ended = timeout(Duration::from_secs(30), ended).await;
        assert_eq!(ended.expect("it still runs").unwrap().unwrap(), b"");
    }
}
