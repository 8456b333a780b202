//! A classic BPF machine as the kernel has for seccomp, for tests: what would this program return for this call?

use super::SockFilter;

/// The kernel's `struct seccomp_data`, less the instruction pointer, which no filter of ours reads.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: u32,
    pub audit: u32,
    pub arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
            _ => panic!("a filter reads offset {offset}"),
        }
    }
}

/// Runs the program. Panics where the kernel would refuse to install it.
pub fn run(program: &[SockFilter], call: &Call) -> u32 {
    let (mut a, mut at) = (0u32, 0usize);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let skip = |holds: bool| if holds { jt as usize } else { jf as usize };
        match code {
            0x20 => a = call.word(k),
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => at += skip(a == k),
            0x25 => at += skip(a > k),
            0x35 => at += skip(a >= k),
            0x45 => at += skip(a & k != 0),
            0x06 => return k,
            _ => panic!("an instruction with the code {code:#x}"),
        }
    }
}
