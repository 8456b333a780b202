//! `docker-compose` (Debian's, with its Python SDK) with a small file: two services, a network, a volume, ports.

use super::lab::{Came, Lab, skip};
use super::{eventually, with_one_client};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const FILE: &str = "version: '3'
services:
  web:
    image: busybox
    command: nc -ll -p 80 -e cat /data/word
    volumes: ['data:/data']
    ports: ['18088:80']
    networks: [front]
    depends_on: [store]
  store:
    image: busybox
    command: sh -c 'echo stored > /data/word; echo ready; exec sleep 3600'
    volumes: ['data:/data']
    networks:
      front: {aliases: [warehouse]}
networks:
  front: {}
volumes:
  data: {}
";

fn compose(lab: &Lab, directory: &Path, arguments: &[&str]) -> Came {
    // Debian's own Python modules, not newer ones that somebody has installed beside them.
    let mut command = Command::new("timeout");
    command.args(["100", "/usr/bin/python3", "-s", "/usr/bin/docker-compose", "--no-ansi"]).args(arguments);
    command.env("PYTHONPATH", "/usr/lib/python3/dist-packages").stdin(Stdio::null()).current_dir(directory);
    command.env("DOCKER_HOST", format!("unix://{}", lab.socket().display()));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Came { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_small_file_comes_up_and_goes_down() {
    if !Path::new("/usr/bin/docker-compose").exists() {
        let _: Option<Lab> = skip("there is no /usr/bin/docker-compose (Debian's docker-compose)");
        return;
    }
    with_one_client(|lab| {
        let directory = lab.socket().with_file_name("project");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("docker-compose.yml"), FILE).unwrap();
        let run = |arguments: &[&str]| {
            let came = compose(lab, &directory, arguments);
            assert_eq!(came.code, 0, "docker-compose {arguments:?}: {came:?}\n{}", lab.log());
            came.out + &came.err
        };
        run(&["up", "-d"]);
        let listed = run(&["ps"]);
        assert!(listed.contains("project_web_1") && listed.contains("0.0.0.0:18088->80/tcp"), "{listed}");
        let logged = eventually(|| run(&["logs"]), |logs| logs.contains("ready"));
        assert!(logged.contains("store_1") && logged.contains("ready"), "{logged}");
        let found = run(&["exec", "-T", "web", "nslookup", "warehouse"]);
        assert!(found.contains("172.18.0."), "{found}");
        let fetch = ["run", "--rm", "busybox", "sh", "-c", "nc -w 5 172.17.0.1 18088 </dev/null"];
        assert_eq!(eventually(|| lab.docker(&fetch).out, |out| out == "stored\n"), "stored\n");
        // Nothing has changed: the same containers stay.
        let before = lab.ok(&["ps", "-q", "--no-trunc"]);
        run(&["up", "-d"]);
        assert_eq!(lab.ok(&["ps", "-q", "--no-trunc"]), before);
        run(&["down", "-v"]);
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
        assert_eq!(lab.ok(&["volume", "ls", "-q"]), "");
        assert_eq!(lab.ok(&["network", "ls", "-q", "--filter", "type=custom"]), "");
    });
}
