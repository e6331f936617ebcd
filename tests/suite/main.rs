//! What holds for the whole program: one binary, a module per subject.

mod http_fixture;
mod http;
mod hostile_http;
