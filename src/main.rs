//! The binary. All of it is in the library.

fn main() {}
