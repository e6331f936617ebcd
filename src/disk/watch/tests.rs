//! Tests of detecting changes of a site.

use std::{fs, os::unix::fs::symlink};

use super::*;

/// Bounds a hang.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Bench {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    watch: SiteWatch,
    observed: watch::Receiver<ObservedSite>,
}

impl Bench {
    /// Watches `site` in a new directory that `prepare` fills.
    fn new(prepare: impl FnOnce(&Path)) -> Bench {
        let timing = WatchTiming {
            git: Duration::from_millis(300),
            ..WatchTiming::default()
        };
        Bench::with(timing, prepare)
    }

    fn with(timing: WatchTiming, prepare: impl FnOnce(&Path)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (watch, observed) = SiteWatch::start_with(&dir.path().join("site"), timing).unwrap();
        Bench {
            dir,
            runtime,
            watch,
            observed,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until the site has exactly these files.
    fn until(&mut self, expected: &[(&str, &str)]) {
        let is_there =
            |observed: &ObservedSite| observed.trouble.is_none() && content(observed) == expected;
        self.until_observed(is_there, &format!("{expected:?}"));
    }

    fn until_observed(&mut self, is_there: impl FnMut(&ObservedSite) -> bool, what: &str) {
        let waited = self.runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, self.observed.wait_for(is_there))
                .await
                .map(drop)
        });
        assert!(
            waited.is_ok(),
            "expected {what}, seen {:?}",
            content(&self.observed.borrow())
        );
    }

    /// Asserts that the next delivery has exactly this file and this number of others.
    fn next(&mut self, file: (&str, &str), others: usize) {
        let changed = async { tokio::time::timeout(TIMEOUT, self.observed.changed()).await };
        assert!(self.runtime.block_on(changed).is_ok());
        let observed = self.observed.borrow();
        let content = content(&observed);
        assert!(
            content.contains(&file) && content.len() == others + 1,
            "{content:?}"
        );
    }

    /// Watches the site as the thread does, controlled by the test.
    fn thread(&self) -> WatchThread {
        let (wake, _) = mpsc::channel();
        let site = self.at("site");
        let (mut thread, _) = WatchThread::new(&site, WatchTiming::default(), wake).unwrap();
        thread.read_site();
        thread.deliver();
        thread
    }
}

fn content(observed: &ObservedSite) -> Vec<(&str, &str)> {
    let files = observed.files.content.iter();
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    files.map(|(name, bytes)| (&**name, text(bytes))).collect()
}

fn site(root: &Path, content: &str) {
    fs::create_dir_all(root.join("policies.d")).unwrap();
    fs::write(root.join("policies.d/a.toml"), content).unwrap();
}

#[test]
fn an_edit_is_delivered_soon() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    bench.until(&[("policies.d/a.toml", "1")]);
    let edited = Instant::now();
    fs::write(bench.at("site/policies.d/a.toml"), "2").unwrap();
    bench.until(&[("policies.d/a.toml", "2")]);
    assert!(
        edited.elapsed() > Duration::from_millis(90),
        "it had no time to settle"
    );
    // Vim and most deployment tools save this way.
    fs::write(bench.at("site/policies.d/.a.toml.new"), "3").unwrap();
    fs::rename(
        bench.at("site/policies.d/.a.toml.new"),
        bench.at("site/policies.d/a.toml"),
    )
    .unwrap();
    bench.until(&[("policies.d/a.toml", "3")]);
    fs::remove_file(bench.at("site/policies.d/a.toml")).unwrap();
    bench.until(&[]);
}

#[test]
fn a_new_directory_is_watched_with_all_below_it() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    fs::create_dir_all(bench.at("site/templates/tasks/own")).unwrap();
    fs::write(bench.at("site/templates/tasks/own/x.j2"), "x").unwrap();
    bench.until(&[
        ("policies.d/a.toml", "1"),
        ("templates/tasks/own/x.j2", "x"),
    ]);
    fs::write(bench.at("site/templates/tasks/own/x.j2"), "y").unwrap();
    bench.until(&[
        ("policies.d/a.toml", "1"),
        ("templates/tasks/own/x.j2", "y"),
    ]);
    fs::rename(
        bench.at("site/templates/tasks"),
        bench.at("site/templates/jobs"),
    )
    .unwrap();
    bench.until(&[("policies.d/a.toml", "1"), ("templates/jobs/own/x.j2", "y")]);
    fs::write(bench.at("site/templates/jobs/own/x.j2"), "z").unwrap();
    bench.until(&[("policies.d/a.toml", "1"), ("templates/jobs/own/x.j2", "z")]);
}

#[test]
fn many_changes_at_once_are_one_delivery() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    bench.observed.mark_unchanged();
    for number in 0..500 {
        fs::write(bench.at(&format!("site/policies.d/{number:03}.toml")), "x").unwrap();
    }
    bench.until_observed(|observed| observed.files.content.len() == 501, "501 files");
    // There is no other delivery before the next change.
    bench.observed.mark_unchanged();
    fs::write(bench.at("site/policies.d/a.toml"), "2").unwrap();
    bench.next(("policies.d/a.toml", "2"), 500);
}

#[test]
fn nothing_is_loaded_while_git_holds_its_lock() {
    let mut bench = Bench::new(|dir| {
        site(&dir.join("site"), "1");
        fs::create_dir(dir.join(".git")).unwrap();
    });
    let thread = bench.thread();
    let now = Instant::now();
    let change = extend(None, now).unwrap();
    let later = now + thread.timing.longest;
    fs::write(bench.at(".git/index.lock"), "").unwrap();
    assert!(!thread.is_settled(change, later));
    fs::remove_file(bench.at(".git/index.lock")).unwrap();
    assert!(thread.is_settled(change, later));
    // A git process that crashed leaves its lock, which is respected for a limited time.
    fs::write(bench.at(".git/index.lock"), "").unwrap();
    fs::write(bench.at("site/policies.d/a.toml"), "3").unwrap();
    bench.until(&[("policies.d/a.toml", "3")]);
}

#[test]
fn a_work_tree_of_git_names_its_lock_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    site(&dir.path().join("tree/site"), "1");
    fs::create_dir_all(dir.path().join("git/worktrees/tree")).unwrap();
    fs::write(
        dir.path().join("tree/.git"),
        "gitdir: ../git/worktrees/tree\n",
    )
    .unwrap();
    let busy = || git::is_busy(&dir.path().join("tree/site"), Duration::from_secs(60));
    assert!(!busy());
    fs::write(dir.path().join("git/worktrees/tree/index.lock"), "").unwrap();
    assert!(busy());
}

#[test]
fn a_replaced_link_is_another_site() {
    let mut bench = Bench::new(|dir| {
        site(&dir.join("releases/1"), "1");
        site(&dir.join("releases/2"), "2");
        symlink("releases/1", dir.join("site")).unwrap();
    });
    bench.until(&[("policies.d/a.toml", "1")]);
    symlink("releases/2", bench.at("new")).unwrap();
    fs::rename(bench.at("new"), bench.at("site")).unwrap();
    bench.until(&[("policies.d/a.toml", "2")]);
    fs::write(bench.at("releases/2/policies.d/a.toml"), "3").unwrap();
    bench.until(&[("policies.d/a.toml", "3")]);
}

#[test]
fn links_of_a_container_volume_are_followed() {
    let mut bench = Bench::new(|dir| {
        let policies = dir.join("site/policies.d");
        for number in ["1", "2"] {
            fs::create_dir_all(policies.join(format!("..{number}"))).unwrap();
            fs::write(policies.join(format!("..{number}/a.toml")), number).unwrap();
        }
        symlink("..1", policies.join("..data")).unwrap();
        symlink("..data/a.toml", policies.join("a.toml")).unwrap();
    });
    bench.until(&[("policies.d/a.toml", "1")]);
    symlink("..2", bench.at("site/policies.d/..new")).unwrap();
    fs::rename(
        bench.at("site/policies.d/..new"),
        bench.at("site/policies.d/..data"),
    )
    .unwrap();
    bench.until(&[("policies.d/a.toml", "2")]);
}

#[test]
fn a_deleted_site_keeps_its_files_until_it_is_created_again() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    bench.until(&[("policies.d/a.toml", "1")]);
    fs::rename(bench.at("site"), bench.at("gone")).unwrap();
    bench.until_observed(|observed| observed.trouble.is_some(), "trouble");
    assert_eq!(
        content(&bench.observed.borrow()),
        [("policies.d/a.toml", "1")]
    );
    fs::write(bench.at("gone/policies.d/a.toml"), "not ours any more").unwrap();
    site(&bench.at("site"), "2");
    bench.until(&[("policies.d/a.toml", "2")]);
    fs::write(bench.at("site/policies.d/a.toml"), "3").unwrap();
    bench.until(&[("policies.d/a.toml", "3")]);
}

#[test]
fn a_link_further_up_is_noticed_without_an_event() {
    let timing = WatchTiming {
        read_site: Duration::from_millis(200),
        ..WatchTiming::default()
    };
    let mut bench = Bench::with(timing, |dir| {
        site(&dir.join("1/deep/er"), "1");
        site(&dir.join("2/deep/er"), "2");
        symlink("1", dir.join("current")).unwrap();
        symlink("current/deep/er", dir.join("site")).unwrap();
    });
    bench.until(&[("policies.d/a.toml", "1")]);
    symlink("2", bench.at("new")).unwrap();
    fs::rename(bench.at("new"), bench.at("current")).unwrap();
    bench.until(&[("policies.d/a.toml", "2")]);
}

#[test]
fn unrelated_events_are_no_change() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    let mut thread = bench.thread();
    bench.observed.mark_unchanged();
    for name in [
        "beside",
        "site/notes.txt",
        "site/policies.d/a.toml~",
        "site/policies.d/.x.swp",
    ] {
        fs::write(bench.at(name), "noise").unwrap();
    }
    fs::create_dir(bench.at("site/state")).unwrap();
    fs::write(bench.at("site/state/journal"), "noise").unwrap();
    fs::read(bench.at("site/policies.d/a.toml")).unwrap();
    fs::write(bench.at("site/policies.d/a.toml"), "1").unwrap();
    assert!(!thread.read_site());
    // The kernel reports changes in order, so the unrelated events have been reported before this one.
    fs::write(bench.at("site/policies.d/a.toml"), "2").unwrap();
    bench.next(("policies.d/a.toml", "2"), 0);
}

#[test]
fn a_requested_read_is_delivered_even_without_a_change() {
    let mut bench = Bench::new(|dir| site(&dir.join("site"), "1"));
    bench.observed.mark_unchanged();
    bench.watch.refresh();
    bench.next(("policies.d/a.toml", "1"), 0);
}
