//! One lab's life: opening → ready → (reset → opening → ready)* → ended.
//!
//! A lab is a task that owns its lab host; everybody else holds a [`Lab`] and asks. What the learner sees of it is in one
//! place, the [`Lab::view`], and every change of it is told to whoever follows.

use crate::generation::{Generation, Gone};
use crate::presence::{Attached, Presence};
use crate::refusal::{Kind, Refusal};
use crate::vm::templates::Templates;
use crate::world::World;
use isolab_protocol::{ExecRequest, Lab as View, LabId, LabPhase, LabSpec, StartStep, Tier};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a lab waits for somebody to return, unless it was asked for otherwise: a lunch break.
const IDLE_SECONDS_DEFAULT: u32 = 30 * 60;

/// The longest that may be asked for: a day of a workshop.
const IDLE_SECONDS_MAX: u32 = 8 * 60 * 60;

/// The longest setup script, in bytes (see the protocol).
const SETUP_BYTES_MAX: usize = 64 * 1024;

/// How long a setup script may run: it makes files and starts containers, and a learner waits for it.
const SETUP_SECONDS_MAX: u32 = 120;

/// How much of a failed setup script's output is told, in characters: its last lines.
const SETUP_TOLD_CHARS: usize = 500;

/// How long a request for a lab that is being opened waits until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A machine that dies within this time of being ready dies early: a learner cannot have done much.
const EARLY: Duration = Duration::from_secs(5);

/// So many early deaths in a row end the lab.
const EARLY_DEATHS_MAX: u32 = 3;

/// A handle to one lab.
#[derive(Debug)]
pub struct Lab {
    id: LabId,
    tier: Tier,
    idle: Duration,
    presence: Presence,
    status: watch::Sender<Status>,
    resets: mpsc::Sender<Option<String>>,
    over: CancellationToken,
}

/// What a lab is at the moment.
#[derive(Clone, Debug)]
struct Status {
    phase: Phase,
    number: u32,
    steps: Vec<Step>,
    /// Why there is a new lab host although nobody asked for one.
    notice: Option<String>,
}

/// A step of opening a lab.
#[derive(Clone, Debug)]
struct Step {
    what: String,
    began: Instant,
    took: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Phase {
    Opening,
    Ready(Arc<Generation>),
    Ended(String),
}

impl Lab {
    /// Begins to open a lab. Errors: the request cannot be.
    pub fn open(world: &Arc<World>, id: LabId, spec: LabSpec) -> Result<Arc<Self>, Refusal> {
        let tier = spec.tier.unwrap_or(Tier::Sandbox);
        if tier == Tier::Vm {
            // Said now, and not by a lab that ends as soon as it has begun.
            Templates::image(world.store())?;
        }
        check_setup(spec.setup.as_deref())?;
        let idle = match world.is_machine() {
            // A machine's lab is its host's to end.
            true => u32::MAX,
            false => spec.idle_seconds_max.unwrap_or(IDLE_SECONDS_DEFAULT).clamp(1, IDLE_SECONDS_MAX),
        };
        // One reset waits while another is under way: a third would change nothing.
        let (resets, asked) = mpsc::channel(1);
        let status = Status { phase: Phase::Opening, number: 0, steps: Vec::new(), notice: None };
        let lab = Arc::new(Self {
            id,
            tier,
            idle: Duration::from_secs(u64::from(idle)),
            presence: Presence::default(),
            status: watch::channel(status).0,
            resets,
            over: CancellationToken::new(),
        });
        let life = Life {
            lab: Arc::clone(&lab),
            world: Arc::clone(world),
            asked,
            setup: spec.setup,
            seq: 0,
            early_deaths: 0,
        };
        world.tasks().spawn(life.live());
        Ok(lab)
    }

    /// Its name.
    pub fn id(&self) -> &LabId {
        &self.id
    }

    /// What to tell of it, memory aside.
    pub fn view(&self) -> View {
        let status = self.status.borrow().clone();
        let left = self.presence.left(self.idle).map(|left| left.as_secs() as u32);
        let mut tier_why = match self.tier {
            Tier::Sandbox => "It needs neither the machine's root nor a kernel of its own.".to_owned(),
            Tier::Vm => "It has a kernel of its own, and real root on it.".to_owned(),
        };
        if let Phase::Ready(generation) = &status.phase
            && let Some(accelerated) = generation.accelerated()
        {
            tier_why = format!("{tier_why} {accelerated}");
        }
        let (state, ends_in_seconds) = match status.phase {
            Phase::Opening => (LabPhase::Opening, None),
            Phase::Ready(_) => (LabPhase::Ready, left),
            Phase::Ended(why) => (LabPhase::Ended { why }, None),
        };
        View {
            id: self.id.clone(),
            tier: self.tier,
            tier_why,
            notice: status.notice,
            state,
            generation: status.number,
            steps: status.steps.into_iter().map(Step::told).collect(),
            ends_in_seconds,
            memory_kib: None,
        }
    }

    /// The same, with the memory that it adds.
    pub async fn measured(&self) -> View {
        let mut view = self.view();
        if let Some(generation) = self.running() {
            view.memory_kib = generation.memory_kib().await;
        }
        view
    }

    /// Tells of each change.
    pub fn changes(&self) -> Changes {
        Changes { status: self.status.subscribe() }
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.borrow().phase, Phase::Ended(_))
    }

    /// Somebody attaches: the lab is not idle while this lives.
    pub fn attach(&self) -> Attached {
        self.presence.attach()
    }

    /// The running lab host, where there is one.
    pub fn running(&self) -> Option<Arc<Generation>> {
        match &self.status.borrow().phase {
            Phase::Ready(generation) => Some(Arc::clone(generation)),
            Phase::Opening | Phase::Ended(_) => None,
        }
    }

    /// The lab host, once it is ready. Errors: the lab is over, or opening takes too long.
    pub async fn ready(&self) -> Result<Arc<Generation>, Refusal> {
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| !matches!(status.phase, Phase::Opening));
        let phase = match timeout(READY_WITHIN, settled).await {
            Ok(Ok(status)) => status.phase.clone(),
            Ok(Err(_)) => Phase::Ended("The agent is ending.".into()),
            Err(_) => return Err(Refusal::new(Kind::TimedOut, "The lab is still being opened.")),
        };
        match phase {
            Phase::Ready(generation) => Ok(generation),
            Phase::Ended(why) => Err(Refusal::new(Kind::Conflict, format!("This lab is over. {why}"))
                .mend("Open it again: POST /v1/labs with the same id.")),
            Phase::Opening => Err(Refusal::new(Kind::TimedOut, "The lab is still being opened.")),
        }
    }

    /// Makes the whole lab anew.
    pub fn reset(&self, setup: Option<String>) -> Result<(), Refusal> {
        check_setup(setup.as_deref())?;
        if self.has_ended() {
            return Err(Refusal::new(Kind::Conflict, "This lab is over.")
                .mend("Open it again: POST /v1/labs with the same id."));
        }
        if let Ok(place) = self.resets.try_reserve() {
            // From here on nobody is handed the old lab host.
            self.status.send_modify(|status| status.begin(status.number + 1));
            place.send(setup);
        }
        Ok(())
    }

    /// Ends the lab and waits until nothing of it is left.
    pub async fn end(&self) {
        self.over.cancel();
        let mut status = self.status.subscribe();
        // An error says that the lab's task is gone, and the lab with it.
        let _ = status.wait_for(|status| matches!(status.phase, Phase::Ended(_))).await;
    }
}

/// Tells of each change of a lab.
#[derive(Debug)]
pub struct Changes {
    status: watch::Receiver<Status>,
}

impl Changes {
    /// Waits for the next change; `false` where there will be none.
    pub async fn next(&mut self) -> bool {
        self.status.changed().await.is_ok()
    }
}

fn check_setup(setup: Option<&str>) -> Result<(), Refusal> {
    if setup.is_some_and(|script| script.len() > SETUP_BYTES_MAX || script.contains('\0')) {
        let message = format!("A setup script has at most {SETUP_BYTES_MAX} bytes, none of them NUL.");
        return Err(Refusal::new(Kind::Invalid, message));
    }
    Ok(())
}

impl Step {
    fn told(self) -> StartStep {
        StartStep { what: self.what, took_ms: self.took.map(|took| took.as_millis() as u32) }
    }
}

impl Status {
    fn begin(&mut self, number: u32) {
        *self = Self { phase: Phase::Opening, number, steps: Vec::new(), notice: None };
    }
}

/// The task behind a [`Lab`].
struct Life {
    lab: Arc<Lab>,
    world: Arc<World>,
    asked: mpsc::Receiver<Option<String>>,
    setup: Option<String>,
    /// How many changes were observed so far.
    seq: u64,
    /// How many machines in a row died young.
    early_deaths: u32,
}

/// Why a lab host's time is over.
enum Over {
    Reset(Option<String>),
    /// It died, and why: another takes its place.
    Died(String),
    Ended(String),
}

impl Life {
    async fn live(mut self) {
        let why = loop {
            match self.one_generation().await {
                Over::Reset(setup) => {
                    self.setup = setup.or(self.setup.take());
                    // A lab host that became ready just when the reset was asked for is not handed out any more.
                    self.lab.status.send_if_modified(|status| {
                        let handed_out = matches!(status.phase, Phase::Ready(_));
                        if handed_out {
                            status.begin(status.number);
                        }
                        handed_out
                    });
                }
                Over::Died(why) => self.lab.status.send_modify(|status| {
                    status.begin(status.number + 1);
                    status.notice = Some(format!("Your virtual machine died. {why} Here is a new one."));
                }),
                Over::Ended(why) => break why,
            }
        };
        tracing::info!(lab = %self.lab.id, why, "a lab has ended");
        self.lab.status.send_modify(|status| status.phase = Phase::Ended(why));
    }

    /// Opens a lab host, keeps it until its time is over, and leaves nothing of it.
    async fn one_generation(&mut self) -> Over {
        let began = Instant::now();
        let opened = tokio::select! {
            opened = open(&self.lab, &self.world, self.setup.as_deref(), self.seq) => opened,
            over = told(&self.lab, &mut self.asked) => return over,
            () = self.world.ending() => return Over::Ended("The agent is ending.".into()),
        };
        let generation = match opened {
            Ok(generation) => generation,
            Err(refusal) => {
                self.world.metrics().labs_failed.fetch_add(1, Relaxed);
                let mend = refusal.mend.map(|mend| format!(" To mend it: {mend}")).unwrap_or_default();
                return Over::Ended(format!("{}{mend}", refusal.message));
            }
        };
        self.world.metrics().opened(began.elapsed());
        tracing::info!(lab = %self.lab.id, took_ms = began.elapsed().as_millis() as u64, "a lab is ready");
        self.lab.presence.touch();
        self.lab.status.send_modify(|status| status.phase = Phase::Ready(Arc::clone(&generation)));
        let ready_at = Instant::now();
        let over = tokio::select! {
            over = told(&self.lab, &mut self.asked) => over,
            gone = generation.gone() => match gone {
                Gone::Ended(why) => Over::Ended(why),
                Gone::Died(why) => self.died(why, ready_at.elapsed()),
            },
            () = self.lab.presence.idle_for(self.lab.idle) => {
                self.world.metrics().labs_reaped.fetch_add(1, Relaxed);
                Over::Ended(format!("Nobody was here for {}.", in_words(self.lab.idle)))
            }
            () = self.world.ending() => Over::Ended("The agent is ending.".into()),
        };
        self.seq = generation.seq().await;
        generation.end().await;
        over
    }
}

impl Life {
    /// A machine that dies again and again as soon as it is there would keep the processors busy for nothing.
    fn died(&mut self, why: String, lived: Duration) -> Over {
        self.early_deaths = if lived < EARLY { self.early_deaths + 1 } else { 0 };
        match self.early_deaths {
            0..EARLY_DEATHS_MAX => Over::Died(why),
            times => Over::Ended(format!("Its virtual machine died {times} times in a row. {why}")),
        }
    }
}

/// Waits until somebody wants the lab host to be over.
async fn told(lab: &Lab, asked: &mut mpsc::Receiver<Option<String>>) -> Over {
    tokio::select! {
        Some(setup) = asked.recv() => Over::Reset(setup),
        () = lab.over.cancelled() => Over::Ended("It was ended.".into()),
    }
}

/// Opens one lab host, telling each step.
async fn open(
    lab: &Arc<Lab>,
    world: &Arc<World>,
    setup: Option<&str>,
    seq: u64,
) -> Result<Arc<Generation>, Refusal> {
    let generation = match lab.tier {
        Tier::Sandbox => open_container(lab, world, seq).await?,
        Tier::Vm => open_machine(lab, world, seq).await?,
    };
    done(lab);
    if let Some(script) = setup {
        tell(lab, "Preparing the lesson".into());
        prepare(&generation, script).await?;
        done(lab);
    }
    Ok(generation)
}

async fn open_container(lab: &Arc<Lab>, world: &Arc<World>, seq: u64) -> Result<Arc<Generation>, Refusal> {
    let staged = {
        let teller = Arc::clone(lab);
        world.staged(move |what| tell(&teller, what)).await?
    };
    done(lab);
    tell(lab, "Starting the lab host".into());
    let generation = Generation::in_container(world, &lab.id, &staged, seq).await?;
    done(lab);
    tell(lab, "Waiting for its engine".into());
    generation.ready().await?;
    Ok(generation)
}

async fn open_machine(lab: &Arc<Lab>, world: &Arc<World>, seq: u64) -> Result<Arc<Generation>, Refusal> {
    let here = || Refusal::new(Kind::Unavailable, "This is a virtual machine already.");
    let templates = world.templates().ok_or_else(here)?;
    let template = templates.ready(&|what| tell_next(lab, what)).await?;
    done(lab);
    tell(lab, "Starting a virtual machine".into());
    Generation::in_machine(templates, &template, &lab.id, seq).await
}

async fn prepare(generation: &Generation, script: &str) -> Result<(), Refusal> {
    let argv = ["/bin/bash", "-c", script, "setup.sh"].map(str::to_owned).to_vec();
    let request = ExecRequest { argv, stdin: None, seconds_max: SETUP_SECONDS_MAX };
    let result = generation.exec(request).await?;
    if result.status == 0 {
        return Ok(());
    }
    let said = if result.stderr.trim().is_empty() { result.stdout } else { result.stderr };
    let said = said.trim();
    let last = said.char_indices().rev().nth(SETUP_TOLD_CHARS).map_or(said, |(at, _)| &said[at..]);
    let message = format!("The lesson's setup script ended with status {}: {last}", result.status);
    Err(Refusal::new(Kind::Failed, message))
}

/// A step begins, or the one under way has another wording.
fn tell(lab: &Lab, what: String) {
    lab.status.send_modify(|status| match status.steps.last_mut() {
        Some(step) if step.took.is_none() => step.what = what,
        _ => status.steps.push(Step { what, began: Instant::now(), took: None }),
    });
}

/// The step under way is done, and another begins; told again, it goes on.
fn tell_next(lab: &Lab, what: String) {
    let goes_on =
        |status: &Status| status.steps.last().is_some_and(|step| step.took.is_none() && step.what == what);
    if !goes_on(&lab.status.borrow()) {
        done(lab);
        tell(lab, what);
    }
}

/// The step under way, where there is one, is done.
fn done(lab: &Lab) {
    lab.status.send_if_modified(|status| match status.steps.last_mut() {
        Some(step) if step.took.is_none() => {
            step.took = Some(step.began.elapsed());
            true
        }
        _ => false,
    });
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
