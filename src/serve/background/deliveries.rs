//! Delivers lifecycle events to the operator's hooks and brokers, and retries until they succeed.
//!
//! A delivery starts once its event is on the disk. It runs one process, which reads one JSON object from standard input and
//! has 60 s. Exit status 0 means delivered.

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
use crate::serve::user;

/// The time limit of a program.
const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes that are kept of a program's standard error.
const MAX_STDERR: usize = 4 << 10;

/// The interval between attempts while the journal cannot be written. No program runs meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The number of a delivery, and how its program ended.
type HookOutcome = (u64, Result<(), String>);

/// Makes deliveries until the server stops.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut events = engine.appended.subscribe();
    let mut tries = RetryState::default();
    let (sender, mut ended) = mpsc::channel::<HookOutcome>(16);
    let (mut latest, mut may_start) = (0, true);
    loop {
        while may_start {
            may_start = begin(&engine, &mut tries, &sender).await;
        }
        let next = tries.next();
        let wait = next.map_or(Duration::from_secs(3_600), |at| at.since(engine.now().mono));
        tokio::select! {
            changed = events.changed() => {
                if changed.is_err() {
                    return;
                }
                // Most events have no deliveries.
                let before = std::mem::replace(&mut latest, engine.read(|transaction| transaction.latest_delivery()));
                may_start = latest != before;
            }
            Some((number, outcome)) = ended.recv() => {
                record_outcome(&engine, &mut tries, number, outcome).await;
                may_start = true;
            }
            () = sleep(wait.max(Duration::from_millis(10))) => may_start = true,
        }
    }
}

/// Starts the deliveries that are due. Returns whether more may be due now, because some had no program left to run.
async fn begin(
    engine: &Arc<Engine>,
    tries: &mut RetryState,
    sender: &mpsc::Sender<HookOutcome>,
) -> bool {
    let now = engine.now().mono;
    let ready = engine.read(|transaction| tries.ready(transaction.due(), now));
    if ready.is_empty() {
        return false;
    }
    let is_written = engine.settled().await;
    let mut has_more = false;
    for number in ready {
        if !is_written {
            tries.failed(number, now.after(RETRY_INTERVAL));
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
            let outcome = run_hook(&root, &hook_call, HOOK_TIMEOUT).await;
            // The receiver is gone when the server stops. The delivery is repeated at the next start.
            drop(sender.send((hook_call.number, outcome)).await);
        });
    }
    has_more
}

async fn record_outcome(
    engine: &Engine,
    tries: &mut RetryState,
    number: u64,
    outcome: Result<(), String>,
) {
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

/// Runs a program. The error is the reason why the delivery failed.
async fn run_hook(root: &Path, hook_call: &HookCall, limit: Duration) -> Result<(), String> {
    let (program, arguments) = hook_call.run.split_first().ok_or("there is no program")?;
    // A path is relative to the site. A bare name is searched in PATH.
    let program = match program.contains('/') {
        true => root.join(program).into_os_string(),
        false => program.into(),
    };
    let shown = program.to_string_lossy().into_owned();
    let environment = user::program_environment().map_err(|error| format!("{error:#}"))?;
    let started = Command::new(&program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| format!("{shown} cannot be started: {error}"))?;
    let group = child.id();
    match timeout(limit, finish(&mut child, &hook_call.text)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            kill(group);
            Err(format!("it took longer than {} s", limit.as_secs()))
        }
    }
}

/// Writes a program's standard input, and waits until it exits.
async fn finish(child: &mut Child, text: &str) -> Result<(), String> {
    let mut input = child.stdin.take().ok_or("it has no standard input")?;
    let stderr_pipe = child.stderr.take().ok_or("it has no standard error")?;
    let stderr = tokio::spawn(last_line(stderr_pipe));
    // A program may exit without reading its input: only its exit status counts.
    drop(input.write_all(format!("{text}\n").as_bytes()).await);
    drop(input);
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    // Processes that it has started may still hold its standard error open.
    let stderr = timeout(Duration::from_secs(1), stderr).await;
    let stderr = stderr.ok().and_then(Result::ok).unwrap_or_default();
    Err(match stderr.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {stderr}"),
    })
}

/// Returns the last nonempty line that a program writes.
async fn last_line(mut from: impl AsyncReadExt + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    // A read error ends the text like an end of file.
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(MAX_STDERR);
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

/// Kills a program and all processes that it has started.
fn kill(group: Option<u32>) {
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
        tracing::warn!("cannot kill a program that exceeded its time limit: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run_script(script: &str, text: &str, limit: Duration) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let hook_call = HookCall {
            number: 1,
            run: ["sh", "-c", script].map(str::to_owned).into(),
            text: text.into(),
        };
        run_hook(dir.path(), &hook_call, limit).await
    }

    #[tokio::test]
    async fn exit_status_0_means_delivered() {
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
            let outcome = run_script(script, text, Duration::from_secs(30)).await;
            let outcome = outcome.as_ref().copied().map_err(String::as_str);
            assert_eq!(outcome, expected, "{script}");
        }
        let late = run_script("sleep 60", "", Duration::from_secs(1)).await;
        assert_eq!(late, Err("it took longer than 1 s".into()));
    }

    #[tokio::test]
    async fn a_program_has_a_clean_environment() {
        let names =
            "tr '\\0' '\\n' </proc/$$/environ | cut -d= -f1 | sort | tr '\\n' ' ' >&2; exit 1";
        let own = std::env::var_os("CARGO_MANIFEST_DIR");
        assert!(own.is_some(), "this process has more");
        for (script, expected) in [
            (names, "HOME LOGNAME PATH SHELL USER"),
            (
                "[ \"$HOME\" = \"$(getent passwd \"$(id -u)\" | cut -d: -f6)\" ] && exit 5",
                "exit status: 5",
            ),
            (
                "[ \"$USER $LOGNAME\" = \"$(id -un) $(id -un)\" ] && exit 6",
                "exit status: 6",
            ),
        ] {
            let outcome = run_script(script, "", Duration::from_secs(30)).await;
            let reason = outcome.unwrap_err();
            assert_eq!(reason.trim_start_matches("exit status: 1: "), expected);
        }
    }

    #[tokio::test]
    async fn processes_that_a_program_has_started_are_killed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("sleep 60 >{} & sleep 60", pipe.display());
        // Opening blocks until the program opens the pipe too. Reading ends when no process has it open any more.
        let ended = tokio::task::spawn_blocking(move || std::fs::read(pipe));
        assert!(
            run_script(&script, "", Duration::from_secs(1))
                .await
                .is_err()
        );
        let ended = timeout(Duration::from_secs(30), ended).await;
        assert_eq!(ended.expect("it still runs").unwrap().unwrap(), b"");
    }
}
