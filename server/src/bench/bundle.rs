//! What OCI runtimes start in a measurement: a bundle with a static `true`, confined as bubblewrap confines it.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a static busybox is found on Debian and its kin.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// Makes a bundle whose program is a static `true`. Errors: there is no static busybox, or our runtime does not work here.
pub fn make(folder: &Path, runtime: &Path) -> anyhow::Result<PathBuf> {
    let bundle = folder.join("bundle");
    // Programs that make namespaces as another user have to be able to enter.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(bundle.join("rootfs/bin"))?;
    for mount_point in ["proc", "dev"] {
        fs::create_dir(bundle.join("rootfs").join(mount_point))?;
    }
    fs::copy(busybox()?, bundle.join("rootfs/bin/true")).context("copying busybox")?;
    let written = Command::new(runtime).args(["spec", "--rootless", "--bundle"]).arg(&bundle).output()?;
    ensure!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let config = bundle.join("config.json");
    let mut spec: Value =
        serde_json::from_slice(&fs::read(&config)?).context("reading our own config.json")?;
    adapt(&mut spec);
    fs::write(&config, serde_json::to_vec(&spec)?)?;
    Ok(bundle)
}

/// What bubblewrap makes with `--unshare-all --proc /proc --dev /dev`, in the words of the OCI Spec.
fn adapt(spec: &mut Value) {
    spec["process"]["args"] = json!(["/bin/true"]);
    spec["process"]["terminal"] = json!(false);
    spec["root"] = json!({"path": "rootfs", "readonly": false});
    spec["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
    ]);
    let kinds = ["user", "pid", "mount", "network", "uts", "ipc", "cgroup"];
    spec["linux"]["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
    if rustix::process::geteuid().is_root() {
        // Ids of its own, as Docker's userns-remap gives them.
        let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        spec["linux"]["uidMappings"] = ids.clone();
        spec["linux"]["gidMappings"] = ids;
    }
    spec["linux"]["maskedPaths"] = json!([]);
    spec["linux"]["readonlyPaths"] = json!([]);
}

/// A busybox that needs no library of the root file system's.
pub fn busybox() -> anyhow::Result<PathBuf> {
    let static_one = |path: &&&str| {
        fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF") && !contains(&bytes, b"/ld-linux"))
    };
    let found = BUSYBOX.iter().find(static_one).map(PathBuf::from);
    found.context("no static busybox is installed: apt-get install busybox-static")
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
