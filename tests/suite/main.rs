//! What holds for the whole program: one binary, a module for each subject.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test may unwrap, as the test itself may"
)]

mod architecture;
mod documented;
mod examples;
mod example_documents;
mod rules;
mod resolve;
mod http_fixture;
mod http;
mod hostile_http;
mod render_golden;
mod render_site;
