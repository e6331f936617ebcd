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

use super::{Refusal, Reply, body::AnswerBody};

/// An answer on its way.
pub(super) type Answer = Response<AnswerBody>;

/// Encodes what a backend answers to a machine.
pub(super) fn reply(reply: Reply) -> Answer {
    whole(
        status(reply.status),
        reply.content_type,
        AnswerBody::Bytes(reply.body),
    )
}

/// Encodes an answer whose length is known.
pub(super) fn whole(status: StatusCode, content_type: &'static str, body: AnswerBody) -> Answer {
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
pub(super) fn words(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    whole(
        status,
        "text/plain; charset=utf-8",
        AnswerBody::Bytes(words.into()),
    )
}

/// Answers a callback: with no more than every small client understands.
pub(super) fn heard() -> Answer {
    closing(words(StatusCode::OK, "ok\n"))
}

/// Refuses a method, naming those that are taken.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let answer = words(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this method is not for here, but {allowed}\n"),
    );
    with(answer, ALLOW, HeaderValue::from_static(allowed))
}

/// Encodes JSON for an operator.
pub(super) fn json(body: Bytes) -> Answer {
    whole(StatusCode::OK, "application/json", AnswerBody::Bytes(body))
}

/// Encodes lines of JSON for an operator.
pub(super) fn json_lines(body: Bytes) -> Answer {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        AnswerBody::Bytes(body),
    )
}

/// Encodes lines of JSON as they come.
pub(super) fn following(lines: mpsc::Receiver<Bytes>) -> Answer {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        AnswerBody::Lines(lines),
    )
}

/// Encodes why an operator does not get what was asked.
pub(super) fn refusal(refusal: Refusal) -> Answer {
    let body = json!({ "error": refusal.error, "help": refusal.help });
    let mut text = body.to_string();
    text.push('\n');
    whole(
        status(refusal.status),
        "application/json",
        AnswerBody::Bytes(text.into()),
    )
}

/// Says that the connection ends with this answer.
pub(super) fn closing(answer: Answer) -> Answer {
    with(answer, CONNECTION, HeaderValue::from_static("close"))
}

/// Adds a header.
pub(super) fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

/// A backend's number as a status; one that HTTP does not have is the backend's mistake.
pub(super) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
