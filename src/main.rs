//! The `bootwright` program: everything it does lives in the library.

fn main() -> std::process::ExitCode {
    bootwright::cli::main()
}
