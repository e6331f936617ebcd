//! Building HTTP responses.
//!
//! Each has a length, and those to machines have a body wherever HTTP allows one: some loaders fail otherwise.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    },
};
use tokio::sync::mpsc;

use super::{Reply, body::ResponseBody};
use crate::api::ApiError;

pub(super) type HttpResponse = Response<ResponseBody>;

/// The response with a backend's reply to a machine.
pub(super) fn reply(reply: Reply) -> HttpResponse {
    whole(
        status(reply.status),
        reply.content_type,
        ResponseBody::Bytes(reply.body),
    )
}

/// A complete response. It has a `Content-Length` if the body's length is known.
pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: ResponseBody,
) -> HttpResponse {
    let length = body.length();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// A response with a plain text body.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> HttpResponse {
    whole(
        status,
        "text/plain; charset=utf-8",
        ResponseBody::Bytes(text.into()),
    )
}

/// The response to a callback. Every small HTTP client handles it.
pub(super) fn callback_ok() -> HttpResponse {
    closing(text(StatusCode::OK, "ok\n"))
}

/// The response to a request with another method than those in `allowed`.
pub(super) fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("method not allowed (use {allowed})\n"),
    );
    with(response, ALLOW, HeaderValue::from_static(allowed))
}

pub(super) fn json(body: Bytes) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/json",
        ResponseBody::Bytes(body),
    )
}

pub(super) fn json_lines(body: Bytes) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        ResponseBody::Bytes(body),
    )
}

/// A response that sends lines of JSON as they arrive.
pub(super) fn json_stream(lines: mpsc::Receiver<Bytes>) -> HttpResponse {
    whole(
        StatusCode::OK,
        "application/x-ndjson",
        ResponseBody::Lines(lines),
    )
}

/// The response with an error of the operator API.
pub(super) fn api_error(error: ApiError) -> HttpResponse {
    let mut text = serde_json::to_vec(&error).expect("an error has only text");
    text.push(b'\n');
    whole(
        status(error.status),
        "application/json",
        ResponseBody::Bytes(text.into()),
    )
}

/// Closes the connection after this response.
pub(super) fn closing(response: HttpResponse) -> HttpResponse {
    with(response, CONNECTION, HeaderValue::from_static("close"))
}

/// Adds a header.
pub(super) fn with(
    mut response: HttpResponse,
    name: HeaderName,
    value: HeaderValue,
) -> HttpResponse {
    response.headers_mut().insert(name, value);
    response
}

/// A backend's status number. An invalid one is a bug of the backend and becomes 500.
pub(super) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
