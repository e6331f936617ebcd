//! Files over HTTP: a head, a whole, a part, or nothing when the client has it already or wants another version.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderValue, LAST_MODIFIED},
};

use super::{
    Reply, ServedFile,
    answer::{self, HttpResponse, with},
    body::{FileBody, ResponseBody},
    condition::{FileVersion, RequestedPart, wanted},
    pool::BufferPool,
};

/// Answers with a repo's file.
pub(super) fn repo(
    method: &Method,
    headers: &HeaderMap,
    file: ServedFile,
    pool: &Arc<BufferPool>,
) -> HttpResponse {
    let etag = HeaderValue::from_str(&file.etag).ok();
    let modified = whole_seconds(file.modified);
    let version = FileVersion {
        etag: etag.is_some().then_some(file.etag.as_str()),
        modified: modified.filter(|at| is_past(*at)),
    };
    let length = file.blob.size();
    let wanted = wanted(method, headers, version, length);
    let pieces =
        |start, end| ResponseBody::FileBody(FileBody::new(file.blob, start, end, pool.clone()));
    let mut answer = part(file.content_type, length, wanted, pieces);
    // The tag says whether it is still the same file, so it may be kept.
    answer.headers_mut().remove(CACHE_CONTROL);
    let date = modified.map(httpdate::fmt_http_date);
    let date = date.and_then(|date| HeaderValue::try_from(date).ok());
    let named = [(ETAG, etag), (LAST_MODIFIED, date)];
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(answer, |answer, (name, value)| with(answer, name, value))
}

/// HTTP's dates have whole seconds, from 1970 on.
fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

/// Whether a time is so far back that what changes now has another one.
fn is_past(time: SystemTime) -> bool {
    let since = SystemTime::now().duration_since(time);
    since.is_ok_and(|since| since >= Duration::from_secs(2))
}

/// Answers with bytes at hand.
pub(super) fn bytes(method: &Method, headers: &HeaderMap, reply: Reply) -> HttpResponse {
    if reply.status != 200 {
        return answer::reply(reply);
    }
    let length = reply.body.len() as u64;
    let wanted = wanted(method, headers, FileVersion::default(), length);
    let slice = |start, end| ResponseBody::Bytes(reply.body.slice(start as usize..end as usize));
    part(reply.content_type, length, wanted, slice)
}

/// Answers with the part that is wanted of something `length` long, which `body` cuts out.
fn part(
    content_type: &'static str,
    length: u64,
    wanted: RequestedPart,
    body: impl FnOnce(u64, u64) -> ResponseBody,
) -> HttpResponse {
    let answer = match wanted {
        RequestedPart::Whole => answer::whole(StatusCode::OK, content_type, body(0, length)),
        RequestedPart::Part { start, end } => with(
            answer::whole(StatusCode::PARTIAL_CONTENT, content_type, body(start, end)),
            CONTENT_RANGE,
            range(format!("bytes {start}-{}/{length}", end - 1)),
        ),
        RequestedPart::NotSatisfiable => with(
            answer::words(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the file has only {length} bytes\n"),
            ),
            CONTENT_RANGE,
            range(format!("bytes */{length}")),
        ),
        RequestedPart::NotModified => unchanged(),
        RequestedPart::PreconditionFailed => answer::words(
            StatusCode::PRECONDITION_FAILED,
            "the file is not the one that was asked for any more\n",
        ),
    };
    with(answer, ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

fn range(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits are a header")
}

fn unchanged() -> HttpResponse {
    let mut answer = HttpResponse::new(ResponseBody::Bytes(Bytes::new()));
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}
