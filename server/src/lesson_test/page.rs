//! The commands of a lesson's page, typed into real terminals as a click does, and what they print.

use super::lab::{Failure, TestLab};
use crate::agent_client::Terminal;
use isolab_lessons::{Lesson, RunBlock};
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// A terminal wide enough that no line of a lesson wraps in it.
const SIZE: (u16, u16) = (250, 50);

/// The longest that one command of a page may take.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(120);

/// More output than this from one command is no part of a lesson.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Makes the shell say when a command is done, and with which status, by a sequence that no command prints; and makes it
/// say nothing else: no prompt, no echo.
const QUIET: &str = r#"stty -echo; PS1= PS2= PROMPT_COMMAND='printf "\033]7777;%d\007" $?'"#;
const DONE: &str = "\u{1b}]7777;";

/// Types every command of the page, in order, and compares what is printed with what the page shows.
pub async fn prove(lesson: &Lesson, lab: &TestLab<'_>) -> Result<(), Failure> {
    let release = lab.look().await?.kernel.release;
    let mut shells = BTreeMap::new();
    for run in lesson.runs() {
        if !shells.contains_key(&run.terminal) {
            shells.insert(&run.terminal, Shell::open(lab, &run.terminal).await?);
        }
        let shell = shells.get_mut(&run.terminal).ok_or("no shell")?;
        let shown = |why: String| format!("{}/lesson.md:{}: `{}`: {why}", lesson.slug, run.line, run.command);
        check(run, shell, &release).await.map_err(shown)?;
    }
    Ok(())
}

async fn check(run: &RunBlock, shell: &mut Shell, release: &str) -> Result<(), Failure> {
    let mut printed = String::new();
    for command in commands(&run.command) {
        let (output, status) = shell.run(&command).await?;
        printed.push_str(&output);
        // Where the page shows what is printed, a refusal may be the point; where it shows nothing, it must work.
        if run.output.is_none() && status != 0 {
            return Err(format!("it ended with status {status}: {}", output.trim()));
        }
    }
    match &run.output {
        Some(expected) => expected
            .check(&printed, release)
            .map_err(|mismatch| format!("{mismatch}\n    all that was printed:\n{}", indented(&printed))),
        None => Ok(()),
    }
}

/// The commands of a block: one for each line, except where a line goes on in the next.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = vec![];
    let mut goes_on = false;
    for line in text.lines() {
        match commands.last_mut() {
            Some(last) if goes_on => {
                last.push('\n');
                last.push_str(line);
            }
            _ => commands.push(line.to_owned()),
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

/// A shell in a terminal of the lab.
struct Shell {
    terminal: Terminal,
    /// What was printed and not yet taken.
    printed: Vec<u8>,
}

impl Shell {
    async fn open(lab: &TestLab<'_>, name: &str) -> Result<Self, Failure> {
        let terminal =
            Terminal::open(lab.agent(), &lab.id, name, SIZE).await.map_err(|error| error.to_string())?;
        let mut shell = Self { terminal, printed: vec![] };
        // The first prompt, and the echo of this line, come before the first sequence.
        shell.run(QUIET).await?;
        Ok(shell)
    }

    /// Types a command and reads until it is done: what it printed, and its status.
    async fn run(&mut self, command: &str) -> Result<(String, i32), Failure> {
        let typed = ClientFrame::Input { bytes: format!("{command}\r").into_bytes() };
        self.terminal.send(typed).await.map_err(|error| error.to_string())?;
        match timeout(COMMAND_WAIT_MAX, self.until_done()).await {
            Ok(done) => done,
            Err(_) => {
                let so_far = plain(&String::from_utf8_lossy(&self.printed));
                Err(format!("it is not done after {COMMAND_WAIT_MAX:?}; it has printed: {so_far}"))
            }
        }
    }

    async fn until_done(&mut self) -> Result<(String, i32), Failure> {
        loop {
            let text = String::from_utf8_lossy(&self.printed).into_owned();
            if let Some((before, after)) = text.split_once(DONE)
                && let Some((status, rest)) = after.split_once('\u{7}')
            {
                let status = status.parse().map_err(|_| format!("`{status}` is no status"))?;
                self.printed = rest.as_bytes().to_vec();
                // Line editing ends each line that it takes with a line feed of its own.
                return Ok((plain(before).trim_start_matches('\n').to_owned(), status));
            }
            match self.terminal.next().await.map_err(|error| error.to_string())? {
                Some(ServerFrame::Output { seq, bytes }) => {
                    let seq = seq + bytes.len() as u64;
                    self.printed.extend_from_slice(&bytes);
                    self.terminal.send(ClientFrame::Ack { seq }).await.map_err(|error| error.to_string())?;
                }
                Some(ServerFrame::Exit { status }) => {
                    return Err(format!("the shell ended with status {status}"));
                }
                Some(_) => {}
                None => return Err("the terminal was closed".to_owned()),
            }
            if self.printed.len() > OUTPUT_BYTES_MAX {
                return Err(format!("it printed more than {OUTPUT_BYTES_MAX} bytes"));
            }
        }
    }
}

/// The text without the sequences that colour it or move the cursor.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\u{1b}', Some('[')) => {
                chars.next();
                // A control sequence ends with a letter or one of a few signs.
                while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {}
            }
            ('\u{1b}', Some(']')) => while chars.next().is_some_and(|c| c != '\u{7}') {},
            ('\u{1b}', _) => drop(chars.next()),
            ('\r', _) => {}
            _ => plain.push(c),
        }
    }
    plain
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_taken_out() {
        assert_eq!(
            plain("\u{1b}[?2004hroot \u{1b}[01;31m\u{1b}[Ksleep\u{1b}[m\r\n\u{1b}]0;title\u{7}x\u{1b}="),
            "root sleep\nx"
        );
    }

    #[test]
    fn a_line_that_goes_on_is_one_command() {
        assert_eq!(commands("a \\\n  b\nc"), ["a \\\n  b", "c"]);
    }
}
