//! An observation as the values that a check's expressions see.
//!
//! Everything that comes out of a lab is hostile: lists and strings are cut to a size here, so that no name or
//! command line can make a check slow.

use crate::vocabulary;
use cel::ExecutionError;
use cel::common::traits::{Indexer, Sizer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, DYN_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use isolab_protocol::Observation;
use isolab_protocol::observation::Process;
use serde_json::Value as Json;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest string that a check sees, in bytes. Paths have at most 4096, and no check needs the end of a longer one.
const STRING_BYTES_MAX: usize = 4096;

/// The longest list that a check sees: twice the processes that an observation holds.
const LIST_MAX: usize = 2 * isolab_protocol::observation::PROCESSES_MAX;

/// What the variables and functions of a check draw on; made once for each observation.
pub(crate) struct Facts {
    /// The variables, by the names in [`vocabulary::VARIABLES`].
    pub variables: Vec<(&'static str, Box<dyn Val>)>,
    /// All processes of the lab by their pid on the lab host.
    pub processes: BTreeMap<u32, Process>,
    /// The containers as expressions see them, by name; the oldest where the engine gives a name twice.
    pub containers: BTreeMap<String, Record>,
}

impl Facts {
    /// Draws the facts from an observation.
    pub fn of(observation: &Observation) -> Self {
        let inside = observation.containers.iter().flat_map(|container| &container.processes);
        let processes: BTreeMap<u32, Process> =
            observation.host.processes.iter().chain(inside).map(|p| (p.pid, p.clone())).collect();
        let records: Vec<Record> = observation.containers.iter().map(Record::of).collect();
        let mut containers = BTreeMap::new();
        for (container, record) in observation.containers.iter().zip(&records) {
            containers.entry(container.name.clone()).or_insert_with(|| record.clone());
        }
        let list = |records: Vec<Record>| -> Box<dyn Val> {
            let cut = records.into_iter().take(LIST_MAX);
            Box::new(CelList::from(cut.map(|r| Box::new(r) as Box<dyn Val>).collect::<Vec<_>>()))
        };
        let variables = vocabulary::VARIABLES.map(|name| {
            let value: Box<dyn Val> = match name {
                "kernel" => Box::new(Record::of(&observation.kernel)),
                "host" => Box::new(Record::of(&observation.host)),
                "containers" => list(records.clone()),
                "truncated" => Box::new(CelBool::from(observation.truncated)),
                "refusals" => list(observation.refusals.iter().map(Record::of).collect()),
                "refusals_lost" => {
                    Box::new(CelInt::from(observation.refusals_lost.min(i64::MAX as u64) as i64))
                }
                "processes" => list(processes.values().map(Record::of).collect()),
                other => unreachable!("no variable is called {other}"),
            };
            (name, value)
        });
        Self { variables: variables.into(), processes, containers }
    }

    /// The containers' names come from the learner's engine: never more than a label.
    pub fn container(&self, name: &str) -> Box<dyn Val> {
        match self.containers.get(name) {
            Some(record) => Box::new(record.clone()),
            None => Box::new(CelNull),
        }
    }
}

/// A JSON object as a value that is cheap to copy: a loop over all processes copies each of them.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<CelMap<'static>>);

impl Record {
    fn of(fact: &impl serde::Serialize) -> Self {
        let json = serde_json::to_value(fact).unwrap_or_default();
        let fields = match json {
            Json::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        Self::from_fields(fields)
    }

    fn from_fields(fields: serde_json::Map<String, Json>) -> Self {
        let entries = fields.into_iter().map(|(name, json)| (CelMapKey::from(name), value(json)));
        Self(Arc::new(CelMap::from(entries.collect::<std::collections::HashMap<_, _>>())))
    }

    /// A field that is a number.
    pub fn number(&self, field: &str) -> Option<i64> {
        let found = self.0.get(&CelString::from(field.to_owned())).ok()?;
        found.downcast_ref::<CelInt>().map(|n| *n.inner())
    }
}

impl Val for Record {
    fn get_type(&self) -> &Type {
        &DYN_TYPE
    }

    fn cel_type() -> &'static Type {
        &DYN_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        self.0.as_indexer()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.0.as_sizer()
    }

    /// Two records are equal where they are the same record; no check compares whole records otherwise.
    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| Arc::ptr_eq(&self.0, &other.0))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Record {}

fn value(json: Json) -> Box<dyn Val> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(truth) => Box::new(CelBool::from(truth)),
        // All integers are CEL's int, so that comparing two never depends on their sign. Inodes fit in 63 bits.
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::MAX))),
        },
        Json::String(text) => Box::new(CelString::from(cut(text, STRING_BYTES_MAX))),
        Json::Array(items) => {
            let items: Vec<Box<dyn Val>> = items.into_iter().take(LIST_MAX).map(value).collect();
            Box::new(CelList::from(items))
        }
        Json::Object(fields) => Box::new(Record::from_fields(fields)),
    }
}

/// The string, cut at a character's end where it is longer than `bytes_max`.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&n| text.is_char_boundary(n)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The record that a function was called with.
pub(crate) fn record<'a>(
    function: &str,
    argument: Option<&'a CowVal<'_, '_>>,
) -> Result<&'a Record, ExecutionError> {
    let wanted = || ExecutionError::function_error(function, "expects a process or a container");
    argument.and_then(|value| value.downcast_ref::<Record>()).ok_or_else(wanted)
}
