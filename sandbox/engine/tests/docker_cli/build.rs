//! `docker build` through the genuine command line: the classic builder's steps, cache, files and words.
//!
//! What is expected here is what dockerd 20.10.24 gives to the same Dockerfiles and contexts.

use crate::lab::{Came, Lab};
use crate::{eventually, with_each_client, with_one_client};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

/// A build context.
struct Context(tempfile::TempDir);

impl Context {
    fn new(dockerfile: &str) -> Self {
        let context = Self(tempfile::tempdir().unwrap());
        context.write("Dockerfile", dockerfile);
        context
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn build(&self, lab: &Lab, more: &[&str]) -> Came {
        let path = self.path().to_str().unwrap();
        let mut command = lab.command(&[&["build"], more, &[path]].concat());
        let output = command.env_remove("DOCKER_BUILDKIT").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Came { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn ok(&self, lab: &Lab, more: &[&str]) -> String {
        let came = self.build(lab, more);
        assert_eq!(came.code, 0, "{came:?}\n{}", lab.log());
        came.out
    }
}

/// An output with ids of twelve digits made alike.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let line = |line: &str| {
        line.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(" ")
    };
    let lines = text.lines().filter(|line| !line.starts_with("Sending build context"));
    lines.map(|text| line(text) + "\n").collect()
}

#[test]
fn the_lesson_s_dockerfile_runs_as_its_user() {
    with_each_client(|lab| {
        let context = Context::new("FROM ubuntu\nUSER 1000\n");
        let out = context.ok(lab, &["-t", "as-user"]);
        assert_eq!(
            without_ids(&out),
            "Step 1/2 : FROM ubuntu\n ---> ID\nStep 2/2 : USER 1000\n ---> Running in ID\nRemoving intermediate container ID\n \
             ---> ID\nSuccessfully built ID\nSuccessfully tagged as-user:latest\n"
        );
        assert_eq!(lab.ok(&["run", "--rm", "as-user", "id", "-u"]), "1000");
        assert_eq!(lab.ok(&["inspect", "-f", "{{.Config.User}}", "as-user"]), "1000");
        // No container is left of it, and the next build needs none.
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
        let again = context.ok(lab, &["-t", "as-user"]);
        assert!(again.contains(" ---> Using cache\n") && !again.contains("Running in"), "{again}");
    });
}

#[test]
fn steps_run_in_order_and_end_as_docker_s() {
    with_each_client(|lab| {
        let context = Context::new(
            "FROM busybox\nARG WHO=world\nENV GREETING=hello\nWORKDIR /made/dir\nRUN echo \"$GREETING $WHO\" > said && pwd\n\
             USER app\nRUN id -un; cat said\nCMD [\"cat\", \"said\"]\n",
        );
        let out = context.ok(
            lab,
            &["-t", "steps:1", "--build-arg", "WHO=you", "--build-arg", "unused=1", "--label", "l=$x '"],
        );
        assert!(out.contains("Step 9/9 : LABEL l=$x '\n") && out.contains("\n/made/dir\n"), "{out}");
        assert!(out.contains("\napp\nhello you\n"), "{out}");
        assert!(out.contains("[Warning] One or more build-args [unused] were not consumed\n"), "{out}");
        assert_eq!(lab.ok(&["run", "--rm", "steps:1"]), "hello you");
        assert_eq!(lab.ok(&["inspect", "-f", "{{index .Config.Labels \"l\"}}", "steps:1"]), "$x '");
        let history = lab.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "steps:1"]);
        let lines: Vec<_> = history.lines().collect();
        assert_eq!(lines[0], "/bin/sh -c #(nop)  LABEL l=$x '");
        assert_eq!(lines[2], "|1 WHO=you /bin/sh -c id -un; cat said");
        assert_eq!(lines[5], "/bin/sh -c #(nop) WORKDIR /made/dir");
        // Another argument is another command.
        let other = context.ok(lab, &["--build-arg", "WHO=me"]);
        assert!(other.contains("\napp\nhello me\n") && other.matches("Using cache").count() == 3, "{other}");
    });
}

#[test]
fn an_image_may_have_as_many_layers_as_docker_s() {
    with_one_client(|lab| {
        let copies: String = (1..=120).map(|n| format!("COPY file /many/{n}\n")).collect();
        let context = Context::new(&format!(
            "FROM busybox\n{copies}RUN ls /many | wc -l && rm /many/1 && echo end >/many/2\n"
        ));
        context.write("file", "words");
        let out = context.ok(lab, &["-t", "deep"]);
        assert!(out.contains("\n120\n"), "{out}");
        assert_eq!(lab.ok(&["inspect", "-f", "{{len .RootFS.Layers}}", "deep"]), "122");
        let words = "ls /many | wc -l; cat /many/2 /many/120; echo x >/many/new; rm /many/3";
        assert_eq!(lab.ok(&["run", "--name", "below", "deep", "sh", "-c", words]), "119\nend\nwords");
        assert_eq!(lab.ok(&["diff", "below"]), "C /many\nD /many/3\nA /many/new");
        assert_eq!(lab.ok(&["commit", "below", "deeper"]).len(), 71);
        assert_eq!(lab.ok(&["run", "--rm", "deeper", "sh", "-c", "ls /many | wc -l"]), "119");
        lab.ok(&["rm", "below"]);
    });
}

#[test]
fn a_step_that_fails_gives_its_code() {
    with_each_client(|lab| {
        for (dockerfile, code, message) in [
            ("FROM busybox\nRUN exit 7\n", 7, "The command '/bin/sh -c exit 7' returned a non-zero code: 7"),
            (
                "FROM busybox\nRUN [\"nosuch\"]\n",
                1,
                "exec: \"nosuch\": executable file not found in $PATH: unknown",
            ),
            (
                "FROM scratch\nRUN true\n",
                1,
                "exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown",
            ),
            (
                "FROM busybox\nUSER nosuch\nRUN true\n",
                1,
                "unable to find user nosuch: no matching entries in passwd file",
            ),
            ("FROM busybox\nFROB x\n", 1, "dockerfile parse error line 2: unknown instruction: FROB"),
            (
                "FROM busybox\nCOPY nothere /\n",
                1,
                "COPY failed: file not found in build context or excluded by .dockerignore: stat nothere: file does not exist",
            ),
            (
                "FROM busybox\nCOPY --from=nosuch / /\n",
                1,
                "invalid from flag value nosuch: pull access denied for nosuch",
            ),
            ("FROM nosuch\n", 1, "pull access denied for nosuch"),
            (
                "FROM busybox\nRUN --mount=type=tmpfs,target=/x true\n",
                1,
                "the --mount option requires BuildKit.",
            ),
            ("FROM busybox\nADD https://example.com/x /\n", 1, "ADD failed: Isolab's engine does not fetch"),
        ] {
            let came = Context::new(dockerfile).build(lab, &["--force-rm"]);
            assert!(came.code == code && came.err.contains(message), "{dockerfile}: {came:?}");
        }
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
        // Without --force-rm, the container of a step that failed can be looked at.
        Context::new("FROM busybox\nRUN echo here > /f; false\n").build(lab, &[]);
        let left = lab.ok(&["ps", "-aq"]);
        assert_eq!(left.lines().count(), 1);
        lab.ok(&["rm", &left]);
    });
}

#[test]
fn files_are_copied_by_docker_s_rules() {
    with_one_client(|lab| {
        let context = Context::new(
            "FROM busybox\nWORKDIR /w\nCOPY a .\nCOPY a b\nCOPY d /dir\nCOPY d/ /dir\nCOPY *.txt d/?.txt /t/\nCOPY link /l\n\
             COPY --chown=app:wheel a /owned/deep/\nRUN ln -s /nowhere /dangling; ln -s ../../../etc /out\nCOPY a /dangling\n\
             COPY a /out/\nADD t.tar /tar\nCOPY t.tar /tar.tar\n",
        );
        context.write("a", "A");
        context.write("x.txt", "x");
        context.write("d/y.txt", "y");
        context.write("d/e/secret", "s");
        fs::set_permissions(context.path().join("d/e/secret"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("a", context.path().join("link")).unwrap();
        symlink("/etc/passwd", context.path().join("d/abs")).unwrap();
        let tar = std::process::Command::new("tar")
            .args(["-cf", "t.tar", "--owner=7", "--group=8", "--numeric-owner", "d/e/secret"])
            .current_dir(context.path())
            .status();
        assert!(tar.unwrap().success());
        context.ok(lab, &["-t", "files"]);
        let script = "cd /; for f in w/a w/b dir/y.txt dir/e/secret dir/abs t/x.txt t/y.txt l owned owned/deep owned/deep/a \
                      nowhere etc/a tar/d/e/secret tar.tar; do stat -c '%n %F %a %u:%g' $f; done; readlink dir/abs; cat l";
        assert_eq!(
            lab.ok(&["run", "--rm", "files", "sh", "-c", script]),
            "w/a regular file 644 0:0\nw/b regular file 644 0:0\ndir/y.txt regular file 644 0:0\ndir/e/secret regular file 600 0:0\n\
             dir/abs symbolic link 777 0:0\nt/x.txt regular file 644 0:0\nt/y.txt regular file 644 0:0\nl regular file 644 0:0\n\
             owned directory 755 1000:10\nowned/deep directory 755 1000:10\nowned/deep/a regular file 644 1000:10\n\
             nowhere regular file 644 0:0\netc/a regular file 644 0:0\ntar/d/e/secret regular file 600 7:8\n\
             tar.tar regular file 644 0:0\n/etc/passwd\nA"
        );
    });
}

#[test]
fn a_changed_file_is_another_step_and_an_untouched_one_is_not() {
    with_one_client(|lab| {
        let context = Context::new("FROM busybox\nCOPY a /a\nRUN cat /a\n");
        context.write("a", "1");
        assert!(!context.ok(lab, &[]).contains("Using cache"));
        // Its time alone changes nothing.
        context.write("a", "1");
        assert_eq!(context.ok(lab, &[]).matches("Using cache").count(), 2);
        assert!(!context.ok(lab, &["--no-cache"]).contains("Using cache"));
        context.write("a", "2");
        let out = context.ok(lab, &[]);
        assert!(!out.contains("Using cache") && out.contains("\n2"), "{out}");
        // Everything is still known of the first content.
        context.write("a", "1");
        assert_eq!(context.ok(lab, &[]).matches("Using cache").count(), 2);
    });
}

#[test]
fn stages_are_built_upon_and_copied_from() {
    with_each_client(|lab| {
        let context = Context::new(
            "ARG BASE=busybox\nFROM $BASE AS One\nRUN mkdir /o && echo one > /o/f && chown 5:6 /o/f && rm /etc/plain\n\
             FROM one AS two\nENV two=2\nRUN test ! -e /etc/plain && echo plain > /etc/plain\n\
             FROM scratch AS bare\nCOPY --from=one /o /p\nCOPY --from=busybox /bin/busybox /bin/\n\
             FROM two\nCOPY --from=2 /p/f /q\nCOPY --from=bare / /all\n",
        );
        context.ok(lab, &["-t", "all"]);
        let script = "stat -c '%u:%g' /q; cat /q /etc/plain; ls -d /all/bin/busybox; echo $two";
        let out = lab.ok(&["run", "--rm", "all", "sh", "-c", script]);
        assert_eq!(out, "5:6\none\nplain\n/all/bin/busybox\n2");
        context.ok(lab, &["--target", "BARE", "-t", "bare"]);
        assert_eq!(lab.ok(&["run", "--rm", "bare", "/bin/busybox", "cat", "/p/f"]), "one");
        let missing = context.build(lab, &["--target", "nosuch"]);
        assert!(missing.err.contains("failed to reach build target nosuch in Dockerfile"), "{missing:?}");
        let quiet = context.ok(lab, &["-q"]);
        assert_eq!(quiet.trim(), lab.ok(&["inspect", "-f", "{{.Id}}", "all"]));
    });
}

#[test]
fn triggers_fire_in_the_image_that_is_built_upon_it() {
    with_one_client(|lab| {
        let base = Context::new("FROM busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a\n");
        base.ok(lab, &["-t", "triggers"]);
        let context = Context::new("FROM triggers\nCMD cat /a\n");
        context.write("a", "fired\n");
        let out = context.ok(lab, &["-t", "fired"]);
        assert!(out.contains("# Executing 2 build triggers\n") && out.contains("\nfired\n"), "{out}");
        assert_eq!(lab.ok(&["run", "--rm", "fired"]), "fired");
        assert_eq!(lab.ok(&["inspect", "-f", "{{json .Config.OnBuild}}", "fired"]), "null");
    });
}

#[test]
fn a_client_that_leaves_ends_the_build_and_nothing_is_left() {
    with_one_client(|lab| {
        let context = Context::new("FROM busybox\nRUN echo begun; sleep 1000\n");
        let path = context.path().to_str().unwrap().to_owned();
        let mut command = lab.command(&["build", &path]);
        let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = eventually(|| lab.ok(&["ps", "-q"]), |ids| !ids.is_empty());
        assert_eq!(running.lines().count(), 1, "{running}");
        // `timeout` hands the signal on.
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&client),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        client.wait().unwrap();
        assert_eq!(eventually(|| lab.ok(&["ps", "-aq"]), String::is_empty), "");
        assert_eq!(lab.ok(&["images", "-qf", "dangling=true"]), "");
    });
}

#[test]
fn what_only_buildkit_does_is_refused_in_words() {
    with_each_client(|lab| {
        let context = Context::new("FROM busybox\nENV a=b\n");
        let squashed = context.build(lab, &["--squash"]);
        assert_ne!(squashed.code, 0, "{squashed:?}");
        assert!(lab.ok(&["builder", "prune", "-f"]).contains("Total reclaimed space: 0B"));
        context.write(".dockerignore", "Dockerfile\nignored\n");
        context.write("ignored", "x");
        context.write("sub/My.Dockerfile", "FROM busybox\nCOPY . /all\nRUN cd /all && find . | sort\n");
        let out = context.ok(lab, &["-f", context.path().join("sub/My.Dockerfile").to_str().unwrap()]);
        assert!(out.contains("\n.\n./.dockerignore\n./sub\n./sub/My.Dockerfile\n"), "{out}");
        let input = b"FROM busybox\nRUN echo from standard input\n";
        let piped = lab.docker_with_input(&["build", "-"], input);
        assert!(piped.code == 0 && piped.out.contains("\nfrom standard input\n"), "{piped:?}");
    });
}
