//! What several test modules use: readers of the sources, sites and servers to test with, and what a test needs of its machine.

pub(crate) mod sources;
