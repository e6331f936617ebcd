//! Everything that is tested from outside, in one binary: a module for each subject.

mod rules;
mod resolve;
mod render_golden;
mod render_site;
