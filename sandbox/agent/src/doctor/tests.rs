//! Machines that are made up, and what the doctor says of them.

use super::findings::{Cgroup, Findings, Helper, Kvm};
use super::{judge, table};

/// An ordinary user's machine on which everything required is there.
fn healthy() -> Findings {
    Findings {
        kernel: "6.18.0-1-amd64".into(),
        uid: 1000,
        user: "ann".into(),
        user_namespaces_max: Some(15_000),
        unprivileged_userns_clone: Some(1),
        apparmor_restricts_userns: Some(0),
        apparmor: true,
        newuidmap: Helper::Ready,
        newgidmap: Helper::Ready,
        subuids: 65_536,
        subgids: 65_536,
        free_from: 165_536,
        proc_covered: vec![],
        entered: Some(Ok(())),
        trial: Some(Ok(())),
        seccomp: true,
        cgroup: Cgroup::V2 { delegated: vec!["memory".into(), "pids".into()] },
        memory_mib: 8000,
        disk_mib: Some(50_000),
        kvm: Kvm::Opens,
        qemu: Some(("/usr/bin/qemu-system-x86_64".into(), (10, 0))),
        vm_tools_missing: vec![],
        vm_image: Ok("debian, Linux 6.12".into()),
        images: Ok("0123456789abcdef".into()),
    }
}

/// Changes one thing, and expects exactly this to be missing, mended by a command with these words.
fn check(change: impl FnOnce(&mut Findings), missing: &[&str], mend: &str) {
    let mut findings = healthy();
    change(&mut findings);
    let found = judge::judge(&findings);
    let names: Vec<&str> = found.missing().map(|c| c.name.as_str()).collect();
    assert_eq!(names, missing);
    if let Some(first) = found.missing().next() {
        let told = first.mend.as_deref().unwrap_or_default();
        assert!(told.contains(mend), "{told:?} should contain {mend:?}");
        let text = table(&found);
        assert!(text.contains("MISSING") && text.contains(mend), "{text}");
    }
}

#[test]
fn a_healthy_machine_lacks_nothing_required() {
    check(|_| {}, &[], "");
    let text = table(&judge::judge(&healthy()));
    assert!(text.contains("Labs can be opened on this machine."), "{text}");
}

#[test]
fn user_namespaces_that_are_off_are_turned_on() {
    check(|m| m.user_namespaces_max = Some(0), &["user-namespaces"], "user.max_user_namespaces=15000");
    check(|m| m.unprivileged_userns_clone = Some(0), &["user-namespaces"], "unprivileged_userns_clone=1");
    check(|m| m.user_namespaces_max = None, &["user-namespaces"], "kernel");
    let as_root = |m: &mut Findings| (m.uid, m.unprivileged_userns_clone) = (0, Some(0));
    check(as_root, &[], "");
}

#[test]
fn ubuntus_restriction_is_named_with_its_sysctl() {
    let restricted = |m: &mut Findings| {
        m.apparmor_restricts_userns = Some(1);
        m.entered = Some(Err("permission denied".into()));
        m.trial = None;
    };
    check(restricted, &["user-namespaces", "apparmor-restriction", "lab-host"], "See apparmor-restriction");
    let found = judge::judge(&{
        let mut m = healthy();
        restricted(&mut m);
        m
    });
    let restriction = found.capabilities.iter().find(|c| c.name == "apparmor-restriction").unwrap();
    assert!(
        restriction.mend.as_deref().unwrap().contains("kernel.apparmor_restrict_unprivileged_userns=0"),
        "{restriction:?}"
    );
    check(|m| m.apparmor_restricts_userns = Some(1), &[], "");
    check(|m| (m.uid, m.apparmor_restricts_userns) = (0, Some(1)), &[], "");
}

#[test]
fn the_helpers_are_installed_or_given_their_power() {
    check(|m| m.newuidmap = Helper::Absent, &["id-map-helpers"], "apt install uidmap");
    check(|m| m.newgidmap = Helper::Absent, &["id-map-helpers"], "apt install uidmap");
    let powerless = Helper::Powerless("/usr/bin/newuidmap".into());
    check(|m| m.newuidmap = powerless.clone(), &["id-map-helpers"], "chmod u+s /usr/bin/newuidmap");
    check(|m| (m.uid, m.newuidmap) = (0, Helper::Absent), &[], "");
}

#[test]
fn ids_are_assigned_where_there_are_too_few() {
    check(|m| m.subuids = 0, &["id-range"], "usermod --add-subuids 165536-231071");
    check(|m| m.subgids = 1000, &["id-range"], " ann");
    check(|m| (m.user, m.subuids) = (String::new(), 0), &["id-range"], " 1000");
    check(|m| (m.uid, m.subuids, m.subgids) = (0, 0, 0), &[], "");
}

#[test]
fn a_container_around_isolab_is_recognised() {
    let inside = |m: &mut Findings| {
        m.proc_covered = vec!["/proc/kcore".into(), "/proc/keys".into()];
        m.trial = Some(Err("mounting proc at /proc: fsmount(proc): Operation not permitted".into()));
    };
    check(inside, &["clean-proc", "lab-host"], "systempaths=unconfined");
    check(|m| m.proc_covered = vec!["/proc/kcore".into()], &[], "");
}

#[test]
fn an_old_kernel_is_refused_or_its_gap_named() {
    check(|m| m.kernel = "5.10.0-30-amd64".into(), &["kernel"], "reboot");
    check(|m| m.kernel = "unknown".into(), &["kernel"], "reboot");
    check(|m| m.kernel = "6.1.0-40-amd64".into(), &[], "");
    let found = judge::judge(&Findings { kernel: "6.1.0-40-amd64".into(), ..healthy() });
    let xattr = found.capabilities.iter().find(|c| c.name == "tmpfs-user-xattr").unwrap();
    assert!(!xattr.available && !xattr.required);
}

#[test]
fn what_did_not_work_when_tried_is_missing() {
    check(
        |m| m.trial = Some(Err("fsopen(\"overlay\"): no such device".into())),
        &["lab-host"],
        "modprobe overlay",
    );
    check(|m| m.images = Err("There are no lab images yet.".into()), &["images"], "make images");
    check(|m| m.seccomp = false, &["seccomp"], "kernel");
    check(|m| m.entered = Some(Err("EPERM".into())), &["user-namespaces"], "seccomp=unconfined");
}

#[test]
fn what_is_only_useful_never_stops_a_lab() {
    let poor = |m: &mut Findings| {
        m.cgroup = Cgroup::V1;
        m.apparmor = false;
        m.kvm = Kvm::Absent;
        m.qemu = None;
        m.memory_mib = 300;
        m.disk_mib = None;
    };
    check(poor, &[], "");
    let found = judge::judge(&{
        let mut m = healthy();
        poor(&mut m);
        m
    });
    let absent: Vec<&str> =
        found.capabilities.iter().filter(|c| !c.available).map(|c| c.name.as_str()).collect();
    assert_eq!(absent, ["cgroup-v2", "memory", "disk", "apparmor", "vm"]);
    let cgroup = found.capabilities.iter().find(|c| c.name == "cgroup-v2").unwrap();
    assert!(cgroup.found.contains("not in the memory of all together"), "{cgroup:?}");
}

#[test]
fn every_absence_says_why_it_matters() {
    let found = judge::judge(&Findings { cgroup: Cgroup::Absent, apparmor: false, ..healthy() });
    assert!(found.capabilities.iter().all(|c| !c.why.is_empty() && !c.found.is_empty()));
    let required: Vec<bool> = found.capabilities.iter().map(|c| c.required).collect();
    assert!(required.is_sorted_by(|a, b| a >= b), "required ones come first");
}

#[test]
fn each_tier_says_what_its_labs_have_or_why_there_are_none() {
    let lacks = |change: fn(&mut Findings)| {
        let mut findings = healthy();
        change(&mut findings);
        judge::judge(&findings)
            .tiers
            .into_iter()
            .map(|tier| tier.lacks.unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(lacks(|_| {}), ["", ""]);
    let tiers = judge::judge(&healthy()).tiers;
    let gives = |at: usize, name: &str| tiers[at].gives.iter().any(|given| given == name);
    assert!(gives(0, "user-namespaces") && !gives(0, "apparmor"), "the machine's AppArmor is not a lab's");
    assert!(gives(1, "user-namespaces") && gives(1, "apparmor") && gives(1, "vm"));
    for (change, word) in [
        ((|m| m.qemu = None) as fn(&mut Findings), "QEMU is not installed"),
        (|m| m.qemu = Some(("/usr/bin/qemu".into(), (7, 2))), "version 7.2"),
        (|m| m.vm_tools_missing = vec!["qemu-img".into()], "qemu-img"),
        (|m| m.vm_image = Err("There is no image.".into()), "no image"),
    ] {
        let [sandbox, vm] = lacks(change).try_into().unwrap();
        assert_eq!(sandbox, "");
        assert!(vm.contains(word), "{vm}");
    }
    let [sandbox, vm] = lacks(|m| m.seccomp = false).try_into().unwrap();
    assert!(sandbox.starts_with("seccomp") && vm.starts_with("seccomp"), "QEMU is confined by it, too");
}
