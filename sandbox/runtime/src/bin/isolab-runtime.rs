//! The program `isolab-runtime`: the OCI command line. All of it is in the library's `oci`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    isolab_runtime::oci::main()
}
