//! Answers as HTTP has them.
//!
//! Each says how long it is, and those to machines have a body wherever HTTP allows one: loaders stumble
//! over anything else.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    },
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{ApiError, Reply, body::ResponseBody};

/// An answer on its way.
pub(super) type HttpResponse = Response<ResponseBody>;

/// Encodes what a backend answers to a machine.
pub(super) fn reply(reply: Reply) -> HttpResponse {
    whole(
        status(reply.status),
        reply.content_type,
        ResponseBody::Bytes(reply.body),
    )
}

/// Encodes an answer whose length is known.
pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: ResponseBody,
) -> HttpResponse {
    let length = body.length();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    answer
}

/// Says that something is not as it should be, in words.
pub(super) fn words(status: StatusCode, words: impl Into<Bytes>) -> HttpResponse {
    whole(
        status,
        "text/plain; charset=utf-8",
        ResponseBody::Bytes(words.into()),
    )
}

/// Answers a callback: with no more than every small client understands.
pub(super) fn heard() -> HttpResponse {
    closing(words(StatusCode::OK, "ok\n"))
}

/// Refuses a method, naming those that are taken.
pub(super) fn wrong_method(allowed: &'static str) -> HttpResponse {
    let answer = words(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this method is not for here, but {allowed}\n"),
    );
    with(answer, ALLOW, HeaderValue::from_static(allowed))
}

/// Encodes JSON for an operator.
pub(super) fn json(body: Bytes) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/json",
        ResponseBody::Bytes(body),
    )
}

/// Encodes lines of JSON for an operator.
pub(super) fn json_lines(body: Bytes) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        ResponseBody::Bytes(body),
    )
}

/// Encodes lines of JSON as they come.
pub(super) fn following(lines: mpsc::Receiver<Bytes>) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        ResponseBody::Lines(lines),
    )
}

/// Encodes why an operator does not get what was asked.
pub(super) fn refusal(refusal: ApiError) -> HttpResponse {
    let body = json!({ "error": refusal.error, "help": refusal.help });
    let mut text = body.to_string();
    text.push('\n');
    whole(
        status(refusal.status),
        "application/json",
        ResponseBody::Bytes(text.into()),
    )
}

/// Says that the connection ends with this answer.
pub(super) fn closing(answer: HttpResponse) -> HttpResponse {
    with(answer, CONNECTION, HeaderValue::from_static("close"))
}

/// Adds a header.
pub(super) fn with(mut answer: HttpResponse, name: HeaderName, value: HeaderValue) -> HttpResponse {
    answer.headers_mut().insert(name, value);
    answer
}

/// A backend's number as a status; one that HTTP does not have is the backend's mistake.
pub(super) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
