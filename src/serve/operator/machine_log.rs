//! A machine's log, as JSON lines, for the operator API.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::api::ApiError;
use crate::net::http::Bytes;
use crate::serve::engine::Engine;
use crate::serve::operator::views;

impl Engine {
    pub(crate) fn log(&self, name: &str, after: Option<&str>) -> Result<Bytes, ApiError> {
        let ids = self.read(|transaction| views::ids(transaction, name))?;
        views::log(&self.journal_dir, &ids, after)
    }

    /// Sends the log from the position `after`, and new entries as they are written.
    pub(crate) async fn follow_log(
        self: Arc<Self>,
        node: String,
        after: Option<String>,
    ) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        let first = self.log(&node, after.as_deref())?;
        let (sender, receiver) = mpsc::channel(16);
        let mut appended = self.appended.subscribe();
        tokio::spawn(async move {
            let mut sent = first.len();
            if !first.is_empty() && sender.send(first).await.is_err() {
                return;
            }
            loop {
                tokio::select! {
                    changed = appended.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
                // Events are written within a second; several are read together.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                let engine = self.clone();
                let (node, after) = (node.clone(), after.clone());
                let read =
                    tokio::task::spawn_blocking(move || engine.log(&node, after.as_deref())).await;
                let Ok(Ok(all)) = read else { return };
                if all.len() > sent {
                    let rest = all.slice(sent..);
                    sent = all.len();
                    if sender.send(rest).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(receiver)
    }
}
