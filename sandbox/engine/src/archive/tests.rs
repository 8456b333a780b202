//! The archives of [`super`], held against hostile ones: what counts is what lies outside the root afterwards.

use super::*;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use tar::{EntryType, Header};

/// An entry whose names are written as they are: the tar crate refuses to write hostile ones.
fn entry(kind: EntryType, path: &str, link: &str, body: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_size(body.len() as u64);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn directory(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Everything belongs to whoever runs the test, so that no privileges are needed.
fn mine() -> Unpacking {
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Unpacking { owner: Some(me), ..Unpacking::default() }
}

/// A directory with a root in it, whose outside is to stay as it is.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("root/into")).unwrap();
        fs::write(temp.path().join("victim"), "untouched").unwrap();
        Self(temp)
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }

    fn unpack(&self, into: &str, entries: &[Vec<u8>], how: &Unpacking) -> io::Result<u64> {
        let root = directory(&self.root());
        unpack(entries.concat().as_slice(), root.as_fd(), Path::new(into), how)
    }

    #[track_caller]
    fn nothing_outside(&self) {
        let outside: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(outside.len(), 2, "{outside:?}");
        assert_eq!(fs::read_to_string(self.0.path().join("victim")).unwrap(), "untouched");
    }
}

#[test]
fn files_links_and_directories_come_out_as_they_went_in() {
    let place = Place::new();
    let bytes = place
        .unpack(
            "",
            &[
                entry(EntryType::Directory, "./bin", "", b""),
                entry(EntryType::Regular, "./bin/true", "", b"#!"),
                entry(EntryType::Link, "./bin/yes", "./bin/true", b""),
                entry(EntryType::Symlink, "./sh", "/bin/true", b""),
                entry(EntryType::Fifo, "./fifo", "", b""),
                entry(EntryType::Regular, "./deep/down/file", "", b"x"),
            ],
            &mine(),
        )
        .unwrap();
    let root = place.root();
    let (first, second) =
        (root.join("bin/true").metadata().unwrap(), root.join("bin/yes").metadata().unwrap());
    assert_eq!((bytes, first.ino(), first.permissions().mode() & 0o7777), (3, second.ino(), 0o755));
    assert_eq!(root.join("bin").metadata().unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::read_link(root.join("sh")).unwrap(), Path::new("/bin/true"));
    assert!(root.join("fifo").metadata().unwrap().file_type().is_fifo());
    assert_eq!(root.join("fifo").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_to_string(root.join("deep/down/file")).unwrap(), "x");
}

#[test]
fn nothing_leaves_the_root() {
    let file = |path| entry(EntryType::Regular, path, "", b"x");
    let link = |path, target| entry(EntryType::Symlink, path, target, b"");
    // Each tries to reach `victim`, which lies beside the root.
    let attacks: [&[Vec<u8>]; 9] = [
        &[file("../victim")],
        &[file("a/../../victim")],
        &[file("/../victim")],
        &[link("up", ".."), file("up/victim")],
        &[link("up", "../../../.."), file("up/../victim")],
        &[link("a", "b"), link("b", "../.."), file("a/victim")],
        &[entry(EntryType::Link, "victim", "../victim", b""), file("victim")],
        &[link("up", "../.."), entry(EntryType::Link, "v", "up/victim", b""), file("v")],
        &[link("proc", "/proc/self/root"), file("proc/victim")],
    ];
    for into in ["", "into"] {
        for entries in attacks {
            let place = Place::new();
            // Refused, or done inside the root: what counts is what lies outside.
            let _ = place.unpack(into, entries, &mine());
            place.nothing_outside();
        }
    }
}

#[test]
fn words_that_lead_out_are_refused_as_docker_does() {
    let place = Place::new();
    let refused = |into, one: Vec<u8>| place.unpack(into, &[one], &mine()).unwrap_err().to_string();
    assert_eq!(
        refused("into", entry(EntryType::Regular, "../x", "", b"")),
        "\"../x\" is outside of \"/into\""
    );
    assert_eq!(
        refused("into", entry(EntryType::Symlink, "d/up", "../../x", b"")),
        "invalid symlink \"/into/d/up\" -> \"../../x\""
    );
    place.unpack("into", &[entry(EntryType::Symlink, "d/up", "../x", b"")], &mine()).unwrap();
    place.unpack("", &[entry(EntryType::Symlink, "up", "../../x", b"")], &mine()).unwrap();
    place.unpack("into", &[entry(EntryType::Regular, "/absolute", "", b"x")], &mine()).unwrap();
    assert!(place.root().join("into/absolute").exists());
}

#[test]
fn links_of_the_container_are_followed_inside_it() {
    let place = Place::new();
    symlink("/real", place.root().join("into/link")).unwrap();
    fs::create_dir(place.root().join("real")).unwrap();
    place.unpack("into", &[entry(EntryType::Regular, "link/file", "", b"x")], &mine()).unwrap();
    assert!(place.root().join("real/file").exists());
}

#[test]
fn what_is_there_is_replaced_and_directories_are_merged() {
    let place = Place::new();
    let into = place.root().join("into");
    fs::create_dir_all(into.join("d/old")).unwrap();
    fs::write(into.join("f"), "old").unwrap();
    symlink("../../victim", into.join("l")).unwrap();
    let entries = [
        entry(EntryType::Regular, "f", "", b"new"),
        entry(EntryType::Regular, "l", "", b"new"),
        entry(EntryType::Directory, "d", "", b""),
        entry(EntryType::Regular, "d/old", "", b"a file now"),
    ];
    place.unpack("into", &entries, &mine()).unwrap();
    assert_eq!(fs::read_to_string(into.join("f")).unwrap(), "new");
    assert_eq!(fs::read_to_string(into.join("d/old")).unwrap(), "a file now");
    assert!(!into.join("l").is_symlink());
    place.nothing_outside();
    let keep = Unpacking { keep_kinds: true, ..mine() };
    let refused = |one| place.unpack("into", &[one], &keep).unwrap_err().to_string();
    assert_eq!(
        refused(entry(EntryType::Regular, "d", "", b"")),
        "cannot overwrite directory \"/into/d\" with non-directory \"/into\""
    );
    assert_eq!(
        refused(entry(EntryType::Directory, "f", "", b"")),
        "cannot overwrite non-directory \"/into/f\" with directory \"/into\""
    );
}

#[test]
fn costs_are_bounded() {
    let place = Place::new();
    let limits = Limits { bytes_max: 1000, entries_max: 3 };
    let how = Unpacking { limits, ..mine() };
    let many: Vec<_> = (0..4).map(|n| entry(EntryType::Regular, &format!("f{n}"), "", b"")).collect();
    let told = place.unpack("", &many, &how).unwrap_err().to_string();
    assert_eq!(told, "the archive has more than 3 entries");
    let told = place.unpack("", &[entry(EntryType::Regular, "big", "", &[0; 1001])], &how).unwrap_err();
    assert_eq!(told.to_string(), "the archive has more than 1000 bytes");
    // A long name, and an extended header, whose size is a lie, or true and large.
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let bomb = entry(kind, "x", "", &vec![b'a'; 3 << 20]);
        let told = place.unpack("", &[bomb], &mine()).unwrap_err().to_string();
        assert!(told.contains("more than 1048576 bytes"), "{told}");
    }
    let deep = "d/".repeat(40);
    let mut path = String::new();
    let mut refused = None;
    for _ in 0..10 {
        path.push_str(&deep);
        let mut long = entry(EntryType::GNULongName, "x", "", path.as_bytes());
        long.extend(entry(EntryType::Directory, "x", "", b""));
        refused = refused.or(place.unpack("", &[long], &mine()).err());
    }
    assert!(refused.unwrap().to_string().contains("deep"));
    let mut cut = entry(EntryType::Regular, "cut", "", &[1; 4096]);
    cut.truncate(2048);
    assert!(place.unpack("", &[cut], &mine()).is_err());
}

#[test]
fn devices_are_refused_where_asked() {
    let place = Place::new();
    let how = Unpacking { devices: Devices::Refuse, ..mine() };
    for kind in [EntryType::Char, EntryType::Block] {
        assert!(place.unpack("", &[entry(kind, "null", "", b"")], &how).is_err());
    }
    assert!(!place.root().join("null").exists());
}

fn with_attribute(path: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    builder.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)]).unwrap();
    let mut bytes = builder.get_ref().clone();
    bytes.extend(entry(EntryType::Directory, path, "", b""));
    bytes
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    rustix::fs::getxattr(path, name, &mut value).ok().map(|length| value[..length].to_vec())
}

#[test]
fn an_archive_cannot_speak_to_overlayfs() {
    let place = Place::new();
    let entries = ["user.overlay.redirect", "trusted.overlay.opaque", "user.fine"]
        .map(|name| with_attribute("d", name, b"y"));
    place.unpack("", &entries, &mine()).unwrap();
    let made = place.root().join("d");
    assert_eq!(attribute(&made, "user.overlay.redirect"), None);
    assert_eq!(attribute(&made, "trusted.overlay.opaque"), None);
    if rustix::fs::setxattr(&made, "user.t", b"y", rustix::fs::XattrFlags::empty()).is_ok() {
        assert_eq!(attribute(&made, "user.fine").as_deref(), Some(&b"y"[..]));
    }
}

#[test]
fn whiteouts_are_overlayfs_s_on_disk_and_docker_s_in_an_archive() {
    if !rustix::process::geteuid().is_root() {
        let _ = io::Write::write_all(&mut io::stderr(), b"SKIPPED, because only root makes whiteouts\n");
        return;
    }
    let place = Place::new();
    let how = Unpacking { whiteouts: Whiteouts::Overlay, ..mine() };
    let entries = [
        entry(EntryType::Directory, "d", "", b""),
        entry(EntryType::Regular, "d/.wh..wh..opq", "", b""),
        entry(EntryType::Regular, ".wh.gone", "", b""),
        entry(EntryType::Regular, ".wh..wh.plnk", "", b""),
        entry(EntryType::Char, "sneaky", "", b""),
    ];
    place.unpack("", &entries, &how).unwrap();
    let gone = place.root().join("gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(attribute(&place.root().join("d"), OPAQUE).as_deref(), Some(&b"y"[..]));
    assert!(!place.root().join("sneaky").exists() && !place.root().join(".wh.gone").exists());
    for bad in [".wh.", ".wh..", ".wh..."] {
        assert!(place.unpack("", &[entry(EntryType::Regular, bad, "", b"")], &how).is_err(), "{bad}");
    }
    let packing = Packing { whiteouts: Whiteouts::Overlay, ..Packing::default() };
    let bytes = pack(directory(&place.root()).as_fd(), &packing, vec![]).unwrap();
    assert_eq!(names(&bytes), ["d/", "d/.wh..wh..opq", ".wh.gone", "into/"]);
}

fn names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_tree_survives_being_packed_and_unpacked() {
    let from = Place::new();
    let root = from.root();
    let long = "n".repeat(200);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("file"), vec![7; 5000]).unwrap();
    fs::hard_link(root.join(&long).join("file"), root.join("into/again")).unwrap();
    symlink(format!("/{long}/{long}"), root.join("link")).unwrap();
    fs::set_permissions(root.join("into/again"), PermissionsExt::from_mode(0o4711)).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let bytes = pack(directory(&root).as_fd(), &Packing::default(), vec![]).unwrap();
    drop(socket);
    let to = Place::new();
    unpack(bytes.as_slice(), directory(&to.root()).as_fd(), Path::new(""), &mine()).unwrap();
    let again = to.root().join("into/again").metadata().unwrap();
    let file = to.root().join(&long).join("file");
    assert_eq!((fs::read(&file).unwrap(), file.metadata().unwrap().ino()), (vec![7; 5000], again.ino()));
    assert_eq!(again.permissions().mode() & 0o7777, 0o4711);
    assert_eq!(fs::read_link(to.root().join("link")).unwrap(), Path::new(&format!("/{long}/{long}")));
    assert!(!to.root().join("socket").exists());
    // One entry, under another name.
    let located = crate::beneath::locate(directory(&root).as_fd(), Path::new(&long)).unwrap();
    let bytes = pack_entry(located.as_fd(), Path::new("other"), &Packing::default(), vec![]).unwrap();
    assert_eq!(names(&bytes), ["other/", "other/file"]);
}

#[test]
fn removing_a_tree_follows_no_link() {
    let place = Place::new();
    let root = place.root();
    fs::create_dir_all(root.join("into/a/b")).unwrap();
    symlink("../../..", root.join("into/a/out")).unwrap();
    remove_all(directory(&root).as_fd(), std::ffi::OsStr::new("into")).unwrap();
    remove_all(directory(&root).as_fd(), std::ffi::OsStr::new("into")).unwrap();
    assert!(!root.join("into").exists());
    place.nothing_outside();
}
