//! Lessons: parsed, checked for mistakes, and judged.
//!
//! A lesson is a folder of text (see `lessons/README.md`). This crate turns it into a [`Lesson`]: safe HTML, commands,
//! questions and compiled checks; and it judges a check against an [`Observation`](isolab_protocol::Observation),
//! with evidence. It runs nothing: it opens no lab, starts no process and waits for nobody. `isolab lesson test`,
//! which proves lessons in real labs, is the server's.
#![forbid(unsafe_code)]

mod check;
mod compose;
mod course;
mod exercise;
mod expression;
mod facts;
mod fence;
mod finding;
mod front;
mod functions;
mod lesson;
mod markdown;
mod output;
mod question;
mod sentence;
mod tree;
mod vocabulary;

pub use check::{Check, judge};
pub use course::{Course, LESSONS_VARIABLE, Part};
pub use exercise::{Exercise, Script};
pub use finding::Finding;
pub use front::Level;
pub use lesson::{Block, HintBlock, Lesson, RunBlock};
pub use output::{Mismatch, Output};
pub use question::{Answer, Question, QuestionKind};
