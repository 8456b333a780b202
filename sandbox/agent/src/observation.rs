//! One lab, looked at: read from the kernel, named by the engine, told to whoever follows.
//!
//! Nothing is read while nobody asks. What is slow (links, the engine's names) is kept and renewed only when the
//! picture has changed, or now and then.

use crate::engine::Label;
use crate::host::LabHost;
use crate::metrics::Metrics;
use crate::pristine::Pristine;
use crate::refusal::{Kind, Refusal};
use crate::walls::Ledger;
use isolab_protocol::LabId;
use isolab_protocol::observation::{Kernel, Observation, PROCESSES_MAX};
use isolab_runtime::observe::{Label as Named, Moment, Reader, Reading, Surroundings};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// How often a lab is looked at while somebody follows: within 100 ms a change looks immediate.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After a look, rest for so many times as long: a lab full of processes costs a bounded share of one processor.
const REST: u32 = 4;

/// The same in a virtual machine, which may be one of a hundred that share a processor or two: it costs a twentieth at most.
const REST_OF_MACHINE: u32 = 20;

/// How long the engine may take to name its containers before the picture goes without.
const NAMED_WITHIN: Duration = Duration::from_millis(500);

/// Names and links are renewed this often although nothing else has changed: a container may be renamed, an address
/// added.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How soon to ask again for names that the engine did not know yet.
const RENAME_EVERY: Duration = Duration::from_millis(300);

/// How long one look may take. Reading a lab's procfs takes a few milliseconds; the kernel can make it wait for a
/// learner's process.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);

/// The most pairs of namespaces that are surveyed at once: each takes the zygote about a millisecond.
const SURVEYS_MAX: usize = 32;

/// Looks at one lab host.
#[derive(Debug)]
pub struct Observer {
    lab: LabId,
    host: Arc<LabHost>,
    means: Means,
    /// Read at the first look, because reading makes the kernel give this boot its id: a template of a machine has none yet.
    kernel: tokio::sync::OnceCell<Kernel>,
    /// Outlives a look that nobody waits for any more: the thread that reads keeps it until the kernel has answered.
    reader: Arc<tokio::sync::Mutex<Reader>>,
    known: tokio::sync::Mutex<Known>,
    latest: watch::Sender<Option<Arc<Observation>>>,
    followed: Notify,
}

/// What a look needs beside the lab itself.
#[derive(Debug)]
pub struct Means {
    /// What programs of the images are.
    pub pristine: Arc<Pristine>,
    /// Where looks are counted.
    pub metrics: Arc<Metrics>,
    /// What the kernel refused, where somebody watches.
    pub refusals: Arc<Ledger>,
    /// Whether the lab is this machine, and the machine a virtual one.
    pub is_machine: bool,
}

/// What is kept between looks.
#[derive(Debug, Default)]
struct Known {
    seq: u64,
    surroundings: Surroundings,
    /// The first processes of the containers that were named last.
    named: BTreeSet<u32>,
    named_at: Option<Instant>,
    surveyed: BTreeSet<(u64, u64)>,
    /// A process in each of these pairs of namespaces, to survey them again without looking for one.
    witnesses: Witnesses,
    surveyed_at: Option<Instant>,
}

impl Observer {
    /// An observer of a lab host, which `reader` reads. `seq` is where an earlier observer of the same lab ended, so that it never
    /// goes back.
    pub fn new(lab: LabId, host: Arc<LabHost>, reader: Reader, means: Means, seq: u64) -> Self {
        let known = tokio::sync::Mutex::new(Known { seq, ..Known::default() });
        Self {
            lab,
            host,
            means,
            kernel: tokio::sync::OnceCell::new(),
            reader: Arc::new(tokio::sync::Mutex::new(reader)),
            known,
            latest: watch::channel(None).0,
            followed: Notify::new(),
        }
    }

    /// Looks, now.
    pub async fn look(&self) -> Result<Arc<Observation>, Refusal> {
        let slow = || {
            let message =
                "The lab could not be observed in time: the machine is too busy, or a process in it hangs.";
            Refusal::new(Kind::TimedOut, message)
        };
        timeout(LOOKED_WITHIN, self.look_at_length()).await.map_err(|_| slow())?
    }

    async fn look_at_length(&self) -> Result<Arc<Observation>, Refusal> {
        let mut known = self.known.lock().await;
        let reading = self.read().await?;
        self.name(&reading, &mut known).await;
        self.survey(&reading, &mut known).await;
        self.means.metrics.observations.fetch_add(1, Relaxed);
        let taken_at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let kernel =
            self.kernel.get_or_try_init(|| std::future::ready(isolab_runtime::observe::kernel())).await;
        let kernel = kernel.cloned().map_err(|error| {
            Refusal::new(Kind::Failed, format!("The kernel does not tell about itself: {error}."))
        })?;
        let moment = Moment { lab: self.lab.clone(), seq: known.seq, taken_at_ms, kernel };
        let mut seen = reading.assemble(moment, &known.surroundings);
        self.tell_refusals(&mut seen);
        let before = self.latest.borrow().clone();
        if before.as_ref().is_some_and(|before| is_same(before, &mut seen)) {
            return Ok(before.unwrap_or_else(|| Arc::new(seen)));
        }
        known.seq += 1;
        seen.seq = known.seq;
        let seen = Arc::new(seen);
        self.latest.send_replace(Some(Arc::clone(&seen)));
        Ok(seen)
    }

    /// Adds what the kernel refused, under the names that containers have while they are there to be seen.
    fn tell_refusals(&self, seen: &mut Observation) {
        let refusals = &self.means.refusals;
        for container in &seen.containers {
            refusals.name(container.namespaces.mnt.inode, &container.id, &container.name);
        }
        let told = refusals.tell(std::time::Instant::now());
        (seen.refusals, seen.refusals_lost) = (told.refusals, told.lost);
    }

    /// Reads the lab once and tells nobody: what its programs are is known afterwards, which takes seconds to find out where a
    /// machine is emulated.
    pub async fn prime(&self) {
        if let Err(refusal) = self.read().await {
            tracing::warn!(%refusal, "a first reading failed");
        }
    }

    /// Follows the lab: the receiver sees each change. While any receiver lives, the lab is looked at.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Observation>>> {
        let receiver = self.latest.subscribe();
        self.followed.notify_one();
        receiver
    }

    /// Where the count of changes stands.
    pub async fn seq(&self) -> u64 {
        self.known.lock().await.seq
    }

    /// Looks again and again while somebody follows. Never returns.
    pub async fn watch(&self) {
        loop {
            if self.latest.is_closed() {
                self.followed.notified().await;
            }
            while !self.latest.is_closed() {
                let began = Instant::now();
                if let Err(refusal) = self.look().await {
                    tracing::debug!(lab = %self.lab, %refusal, "a look at a lab failed");
                }
                let rest = if self.means.is_machine { REST_OF_MACHINE } else { REST };
                sleep(LOOK_EVERY.max(began.elapsed() * rest)).await;
            }
        }
    }

    /// The proportional set size of all processes of the lab, in KiB; `None` where the kernel does not tell in time.
    pub async fn memory_kib(&self) -> Option<u64> {
        let procfs = self.host.procfs().try_clone().ok()?;
        // A zombie has no memory to tell of.
        let sum = move || pids(&procfs).into_iter().filter_map(|pid| pss_kib(&procfs, pid)).sum();
        let summed = tokio::task::spawn_blocking(sum);
        timeout(LOOKED_WITHIN, summed).await.ok()?.ok()
    }

    async fn read(&self) -> Result<Reading, Refusal> {
        // An earlier look may still be reading, for somebody who has gone. It is waited for here, where waiting takes no
        // thread; a look that hangs in the kernel is this look's time limit too.
        let mut reader = Arc::clone(&self.reader).lock_owned().await;
        let pristine = Arc::clone(&self.means.pristine);
        let reading = tokio::task::spawn_blocking(move || reader.read(&*pristine));
        match reading.await {
            Ok(Some(reading)) => Ok(reading),
            Ok(None) => Err(Refusal::new(Kind::Conflict, "The lab is ending.")),
            Err(_) => Err(Refusal::new(Kind::Failed, "A fault in the agent while reading the lab.")),
        }
    }

    /// Asks the engine for names where there are new containers, or unnamed ones, or it was long ago.
    async fn name(&self, reading: &Reading, known: &mut Known) {
        let pids: BTreeSet<u32> =
            reading.containers.iter().filter_map(|c| c.processes.first()).map(|p| p.pid).collect();
        if pids.is_empty() {
            known.surroundings.labels.clear();
            known.named.clear();
            return;
        }
        let age = known.named_at.map_or(Duration::MAX, |at| at.elapsed());
        let unnamed = pids.iter().any(|pid| !known.surroundings.labels.contains_key(pid));
        if known.named == pids && age < if unnamed { RENAME_EVERY } else { RENEW_EVERY } {
            return;
        }
        if let Some(labels) = self.host.engine().labels(pids.iter().copied().collect(), NAMED_WITHIN).await {
            known.surroundings.labels = labels.into_iter().map(named).collect();
        }
        known.named = pids;
        known.named_at = Some(Instant::now());
    }

    /// Reads hostnames and links where there are new namespaces, or it was long ago.
    async fn survey(&self, reading: &Reading, known: &mut Known) {
        let wanted: BTreeMap<(u64, u64), u32> =
            reading.namespaces_to_survey().into_iter().take(SURVEYS_MAX).collect();
        let keys: BTreeSet<(u64, u64)> = wanted.keys().copied().collect();
        let age = known.surveyed_at.map_or(Duration::MAX, |at| at.elapsed());
        if known.surveyed == keys && age < RENEW_EVERY {
            return;
        }
        let (zygote, pairs, known_before) =
            (self.host.zygote().clone(), keys.clone(), std::mem::take(&mut known.witnesses));
        let surveyed = tokio::task::spawn_blocking(move || {
            let witnesses = witnesses(&pairs, known_before);
            let survey = |(pair, witness): (&(u64, u64), &Witness)| {
                zygote.survey(witness.pidfd.as_fd()).ok().map(|survey| (*pair, survey))
            };
            let surveyed: Vec<((u64, u64), _)> = witnesses.iter().filter_map(survey).collect();
            (witnesses, surveyed)
        });
        if let Ok((witnesses, surveyed)) = surveyed.await {
            known.witnesses = witnesses;
            let (mut hostnames, mut links) = (HashMap::new(), HashMap::new());
            for ((net, uts), survey) in surveyed {
                hostnames.insert(uts, survey.hostname);
                links.insert(net, survey.links);
            }
            known.surroundings.hostnames = hostnames;
            known.surroundings.links = links;
            known.surveyed = keys;
            known.surveyed_at = Some(Instant::now());
        }
    }
}

fn named(label: Label) -> (u32, Named) {
    (label.pid, Named { id: label.id, name: label.name, image: label.image })
}

/// Whether nothing but the clock has changed. `seen` takes over the clock where that is so.
fn is_same(before: &Observation, seen: &mut Observation) -> bool {
    let (seq, taken_at_ms) = (seen.seq, seen.taken_at_ms);
    seen.seq = before.seq;
    seen.taken_at_ms = before.taken_at_ms;
    let same = *before == *seen;
    (seen.seq, seen.taken_at_ms) = (seq, taken_at_ms);
    same
}

/// By network and UTS namespace: a process in both.
type Witnesses = BTreeMap<(u64, u64), Witness>;

#[derive(Debug)]
struct Witness {
    pid: i32,
    pidfd: OwnedFd,
}

/// A process for each of these pairs. A lab's own procfs numbers processes as the lab does; the machine's, read here, as
/// the agent does. The machine is looked through only for pairs that have no witness any more.
fn witnesses(pairs: &BTreeSet<(u64, u64)>, mut known: Witnesses) -> Witnesses {
    // A number that went to another process in the same namespaces does no harm: the pidfd names the old one, and
    // surveying it fails, once.
    known.retain(|pair, witness| pairs.contains(pair) && namespaces_of(witness.pid) == Some(*pair));
    let mut missing: BTreeSet<(u64, u64)> =
        pairs.iter().filter(|pair| !known.contains_key(pair)).copied().collect();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if missing.is_empty() {
            break;
        }
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(pair) = namespaces_of(pid).filter(|pair| missing.contains(pair)) else { continue };
        let Some(Ok(pidfd)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            continue;
        };
        // Between reading and opening, the number may have gone to another process.
        if namespaces_of(pid) == Some(pair) && missing.remove(&pair) {
            known.insert(pair, Witness { pid, pidfd });
        }
    }
    known
}

fn namespaces_of(pid: i32) -> Option<(u64, u64)> {
    let inode = |kind: &str| std::fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok().map(|m| m.ino());
    Some((inode("net")?, inode("uts")?))
}

/// The processes of a lab, at most as many as an observation holds.
fn pids(procfs: &OwnedFd) -> Vec<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::openat(procfs, ".", flags, Mode::empty()) else { return Vec::new() };
    let entries = rustix::fs::Dir::new(root).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).take(PROCESSES_MAX).collect()
}

fn pss_kib(procfs: &OwnedFd, pid: u32) -> Option<u64> {
    let path = format!("{pid}/smaps_rollup");
    let file = rustix::fs::openat(procfs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // Some thirty short lines, of which the second is the one.
    let mut text = [0; 4096];
    let count = rustix::io::read(&file, &mut text).ok()?;
    let text = std::str::from_utf8(&text[..count]).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    number.trim().strip_suffix(" kB")?.parse().ok()
}
