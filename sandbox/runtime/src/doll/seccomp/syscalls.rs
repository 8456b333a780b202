//! The numbers of system calls on the architectures whose programs one of our machines can run.

use super::table::{NO, TABLE};
use oci_spec::runtime::Arch;

/// An architecture of programs, as seccomp tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the field's own")]
pub enum Architecture {
    X86_64,
    I386,
    X32,
    Aarch64,
    Arm,
}

/// The bit of a call's number that says x32, in a program whose audit architecture is x86-64.
pub const X32_BIT: u32 = 0x4000_0000;

impl Architecture {
    /// The one that this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// The one that this program was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// Those whose programs a kernel of this architecture can run, itself first.
    pub fn family(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86_64, Self::I386, Self::X32],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::I386 => &[Self::I386],
            Self::X32 => &[Self::X32],
            Self::Arm => &[Self::Arm],
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h. x32 shares that of x86-64.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments have 32 bits, so that the upper half of a comparison means nothing.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Self::I386 | Self::X32 | Self::Arm)
    }

    /// Docker's name for it in a profile's `arches`, which is libseccomp's.
    pub fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::I386 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// The OCI Spec's name for it.
    pub fn to_oci(self) -> Arch {
        match self {
            Self::X86_64 => Arch::ScmpArchX86_64,
            Self::I386 => Arch::ScmpArchX86,
            Self::X32 => Arch::ScmpArchX32,
            Self::Aarch64 => Arch::ScmpArchAarch64,
            Self::Arm => Arch::ScmpArchArm,
        }
    }

    /// The name of the call with this number. The table is sorted by name, so that this looks through all of it.
    pub fn name(self, number: u32) -> Option<&'static str> {
        TABLE
            .iter()
            .find(|(_, numbers)| number != NO && numbers[self as usize] == number)
            .map(|(name, _)| *name)
    }

    /// The number of a call as a filter sees it, with [`X32_BIT`] for x32. `None` for a name that it has not.
    #[cfg(test)]
    pub fn number(self, name: &str) -> Option<u32> {
        Row::of(name)?.number(self)
    }
}

/// A call's numbers on all architectures.
#[derive(Clone, Copy, Debug)]
pub struct Row(&'static [u32; 5]);

impl Row {
    /// `None` for a name that no architecture of ours has.
    pub fn of(name: &str) -> Option<Self> {
        let at = TABLE.binary_search_by(|(row, _)| (*row).cmp(name)).ok()?;
        Some(Self(&TABLE[at].1))
    }

    /// The number as a filter sees it, with [`X32_BIT`] for x32. `None` where the architecture has no such call.
    pub fn number(self, arch: Architecture) -> Option<u32> {
        match self.0[arch as usize] {
            NO => None,
            number if arch == Architecture::X32 => Some(number | X32_BIT),
            number => Some(number),
        }
    }
}

/// Every name in the table; for tests that go through them all.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b), "the search needs the table sorted");
    TABLE.iter().map(|(name, _)| *name)
}
