//! Words and errors of [`super`], recorded from dockerd 20.10.24.

use super::*;
use serde_json::json;

fn short(raw: &str) -> Result<Mount, String> {
    short::parse(raw, "").map_err(|error| error.message)
}

fn long_one(mount: Value) -> Result<Mount, String> {
    long(Some(&json!([mount]))).map(|mut list| list.remove(0)).map_err(|error| error.message)
}

#[test]
fn wrong_words_are_refused_as_docker_does() {
    for (raw, message) in [
        ("/a:", "invalid mount config for type \"bind\": field Target must not be empty"),
        ("/a:/", "invalid mount config for type \"bind\": invalid specification: destination can't be '/'"),
        ("/:/", "invalid mount config for type \"bind\": invalid specification: destination can't be '/'"),
        ("/a:/b:c:d", ""),
        (":/x", ""),
        ("::", ""),
        ("/a:ro", ""),
        (
            "v:b",
            "invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute",
        ),
        ("v:/b:shared", "invalid mount config for type \"volume\": field BindOptions must not be specified"),
        (
            "v:/b:nocopy,rshared",
            "invalid mount config for type \"volume\": field BindOptions must not be specified",
        ),
        ("/a:/b:nocopy", "invalid mount config for type \"bind\": field VolumeOptions must not be specified"),
    ] {
        let expected = match message {
            "" => format!("invalid volume specification: '{raw}'"),
            _ => format!("invalid volume specification: '{raw}': {message}"),
        };
        // Docker takes an empty mode for a mode.
        let expected = if raw == "/a:" { "invalid volume specification: '/a:'".into() } else { expected };
        assert_eq!(short(raw), Err(expected));
    }
    for mode in ["foo", "ro,rw", "shared,slave", "rw,z,nocopy,Z", "ro,foo", "ro,", "RO"] {
        assert_eq!(short(&format!("/a:/b:{mode}")), Err(format!("invalid mode: {mode}")));
    }
    for (mount, message) in [
        (json!({"Type": "bind", "Target": "/x"}), "\"bind\": field Source must not be empty"),
        (
            json!({"Type": "bind", "Source": "etc", "Target": "/x"}),
            "\"bind\": invalid mount path: 'etc' mount path must be absolute",
        ),
        (json!({"Type": "foo", "Source": "/etc", "Target": "/x"}), "\"foo\": mount type unknown"),
        (json!({"Type": "npipe", "Source": "/etc", "Target": "/x"}), "\"npipe\": mount type unknown"),
        (
            json!({"Type": "volume", "Source": "v", "Target": "x"}),
            "\"volume\": invalid mount path: 'x' mount path must be absolute",
        ),
        (
            json!({"Type": "volume", "Source": "v", "Target": "/"}),
            "\"volume\": invalid specification: destination can't be '/'",
        ),
        (
            json!({"Type": "tmpfs", "Source": "/a", "Target": "/x"}),
            "\"tmpfs\": field Source must not be specified",
        ),
        (
            json!({"Type": "bind", "Source": "/e", "Target": "/x", "BindOptions": {"Propagation": "foo"}}),
            "\"bind\": invalid propagation mode: foo",
        ),
        (
            json!({"Type": "bind", "Source": "/e", "Target": "/x", "VolumeOptions": {}}),
            "\"bind\": field VolumeOptions must not be specified",
        ),
        (
            json!({"Type": "volume", "Source": "v", "Target": "/x", "BindOptions": {}}),
            "\"volume\": field BindOptions must not be specified",
        ),
        (
            json!({"Type": "volume", "Target": "/x", "ReadOnly": true}),
            "\"volume\": must not set ReadOnly mode when using anonymous volumes",
        ),
    ] {
        assert_eq!(long_one(mount), Err(format!("invalid mount config for type {message}")));
    }
    for (word, message) in [
        ("", "volumes-from specification cannot be an empty string"),
        ("a:xx", "invalid mode: xx"),
        ("a:nocopy", "invalid mode: nocopy"),
        ("a:slave", "invalid mode: slave"),
        (":ro", "invalid name or ID supplied: \"\""),
    ] {
        assert_eq!(short::volumes_from(word).unwrap_err().message, message);
    }
}

#[test]
fn right_words_are_understood() {
    let bind = |raw: &str| match short(raw).unwrap() {
        Mount { destination, source: Source::Bind(bind), read_only, mode } => {
            (bind.path, destination, read_only, mode, bind.propagation.word())
        }
        other => panic!("{other:?}"),
    };
    let text = str::to_owned;
    assert_eq!(bind("/a/../b:/c/./d/../e:ro"), (text("/b"), text("/c/e"), true, text("ro"), "rprivate"));
    assert_eq!(bind("/a:/b:"), (text("/a"), text("/b"), false, text(""), "rprivate"));
    assert_eq!(bind("/a:/b:z,rslave"), (text("/a"), text("/b"), false, text("z,rslave"), "rslave"));
    let Mount { source: Source::Volume(volume), mode, .. } = short("data:/d:nocopy,ro").unwrap() else {
        panic!()
    };
    assert_eq!((volume.name.as_str(), volume.copy, mode.as_str()), ("data", false, "nocopy,ro"));
    assert_eq!(short("data:/d").unwrap().mode, "z");
    let tmpfs = json!({"Type": "tmpfs", "Target": "/t", "ReadOnly": true, "TmpfsOptions": {"SizeBytes": 1024, "Mode": 448}});
    assert_eq!(
        long_one(tmpfs).unwrap().source,
        Source::Tmpfs(["ro", "mode=700", "size=1024"].map(text).into())
    );
    let options = json!({"NonRecursive": true, "Propagation": "shared", "CreateMountpoint": true, "ReadOnlyNonRecursive": true});
    let made =
        long_one(json!({"Type": "bind", "Source": "/s", "Target": "/t", "BindOptions": options})).unwrap();
    let expected = Bind {
        path: "/s".into(),
        create: true,
        recursive: false,
        read_only_recursive: Some(false),
        propagation: Propagation::Shared,
    };
    assert_eq!(made.source, Source::Bind(expected));
    let options = json!({"NoCopy": true, "Labels": {"a": "b"}, "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}}});
    let made =
        long_one(json!({"Type": "volume", "Source": "v", "Target": "/t", "VolumeOptions": options})).unwrap();
    let Source::Volume(volume) = made.source else { panic!() };
    assert_eq!((volume.copy, &*volume.labels["a"], &*volume.options["type"]), (false, "b", "tmpfs"));
}

#[test]
fn a_destination_is_there_once() {
    let parse = |binds: &[&str], tmpfs: Option<&str>, mounts: Value, volumes: &[&str]| {
        let list = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        let host = HostConfig {
            binds: list(binds),
            tmpfs: tmpfs.map(|path| [(path.to_owned(), String::new())].into()),
            ..HostConfig::default()
        };
        let config = ContainerConfig { volumes: list(volumes), ..ContainerConfig::default() };
        super::parse(&config, &host, long(Some(&mounts)).unwrap()).map_err(|error| error.message)
    };
    let duplicate = Err("Duplicate mount point: /x".to_owned());
    let bind = json!([{"Type": "bind", "Source": "/etc", "Target": "/x/"}]);
    assert_eq!(parse(&["/tmp:/x", "/etc:/y/../x"], None, json!(null), &[]), duplicate);
    assert_eq!(parse(&["/tmp:/x"], None, bind.clone(), &[]), duplicate);
    assert_eq!(parse(&["/tmp:/x"], Some("/x"), json!(null), &[]), duplicate);
    assert_eq!(parse(&[], Some("/x"), bind, &[]), duplicate);
    let many: Vec<String> = (0..=MOUNTS_MAX).map(|n| format!("/tmp:/{n}")).collect();
    assert!(parse(&many.iter().map(String::as_str).collect::<Vec<_>>(), None, json!(null), &[]).is_err());
    let found = parse(&["/tmp:/x"], None, json!(null), &["/x", "/z/", "/a", "/z"]).unwrap();
    assert_eq!((found.named.len(), found.anonymous), (1, vec!["/a".to_owned(), "/x".into(), "/z".into()]));
    assert!(parse(&[], None, json!(null), &["/"]).is_err());
}
