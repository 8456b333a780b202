//! The system calls that no crate wraps safely, each behind a safe function. This is the only file with `unsafe`.
//!
//! What `rustix` offers safely is used from there and does not appear here.
#![allow(unsafe_code)]

use nix::libc;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering};

/// Which side of a [`clone`] the caller is on.
#[derive(Debug)]
pub(crate) enum Clone {
    /// The new process.
    Child,
    /// The old process.
    Parent { pid: u32, pidfd: OwnedFd },
}

/// `clone3` without sharing memory: a fork into new namespaces (`flags` are `CLONE_NEW*` and `CLONE_PARENT`).
/// `CLONE_PIDFD` is added. The caller must have no other thread: locks that another thread holds stay held in
/// the child for ever.
pub(crate) fn clone(flags: u64) -> Result<Clone, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero `clone_args` is a valid value of this plain-data struct.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    // With CLONE_PARENT the kernel takes the exit signal of the caller and refuses one given here.
    arguments.exit_signal = if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 };
    // SAFETY: neither CLONE_VM nor CLONE_SETTLS nor a stack is given, so the child runs on its own copy of all
    // memory, as after fork; `arguments` outlives the call, and `pidfd` is where the kernel stores one descriptor.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Clone::Child);
    }
    // SAFETY: in the parent the kernel has stored a new descriptor, which nothing else owns.
    Ok(Clone::Parent { pid: pid as u32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// `unshare`. With `CLONE_NEWUSER` the caller must have no other thread (the kernel sees to it).
pub(crate) fn unshare(flags: i32) -> Result<(), Errno> {
    // SAFETY: takes no pointers; CLONE_FILES is never passed, so descriptors stay what their owners think.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// `pidfd_send_signal` with any signal number: the real-time ones, which containers may take too, have no names.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the one pointer is null, for which the kernel fills in what kill(2) would; a number that is no signal is
    // EINVAL. The signal is for whom `pidfd` names: were that ourselves, it would be as if we had been sent it by kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_info, 0) })
        .map(drop)
}

/// Ends the process without running destructors or `atexit` handlers, which belong to its parent.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: `_exit` does not return and touches no memory of ours.
    unsafe { libc::_exit(status) }
}

/// `execve`; returns only to tell why it failed.
pub(crate) fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: `path` and every string end in NUL, both arrays end in a null pointer, and all outlive the call.
    let failed = unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    check(failed).err().unwrap_or(Errno::INVAL)
}

/// `execveat(file, "", …, AT_EMPTY_PATH)` with the environment that the caller has; returns only to tell why it failed.
pub(crate) fn execute_file(file: BorrowedFd<'_>, arguments: &[CString]) -> Errno {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let argv: Vec<_> = arguments.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: the path is a literal; `argv` and its strings outlive the call and end as they must; `environ` is the C
    // library's own array, which nothing changes meanwhile as the caller has no other thread.
    let failed = unsafe {
        let number = libc::SYS_execveat;
        libc::syscall(number, file.as_raw_fd(), c"".as_ptr(), argv.as_ptr(), environ, libc::AT_EMPTY_PATH)
    };
    check(failed).err().unwrap_or(Errno::INVAL)
}

/// `mount_setattr(fd, "", AT_EMPTY_PATH [| AT_RECURSIVE])`.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal, and `attributes` has the size that is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Installs a seccomp filter on the calling thread with `seccomp(2)`, which, unlike most wrappers, does not set
/// `no_new_privs`.
pub(crate) fn install_filter(program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `filter` points at `length` instructions, which the kernel only reads (and verifies).
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    })
    .map(drop)
}

/// Leaves the session keyring of whoever started us for a new, empty one.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; nothing else is read.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    })
    .map(drop)
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(crate) fn close_from_at_exec(first: u32) -> Result<(), Errno> {
    // SAFETY: marks descriptors and closes none, so that every owner in this process stays right.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Closes every descriptor except the `low` ones and `kept`. Call it in a new process that goes on without any of the
/// values that its maker owned.
pub(crate) fn close_all_but(low: &[RawFd], kept: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut keep: Vec<u32> = low.iter().map(|&fd| fd as u32).chain([kept.as_raw_fd() as u32]).collect();
    keep.sort_unstable();
    let mut first = 0;
    for last in keep.into_iter().map(Some).chain([None]) {
        let end = last.map_or(u32::MAX, |last| last.wrapping_sub(1));
        if last.is_none_or(|last| last > first) {
            // SAFETY: the caller vouches that nothing in this process will use or close these numbers.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, end, 0) })?;
        }
        first = last.map_or(first, |last| last + 1);
    }
    Ok(())
}

/// Closes one descriptor of the maker's, in a new process that never uses or drops its owner.
pub(crate) fn close_makers(descriptor: BorrowedFd<'_>) {
    // SAFETY: the caller vouches that the owner is neither used nor dropped in this process.
    unsafe { libc::close(descriptor.as_raw_fd()) };
}

/// Makes `descriptors[i]` the descriptor number `i`, inherited by `execve`, for all `i`. What was there before is
/// closed. Call it in a process that is about to execute and drops nothing any more.
pub(crate) fn place_descriptors(descriptors: &[OwnedFd]) -> Result<(), Errno> {
    let count = descriptors.len() as RawFd;
    // First all out of the way: otherwise placing one could overwrite another that is still to be placed.
    let mut high = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        // SAFETY: duplicates an open descriptor to the lowest free number that is at least `count`.
        let copy = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, count) };
        high.push(check(copy.into())? as RawFd);
    }
    for (number, copy) in high.into_iter().enumerate() {
        // SAFETY: both are plain descriptor numbers; the caller vouches that no owner of `number` acts on it again.
        check(unsafe { libc::dup3(copy, number as RawFd, 0) }.into())?;
    }
    Ok(())
}

/// Takes over a descriptor that this program was started with, and sets it to be closed by `execve`. Each number
/// can be taken once; numbers beyond 63 cannot be taken.
pub(crate) fn take_inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let bit = u32::try_from(number).ok().and_then(|n| 1u64.checked_shl(n)).ok_or(Errno::BADF)?;
    if TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(Errno::BUSY);
    }
    // SAFETY: only sets a flag; a number that is not open is answered with EBADF.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: it is open, and `TAKEN` sees to it that ownership is handed out at most once. A caller that names a
    // number which the program opened itself breaks this; `process::inherited` says so.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// How many bytes the peer of a connected socket has still to take.
pub(crate) fn untaken(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: with this request the kernel stores one int, into `bytes`; what is no socket refuses it or, being a terminal,
    // means the same by it.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) }.into())?;
    Ok(u32::try_from(bytes).unwrap_or_default())
}

/// Gives every signal its default effect and blocks none: a program must not inherit what its maker ignores
/// (Rust ignores SIGPIPE). The first of the two that the C library keeps for itself stays as it is, as it does with Docker.
pub(crate) fn reset_signals() -> Result<(), Errno> {
    const KEPT: libc::c_long = 32;
    const LAST: libc::c_long = 64;
    let default = [0_usize; 4];
    let no_old: *mut libc::c_void = std::ptr::null_mut();
    for signal in (1..=LAST).filter(|&signal| signal != KEPT) {
        // SAFETY: to the kernel four words of zeros are SIG_DFL with no flags and an empty mask, they outlive the call, and
        // no handler is installed. The C library, which is not asked, has handlers of its own for signal 33 only where there
        // are threads; the caller is about to execute. SIGKILL and SIGSTOP are refused, which is as it should be.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, size_of::<u64>()) };
    }
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// The calls that [`with_all_ones`] makes. What is in the list does no harm with such arguments, whoever makes it: no
/// descriptor, address, size or set of flags is valid that has all bits set.
pub(crate) const PROBED: &[(&str, libc::c_long)] = &[
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("adjtimex", libc::SYS_adjtimex),
    ("bpf", libc::SYS_bpf),
    ("chroot", libc::SYS_chroot),
    ("clock_adjtime", libc::SYS_clock_adjtime),
    ("clock_settime", libc::SYS_clock_settime),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("delete_module", libc::SYS_delete_module),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("fchmod", libc::SYS_fchmod),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("get_mempolicy", libc::SYS_get_mempolicy),
    ("init_module", libc::SYS_init_module),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
    ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ("mbind", libc::SYS_mbind),
    ("memfd_create", libc::SYS_memfd_create),
    ("memfd_secret", libc::SYS_memfd_secret),
    ("migrate_pages", libc::SYS_migrate_pages),
    ("mount", libc::SYS_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("move_pages", libc::SYS_move_pages),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("nfsservctl", libc::SYS_nfsservctl),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("openat", libc::SYS_openat),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("personality", libc::SYS_personality),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pivot_root", libc::SYS_pivot_root),
    ("process_madvise", libc::SYS_process_madvise),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("ptrace", libc::SYS_ptrace),
    ("quotactl", libc::SYS_quotactl),
    ("read", libc::SYS_read),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("seccomp", libc::SYS_seccomp),
    ("set_mempolicy", libc::SYS_set_mempolicy),
    ("setdomainname", libc::SYS_setdomainname),
    ("sethostname", libc::SYS_sethostname),
    ("setns", libc::SYS_setns),
    ("settimeofday", libc::SYS_settimeofday),
    ("socket", libc::SYS_socket),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vmsplice", libc::SYS_vmsplice),
    #[cfg(target_arch = "x86_64")]
    ("_sysctl", libc::SYS__sysctl),
    #[cfg(target_arch = "x86_64")]
    ("arch_prctl", libc::SYS_arch_prctl),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", libc::SYS_ioperm),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl),
    #[cfg(target_arch = "x86_64")]
    ("kexec_file_load", libc::SYS_kexec_file_load),
    #[cfg(target_arch = "x86_64")]
    ("mknod", libc::SYS_mknod),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt),
    #[cfg(target_arch = "x86_64")]
    ("sysfs", libc::SYS_sysfs),
    #[cfg(target_arch = "x86_64")]
    ("uselib", libc::SYS_uselib),
    #[cfg(target_arch = "x86_64")]
    ("ustat", libc::SYS_ustat),
];

/// The first part of the kernel's `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct LoadProgram {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The first part of the same for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachProgram {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// `bpf(BPF_PROG_LOAD)` of a program that is asked about devices. The kernel looks through it and takes none that could do harm.
pub(crate) fn load_device_program(code: &[u64]) -> Result<OwnedFd, Errno> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let attributes = LoadProgram {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instructions: u32::try_from(code.len()).map_err(|_| Errno::TOOBIG)?,
        code: code.as_ptr() as u64,
        licence: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `attributes`, of the size that it is told, as many instructions of 8 bytes at `code` as the slice
    // has, and the licence up to its NUL; all three outlive the call. It writes nothing, as there is no log.
    let program = check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadProgram>())
    })?;
    // SAFETY: the kernel has made this descriptor, close-on-exec as all of bpf's, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(program as RawFd) })
}

/// `bpf(BPF_PROG_ATTACH)` of such a program to a control group, beside those that are attached to it and above it.
pub(crate) fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let attributes = AttachProgram {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the kernel reads `attributes`, of the size that it is told; it takes references of its own to what the two
    // descriptors name, which stay their owners'.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<AttachProgram>())
    })
    .map(drop)
}

/// Makes the call at this place of [`PROBED`], with each bit of each argument set.
pub(crate) fn with_all_ones(place: usize) -> Result<(), Errno> {
    const ONES: libc::c_long = -1;
    let (_, number) = *PROBED.get(place).ok_or(Errno::RANGE)?;
    // SAFETY: as an address, all ones lie in the kernel's half, where it neither reads nor writes for a program; and the
    // list above has no call that maps, unmaps or shares memory, makes or ends a process, or closes a descriptor so.
    check(unsafe { libc::syscall(number, ONES, ONES, ONES, ONES, ONES, ONES) }).map(drop)
}

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        return Err(Errno::from_raw_os_error(errno));
    }
    Ok(result)
}
