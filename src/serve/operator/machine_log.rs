//! A machine's log, as JSON lines, for the operator API.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::api::ApiError;
use crate::disk::journal::{JournalFollower, Position};
use crate::net::http::Bytes;
use crate::serve::engine::Engine;
use crate::serve::operator::views;

impl Engine {
    pub(crate) fn log(&self, name: &str, after: Option<&str>) -> Result<Bytes, ApiError> {
        self.log_until(name, after, None)
    }

    fn log_until(
        &self,
        name: &str,
        after: Option<&str>,
        until: Option<Position>,
    ) -> Result<Bytes, ApiError> {
        let ids = self.read(|transaction| views::ids(transaction, name))?;
        views::log(&self.journal_dir, &ids, after, until)
    }

    /// Sends the log from the position `after`, and new entries as they are written.
    pub(crate) async fn follow_log(
        self: Arc<Self>,
        node: String,
        after: Option<String>,
    ) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        let mut appended = self.appended.subscribe();
        let (mut follower, end) = JournalFollower::from_end(&self.journal_dir)
            .map_err(|error| ApiError::new(500, format!("the journal cannot be read: {error}")))?;
        let first = self.log_until(&node, after.as_deref(), Some(end))?;
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            if !first.is_empty() && sender.send(first).await.is_err() {
                return;
            }
            loop {
                let engine = self.clone();
                let (name, from) = (node.clone(), after.clone());
                let read = tokio::task::spawn_blocking(move || {
                    let read = engine.next_lines(&mut follower, &name, from.as_deref());
                    read.map(|read| (read, follower))
                });
                let Ok(Ok(((new, is_all), back))) = read.await else {
                    return;
                };
                follower = back;
                if !new.is_empty() && sender.send(new).await.is_err() {
                    return;
                }
                if !is_all {
                    continue;
                }
                tokio::select! {
                    changed = appended.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
                // Events are written within a second; several are read together.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        });
        Ok(receiver)
    }

    /// Reads new lines of a machine's log. Returns whether they are all there are.
    fn next_lines(
        &self,
        follower: &mut JournalFollower,
        name: &str,
        after: Option<&str>,
    ) -> Result<(Bytes, bool), ApiError> {
        const MAX_LINES: usize = 1_000;
        let lines = follower.lines(MAX_LINES);
        let lines = lines.map_err(|error| ApiError::new(500, error.to_string()))?;
        let ids = self.read(|transaction| views::ids(transaction, name))?;
        let marks: Vec<String> = ids
            .iter()
            .map(|id| format!("\"machine\":\"{id}\""))
            .collect();
        let is_about = |line: &&String| marks.iter().any(|mark| line.contains(mark));
        let mut text = String::new();
        for line in lines.iter().filter(is_about) {
            if views::is_after(line, after) {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok((Bytes::from(text), lines.len() < MAX_LINES))
    }
}
