//! Images: named, removed, committed, imported, saved and loaded. The words are dockerd's.

use crate::lab::{Came, Lab};
use crate::with_each_client;
use serde_json::Value;

/// A command that has to fail, and what it says after `Error response from daemon: `.
#[track_caller]
fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let Came { code, err, .. } = lab.docker(arguments);
    assert_ne!(code, 0, "docker {arguments:?} has succeeded");
    let told = err.trim();
    told.strip_prefix("Error response from daemon: ").unwrap_or(told).to_owned()
}

/// The bytes that a command writes.
#[track_caller]
fn bytes(lab: &Lab, arguments: &[&str]) -> Vec<u8> {
    let output = lab.command(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn names_come_and_go() {
    with_each_client(|lab| {
        let id = lab.ok(&["images", "-q", "--no-trunc", "busybox"]);
        let short = &id["sha256:".len()..][..12];
        lab.ok(&["tag", "busybox", "reg.example:5000/mine/it:1"]);
        lab.ok(&["tag", short, "second"]);
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", "reg.example:5000/mine/it"]), id);
        assert_eq!(lab.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}", "sec*"]), "second:latest");
        assert_eq!(refused(lab, &["tag", "nosuch", "x"]), "No such image: nosuch:latest");
        let ambiguous = "refusing to create an ambiguous tag using digest algorithm as name";
        assert_eq!(refused(lab, &["tag", "busybox", "sha256:1"]), ambiguous);
        let several = format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        );
        assert_eq!(refused(lab, &["rmi", short]), several);
        assert_eq!(lab.ok(&["rmi", "second"]), "Untagged: second:latest");
        // The older client has words of its own here.
        assert!(refused(lab, &["rmi", "second"]).contains("No such image: second"));
        assert_eq!(lab.ok(&["run", "--rm", "reg.example:5000/mine/it:1", "echo", "runs"]), "runs");
    });
}

#[test]
fn what_is_in_use_is_not_removed() {
    with_each_client(|lab| {
        let short = lab.ok(&["images", "-q", "busybox"]);
        lab.ok(&["rmi", "ubuntu"]);
        let up = lab.ok(&["run", "-d", "--name", "up", "busybox", "sleep", "600"]);
        let up = &up[..12];
        let named = format!(
            "conflict: unable to remove repository reference \"busybox\" (must force) - container {up} is using its \
             referenced image {short}"
        );
        assert_eq!(refused(lab, &["rmi", "busybox"]), named);
        let running = format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {up}"
        );
        assert_eq!(refused(lab, &["rmi", "-f", &short]), running);
        lab.ok(&["kill", "up"]);
        let stopped = format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {up}"
        );
        assert_eq!(refused(lab, &["rmi", &short]), stopped);
        let removed = lab.ok(&["rmi", "-f", &short]);
        assert!(removed.contains("Untagged: busybox:latest\nDeleted: sha256:"), "{removed}");
        assert_eq!(lab.ok(&["images", "-qa"]), "");
        // A container that was made from it goes on.
        lab.ok(&["start", "up"]);
        assert_eq!(lab.ok(&["exec", "up", "echo", "there"]), "there");
        assert_eq!(refused(lab, &["create", "busybox"]).lines().count(), 2, "it would have to be pulled");
    });
}

#[test]
fn a_commit_is_an_image_with_the_changes() {
    with_each_client(|lab| {
        lab.ok(&[
            "run",
            "--name",
            "made",
            "busybox",
            "sh",
            "-c",
            "echo hi > /hi; rm /etc/plain; rm -r /home; mkdir /home",
        ]);
        let id = lab.ok(&[
            "commit",
            "-a",
            "Me <me@x>",
            "-m",
            "a message",
            "-c",
            "CMD [\"cat\",\"/hi\"]",
            "-c",
            "ENV A=b",
            "-c",
            "EXPOSE 80",
            "-c",
            "LABEL x=y",
            "-c",
            "USER 1000",
            "made",
            "kept:1",
        ]);
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", "kept"]), id);
        assert_eq!(lab.ok(&["run", "--rm", "kept:1"]), "hi");
        // A file that is removed and a directory that is replaced stay so.
        assert_eq!(
            lab.ok(&["run", "--rm", "kept:1", "sh", "-c", "ls /etc/plain /home 2>&1; id -u; echo $A"]),
            "ls: /etc/plain: No such file or directory\n/home:\n1000\nb"
        );
        let inspect: Value = serde_json::from_str(&lab.ok(&["image", "inspect", "kept:1"])).unwrap();
        let image = &inspect[0];
        assert_eq!(image["Parent"].as_str().unwrap(), lab.ok(&["images", "-q", "--no-trunc", "busybox"]));
        assert_eq!((&image["Author"], &image["Comment"]), (&"Me <me@x>".into(), &"a message".into()));
        assert_eq!(image["Config"]["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
        assert_eq!(image["Config"]["Labels"]["x"], "y");
        assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 2);
        let history =
            lab.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "kept:1"]);
        assert!(
            history.starts_with("sh -c echo hi > /hi; rm /etc/plain; rm -r /home; mkdir /home|3B|a message"),
            "{history}"
        );
        assert_eq!(refused(lab, &["commit", "-c", "RUN x", "made"]), "run is not a valid change command");
        assert_eq!(refused(lab, &["commit", "nosuch"]), "No such container: nosuch");
        // Its parent has a child now.
        let base = lab.ok(&["images", "-q", "busybox"]);
        let child = format!(
            "conflict: unable to delete {base} (cannot be forced) - image has dependent child images"
        );
        assert_eq!(refused(lab, &["rmi", "-f", &base]), child);
        // Untagged, it is dangling, and pruned.
        lab.ok(&["rm", "made"]);
        let unnamed = {
            lab.ok(&["create", "--name", "empty", "busybox", "true"]);
            let id = lab.ok(&["commit", "empty"]);
            lab.ok(&["rm", "empty"]);
            id
        };
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", "-f", "dangling=true"]), unnamed);
        let pruned = lab.ok(&["image", "prune", "-f"]);
        assert!(
            pruned.contains(&format!("deleted: {unnamed}")) && pruned.contains("Total reclaimed space: 0B"),
            "{pruned}"
        );
        let removed = lab.ok(&["rmi", "kept:1"]);
        assert_eq!(removed.lines().count(), 3, "a name, an image, a layer: {removed}");
    });
}

#[test]
fn an_archive_becomes_an_image() {
    with_each_client(|lab| {
        let mut builder = tar::Builder::new(vec![]);
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_mode(0o755);
        let program = std::fs::read("/usr/bin/busybox").unwrap();
        header.set_size(program.len() as u64);
        builder.append_data(&mut header, "busybox", program.as_slice()).unwrap();
        let archive = builder.into_inner().unwrap();
        let came = lab.docker_with_input(
            &["import", "-m", "mess", "-c", "ENTRYPOINT [\"/busybox\"]", "-", "made:1"],
            &archive,
        );
        assert_eq!(came.code, 0, "{came:?}");
        assert_eq!(came.out.trim(), lab.ok(&["images", "-q", "--no-trunc", "made"]));
        assert_eq!(lab.ok(&["run", "--rm", "made:1", "echo", "imported"]), "imported");
        assert_eq!(lab.ok(&["history", "--format", "{{.Comment}}|{{.CreatedBy}}", "made:1"]), "mess|");
        let came = lab.docker_with_input(&["import", "-"], b"FROM busybox\n");
        assert!(
            came.code == 1 && came.err.contains("Error processing tar file(exit status 1): "),
            "{came:?}"
        );
        let came = lab.docker(&["import", "http://127.0.0.1:1/x.tar"]);
        assert!(came.code == 1 && came.err.contains("no way to other machines"), "{came:?}");
    });
}

#[test]
fn images_leave_and_come_back() {
    with_each_client(|lab| {
        lab.ok(&["run", "--name", "made", "busybox", "touch", "/new"]);
        let id = lab.ok(&["commit", "made", "kept:1"]);
        lab.ok(&["tag", "kept:1", "kept:2"]);
        let base = lab.ok(&["images", "-q", "--no-trunc", "busybox"]);
        let archive = bytes(lab, &["save", "kept", "busybox"]);
        let mut names: Vec<_> = tar::Archive::new(archive.as_slice())
            .entries()
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.header().entry_type().is_file())
            .map(|entry| entry.path().unwrap().display().to_string())
            .collect();
        assert!(
            names.contains(&"manifest.json".into()) && names.contains(&"repositories".into()),
            "{names:?}"
        );
        names.retain(|name| name.ends_with("layer.tar"));
        assert_eq!(names.len(), 2, "a layer that two images have is written once: {names:?}");
        lab.ok(&["rm", "made"]);
        lab.ok(&["rmi", "kept:1", "kept:2"]);
        let came = lab.docker_with_input(&["load"], &archive);
        assert_eq!(came.code, 0, "{came:?}");
        for line in ["Loaded image: kept:1", "Loaded image: kept:2", "Loaded image: busybox:latest"] {
            assert!(came.out.contains(line), "{came:?}");
        }
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", "kept:1"]), id, "it is known again");
        assert_eq!(lab.ok(&["images", "-q", "--no-trunc", "busybox"]), base);
        lab.ok(&["run", "--rm", "kept:2", "test", "-e", "/new"]);
        assert_eq!(refused(lab, &["save", "nosuch"]), "No such image: nosuch");
        assert_eq!(refused(lab, &["save", "kept:9"]), "reference does not exist");
        let came = lab.docker_with_input(&["load"], b"");
        assert!(came.code == 1 && came.err.contains("repositories: no such file or directory"), "{came:?}");
    });
}

#[test]
fn events_tell_of_images() {
    with_each_client(|lab| {
        lab.ok(&["tag", "busybox", "x:1"]);
        lab.ok(&["rmi", "x:1"]);
        let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
        let told = lab.ok(&[
            "events",
            "--since",
            "0",
            "--until",
            &until.to_string(),
            "--filter",
            "type=image",
            "--format",
            "{{.Action}} {{.Actor.Attributes.name}}",
        ]);
        let mut lines = told.lines();
        assert_eq!(lines.next(), Some("tag x:1"));
        assert!(lines.next().is_some_and(|line| line.starts_with("untag sha256:")), "{told}");
    });
}

#[test]
fn the_disk_is_accounted_for() {
    with_each_client(|lab| {
        lab.ok(&["run", "--name", "made", "busybox", "sh", "-c", "echo hello > /new"]);
        lab.ok(&["commit", "made", "kept:1"]);
        let table = lab.ok(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}"]);
        assert!(table.contains("Images 2 1 ") && table.contains("Containers 1 0 6B"), "{table}");
        let whole = lab.ok(&["system", "df", "-v"]);
        let line = whole.lines().find(|line| line.starts_with("kept ")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[words.len() - 2..], ["6B", "0"], "what it alone has, and its containers: {line}");
    });
}
