//! Programs of the lab host that the engine has to ask, since the kernel takes some things only in their words.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// What they print is tables of the kernel's; one of thousands of lines is somebody's own, and is not read to its end.
const SAID_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where administrators' programs are, for an engine that was started without a PATH that says so.
const ADMINISTRATORS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Runs a command line of ours with this input: what it prints, or what it says of its failure. Its exit status may be reaped
/// by the engine as that of any child, so a shell says how it ended.
pub fn run(command: &str, input: &str) -> Result<String, String> {
    const DONE: &str = "\n# done";
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = Command::new("sh")
        .args(["-c", &format!("{command} && printf '\\n# done'")])
        .env("PATH", format!("{path}:{ADMINISTRATORS}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("sh: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // It reads all of it before it says anything; where it does not, it fails, and says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let read = |stream: Option<&mut dyn Read>| {
        let mut text = vec![];
        if let Some(stream) = stream {
            // What could be read is judged below.
            let _ = stream.take(SAID_BYTES_MAX).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let said = read(child.stdout.as_mut().map(|stream| stream as &mut dyn Read));
    let errors = read(child.stderr.as_mut().map(|stream| stream as &mut dyn Read));
    // The engine may have reaped it already.
    let _ = child.wait();
    match said.strip_suffix(DONE) {
        Some(said) => Ok(said.to_owned()),
        None => Err(format!("{command}: {}", errors.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_given_its_input_and_a_failure_its_words() {
        assert_eq!(run("cat", "words\n").unwrap(), "words\n");
        assert_eq!(run("sh -c 'echo no >&2; exit 3'", "").unwrap_err(), "sh -c 'echo no >&2; exit 3': no");
        assert!(run("isolab-no-such-program", "").unwrap_err().contains("isolab-no-such-program"));
    }
}
