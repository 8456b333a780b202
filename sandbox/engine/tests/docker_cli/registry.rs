//! Pushing to and pulling from a real registry, Debian's `docker-registry`, on the loopback device of the lab.

use crate::lab::{Came, Lab, skip};
use crate::{eventually, with_each_client};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = "/usr/bin/docker-registry";

/// The line of a password file for `me` with the password `secret`.
const ACCOUNT: &str = "me:$2b$04$IgxC71BjtNg8RjrQXRIFquF1bthKWT6TMOrOZb2K7Jflmk5x2Nh7C\n";

/// A registry in the network namespace of a lab; ended on drop.
struct Registry {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `nsenter …`: a command in the network namespace of a lab.
fn inside(lab: &Lab) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", lab.inside())).arg("--net");
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--preserve-credentials"]);
    }
    command
}

impl Registry {
    fn start(lab: &Lab, with_account: bool) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            return skip("there is no /usr/bin/docker-registry (Debian's docker-registry)");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:5000\"}}\n",
            path("data").display()
        );
        if with_account {
            std::fs::write(path("accounts"), ACCOUNT).unwrap();
            config += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("accounts").display());
        }
        std::fs::write(path("config.yml"), config).unwrap();
        let up = inside(lab).args(["ip", "link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        let mut command = inside(lab);
        command.args([PROGRAM, "serve"]).arg(path("config.yml"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let listens = || {
            let tcp = std::fs::read_to_string(format!("/proc/{}/net/tcp", lab.inside())).unwrap_or_default();
            tcp.contains("0100007F:1388 00000000:0000 0A")
        };
        assert!(eventually(listens, |&listens| listens), "the registry does not listen");
        Some(Self { child, directory })
    }

    /// The file of a blob.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.directory
            .path()
            .join("data/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    /// The digests of a manifest's layers.
    fn layers(&self, manifest: &str) -> Vec<String> {
        let text = std::fs::read(self.blob(manifest)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let layers = value["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }
}

#[track_caller]
fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let Came { code, out, err } = lab.docker(arguments);
    assert_ne!(code, 0, "docker {arguments:?} has succeeded: {out}");
    err
}

const NAME: &str = "127.0.0.1:5000/mine/it";

#[test]
fn images_go_to_a_registry_and_come_back() {
    with_each_client(|lab| {
        let Some(registry) = Registry::start(lab, false) else { return };
        let (one, two) = (format!("{NAME}:1"), format!("{NAME}:2"));
        let busybox = lab.ok(&["images", "-q", "--no-trunc", "busybox"]);
        lab.ok(&["run", "--name", "made", "busybox", "sh", "-c", "echo hi > /new; rm /etc/plain"]);
        let id = lab.ok(&["commit", "made", &one]);
        lab.ok(&["rm", "made"]);
        lab.ok(&["tag", "busybox", &two]);
        let pushed = lab.ok(&["push", &one]);
        assert!(pushed.starts_with(&format!("The push refers to repository [{NAME}]")), "{pushed}");
        assert_eq!(pushed.matches(": Pushed").count(), 2, "{pushed}");
        let digest = pushed.split("1: digest: ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(registry.blob(digest).exists());
        let again = lab.ok(&["push", &two]);
        assert_eq!(
            (again.matches(": Pushed").count(), again.matches(": Layer already exists").count()),
            (0, 1),
            "{again}"
        );
        let pinned = format!("{NAME}@{digest}");
        assert_eq!(lab.ok(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &one]), pinned);
        // Gone here, and fetched again.
        lab.ok(&["rmi", &one]);
        lab.ok(&["rmi", &two]);
        assert!(lab.ok(&["images", "-q", NAME]).is_empty());
        let pulled = lab.ok(&["pull", &one]);
        for line in [
            "1: Pulling from mine/it",
            &format!("Digest: {digest}"),
            &format!("Status: Downloaded newer image for {one}"),
        ] {
            assert!(pulled.contains(line), "{line}: {pulled}");
        }
        assert_eq!(
            pulled.matches(": Already exists").count(),
            1,
            "the lower layer is the lab's own: {pulled}"
        );
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", &one]), id, "it is known again");
        assert_eq!(lab.ok(&["run", "--rm", &one, "sh", "-c", "cat /new; test ! -e /etc/plain"]), "hi");
        assert!(lab.ok(&["pull", &one]).contains(&format!("Status: Image is up to date for {one}")));
        lab.ok(&["pull", &two]);
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", &two]), busybox);
        // By digest alone.
        lab.ok(&["rmi", &one]);
        lab.ok(&["pull", &pinned]);
        let listed = lab.ok(&["images", "--digests", "--format", "{{.Tag}} {{.Digest}} {{.ID}}", NAME]);
        assert!(listed.contains(&format!("<none> {digest} {}", &id[7..19])), "{listed}");
        lab.ok(&["run", "--rm", &pinned, "true"]);
    });
}

#[test]
fn a_build_fetches_the_images_that_it_names() {
    with_each_client(|lab| {
        let Some(_registry) = Registry::start(lab, true) else { return };
        let one = format!("{NAME}:1");
        let build = |arguments: &[&str], dockerfile: &str| {
            let words = [&["build", "--no-cache", "-t", "built"], arguments, &["-"]].concat();
            lab.docker_with_input(&words, dockerfile.as_bytes())
        };
        let log_in = || {
            let words = ["login", "-u", "me", "--password-stdin", "127.0.0.1:5000"];
            assert_eq!(lab.docker_with_input(&words, b"secret").code, 0);
        };
        log_in();
        lab.ok(&["tag", "busybox", &one]);
        lab.ok(&["push", &one]);
        lab.ok(&["rmi", &one]);
        let from = format!("FROM {one}\nRUN echo built\n");
        let came = build(&[], &from);
        assert!(came.code == 0 && came.out.contains("1: Pulling from mine/it"), "{came:?}");
        let came = build(&[], &from);
        assert!(came.code == 0 && !came.out.contains("Pulling from"), "it is here: {came:?}");
        let came = build(&["--pull"], &from);
        assert!(came.code == 0 && came.out.contains("Image is up to date"), "{came:?}");
        lab.ok(&["rmi", "-f", &one]);
        let came = build(&["-q"], &format!("FROM busybox\nCOPY --from={one} /bin/busybox /other\n"));
        assert!(came.code == 0 && came.out.trim().starts_with("sha256:"), "{came:?}");
        lab.ok(&["rmi", "-f", &one]);
        lab.ok(&["logout", "127.0.0.1:5000"]);
        let came = build(&[], &from);
        assert!(came.code != 0 && came.err.contains("no basic auth credentials"), "{came:?}");
        // What the lab came with is as new as it gets.
        assert_eq!(build(&["--pull", "-q"], "FROM busybox\n").code, 0);
    });
}

#[test]
fn what_a_registry_has_not_or_lies_about_is_refused() {
    with_each_client(|lab| {
        let Some(registry) = Registry::start(lab, false) else { return };
        let one = format!("{NAME}:1");
        let missing = refused(lab, &["pull", &one]);
        let words = format!("manifest for {one} not found: manifest unknown: manifest unknown");
        assert!(missing.contains(&words), "{missing}");
        let local = refused(lab, &["push", &one]);
        assert!(local.contains(&format!("An image does not exist locally with the tag: {NAME}")), "{local}");
        lab.ok(&["run", "--name", "made", "busybox", "touch", "/new"]);
        lab.ok(&["commit", "made", &one]);
        lab.ok(&["rm", "made"]);
        let pushed = lab.ok(&["push", &one]);
        let digest = pushed.split("1: digest: ").nth(1).unwrap().split(' ').next().unwrap();
        let top = registry.layers(digest).pop().unwrap();
        lab.ok(&["rmi", &one]);
        let before = lab.ok(&["images", "-aq"]);
        let whole = std::fs::read(registry.blob(&top)).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        for wrong in [changed, whole[..whole.len() / 2].to_vec(), [&whole[..], &whole[..]].concat()] {
            std::fs::write(registry.blob(&top), wrong).unwrap();
            refused(lab, &["pull", &one]);
            assert_eq!(lab.ok(&["images", "-aq"]), before, "nothing of it is here");
        }
        std::fs::write(registry.blob(&top), whole).unwrap();
        let manifest = std::fs::read(registry.blob(digest)).unwrap();
        std::fs::write(registry.blob(digest), [&manifest[..], b" "].concat()).unwrap();
        refused(lab, &["pull", &format!("{NAME}@{digest}")]);
        std::fs::write(registry.blob(digest), manifest).unwrap();
        lab.ok(&["pull", &one]);
    });
}

#[test]
fn a_registry_may_want_to_know_who_asks() {
    with_each_client(|lab| {
        let Some(_registry) = Registry::start(lab, true) else { return };
        let one = format!("{NAME}:1");
        lab.ok(&["tag", "busybox", &one]);
        refused(lab, &["push", &one]);
        refused(lab, &["pull", &one]);
        let log_in = |password: &str| {
            lab.docker_with_input(
                &["login", "-u", "me", "--password-stdin", "127.0.0.1:5000"],
                password.as_bytes(),
            )
        };
        let wrong = log_in("wrong");
        assert!(wrong.code != 0 && wrong.err.contains("401 Unauthorized"), "{wrong:?}");
        let right = log_in("secret");
        assert!(right.code == 0 && right.out.contains("Login Succeeded"), "{right:?}");
        lab.ok(&["push", &one]);
        lab.ok(&["rmi", &one]);
        lab.ok(&["pull", &one]);
        lab.ok(&["logout", "127.0.0.1:5000"]);
        refused(lab, &["pull", &one]);
    });
}

#[test]
fn a_lab_without_a_registry_says_what_it_has() {
    with_each_client(|lab| {
        let told = refused(lab, &["pull", "nosuch"]);
        let words = "pull access denied for nosuch: this lab has no access to a registry. The images it has: busybox:latest, \
                     ubuntu:latest";
        assert!(told.contains(words), "{told}");
    });
}
