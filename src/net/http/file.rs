//! Responses with files: whole, a range, only headers, not modified, or precondition failed.

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
    body::{BlobBody, ResponseBody},
    condition::{FileVersion, RequestedPart, requested_part},
    pool::BufferPool,
    response::{self, HttpResponse, with},
};

/// The response with an open file.
pub(super) fn serve(
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
    let requested = requested_part(method, headers, version, length);
    let pieces =
        |start, end| ResponseBody::File(BlobBody::new(file.blob, start, end, pool.clone()));
    let mut response = part_response(file.content_type, length, requested, pieces);
    // The file may be cached: the entity tag identifies its version.
    response.headers_mut().remove(CACHE_CONTROL);
    let date = modified.map(httpdate::fmt_http_date);
    let date = date.and_then(|date| HeaderValue::try_from(date).ok());
    let named = [(ETAG, etag), (LAST_MODIFIED, date)];
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(response, |response, (name, value)| {
            with(response, name, value)
        })
}

/// HTTP dates have whole seconds, from 1970 on.
fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

/// Whether a time is at least 2 s ago, so that a change made now gets another one.
fn is_past(time: SystemTime) -> bool {
    let since = SystemTime::now().duration_since(time);
    since.is_ok_and(|since| since >= Duration::from_secs(2))
}

/// The response with a backend's reply.
pub(super) fn bytes(method: &Method, headers: &HeaderMap, reply: Reply) -> HttpResponse {
    if reply.status != 200 {
        return response::reply(reply);
    }
    let length = reply.body.len() as u64;
    let requested = requested_part(method, headers, FileVersion::default(), length);
    let slice = |start, end| ResponseBody::Bytes(reply.body.slice(start as usize..end as usize));
    part_response(reply.content_type, length, requested, slice)
}

/// The response with the requested part of a file of `length` bytes, which `body` returns.
fn part_response(
    content_type: &'static str,
    length: u64,
    requested: RequestedPart,
    body: impl FnOnce(u64, u64) -> ResponseBody,
) -> HttpResponse {
    let response = match requested {
        RequestedPart::Whole => response::whole(StatusCode::OK, content_type, body(0, length)),
        RequestedPart::Part { start, end } => with(
            response::whole(StatusCode::PARTIAL_CONTENT, content_type, body(start, end)),
            CONTENT_RANGE,
            range(format!("bytes {start}-{}/{length}", end - 1)),
        ),
        RequestedPart::NotSatisfiable => with(
            response::text(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the file has only {length} bytes\n"),
            ),
            CONTENT_RANGE,
            range(format!("bytes */{length}")),
        ),
        RequestedPart::NotModified => not_modified(),
        RequestedPart::PreconditionFailed => {
            response::text(StatusCode::PRECONDITION_FAILED, "the file has changed\n")
        }
    };
    with(response, ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

fn range(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits are a header")
}

fn not_modified() -> HttpResponse {
    let mut response = HttpResponse::new(ResponseBody::Bytes(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}
