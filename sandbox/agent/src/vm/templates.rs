//! Templates: machines that were booted once, brought to a waiting shell and saved, for others to be restored from.
//!
//! A template is a folder that is written once, under the name of everything that went into it. It is for all agents of one
//! state directory: one makes it, the others wait.

use super::guest::Guest;
use super::launch::{self, Files, Qemu};
use super::programs;
use super::warming;
use crate::owners::Owners;
use crate::refusal::{Kind, Refusal};
use crate::stage;
use crate::store::Store;
use isolab_runtime::Zygote;
use isolab_vm::hardware::{DISK, MEMORY, MEMORY_MIB, PROGRAMS, STATE, TEMPLATE};
use isolab_vm::{Accelerator, Greeting, Hardware, Image, Running, Start};
use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, chown, flock, open};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, Semaphore};

/// How often a machine that becomes a template is tried again: under emulation one in some hundred boots hangs.
const TRIES: usize = 3;

/// How long to wait for another agent that makes the same template.
const MADE_WITHIN: Duration = Duration::from_secs(180);

/// How many templates are kept beside the one in use: those of programs that were built before, say.
const OTHERS_MAX: usize = 2;

/// How many machines may be on their way at once for each processor: with eight on two the last waits 0.3 s, with sixteen twice as
/// long.
const RESTORING_PER_PROCESSOR: usize = 4;

/// What has to be left of the machine's memory after another VM was started, in KiB: a VM grows while it is used.
const MEMORY_LEFT_KIB: u64 = 512 * 1024;

/// The size of a machine's own disk, in bytes, as the recipe made its base. What a machine writes is bounded by it.
const DISK_BYTES: u64 = 3 * 1024 * 1024 * 1024;

/// The name of the disk that each machine gets a copy of: nothing is written on it yet.
const FRESH_DISK: &str = "fresh.qcow2";

/// The name of the mark that KVM was tried with this kernel and did not run a guest.
const WITHOUT_KVM: &str = "without-kvm";

/// What machines run beside what is in the image, opened before the agent was confined.
#[derive(Debug)]
pub struct Programs {
    /// The agent.
    pub agent: File,
    /// The engine.
    pub engine: Arc<File>,
    /// `/dev/kvm`.
    pub kvm: Option<File>,
}

/// A template, ready to be restored from.
#[derive(Debug)]
pub struct Template {
    hardware: Hardware,
    files: Files,
    /// Why it is emulated, or that it is not, in a sentence.
    pub accelerated: String,
}

/// Makes templates when they are needed.
#[derive(Debug)]
pub struct Templates {
    zygote: Zygote,
    owners: Owners,
    store: Store,
    programs: Programs,
    current: Mutex<Option<(String, Arc<Template>)>>,
    /// Turns: more machines than the processors can start at once would all be late.
    restoring: Semaphore,
}

/// Is told what is being done, in words.
pub type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Templates {
    /// None yet.
    pub fn new(zygote: Zygote, owners: Owners, store: Store, programs: Programs) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let restoring = Semaphore::new(RESTORING_PER_PROCESSOR * processors);
        Self { zygote, owners, store, programs, current: Mutex::default(), restoring }
    }

    /// The image that machines are made of. Errors say how to make one.
    pub fn image(store: &Store) -> Result<Image, Refusal> {
        Image::current(&store.vm_images()).map_err(|error| {
            let message = format!("There is no image for virtual machines yet ({error}).");
            Refusal::new(Kind::Unavailable, message).mend("isolab vm build")
        })
    }

    /// The template for the image in use, made if it is not there.
    pub async fn ready(&self, tell: Tell<'_>) -> Result<Arc<Template>, Refusal> {
        let image = Self::image(&self.store)?;
        let mut current = match self.current.try_lock() {
            Ok(current) => current,
            Err(_) => {
                tell("Waiting for the first virtual machine".into());
                self.current.lock().await
            }
        };
        let name = self.name(&image).await?;
        if let Some((_, template)) = current.as_ref().filter(|(known, _)| *known == name) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(self.find_or_make(&image, &name, tell).await?);
        *current = Some((name, Arc::clone(&template)));
        Ok(template)
    }

    /// Starts a machine from a template; its disk is its own and has no name.
    pub async fn restore(
        &self,
        template: &Template,
        greeting: &Greeting,
    ) -> Result<(Qemu, Running), Refusal> {
        // An error says that the semaphore was closed, which nobody does.
        let _turn = self.restoring.acquire().await;
        leave_memory()?;
        let broken = |error: io::Error| Refusal::new(Kind::Failed, format!("A machine's disk: {error}."));
        let owner = self.owners.one();
        let disk = self.fresh_disk(&template.files.template, owner.id()).map_err(broken)?;
        let kvm = self.programs.kvm.as_ref().filter(|_| template.hardware.accelerator == Accelerator::Kvm);
        let start = Start::Restored;
        let (qemu, launched) =
            launch::launch(&self.zygote, owner, template.hardware, &start, &template.files, disk, kvm)
                .await?;
        let running = launched.restore(greeting).await.map_err(|error| told(&error, &qemu))?;
        Ok((qemu, running))
    }

    /// A name for all that a template is made of.
    async fn name(&self, image: &Image) -> Result<String, Refusal> {
        let mut digest = Sha256::new();
        digest.update(&image.digest);
        digest.update(programs::qemu_version().await?);
        digest.update(self.hardware(Accelerator::Emulation).argv(&cold(image)).join("\0"));
        for program in [&self.programs.agent, &*self.programs.engine] {
            // Digesting the programs would take longer than restoring a machine; one that was built anew is another file.
            let found = program.metadata().map_err(|error| unreadable(&error))?;
            let identity =
                [found.dev(), found.ino(), found.size(), found.mtime() as u64, found.mtime_nsec() as u64];
            identity.iter().for_each(|number| digest.update(number.to_le_bytes()));
        }
        Ok(digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    fn hardware(&self, accelerator: Accelerator) -> Hardware {
        Hardware { accelerator, memory_mib: MEMORY_MIB }
    }

    async fn find_or_make(&self, image: &Image, name: &str, tell: Tell<'_>) -> Result<Template, Refusal> {
        let all = self.store.templates();
        let broken = |error: io::Error| {
            Refusal::new(Kind::Unavailable, format!("{} cannot be used: {error}.", all.display()))
                .mend("End the agent and start it again: it is given that directory when it starts.")
        };
        std::fs::create_dir_all(&all).map_err(broken)?;
        let lock = lock(&all.join(".lock"), tell).await.map_err(broken)?;
        let (accelerators, why) = self.accelerators(&all);
        for accelerator in &accelerators {
            let place = all.join(format!("{name}-{}", word(*accelerator)));
            if place.join(STATE).is_file() {
                // The time says when it was used last.
                let _ = File::open(&place).and_then(|place| place.set_modified(SystemTime::now()));
                return self.template(image, *accelerator, place, &why);
            }
        }
        for accelerator in accelerators {
            match self.make(image, accelerator, tell).await {
                Ok(made) => {
                    let place = all.join(format!("{name}-{}", word(accelerator)));
                    std::fs::rename(&made, &place).map_err(broken)?;
                    remove_surplus(&all, &place);
                    drop(lock);
                    return self.template(image, accelerator, place, &why);
                }
                Err(refusal) if accelerator == Accelerator::Kvm => {
                    tracing::warn!(message = refusal.message, "no guest runs on KVM here; emulating");
                    std::fs::write(all.join(WITHOUT_KVM), kernel_release()).map_err(broken)?;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new(Kind::Failed, "No virtual machine could be made."))
    }

    fn template(
        &self,
        image: &Image,
        accelerator: Accelerator,
        place: PathBuf,
        why: &str,
    ) -> Result<Template, Refusal> {
        let files = self.files(image, &place)?;
        let accelerated = match accelerator {
            Accelerator::Kvm => "The processor runs it (KVM).".to_owned(),
            Accelerator::Emulation => format!("It is emulated: {why}."),
        };
        Ok(Template { hardware: self.hardware(accelerator), files, accelerated })
    }

    fn files(&self, image: &Image, template: &Path) -> Result<Files, Refusal> {
        let empty = stage::empty_directory().map_err(|error| unreadable(&error))?;
        Ok(Files { image: image.directory.clone(), template: template.to_owned(), empty })
    }

    /// What to try, the best first, and why not KVM.
    fn accelerators(&self, all: &Path) -> (Vec<Accelerator>, String) {
        if self.programs.kvm.is_none() {
            return (vec![Accelerator::Emulation], "/dev/kvm is not there, or not for this user".into());
        }
        let failed_with = std::fs::read_to_string(all.join(WITHOUT_KVM)).unwrap_or_default();
        let why = "/dev/kvm is there, but no guest boots on it".to_owned();
        match failed_with == kernel_release() {
            true => (vec![Accelerator::Emulation], why),
            false => (vec![Accelerator::Kvm, Accelerator::Emulation], why),
        }
    }

    /// Boots a machine and saves it in a folder of its own.
    async fn make(
        &self,
        image: &Image,
        accelerator: Accelerator,
        tell: Tell<'_>,
    ) -> Result<PathBuf, Refusal> {
        let place = self.store.templates().join(".making");
        let failed = |error: io::Error| {
            Refusal::new(Kind::Unavailable, format!("A template cannot be made: {error}."))
        };
        let mut last = Refusal::new(Kind::Failed, "No virtual machine could be booted.");
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => std::fs::create_dir_all(&place).map_err(failed)?,
            }
            match self.make_in(&place, image, accelerator, tell).await {
                Ok(()) => return Ok(place),
                Err(refusal) if accelerator == Accelerator::Kvm => return Err(refusal),
                Err(refusal) => {
                    tracing::warn!(message = refusal.message, "a virtual machine did not become a template");
                    last = refusal;
                }
            }
        }
        Err(last)
    }

    async fn make_in(
        &self,
        place: &Path,
        image: &Image,
        accelerator: Accelerator,
        tell: Tell<'_>,
    ) -> Result<(), Refusal> {
        let failed = |what: &'static str| {
            move |error: io::Error| Refusal::new(Kind::Unavailable, format!("{what}: {error}."))
        };
        tell("Making the first virtual machine (once, half a minute)".into());
        self.write_programs(place).await?;
        programs::disk_over("/vm/image/base.ext4", "raw", DISK_BYTES, &place.join(DISK)).await?;
        let backing = format!("{TEMPLATE}/{DISK}");
        programs::disk_over(&backing, "qcow2", DISK_BYTES, &place.join(FRESH_DISK)).await?;
        let owner = self.owners.one();
        // It writes its memory and its state there, and its disk.
        give(place, owner.id()).map_err(failed("the template's folder"))?;
        let disk = File::options().read(true).write(true).open(place.join(DISK));
        let disk = disk.map_err(failed("the template's disk"))?;
        give(&place.join(DISK), owner.id()).map_err(failed("the template's disk"))?;
        let (hardware, files) = (self.hardware(accelerator), self.files(image, place)?);
        let kvm = self.programs.kvm.as_ref().filter(|_| accelerator == Accelerator::Kvm);
        tell("Booting the first virtual machine (once, half a minute)".into());
        let (qemu, launched) =
            launch::launch(&self.zygote, owner, hardware, &cold(image), &files, disk, kvm).await?;
        let console = launched.console.clone();
        let greeting = greeting(true).map_err(failed("random numbers"))?;
        let running = launched.boot(&greeting, accelerator.booted_within()).await.map_err(|error| {
            let lines = console.last_lines(3).join(" / ");
            let refusal = told(&error, &qemu);
            Refusal { message: format!("{} The console's end: {lines}", refusal.message), ..refusal }
        })?;
        tell("Bringing the first virtual machine to a waiting shell (once)".into());
        warming::warm(&Guest::new(running.dialer().clone())).await?;
        running.save().await.map_err(|error| told(&error, &qemu))?;
        drop(qemu);
        take_back(place).map_err(failed("the template's folder"))
    }

    /// The disk with the agent and the engine.
    async fn write_programs(&self, place: &Path) -> Result<(), Refusal> {
        let failed =
            |error: io::Error| Refusal::new(Kind::Unavailable, format!("The programs' disk: {error}."));
        let folder = place.join("programs");
        std::fs::create_dir(&folder).map_err(failed)?;
        let mut bytes = 0;
        for (name, program) in
            [("isolab-agent", &self.programs.agent), (stage::ENGINE, &*self.programs.engine)]
        {
            bytes += copy_program(program, &folder.join(name)).map_err(failed)?;
        }
        // Room for the file system's own tables.
        let kib = bytes / 1024 * 11 / 10 + 4096;
        let (disk, from) = (place.join(PROGRAMS), folder.to_string_lossy().into_owned());
        let (disk, size) = (disk.to_string_lossy().into_owned(), format!("{kib}k"));
        let make = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", &from, &disk, &size];
        programs::run("mke2fs", &make).await?;
        std::fs::remove_dir_all(&folder).map_err(failed)
    }

    /// A copy of the empty disk, for one machine.
    fn fresh_disk(&self, template: &Path, owner: u32) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mut disk = File::from(open(self.store.templates(), flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut File::open(template.join(FRESH_DISK))?, &mut disk)?;
        disk.rewind()?;
        rustix::fs::fchown(&disk, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        Ok(disk)
    }
}

/// Errors: there is too little memory for one more machine.
fn leave_memory() -> Result<(), Refusal> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    match kib {
        Some(kib) if kib < MEMORY_LEFT_KIB => {
            let message = format!("This machine has {} MiB of memory left, too little for a VM.", kib / 1024);
            Err(Refusal::new(Kind::Limit, message).mend("End a lab that is not needed."))
        }
        _ => Ok(()),
    }
}

/// A greeting that nobody has heard.
pub fn greeting(template: bool) -> io::Result<Greeting> {
    let mut random = [0_u8; 64];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Greeting {
        now_ns: now.as_nanos() as u64,
        seed: hex(&random[..32]),
        machine_id: hex(&random[32..48]),
        token: hex(&random[48..]),
        template,
    })
}

fn cold(image: &Image) -> Start {
    Start::Cold { cmdline: format!("console=ttyS0 {}", image.manifest.cmdline) }
}

fn word(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Emulation => "emulated",
    }
}

/// What went wrong with a machine, with what QEMU itself complained about.
fn told(error: &isolab_vm::Error, qemu: &Qemu) -> Refusal {
    let said = qemu.complaints.last_lines(2).join(" / ");
    let said = if said.is_empty() { String::new() } else { format!(" QEMU says: {said}.") };
    Refusal::new(Kind::Failed, format!("The virtual machine did not start: {error}.{said}"))
}

fn unreadable(error: &io::Error) -> Refusal {
    Refusal::new(Kind::Failed, format!("The agent cannot read its own programs: {error}."))
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn copy_program(program: &File, to: &Path) -> io::Result<u64> {
    // By another descriptor, so that nobody else's place in the file moves.
    let mut from = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(program)))?;
    let mut copy = File::create(to)?;
    let bytes = io::copy(&mut from, &mut copy)?;
    copy.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(bytes)
}

fn give(path: &Path, owner: u32) -> io::Result<()> {
    Ok(chown(path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?)
}

/// Nobody writes to a template any more, and every machine's QEMU may read it.
fn take_back(place: &Path) -> io::Result<()> {
    give(place, 0)?;
    for file in [PROGRAMS, DISK, FRESH_DISK, MEMORY, STATE] {
        let path = place.join(file);
        give(&path, 0)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444))?;
    }
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755))
}

async fn lock(path: &Path, tell: Tell<'_>) -> io::Result<OwnedFd> {
    let file = open(path, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    let began = std::time::Instant::now();
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(error.into());
        }
        if began.elapsed() > MADE_WITHIN {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another agent has been making one for too long",
            ));
        }
        tell("Waiting for another agent that makes the first virtual machine".into());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(file)
}

/// Removes what was used longest ago. Machines that run keep what they have open.
fn remove_surplus(all: &Path, current: &Path) {
    let entries = std::fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .filter(|path| path.is_dir() && path != current)
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    others.sort();
    for (_, path) in &others[..others.len().saturating_sub(OTHERS_MAX)] {
        if let Err(error) = std::fs::remove_dir_all(path) {
            tracing::warn!(%error, path = %path.display(), "an old template cannot be removed");
        }
    }
}
