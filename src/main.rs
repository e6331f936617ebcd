//! The `bootwright` program: all of its code is in the library.

fn main() -> std::process::ExitCode {
    bootwright::cli::main()
}
