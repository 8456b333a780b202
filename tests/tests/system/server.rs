//! `isolab serve`: who may ask it, and that labs outlive it.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::{Outcome, Stop};
use isolab_tests::programs::{self, WAIT_MAX};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A state directory of its own, with the machine's images; its agent is ended with it.
struct Home<'w> {
    world: &'w World,
    folder: TempDir,
}

impl<'w> Home<'w> {
    fn new(world: &'w World) -> Result<Self, Stop> {
        let folder = tempfile::Builder::new().prefix("isolab-server-test-").tempdir()?;
        let images = world.home().join("images");
        std::os::unix::fs::symlink(images, folder.path().join("images"))?;
        Ok(Self { world, folder })
    }

    fn isolab(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.isolab(arguments);
        command.env("ISOLAB_HOME", self.folder.path());
        command
    }

    /// Starts a server at an address (port 0: any), and waits until it says where it is.
    fn serve(&self, address: &str) -> Result<Server, Stop> {
        let mut command = self.isolab(&["serve", "--listen", address]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address =
            line.trim().rsplit("http://").next().and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let server = Server { child, address: address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))) };
        ensure_address(address, &line)?;
        Ok(server)
    }
}

fn ensure_address(address: Option<SocketAddr>, line: &str) -> Outcome {
    ensure!(address.is_some(), "the server did not say where it is, but {line:?}");
    Ok(())
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        // The test after next looks whether anything is left; here is nobody to tell.
        let _ = programs::run(&mut self.isolab(&["stop"]), WAIT_MAX);
    }
}

/// A running server, killed with the value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}

impl Server {
    /// Sends a request with these header lines; the status and the whole answer.
    fn ask(&self, request: &str, headers: &[String]) -> Result<(u16, String), Stop> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        write!(stream, "{request} HTTP/1.1\r\nConnection: close\r\n{}\r\n\r\n", headers.join("\r\n"))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, answer))
    }

    fn host(&self) -> String {
        format!("Host: {}", self.address)
    }

    /// A POST as a page of this server sends it.
    fn post(&self, path: &str) -> Result<(u16, String), Stop> {
        let origin = format!("Origin: http://{}", self.address);
        let length = "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}".to_owned();
        self.ask(&format!("POST {path}"), &[self.host(), origin, length])
    }

    /// The lab of a lesson, once it is ready.
    fn lab(&self, lesson: &str) -> Result<Value, Stop> {
        let began = Instant::now();
        loop {
            let (status, answer) = self.post(&format!("/api/lessons/{lesson}/lab"))?;
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let json = body
                .find('{')
                .and_then(|at| serde_json::Deserializer::from_str(&body[at..]).into_iter().next());
            let view: Value = json.transpose()?.unwrap_or_default();
            if view["lab"]["phase"] == "ready" {
                return Ok(view["lab"].clone());
            }
            ensure!(status < 300 && began.elapsed() < WAIT_MAX, "the lab did not open: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

pub fn a_page_is_served_to_this_machine_only(world: &World) -> Outcome {
    let home = Home::new(world)?;
    let server = home.serve("127.0.0.1:0")?;
    let (status, page) = server.ask("GET /", &[server.host()])?;
    ensure!(status == 200 && page.contains("Isolab"), "the home page: {status}");
    let policy = page.lines().find(|line| line.to_lowercase().starts_with("content-security-policy:"));
    ensure!(
        policy.is_some_and(|policy| !policy.contains("unsafe-inline")),
        "content security policy: {policy:?}"
    );
    let (status, _) = server.ask("GET /", &["Host: attacker.example".to_owned()])?;
    ensure!(status == 421, "another name for this machine was answered with {status}");
    let stranger = "Origin: http://attacker.example".to_owned();
    let (status, _) =
        server.ask("POST /api/lessons/x/lab", &[server.host(), stranger, "Content-Length: 0".to_owned()])?;
    ensure!(status == 403, "a post from another site was answered with {status}");
    let elsewhere =
        programs::run(&mut home.isolab(&["serve", "--listen", "0.0.0.0:0"]), Duration::from_secs(10))?;
    ensure!(elsewhere.code() != 0, "it serves to the whole network");
    Ok(())
}

pub fn a_killed_server_comes_back_to_the_same_lab(world: &World) -> Outcome {
    let list: Value = serde_json::from_str(&world.run(&["lesson", "list", "--json"])?.stdout)?;
    let lesson = list["lessons"][0]["slug"].as_str().unwrap_or_default();
    let home = Home::new(world)?;
    let mut server = home.serve("127.0.0.1:0")?;
    let before = server.lab(lesson)?;
    server.child.kill()?;
    server.child.wait()?;
    let again = home.serve(&server.address.to_string())?;
    let after = again.lab(lesson)?;
    ensure!(
        before["id"] == after["id"] && before["generation"] == after["generation"],
        "{before} became {after}"
    );
    drop(again);
    let stopped = programs::run(&mut home.isolab(&["stop"]), WAIT_MAX)?;
    ensure!(stopped.code() == 0 && stopped.stdout.contains("1 lab"), "stop: {stopped:?}");
    ensure!(!Path::new(&home.folder.path().join("run/agent.sock")).exists(), "the agent's socket is left");
    Ok(())
}
