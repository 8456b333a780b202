//! `docker top`: the lab host's own `ps`, of which the container's processes are shown.

use super::params::Params;
use crate::container::{Phase, pids_in};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::fd::AsyncFile;
use crate::json::Json;
use axum::extract::{Path, Query, State};
use bollard_stubs::models::ContainerTopResponse;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// `ps` of a whole lab writes some KiB; what goes beyond this is not read.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// `ps` needs milliseconds.
const TIME_MAX: Duration = Duration::from_secs(5);

/// `GET /containers/{id}/top`.
pub async fn top(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<Json<ContainerTopResponse>, ApiError> {
    let container = engine.find(&reference)?;
    let namespace = match &*container.phase() {
        Phase::Running(running) => running.mount_namespace(),
        _ => return Err(ApiError::not_running(&container.id)),
    };
    let arguments = params.text("ps_args");
    let arguments = if arguments.is_empty() { "-ef" } else { arguments };
    let output = run_ps(&engine, arguments).await?;
    let table = table(&output, &pids_in(namespace))?;
    engine.tell(&container, "top", &[]);
    Ok(Json(table))
}

async fn run_ps(engine: &Engine, arguments: &str) -> Result<String, ApiError> {
    let mut child = Command::new("ps")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            ApiError::internal(format!("ps, which docker top needs on the lab host: {error}"))
        })?;
    let pid = child.id();
    let exit = engine.reaper.expect(pid);
    let handle = Pid::from_raw(pid as i32).map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose()?;
    let (stdout, stderr) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
    let all = async {
        let (output, complaint) = tokio::join!(read(stdout), read(stderr));
        let code = exit.await.unwrap_or(-1);
        Ok::<_, io::Error>((output?, complaint?, code))
    };
    match tokio::time::timeout(TIME_MAX, all).await {
        Ok(Ok((output, _, 0))) => Ok(output),
        Ok(Ok((_, complaint, _))) => {
            Err(ApiError::internal(format!("ps: {}", complaint.lines().next().unwrap_or("it has failed"))))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_late) => {
            if let Some(handle) = handle {
                // It may have ended at this very moment.
                let _ = pidfd_send_signal(handle, Signal::KILL);
            }
            Err(ApiError::internal("ps did not end in time"))
        }
    }
}

async fn read(pipe: Option<OwnedFd>) -> io::Result<String> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let pipe = AsyncFile::new(pipe)?;
    let (mut text, mut buffer) = (vec![], vec![0; 8192]);
    while let length @ 1.. = pipe.read(&mut buffer).await? {
        // What is too much is read all the same, so that the writer can end.
        let room = OUTPUT_BYTES_MAX - text.len();
        text.extend_from_slice(&buffer[..length.min(room)]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Parses the output of `ps`: titles, and the rows whose PID is one of `pids`.
fn table(output: &str, pids: &[u32]) -> Result<ContainerTopResponse, ApiError> {
    let mut lines = output.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID");
    let column = column.ok_or_else(|| ApiError::internal("Couldn't find PID field in ps output"))?;
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let pid: u32 = fields.get(column)?.parse().ok()?;
        if !pids.contains(&pid) {
            return None;
        }
        // The last column, the command, is the only one that may hold blanks.
        let (own, rest) = fields.split_at(titles.len().min(fields.len()) - 1);
        Some(own.iter().map(|&field| field.to_owned()).chain([rest.join(" ")]).collect())
    };
    let processes = lines.filter_map(row).collect();
    Ok(ContainerTopResponse { titles: Some(titles), processes: Some(processes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_s_rows_are_kept() {
        let output = "UID   PID  PPID CMD\nroot   1   0 init\nroot  77   1 sh -c a  b\n\nroot 78 77 x\n";
        let table = table(output, &[77, 78]).unwrap();
        assert_eq!(table.titles.unwrap(), ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(table.processes.unwrap(), [["root", "77", "1", "sh -c a b"], ["root", "78", "77", "x"]]);
    }

    #[test]
    fn without_a_pid_column_nothing_can_be_told() {
        let error = table("COMMAND\nsleep\n", &[1]).unwrap_err();
        assert_eq!(error.message, "Couldn't find PID field in ps output");
    }
}
