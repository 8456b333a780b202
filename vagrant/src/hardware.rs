//! A lab VM's hardware as QEMU's command line. Pure.
//!
//! A saved machine can only be restored on the very same devices, so that one function makes the line for all ways to start.
//! Paths are those that QEMU sees in its own mount namespace, and sockets are descriptors that it inherits: nothing of
//! a VM has a name that another program could take.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where QEMU sees the image: kernel, initrd and the disks that all VMs share.
pub const IMAGE: &str = "/vm/image";

/// Where QEMU sees the template: the machine's memory and state, its disk at that moment, and the programs' disk.
pub const TEMPLATE: &str = "/vm/template";

/// The descriptors that QEMU inherits, in this order from 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Inherited {
    /// QMP, as a connected socket.
    Control = 3,
    /// The channel to the agent inside, as a connected socket.
    Channel = 4,
    /// The serial console, as a connected socket.
    Console = 5,
    /// The machine's own disk, a file without a name.
    Disk = 6,
    /// `/dev/kvm`, where the accelerator is that.
    Kvm = 7,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, through the kernel.
    Kvm,
    /// QEMU itself: some ten times slower, and everywhere.
    Emulation,
}

impl Accelerator {
    /// How long a machine may take from its first instruction until its agent answers: many times what it takes when idle. A
    /// guest that KVM cannot run stands still without a word, and should not be waited for.
    pub fn booted_within(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(15),
            Self::Emulation => Duration::from_secs(60),
        }
    }
}

/// How a machine starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the kernel on; what becomes of it can be saved as a template.
    Cold {
        /// The kernel's command line.
        cmdline: String,
    },
    /// From a template, whose memory is shared until it is written to.
    Restored,
}

/// What a lab VM is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// What executes it.
    pub accelerator: Accelerator,
    /// Its memory, in MiB.
    pub memory_mib: u32,
}

/// The memory of a lab VM, in MiB: a lab host with a dozen containers, and a `--memory 64m` that means something.
pub const MEMORY_MIB: u32 = 256;

/// QEMU's cache of translated instructions, in MiB: it holds what a lab runs again and again, and bounds what a guest that
/// makes up code can make QEMU keep.
const TRANSLATIONS_MIB: u32 = 64;

/// The oldest QEMU that can do all of this: it brought memory that is written to privately while its file is read-only.
pub const QEMU_MIN: (u32, u32) = (8, 2);

/// The name of the channel's port inside the guest.
pub const PORT: &str = "isolab";

impl Hardware {
    /// The program and its arguments.
    pub fn argv(&self, start: &Start) -> Vec<String> {
        let mut argv = vec![program().to_owned()];
        let mut push = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
        // Nothing that a user or a distribution has configured, no window, no devices but those below. A guest that reboots or
        // panics ends.
        push(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", "isolab-lab"]);
        push(&["-machine", "pc,usb=off,vmport=off,memory-backend=memory", "-cpu", "max", "-smp", "1"]);
        push(&["-accel", &self.accelerator()]);
        push(&["-m", &format!("{}M", self.memory_mib), "-object", &self.memory(start)]);
        for disk in disks() {
            push(&["-drive", &disk.drive, "-device", &format!("virtio-blk-pci,drive={}", disk.name)]);
        }
        push(&["-chardev", &socket("control", Inherited::Control), "-mon", "chardev=control,mode=control"]);
        push(&[
            "-device",
            "virtio-serial-pci,max_ports=2",
            "-chardev",
            &socket("channel", Inherited::Channel),
        ]);
        push(&["-device", &format!("virtserialport,chardev=channel,name={PORT}")]);
        push(&["-chardev", &socket("console", Inherited::Console), "-serial", "chardev:console"]);
        // The guest's kernel makes new random numbers when it finds another identity after a restore.
        push(&["-device", "vmgenid,guid=auto"]);
        push(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
        match start {
            Start::Cold { cmdline } => {
                push(&["-kernel", &format!("{IMAGE}/vmlinux"), "-initrd", &format!("{IMAGE}/initrd")]);
                push(&["-append", cmdline]);
            }
            Start::Restored => push(&["-incoming", "defer"]),
        }
        argv
    }

    fn accelerator(&self) -> String {
        match self.accelerator {
            Accelerator::Kvm => "kvm,device=/dev/fdset/1".to_owned(),
            // One thread: a VM has one processor, and the machine many VMs.
            Accelerator::Emulation => format!("tcg,thread=single,tb-size={TRANSLATIONS_MIB}"),
        }
    }

    fn memory(&self, start: &Start) -> String {
        let file =
            format!("memory-backend-file,id=memory,size={}M,mem-path={TEMPLATE}/{MEMORY}", self.memory_mib);
        match start {
            Start::Cold { .. } => format!("{file},share=on"),
            // The file is never written to: a page that the guest changes becomes this machine's own.
            Start::Restored => format!("{file},share=off,readonly=on,rom=off"),
        }
    }

    /// Further arguments that name what is inherited for the accelerator.
    pub fn inherited(&self) -> Vec<String> {
        match self.accelerator {
            Accelerator::Kvm => vec!["-add-fd".into(), format!("fd={},set=1", Inherited::Kvm as i32)],
            Accelerator::Emulation => Vec::new(),
        }
    }
}

/// The name of the file of a template's memory.
pub const MEMORY: &str = "memory";

/// The name of the file of a template's processor and devices.
pub const STATE: &str = "state";

/// The name of the disk as it was when the template was saved: written to by the first machine, read by those that come of it.
pub const DISK: &str = "disk.qcow2";

/// The name of the disk with the agent and the engine.
pub const PROGRAMS: &str = "programs.ext4";

/// The program on this architecture.
pub fn program() -> &'static str {
    if cfg!(target_arch = "aarch64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" }
}

struct Disk {
    name: &'static str,
    drive: String,
}

/// In the order in which the guest names them: vda, vdb, vdc, vdd.
fn disks() -> [Disk; 4] {
    // Losing what a machine wrote when the machine under it fails is no loss: the lab is gone then.
    let own = Disk {
        name: "root",
        drive: format!(
            "if=none,id=root,format=qcow2,cache=unsafe,discard=unmap,file.locking=off,file.filename=/proc/self/fd/{}",
            Inherited::Disk as i32
        ),
    };
    let shared = |name: &'static str, file: String| Disk {
        name,
        drive: format!("if=none,id={name},format=raw,readonly=on,file.locking=off,file.filename={file}"),
    };
    [
        own,
        shared("base", format!("{IMAGE}/base.ext4")),
        shared("images", format!("{IMAGE}/images.ext4")),
        shared("programs", format!("{TEMPLATE}/{PROGRAMS}")),
    ]
}

fn socket(name: &str, descriptor: Inherited) -> String {
    format!("socket,id={name},fd={}", descriptor as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: Hardware = Hardware { accelerator: Accelerator::Emulation, memory_mib: 256 };

    fn line(start: &Start) -> String {
        HARDWARE.argv(start).join(" ")
    }

    #[test]
    fn a_restored_machine_has_the_devices_of_the_saved_one_in_the_same_order() {
        let devices = |start: &Start| {
            let argv = HARDWARE.argv(start);
            let is_device =
                |pair: &&[String]| ["-device", "-machine", "-cpu", "-smp", "-m"].contains(&pair[0].as_str());
            argv.windows(2).filter(is_device).map(|pair| pair[1].clone()).collect::<Vec<_>>()
        };
        let cold = Start::Cold { cmdline: "quiet".into() };
        assert_eq!(devices(&cold), devices(&Start::Restored));
        assert_eq!(devices(&cold).iter().filter(|device| device.starts_with("virtio-blk")).count(), 4);
    }

    #[test]
    fn only_its_own_disk_can_be_written_and_the_templates_memory_never() {
        let restored = line(&Start::Restored);
        assert_eq!(restored.matches("readonly=on,file.locking").count(), 3);
        assert!(restored.contains("share=off,readonly=on,rom=off"));
        assert!(line(&Start::Cold { cmdline: String::new() }).contains("share=on"));
    }

    #[test]
    fn there_is_no_network_and_qemu_can_start_nothing() {
        for start in [Start::Restored, Start::Cold { cmdline: "quiet".into() }] {
            let line = line(&start);
            assert!(
                line.contains("-nodefaults") && line.contains("spawn=deny") && line.contains("-no-reboot")
            );
            assert!(!line.contains("netdev") && !line.contains("-nic") && !line.contains("virtio-net"));
        }
    }

    #[test]
    fn kvm_comes_as_a_descriptor() {
        let kvm = Hardware { accelerator: Accelerator::Kvm, ..HARDWARE };
        assert!(kvm.argv(&Start::Restored).join(" ").contains("kvm,device=/dev/fdset/1"));
        assert_eq!(kvm.inherited(), ["-add-fd", "fd=7,set=1"]);
        assert!(HARDWARE.inherited().is_empty());
    }
}
