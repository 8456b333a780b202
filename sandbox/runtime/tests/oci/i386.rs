//! Programs of the other architecture: an i386 program runs where Docker lets it, and under the same rules.
#![cfg(target_arch = "x86_64")]

use super::{Place, text};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

/// `keyctl` on i386: Docker's profile refuses it with EPERM; the kernel answers an unknown operation with EOPNOTSUPP.
const KEYCTL: u32 = 288;
const EPERM: i32 = 1;
const EOPNOTSUPP: i32 = 95;

/// An i386 program that makes one call and exits with the errno of it.
fn program(number: u32, argument: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    code.push(0xbb);
    code.extend(argument.to_le_bytes());
    // int 0x80; neg eax; mov ebx, eax; mov eax, 1; int 0x80
    code.extend([0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let length = HEADERS + code.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for EM_386 with one program header, and no sections.
    elf.extend([2u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend([1, BASE + HEADERS, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()));
    elf.extend([52u16, 32, 1, 40, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    // PT_LOAD, all of the file, readable and executable.
    elf.extend(
        [1, 0, BASE, BASE, length, length, 5, 0x1000].iter().flat_map(|word: &u32| word.to_le_bytes()),
    );
    elf.extend(code);
    elf
}

/// The errno that the call gets in a container, or -1 where the program could not even run.
fn errno(with_filter: bool, number: u32, argument: u32) -> i32 {
    let place = Place::new(&["/i386"]);
    let path = place.root().join("i386");
    std::fs::write(&path, program(number, argument)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    if !with_filter {
        place.change(|spec| spec["linux"]["seccomp"] = json!(null));
    }
    let output = place.run();
    output.status.code().unwrap_or_else(|| panic!("{}", text(&output.stderr)))
}

#[test]
fn an_i386_program_meets_dockers_profile_and_is_not_killed() {
    let unfiltered = errno(false, KEYCTL, 9999);
    if unfiltered == 1 {
        eprintln!("SKIPPED: this kernel runs no i386 programs");
        return;
    }
    assert_eq!(unfiltered, EOPNOTSUPP);
    assert_eq!(errno(true, KEYCTL, 9999), EPERM);
    // getppid of a container's first process is 0, and is allowed.
    assert_eq!(errno(true, 64, 0), 0);
}
