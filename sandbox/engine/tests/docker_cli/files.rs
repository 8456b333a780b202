//! Files in and out of containers: `docker cp`, `docker diff`, `docker export`, `docker ps -s`, in the words of dockerd
//! 20.10.24.

use crate::lab::{Came, Lab};
use crate::{with_each_client, with_one_client};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// A path of this machine as an argument.
fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// What `tar t` prints of an archive that a command writes to its output.
fn listed(lab: &Lab, arguments: &[&str]) -> Vec<String> {
    let archive = lab.command(arguments).output().unwrap();
    assert!(archive.status.success(), "{archive:?}");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tar"), archive.stdout).unwrap();
    let tar = Command::new("tar").args(["tPf", "tar"]).current_dir(&directory).output().unwrap();
    String::from_utf8(tar.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// An archive with these arguments of tar, made in a directory.
fn tar(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let made =
        Command::new("tar").arg("cP").args(arguments).current_dir(directory).stderr(Stdio::null()).output();
    made.unwrap().stdout
}

#[test]
fn files_go_in_and_come_out() {
    with_each_client(|lab| {
        let here = tempfile::tempdir().unwrap();
        let path = |name: &str| text(&here.path().join(name));
        fs::create_dir_all(here.path().join("dir/sub")).unwrap();
        fs::write(here.path().join("dir/file"), "hello").unwrap();
        fs::set_permissions(here.path().join("dir/file"), PermissionsExt::from_mode(0o6750)).unwrap();
        fs::hard_link(here.path().join("dir/file"), here.path().join("dir/sub/again")).unwrap();
        symlink("file", here.path().join("dir/link")).unwrap();
        lab.ok(&[
            "run",
            "-d",
            "--name",
            "up",
            "-v",
            "data:/data",
            "-v",
            "/mnt/ro:/ro:ro",
            "--tmpfs",
            "/ram",
            "busybox",
            "sleep",
            "3600",
        ]);
        lab.ok(&["create", "--name", "new", "busybox"]);
        for container in ["up", "new"] {
            lab.ok(&["cp", &path("dir"), &format!("{container}:/tmp")]);
            lab.ok(&["cp", &path("dir/file"), &format!("{container}:/tmp/renamed")]);
            let back = tempfile::tempdir().unwrap();
            lab.ok(&["cp", &format!("{container}:/tmp/dir"), &text(back.path())]);
            let out = back.path().join("dir");
            assert_eq!(fs::read_to_string(out.join("sub/again")).unwrap(), "hello");
            assert_eq!(fs::metadata(out.join("file")).unwrap().permissions().mode() & 0o7777, 0o6750);
            assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("file"));
            lab.ok(&["cp", &format!("{container}:/tmp/renamed"), &text(&back.path().join("one"))]);
            assert_eq!(fs::read_to_string(back.path().join("one")).unwrap(), "hello");
            // A link is copied as one, or followed where asked.
            lab.ok(&["cp", &format!("{container}:/tmp/dir/link"), &text(&back.path().join("l"))]);
            assert!(back.path().join("l").is_symlink());
            lab.ok(&["cp", "-L", &format!("{container}:/tmp/dir/link"), &text(&back.path().join("L"))]);
            assert_eq!(fs::read_to_string(back.path().join("L")).unwrap(), "hello");
            assert_eq!(
                listed(lab, &["cp", &format!("{container}:/tmp/dir/."), "-"]),
                ["./", "./file", "./link", "./sub/", "./sub/again"]
            );
            assert_eq!(
                listed(lab, &["cp", &format!("{container}:/tmp/dir/sub"), "-"]),
                ["sub/", "sub/again"]
            );
            assert!(
                listed(lab, &["cp", &format!("{container}:/"), "-"]).contains(&"/tmp/dir/file".to_owned())
            );
        }
        assert_eq!(lab.ok(&["exec", "up", "stat", "-c", "%a %h", "/tmp/dir/file"]), "6750 2");
        lab.ok(&["start", "new"]);
        // Volumes and the container's own files are in it; a tmpfs is not, as with Docker.
        lab.ok(&["cp", &path("dir/file"), "up:/data/f"]);
        assert_eq!(lab.ok(&["exec", "up", "cat", "/data/f"]), "hello");
        lab.ok(&["cp", &path("dir/file"), "up:/ram/f"]);
        assert_eq!(lab.ok(&["exec", "up", "ls", "/ram"]), "");
        let hosts = tempfile::tempdir().unwrap();
        lab.ok(&["cp", "up:/etc/hosts", &text(hosts.path())]);
        assert!(fs::read_to_string(hosts.path().join("hosts")).unwrap().contains("localhost"));
        // An archive on the input, compressed too.
        let archive = tar(here.path(), &["-z", "dir/sub"]);
        let came = lab.docker_with_input(&["cp", "-", "up:/data"], &archive);
        assert_eq!(
            (came.code, lab.ok(&["exec", "up", "cat", "/data/dir/sub/again"])),
            (0, "hello".into()),
            "{came:?}"
        );
    });
}

#[test]
fn copies_are_refused_in_docker_s_words() {
    with_one_client(|lab| {
        let here = tempfile::tempdir().unwrap();
        fs::create_dir_all(here.path().join("d/file")).unwrap();
        fs::write(here.path().join("f"), "x").unwrap();
        fs::write(here.path().join("d/inner"), "x").unwrap();
        let f = text(&here.path().join("f"));
        lab.ok(&["run", "-d", "--name", "cc", "-v", "/mnt/ro:/ro:ro", "busybox", "sleep", "3600"]);
        lab.ok(&["run", "-d", "--name", "rr", "--read-only", "-v", "vv:/v", "busybox", "sleep", "3600"]);
        lab.ok(&["exec", "cc", "sh", "-c", "mkdir -p /tmp/d/inner; echo > /tmp/d/file"]);
        let says = |came: Came, words: &str| {
            assert!(came.code != 0 && came.err.contains(words), "{words}: {came:?}")
        };
        says(lab.docker(&["cp", "cc:/nosuch", "-"]), "cc:/nosuch");
        says(lab.docker(&["cp", "cc:/etc/passwd/x", "-"]), "/merged/etc/passwd/x: not a directory");
        says(lab.docker(&["cp", &f, "nosuch:/x"]), "No such container");
        // The reason is heard although there was much more to say.
        let large = here.path().join("large");
        fs::write(&large, vec![0; 8 * 1024 * 1024]).unwrap();
        says(lab.docker(&["cp", &text(&large), "nosuch:/x"]), "No such container");
        says(
            lab.docker(&["cp", &f, "cc:/etc/hosts"]),
            "Error processing tar file(exit status 1): unlinkat /etc/hosts: device or resource busy",
        );
        says(lab.docker(&["cp", &f, "cc:/ro/x"]), "mounted volume is marked read-only");
        says(lab.docker(&["cp", &f, "rr:/tmp/x"]), "container rootfs is marked read-only");
        lab.ok(&["cp", &f, "rr:/v/x"]);
        let d = text(&here.path().join("d/."));
        let refused = lab.docker(&["cp", &d, "cc:/tmp/d"]);
        says(refused, "Error processing tar file(exit status 1): cannot overwrite ");
        symlink("../../../../x", here.path().join("d/up")).unwrap();
        let archive = tar(here.path(), &["d/up"]);
        says(
            lab.docker_with_input(&["cp", "-", "cc:/tmp"], &archive),
            "invalid symlink \"/tmp/d/up\" -> \"../../../../x\"",
        );
        let archive = tar(here.path(), &["--transform", "s,^f,../f,", "f"]);
        says(lab.docker_with_input(&["cp", "-", "cc:/tmp"], &archive), "\"../f\" is outside of \"/tmp\"");
    });
}

#[test]
fn a_container_cannot_lead_a_copy_out() {
    with_one_client(|lab| {
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("f"), "written").unwrap();
        let f = text(&here.path().join("f"));
        // /mnt is the lab host's; the container's own is made here.
        let script = "ln -s /mnt /tmp/abs; ln -s ../../../../../mnt /tmp/rel; ln -s /proc/self/root /tmp/magic; \
                      ln -s /etc/passwd /tmp/file; mkdir /mnt; touch /ready; \
                      while :; do ln -sfn /mnt /tmp/race; rm /tmp/race; mkdir /tmp/race; rmdir /tmp/race; done";
        lab.ok(&["run", "-d", "--name", "ev", "-v", "vol:/vol", "busybox", "sh", "-c", script]);
        crate::eventually(|| lab.docker(&["exec", "ev", "ls", "/ready"]).code, |&code| code == 0);
        for place in ["/tmp/abs/out", "/tmp/rel/out", "/tmp/magic/out", "/tmp/race/out", "/tmp/magic/mnt/out"]
        {
            // Done inside, or refused: what counts is the lab host.
            let _ = lab.docker(&["cp", &f, &format!("ev:{place}")]);
        }
        for _ in 0..10 {
            let _ = lab.docker_with_input(
                &["cp", "-", "ev:/tmp"],
                &tar(here.path(), &["--transform", "s,^f,race/out,", "f"]),
            );
        }
        // A file is replaced, not written through the link in its place.
        lab.ok(&["cp", &f, "ev:/tmp"]);
        assert_eq!(
            lab.ok(&[
                "run",
                "--rm",
                "-v",
                "/mnt:/host",
                "busybox",
                "sh",
                "-c",
                "ls /host | grep -c out || true"
            ]),
            "0"
        );
        assert!(lab.ok(&["exec", "ev", "cat", "/mnt/out"]).contains("written"));
        let passwd = listed(lab, &["cp", "-L", "ev:/tmp/file", "-"]);
        assert_eq!(passwd, ["passwd"]);
        // Nothing of it stays mounted.
        let table = lab.ok(&[
            "run",
            "--rm",
            "--privileged",
            "--pid",
            "host",
            "-v",
            "/proc:/p",
            "busybox",
            "sh",
            "-c",
            "grep -c /views/ /p/1/mountinfo || true",
        ]);
        assert_eq!(table, "0");
    });
}

#[test]
fn changes_are_told() {
    with_each_client(|lab| {
        let script = "touch /etc/x; rm /etc/x; rm /etc/passwd; echo >> /etc/group; mkdir /n; echo 1 > /n/a; ln -s /x /n/l; \
                      rm -rf /home; echo f > /home; touch /tmp; rm -rf /root; mkdir /root; echo a > /root/y";
        lab.ok(&["run", "--name", "dd", "-v", "vol:/vol", "busybox", "sh", "-c", script]);
        let told = lab.ok(&["diff", "dd"]);
        let mut lines: Vec<_> = told.lines().collect();
        lines.sort_by_key(|line| line[2..].to_owned());
        assert_eq!(
            lines,
            [
                "C /etc",
                "C /etc/group",
                "D /etc/passwd",
                "C /home",
                "D /home/app",
                "A /n",
                "A /n/a",
                "A /n/l",
                "C /root",
                "A /root/y",
                "A /vol",
            ]
        );
        lab.ok(&["create", "--name", "nn", "busybox"]);
        assert_eq!(lab.ok(&["diff", "nn"]), "");
        let sizes = lab.ok(&["ps", "-as", "--filter", "name=dd", "--format", "{{.Size}}"]);
        assert!(sizes.contains("(virtual ") && !sizes.starts_with("0B"), "{sizes}");
    });
}

#[test]
fn an_export_is_the_root_without_volumes() {
    with_one_client(|lab| {
        let script = "echo in > /vol/f; echo out > /n; ln /n /m; mkfifo /fifo; chown 1000:1000 /n";
        lab.ok(&["run", "--name", "ee", "-v", "vol:/vol", "busybox", "sh", "-c", script]);
        let names = listed(lab, &["export", "ee"]);
        for name in [".dockerenv", "bin/busybox", "etc/passwd", "n", "m", "fifo", "vol/"] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
        assert!(!names.contains(&"vol/f".to_owned()) && names.iter().all(|name| !name.starts_with("./")));
        // It goes into another container as it came.
        let archive = lab.command(&["export", "ee"]).output().unwrap().stdout;
        lab.ok(&["create", "--name", "copy", "busybox", "stat", "-c", "%u %h %F", "/tmp/n"]);
        assert_eq!(lab.docker_with_input(&["cp", "-", "copy:/tmp"], &archive).code, 0);
        assert_eq!(lab.ok(&["start", "-a", "copy"]), "1000 2 regular file");
    });
}
