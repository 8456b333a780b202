//! What a fuzzer calls: bytes in, and nothing but an error or a value may come of them.
//!
//! The programs are in `fuzz/`; the seeds, and small changes to them, are run by the ordinary tests as well.

use crate::archive::{Limits, Unpacking, unpack};
use crate::build::dockerfile;
use crate::settings::{self, Available, capabilities};
use crate::spec::{self, Joined, Placement};
use crate::user;
use isolab_runtime::{Plan, PlanOptions, Rootfs};
use std::path::Path;

/// The body of a create request: to the Spec of its container, and to the plan of it.
pub fn create(data: &[u8]) {
    let Ok(body) = serde_json::from_slice(data) else { return };
    let available = Available {
        capabilities: capabilities::from_mask(!0),
        hostname: "labhost".into(),
        remapped: false,
        groups: None,
        defaults: Default::default(),
        apparmor: false,
        processors: 1,
    };
    let image =
        serde_json::from_value(serde_json::json!({"Cmd": ["sh"], "Env": ["A=b"]})).unwrap_or_default();
    let Ok(request) = settings::parse(body, &"ab".repeat(32), &image, &available) else { return };
    let settings = request.settings;
    let Ok(user) = user::resolve(&settings.user, &[], "root:x:0:0::/root:\napp:x:7:7::/:", "") else {
        return;
    };
    const ALONE: &Joined = &Joined { network: None, ipc: None, pid: None };
    let place = Placement {
        root: Path::new("/merged"),
        files: Path::new("/files"),
        hostname: &settings.hostname,
        domainname: &settings.domainname,
        shm: None,
        mounts: &[],
        joined: ALONE,
        user: &user,
        gid_max: 61439,
        ipv6: true,
        devices: &[],
        given: &[],
        init: None,
        rootless: false,
        remap: None,
    };
    if let Ok(spec) = spec::of_container(&settings, &place) {
        let _ = Plan::new(&spec, Rootfs::Directory("/merged".into()), PlanOptions::default());
    }
}

/// A Dockerfile.
pub fn dockerfile(data: &[u8]) {
    let _ = dockerfile::parse("Dockerfile", data);
}

/// A layer, unpacked for real beside a file which has to stay as it is.
pub fn layer(data: &[u8]) {
    let place = std::env::temp_dir().join(format!("isolab-fuzz-{}", std::process::id()));
    let (root, beside) = (place.join("root"), place.join("beside"));
    let made = std::fs::create_dir_all(&root).and_then(|()| std::fs::write(&beside, "untouched"));
    let Ok(directory) = made.and_then(|()| std::fs::File::open(&root)) else { return };
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let limits = Limits { bytes_max: 1 << 20, entries_max: 256 };
    let how = Unpacking { limits, owner: Some(me), ..Unpacking::default() };
    let _ = unpack(data, std::os::fd::AsFd::as_fd(&directory), Path::new(""), &how);
    let names = std::fs::read_dir(&place).map(|entries| entries.count()).unwrap_or_default();
    let text = std::fs::read_to_string(&beside).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&place);
    assert!(names == 2 && text == "untouched", "the layer has left its root");
}
