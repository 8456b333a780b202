//! `isolab`: see [`isolab::commands`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    isolab::commands::run()
}
