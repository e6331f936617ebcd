//! Everything that is tested from outside, in one binary: a module for each subject.

mod rules;
mod fifteen;
mod resolve;
