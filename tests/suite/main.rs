//! The integration tests: one binary, a module for each subject.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test may unwrap, as the test itself may"
)]

mod reading;
mod rules;
mod fifteen;
mod resolve;
