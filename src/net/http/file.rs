//! Files over HTTP: a head, a whole, a part, or nothing when the client has it already.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderValue},
};

use super::{
    Reply, RepoFile,
    answer::{self, Answer, with},
    body::{AnswerBody, Pieces},
    condition::{Wanted, wanted},
    pool::Pool,
};

/// Answers with a repo's file.
pub(super) fn repo(
    method: &Method,
    headers: &HeaderMap,
    file: RepoFile,
    pool: &Arc<Pool>,
) -> Answer {
    let etag = HeaderValue::from_str(&file.etag).ok();
    let tag = etag.is_some().then_some(file.etag.as_str());
    let wanted = wanted(method, headers, tag, file.length);
    let pieces = |start, end| AnswerBody::Pieces(Pieces::new(file.file, start, end, pool.clone()));
    let mut answer = part("application/octet-stream", file.length, wanted, pieces);
    // The tag says whether it is still the same file, so it may be kept.
    answer.headers_mut().remove(CACHE_CONTROL);
    match etag {
        Some(etag) => with(answer, ETAG, etag),
        None => answer,
    }
}

/// Answers with bytes at hand.
pub(super) fn bytes(method: &Method, headers: &HeaderMap, reply: Reply) -> Answer {
    if reply.status != 200 {
        return answer::reply(reply);
    }
    let length = reply.body.len() as u64;
    let wanted = wanted(method, headers, None, length);
    let slice = |start, end| AnswerBody::Bytes(reply.body.slice(start as usize..end as usize));
    part(reply.content_type, length, wanted, slice)
}

/// Answers with the part that is wanted of something `length` long, which `body` cuts out.
fn part(
    content_type: &'static str,
    length: u64,
    wanted: Wanted,
    body: impl FnOnce(u64, u64) -> AnswerBody,
) -> Answer {
    let answer = match wanted {
        Wanted::Whole => answer::whole(StatusCode::OK, content_type, body(0, length)),
        Wanted::Part { start, end } => with(
            answer::whole(StatusCode::PARTIAL_CONTENT, content_type, body(start, end)),
            CONTENT_RANGE,
            range(format!("bytes {start}-{}/{length}", end - 1)),
        ),
        Wanted::Beyond => with(
            answer::words(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the file has only {length} bytes\n"),
            ),
            CONTENT_RANGE,
            range(format!("bytes */{length}")),
        ),
        Wanted::Unchanged => unchanged(),
    };
    with(answer, ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

fn range(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits are a header")
}

fn unchanged() -> Answer {
    let mut answer = Answer::new(AnswerBody::Bytes(Bytes::new()));
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}
