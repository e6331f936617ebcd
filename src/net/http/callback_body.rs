//! The body of a callback: the reason of a stage, as plain text or as a form.

use hyper::body::Incoming;

use super::{Limits, connection, path::MAX_LINE, query};
use crate::control::Callback;

/// The most bytes of a body that are read.
const MAX_REASON: usize = 4 << 10;

/// Adds the reason from the body of a `POST`, if the path has none.
pub(super) async fn with_reason(callback: Callback, body: Incoming, limits: &Limits) -> Callback {
    let body = connection::partial_body(body, MAX_REASON, limits).await;
    match callback {
        Callback::Stage { stage, reason } => Callback::Stage {
            stage,
            reason: reason.or_else(|| reason_in(&body)),
        },
        callback => callback,
    }
}

/// Reads a reason from a body: plain text, or a form with the field `reason`.
fn reason_in(body: &[u8]) -> Option<String> {
    let reason = match body.strip_prefix(b"reason=") {
        Some(field) => query::printable(&query::percent_decoded(field), MAX_LINE),
        None => query::printable(body, MAX_LINE),
    };
    (!reason.is_empty()).then_some(reason)
}
