//! The command line: what each command prints, where, and its exit code.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use assert_cmd::Command;
use bootwright::serve::{Options, Running, start};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::server::check_program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bootwright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootwright"));
    command
        .current_dir(root())
        .env_remove("BOOTWRIGHT_SITE")
        .env("NO_COLOR", "1");
    command
}

/// The result of a run.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    let output = bootwright().args(arguments).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A copy of the quickstart with its own port and state directory.
fn site() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site");
    copy(&root().join("examples/quickstart"), &site);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let state = directory.path().join("state");
    fs::write(
        site.join("bootwright.toml"),
        format!("[operator]\nlisten = \"{free}\"\n[paths]\nstate = {state:?}\n"),
    )
    .unwrap();
    let path = site.to_str().unwrap().to_string();
    (directory, path)
}

/// A server of the site at the operator address of the site.
fn serve(site: &str) -> (Runtime, Running) {
    let runtime = Runtime::new().unwrap();
    let listen = "127.0.0.1:0".parse().ok();
    let options = Options {
        site: site.into(),
        listen,
        http_only: true,
        check_program: check_program(),
        ..Options::default()
    };
    let running = runtime.block_on(start(options)).unwrap();
    (runtime, running)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

const COMMANDS: [&str; 18] = [
    "init",
    "doctor",
    "serve",
    "check",
    "render",
    "explain",
    "play",
    "try",
    "nodes",
    "page",
    "adopt",
    "reinstall",
    "hold",
    "release",
    "mark",
    "forget",
    "pause",
    "resume",
];

#[test]
fn every_command_has_help_with_its_exit_codes() {
    let all = run(&["--help"]);
    assert_eq!(all.code, 0);
    for command in COMMANDS {
        assert!(all.out.contains(&format!("\n  {command} ")), "{command}");
        let ran = run(&[command, "--help"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command}");
        assert!(ran.out.contains("Exit codes:\n  0  "), "{command}");
    }
}

#[test]
fn an_invalid_command_line_exits_with_2() {
    for line in [
        vec![],
        vec!["chekc"],
        vec!["check", "--jsn"],
        vec!["render"],
        vec!["release"],
        vec!["nodes", "a", "life"],
        vec!["nodes", "--follow"],
        vec!["nodes", "a", "facts", "--follow"],
        vec!["mark", "a", "finished"],
        vec!["play", "a", "--boots", "0"],
        vec!["try", "a", "--bios", "--uefi"],
        vec!["try", "a", "--for", "soon"],
    ] {
        let ran = run(&line);
        assert_eq!(ran.code, 2, "{line:?}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{line:?}");
    }
}

#[test]
fn a_missing_site_exits_with_3() {
    for line in [
        vec!["check"],
        vec!["doctor"],
        vec!["render", "a"],
        vec!["explain", "a"],
        vec!["nodes"],
        vec!["reinstall", "a"],
        vec!["serve"],
        vec!["play", "a"],
        vec!["try", "a"],
    ] {
        let ran = run(&[&["--site", "/nowhere/at/all"], line.as_slice()].concat());
        assert_eq!(ran.code, 3, "{line:?}: {}", ran.err);
        assert!(
            ran.err.contains("error: ") && ran.err.contains("help: "),
            "{line:?}: {}",
            ran.err
        );
        assert!(!ran.err.contains("os error"), "{line:?}: {}", ran.err);
    }
}

#[test]
fn the_examples_have_no_errors() {
    for example in examples() {
        let site = example.to_str().unwrap();
        let ran = run(&["--site", site, "check"]);
        assert_eq!(ran.code, 0, "{site}: {}", ran.out);
        let ran = run(&["check", "--json", "--site", site]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["errors"], 0, "{site}");
    }
}

#[test]
fn an_error_is_shown_with_its_line_and_exits_with_1() {
    let (_directory, site) = site();
    let path = Path::new(&site).join("policies.d/nodes.toml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("hostname =", "hostnme =");
    fs::write(&path, text).unwrap();
    let ran = run(&["--site", &site, "check"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.out.contains("policies.d/nodes.toml:24:1"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("did you mean `hostname`?"), "{}", ran.out);
    let ran = run(&["--site", &site, "check", "--json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["errors"], 1, "{report:#}");
    let first = &report["diagnostics"][0];
    assert_eq!(
        (&first["file"], &first["line"], &first["column"]),
        (&"policies.d/nodes.toml".into(), &24.into(), &1.into())
    );
}

#[test]
fn documents_are_rendered_for_every_node_of_the_examples() {
    for example in examples() {
        let site = example.to_str().unwrap();
        let nodes: Vec<Value> =
            serde_json::from_str(&run(&["--site", site, "nodes", "--json"]).out).unwrap();
        assert!(!nodes.is_empty(), "{site}");
        for node in nodes {
            let name = node["name"].as_str().unwrap();
            let ran = run(&["--site", site, "render", name]);
            assert_eq!(ran.code, 0, "{site} {name}: {}", ran.err);
            assert!(
                ran.out.starts_with("==> boot.ipxe <==\n#!ipxe\n"),
                "{site} {name}"
            );
        }
    }
}

#[test]
fn one_document_is_printed_byte_for_byte() {
    let site = root().join("examples/quickstart");
    let site = site.to_str().unwrap();
    let all = run(&["--site", site, "render", "esx01"]).out;
    let one = run(&["--site", site, "render", "esx01", "ks.cfg"]);
    assert_eq!(one.code, 0);
    assert!(
        all.contains(&format!("==> ks.cfg <==\n{}\n==> ", one.out)),
        "{all}"
    );
    assert!(
        one.out.contains("--ip=192.0.2.11 ")
            && one
                .out
                .contains("/t/00000000000000000000000000000000/stage/installed"),
        "{}",
        one.out
    );
    let file = run(&["--site", site, "render", "esx01", "mboot.efi"]);
    assert_eq!(
        file.out.into_bytes(),
        fs::read(root().join("examples/quickstart/stand-ins/esxi/efi/boot/bootx64.efi")).unwrap()
    );
    let unknown = run(&["--site", site, "render", "esx01", "ks"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
    assert!(
        unknown
            .err
            .contains("help: its documents: boot.ipxe, ks.cfg, "),
        "{}",
        unknown.err
    );
    let nobody = run(&["--site", site, "render", "esx1"]);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("did you mean `esx01`?"),
        "{}",
        nobody.err
    );
}

#[test]
fn the_site_comes_from_the_option_the_environment_or_the_current_directory() {
    let (_directory, site) = site();
    let names = |mut command: Command| {
        let output = command.args(["nodes", "--json"]).output().unwrap();
        let nodes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        nodes
            .iter()
            .map(|node| node["name"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    let mut by_option = bootwright();
    by_option.args(["--site", &site]);
    let mut by_environment = bootwright();
    by_environment.env("BOOTWRIGHT_SITE", &site);
    let mut by_directory = bootwright();
    by_directory.current_dir(&site);
    for command in [by_option, by_environment, by_directory] {
        assert_eq!(names(command), ["db01", "esx01", "web01"]);
    }
}

#[test]
fn without_a_server_the_journal_is_read_and_changed() {
    let (_directory, site) = site();
    let say = |line: &[&str]| run(&[&["--site", site.as_str()], line].concat());
    let nodes = say(&["nodes"]);
    assert_eq!(nodes.code, 0);
    assert_eq!(
        nodes.err,
        "note: server not running; showing state from the journal\n"
    );
    assert!(
        nodes
            .out
            .starts_with("NODE   STATE  SINCE  POLICY  TASK    ADDRESS     LAST\ndb01   bound  "),
        "{}",
        nodes.out
    );
    let held = say(&["hold", "db01", "--reason", "new disks"]);
    assert_eq!(held.code, 0, "{}", held.err);
    let card = say(&["nodes", "db01"]).out;
    assert!(
        card.starts_with("db01: held since ") && card.contains("  reason      new disks\n"),
        "{card}"
    );
    let explained = say(&["explain", "db01"]).out;
    assert!(
        explained.starts_with("db01 is bound to policy rocky (declared: policies.d/nodes.toml:"),
        "{explained}"
    );
    assert!(
        explained
            .contains("  state: held: new disks\n  next network boot: its own disk: it is held\n"),
        "{explained}"
    );
    assert_eq!(say(&["release", "db01"]).code, 0);
    assert_eq!(say(&["mark", "db01", "installed"]).code, 0);
    assert_eq!(say(&["forget", "db01"]).code, 1);
    assert_eq!(say(&["pause"]).code, 0);
    assert_eq!(say(&["resume"]).code, 0);
    let log = say(&["nodes", "db01", "log"]).out;
    let kinds: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert!(kinds.ends_with(&["held", "released", "marked"]), "{log}");
    let json = say(&["nodes", "db01", "log", "--json"]).out;
    assert_eq!(json.lines().count(), log.lines().count());
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    let followed = say(&["nodes", "db01", "log", "--follow"]);
    assert_eq!(followed.code, 3);
    let unknown = say(&["reinstall", "db1"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("error: there is no node `db1`")
            && unknown.err.contains("did you mean `db01`?"),
        "{}",
        unknown.err
    );
}

#[test]
fn play_starts_a_temporary_server() {
    let (directory, site) = site();
    let ran = run(&["--site", &site, "play", "esx01", "--boots", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "using a temporary server",
        "boot 2: esx01",
        "boots its disk",
        "finished    reported by the machine",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(
        !directory.path().join("state").exists(),
        "the site's own state is left alone"
    );
    let nobody = run(&["--site", &site, "play", "esx1"]);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("did you mean `esx01`?"),
        "{}",
        nobody.err
    );
    assert_eq!(run(&["--site", &site, "play", "esx01", "--live"]).code, 3);
}

#[test]
fn init_overwrites_no_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".gitignore"), "mine\n").unwrap();
    let ran = run(&["init", directory.path().to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("already contains .gitignore"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let state = run(&["init", "--state", "new", directory.path().to_str().unwrap()]);
    assert_eq!(state.code, 3);
    assert!(
        state.err.contains("is not a site: it has neither"),
        "{}",
        state.err
    );
}

#[test]
fn commands_use_the_running_server() {
    let (_directory, site) = site();
    let (runtime, running) = serve(&site);
    let say = |line: &[&str]| run(&[&["--site", site.as_str()], line].concat());
    let nodes = say(&["nodes"]);
    assert_eq!((nodes.code, nodes.err.as_str()), (0, ""));
    assert!(nodes.out.contains("\nesx01  bound  "), "{}", nodes.out);
    let held = say(&["hold", "esx01", "--reason", "a\u{7}b"]);
    assert_eq!((held.code, held.err.as_str()), (0, ""), "{}", held.out);
    assert!(say(&["nodes", "esx01"]).out.contains("  reason      a b\n"));
    assert!(
        say(&["nodes", "00:50:56:00:00:01", "--json"])
            .out
            .contains("\"state\": \"held\"")
    );
    let refused = say(&["forget", "web01"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    let state = say(&["init", "--state", "installed"]);
    assert_eq!(state.code, 3);
    assert!(
        state
            .err
            .contains("help: stop the server of this site first"),
        "{}",
        state.err
    );
    fs::write(
        Path::new(&site).join("policies.d/broken.toml"),
        "[node.x]\nmac = 1\n",
    )
    .unwrap();
    let checked = say(&["check"]);
    assert_eq!(checked.code, 1);
    assert!(
        checked
            .out
            .contains(" The running server still serves revision "),
        "{}",
        checked.out
    );
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn a_log_is_followed_as_it_grows() {
    let (_directory, site) = site();
    let (runtime, running) = serve(&site);
    assert_eq!(run(&["--site", &site, "hold", "esx01"]).code, 0);
    let mut following = std::process::Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(["--site", &site, "nodes", "esx01", "log", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut until = |word: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(word))
            .unwrap()
    };
    assert!(until("held").ends_with("no reason given"));
    assert_eq!(run(&["--site", &site, "release", "esx01"]).code, 0);
    assert!(until("released").ends_with("by an operator"));
    following.kill().unwrap();
    following.wait().unwrap();
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn a_command_names_the_token_that_it_cannot_read() {
    let (directory, path) = site();
    let (runtime, running) = serve(&path);
    let token = directory.path().join("state/operator-token");
    assert_eq!(run(&["--site", &path, "nodes"]).code, 0);
    let mode = |mode| fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let exposed = run(&["--site", &path, "nodes"]);
    assert_eq!(exposed.code, 1);
    assert!(
        exposed.err.contains("others than its owner may read it"),
        "{}",
        exposed.err
    );
    mode(0o600);
    fs::write(&token, "0123456789abcdef").unwrap();
    let replaced = run(&["--site", &path, "nodes"]);
    assert_eq!(replaced.code, 1);
    let expected = format!(
        "error: the server at http://{} does not accept the operator token in `{}`\nhelp: the server reads the file when it \
         starts: restart it if the file was replaced",
        running.operators,
        token.display()
    );
    assert!(replaced.err.starts_with(&expected), "{}", replaced.err);
    fs::remove_file(&token).unwrap();
    let missing = run(&["--site", &path, "nodes"]);
    let expected = format!(
        "needs the operator token, and there is no file `{}`",
        token.display()
    );
    assert!(missing.err.contains(&expected), "{}", missing.err);
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn the_page_has_a_link_that_is_printed_once() {
    let (_directory, path) = site();
    let stopped = run(&["--site", &path, "page"]);
    assert_eq!(stopped.code, 3);
    assert!(
        stopped
            .err
            .starts_with("error: server not running\nhelp: start it"),
        "{}",
        stopped.err
    );
    let (runtime, running) = serve(&path);
    let printed = run(&["--site", &path, "page"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let start = format!("http://{}/open/", running.operators);
    let key = printed.out.trim().strip_prefix(&start).unwrap();
    assert_eq!(key.len(), 32);
    assert!(
        printed.err.contains("opened once, within 10 minutes"),
        "{}",
        printed.err
    );
    let other = run(&["--site", &path, "page"]);
    assert_ne!(other.out, printed.out);
    let inventory = run(&["--site", &path, "nodes", "--inventory"]);
    assert!(inventory.out.contains("\"hostvars\""), "{}", inventory.out);
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn the_server_of_another_site_is_not_used() {
    let (_directory, one) = site();
    let (_other_directory, other) = site();
    let (runtime, running) = serve(&one);
    let config = fs::read_to_string(Path::new(&other).join("bootwright.toml")).unwrap();
    let operator_table = format!("[operator]\nlisten = \"{}\"\n", running.operators);
    let (_, rest) = config.split_once("[paths]").unwrap();
    fs::write(
        Path::new(&other).join("bootwright.toml"),
        format!("{operator_table}[paths]{rest}"),
    )
    .unwrap();
    let held = run(&["--site", &other, "hold", "esx01"]);
    assert_eq!(held.code, 0, "{}", held.err);
    assert!(
        held.err
            .contains("note: server not running; the change was written to the journal"),
        "{}",
        held.err
    );
    assert!(
        run(&["--site", &one, "nodes", "esx01"])
            .out
            .starts_with("esx01: bound")
    );
    assert!(
        run(&["--site", &other, "nodes", "esx01"])
            .out
            .starts_with("esx01: held")
    );
    runtime.block_on(running.stop()).unwrap();
}

#[test]
fn a_new_site_has_no_errors_and_its_id_is_in_the_state_directory() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    let site = format!("{home}/site");
    let say = |line: &[&str]| {
        let output = as_unprivileged_user(directory.path())
            .args(line)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = say(&["init", &site]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("\nWrote     bootwright.toml  policies.d/defaults.toml"),
        "{text}"
    );
    let (code, text) = say(&["--site", &site, "check", "--json"]);
    assert_eq!(code, 0, "{text}");
    let config = fs::read_to_string(Path::new(&site).join("bootwright.toml")).unwrap();
    let id = config
        .lines()
        .find_map(|line| line.strip_prefix("site-id = "))
        .unwrap()
        .trim_matches('"')
        .to_string();
    let states = fs::read_dir(directory.path().join("state/bootwright")).unwrap();
    let known: Vec<String> = states
        .map(|entry| fs::read_to_string(entry.unwrap().path().join("site-id")).unwrap())
        .collect();
    assert_eq!(known, [format!("{id}\n")]);
    let (code, text) = say(&["init", &site]);
    assert_eq!(code, 1, "{text}");
    let (code, text) = say(&["init", "--state", "installed", &site]);
    assert_eq!(code, 0, "{text}");
}

/// The program, run by an unprivileged user whose state is in the home directory.
fn as_unprivileged_user(home: &Path) -> std::process::Command {
    const NOBODY: u32 = 65534;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_bootwright"));
    let is_root = nix::unistd::geteuid().is_root();
    // The user may have no access to the build directory.
    let copied = home.join("bootwright");
    if is_root && !copied.exists() {
        fs::copy(&program, &copied).unwrap();
        chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = std::process::Command::new(if is_root { copied } else { program });
    command
        .env_remove("BOOTWRIGHT_SITE")
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"));
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
