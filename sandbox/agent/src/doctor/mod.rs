//! What this machine can do for labs, and what to do where it cannot.

pub mod findings;
mod gather;
mod judge;
#[cfg(test)]
mod tests;

use crate::confinement::{self, Starter};
use crate::stage;
use crate::store::Store;
use isolab_protocol::MachineCapabilities;
use isolab_runtime::Zygote;
use isolab_runtime::subid;
use std::fmt::Write;
use std::process::ExitCode;

/// `isolab-agent doctor`: prints what was found. The exit status is 1 where something required is missing.
/// It enters the agent's namespaces to see whether that works, so that the program is good for nothing else afterwards.
pub fn run(json: bool) -> ExitCode {
    let found = examine();
    let missing = found.missing().count();
    // A reader that stops reading (head, less) is no failure.
    let _ = match json {
        true => writeln_out(&serde_json::to_string_pretty(&found).unwrap_or_default()),
        false => writeln_out(&table(&found)),
    };
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn writeln_out(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{}", text.trim_end())
}

fn examine() -> MachineCapabilities {
    let is_root = rustix::process::geteuid().is_root();
    // Without a home there is no store; the root directory's disk is then as good as any.
    let store = Store::from_environment(is_root).unwrap_or_else(|| Store::at("/"));
    let starter = confinement::starter().unwrap_or(Starter::User {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ranges: subid::Ranges::default(),
    });
    let mut found = gather::read(&store, &starter);
    let entered = confinement::enter(&starter).map_err(|refusal| refusal.message);
    if entered.is_ok() {
        let tried = stage::set_up().and_then(|()| stage::empty_directory()).map_err(|e| e.to_string());
        found.trial = Some(tried.and_then(|empty| gather::try_lab_host(None, &empty)));
    }
    found.entered = Some(entered);
    judge::judge(&found)
}

/// The same from within a running agent, which has entered its namespaces already.
pub fn examine_from_within(store: &Store, zygote: &Zygote) -> MachineCapabilities {
    let mut found = gather::read(store, &starter_from_within());
    found.entered = Some(Ok(()));
    let empty = stage::empty_directory().map_err(|e| e.to_string());
    found.trial = Some(empty.and_then(|empty| gather::try_lab_host(Some(zygote), &empty)));
    judge::judge(&found)
}

/// Who the agent was started by, as its own map tells.
fn starter_from_within() -> Starter {
    let outside = |map: &str| {
        let text = std::fs::read_to_string(map).unwrap_or_default();
        text.split_whitespace()
            .nth(1)
            .and_then(|id| id.parse::<u32>().ok())
            .unwrap_or(confinement::ROOTS_BASE)
    };
    let (uid, gid) = (outside("/proc/self/uid_map"), outside("/proc/self/gid_map"));
    if uid == confinement::ROOTS_BASE {
        return Starter::Root;
    }
    let name = isolab_runtime::subid::user_name(uid).unwrap_or_default();
    Starter::User { uid, gid, ranges: subid::ranges(&name, uid).unwrap_or_default() }
}

/// One line for each thing, and what to do about those that are missing.
fn table(found: &MachineCapabilities) -> String {
    let mut text = format!("Linux {}\n", found.kernel);
    for one in &found.capabilities {
        let mark = match (one.available, one.required) {
            (true, _) => "ok     ",
            (false, true) => "MISSING",
            (false, false) => "absent ",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark}  {:<21} {}", one.name, one.found);
        if !one.available {
            let _ = writeln!(text, "         {:<21} {}", "", one.why);
            if let Some(mend) = &one.mend {
                let _ = writeln!(text, "         {:<21} To mend it: {mend}", "");
            }
        }
    }
    let missing = found.missing().count();
    let _ = match missing {
        0 => writeln!(text, "\nLabs can be opened on this machine."),
        1 => writeln!(text, "\nOne thing is missing without which no lab can be opened."),
        _ => writeln!(text, "\n{missing} things are missing without which no lab can be opened."),
    };
    text
}
