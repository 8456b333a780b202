//! `isolab lesson list|lint|test`: what lessons there are, whether they are written without mistakes, and whether they hold
//! what they promise in a real lab.
//!
//! What a lesson is and how it is judged is the lessons crate's; labs are the agent's. Here are only the
//! questions that are put to a lesson, and the report.

mod case;
mod lab;
mod page;
mod report;

use crate::agent_client::{AgentClient, AgentProcess};
use crate::home::Home;
use anyhow::{Context, anyhow, bail};
use case::Case;
use clap::{Args, Subcommand};
use futures_util::{StreamExt, stream};
use isolab_lessons::{Course, Lesson};
use isolab_protocol::Tier;
use report::Report;
use serde_json::json;
use std::io;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How many labs are tested in at a time where nobody says otherwise. Most of a case is waiting for a state to stay as it is, and
/// a lab takes a few MiB; more would make the waits of each other longer on a machine with two cores.
const LABS_AT_A_TIME: usize = 3;

/// `isolab lesson …`
#[derive(Debug, Subcommand)]
pub enum LessonCommand {
    /// List the lessons, in the order of the course
    List(Options),
    /// Find the mistakes in lessons that can be found without a lab
    Lint(Options),
    /// Prove lessons in fresh labs: every check is open before, after every mistake and every cheat, and passes after the solution
    Test(TestOptions),
}

/// What the three commands have in common.
#[derive(Debug, Args)]
pub struct Options {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The lessons: `namespaces/02-pid-namespace`, or a part of that; all where none is named
    #[arg(value_name = "SLUG")]
    pub slugs: Vec<String>,
}

/// What `isolab lesson test` has beside that.
#[derive(Debug, Args)]
pub struct TestOptions {
    #[command(flatten)]
    options: Options,
    /// Only the cases whose name holds this, such as `solution`, `cheats/` or `page`, while a lesson is being written
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many labs to test in at a time; fewer where machines are emulated and the processors are busy
    #[arg(long, value_name = "COUNT", default_value_t = LABS_AT_A_TIME)]
    labs: usize,
    /// Only lessons whose labs run in this tier, `sandbox` or `vm`
    #[arg(long, value_name = "TIER", value_parser = tier)]
    tier: Option<Tier>,
}

fn tier(word: &str) -> Result<Tier, String> {
    serde_json::from_value(word.into()).map_err(|_| "a tier is `sandbox` or `vm`".to_owned())
}

/// Runs the command. Errors: the lessons cannot be read, or no lab can be had at all.
pub async fn run(command: LessonCommand, home: &Home) -> anyhow::Result<ExitCode> {
    let course = Course::open().context("the lessons cannot be read")?;
    match command {
        LessonCommand::List(options) => list(&course, &options),
        LessonCommand::Lint(options) => Ok(lint(&course, &options)),
        LessonCommand::Test(options) => test(&course, &options, home).await,
    }
}

fn list(course: &Course, options: &Options) -> anyhow::Result<ExitCode> {
    let lessons = chosen(course, options)?;
    if options.json {
        let rows: Vec<_> = lessons.iter().map(|lesson| described(lesson)).collect();
        println!("{:#}", json!({ "lessons": rows }));
        return Ok(ExitCode::SUCCESS);
    }
    let width = lessons.iter().map(|lesson| lesson.slug.len()).max().unwrap_or(0);
    for lesson in lessons {
        println!(
            "{:width$}  {:9}  {:2} min  {}{}",
            lesson.slug,
            lesson.level.as_str(),
            lesson.minutes,
            if lesson.draft { "draft: " } else { "" },
            lesson.title
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn described(lesson: &Lesson) -> serde_json::Value {
    let exercises: Vec<&str> = lesson.exercises.iter().map(|exercise| exercise.id.as_str()).collect();
    let checks: Vec<&str> = lesson.checks.iter().map(|check| check.name.as_str()).collect();
    json!({
        "slug": lesson.slug, "part": lesson.part, "title": lesson.title, "level": lesson.level,
        "minutes": lesson.minutes, "summary": lesson.summary, "needs": lesson.needs, "images": lesson.images,
        "covers": lesson.covers, "draft": lesson.draft, "exercises": exercises, "checks": checks,
    })
}

fn lint(course: &Course, options: &Options) -> ExitCode {
    let concerns = |file: &str| {
        options.slugs.is_empty() || options.slugs.iter().any(|slug| file.contains(slug.as_str()))
    };
    let found: Vec<_> = course.findings.iter().filter(|finding| concerns(&finding.file)).collect();
    if options.json {
        println!("{:#}", json!({ "findings": found }));
    } else {
        found.iter().for_each(|finding| println!("{finding}"));
        eprintln!("lessons: {}, mistakes: {}", course.slugs().len(), found.len());
    }
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn test(course: &Course, test: &TestOptions, home: &Home) -> anyhow::Result<ExitCode> {
    // A lesson with mistakes is not among the lessons; to leave it out in silence would be to pass it.
    if !course.findings.is_empty() {
        course.findings.iter().for_each(|finding| eprintln!("{finding}"));
        bail!("{} mistakes in the lessons; nothing is tested before they are mended", course.findings.len());
    }
    let lessons = chosen(course, &test.options)?;
    let mut cases: Vec<Case<'_>> = lessons.iter().flat_map(|lesson| Case::all(lesson)).collect();
    cases.retain(|case| test.only.as_ref().is_none_or(|only| case.name().contains(only)));
    let mut asked_to_end = Ending::new()?;
    let agent = AgentProcess::private(home).await?;
    let mut report = Report::new(test.options.json);
    let proven = tokio::select! {
        proven = prove(cases, test, agent.client(), &mut report) => proven,
        () = asked_to_end.wait() => Err(anyhow!("ended before all was tested")),
    };
    // However it came out: the agent and its labs end before this program does, and leave nothing behind.
    agent.end().await;
    proven.map(|()| report.finish())
}

async fn prove(
    mut cases: Vec<Case<'_>>,
    test: &TestOptions,
    agent: &AgentClient,
    report: &mut Report,
) -> anyhow::Result<()> {
    let machine = agent.capabilities().await?;
    if let Some(tier) = test.tier {
        cases.retain(|case| case.tier(&machine) == Some(tier));
    }
    let labs = test.labs.max(1);
    let mut outcomes = stream::iter(cases).map(|case| case.prove(agent, &machine)).buffered(labs);
    while let Some(outcome) = outcomes.next().await {
        report.add(outcome);
    }
    Ok(())
}

/// The signals that ask a program to end.
struct Ending([Signal; 3]);

impl Ending {
    fn new() -> io::Result<Self> {
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hang_up] = signals.map(signal);
        Ok(Self([interrupt?, terminate?, hang_up?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

fn chosen<'c>(course: &'c Course, options: &Options) -> anyhow::Result<Vec<&'c Lesson>> {
    if options.slugs.is_empty() {
        return Ok(course.lessons.iter().collect());
    }
    let mut lessons = vec![];
    for slug in &options.slugs {
        let matching: Vec<&Lesson> =
            course.lessons.iter().filter(|lesson| lesson.slug.contains(slug.as_str())).collect();
        if matching.is_empty() {
            bail!("there is no lesson {slug}; lessons are: {}", course.slugs().join(", "));
        }
        lessons.extend(matching);
    }
    lessons.dedup_by_key(|lesson| &lesson.slug);
    Ok(lessons)
}
