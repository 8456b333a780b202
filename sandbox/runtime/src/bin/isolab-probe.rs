//! The program `isolab-probe`: prints what the kernel answers to system calls, one a line. It is put into a container to see
//! which calls its walls refuse.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    for (call, answer) in isolab_runtime::probe::answers() {
        // Each by itself: a filter may end the program at the next.
        if writeln!(out, "{call} {answer}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
