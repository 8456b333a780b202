//! What came out: counted by group, and printed.

use isolab_tests::harness::Tally;
use isolab_tests::parity::case::Case;
use isolab_tests::parity::meant::Verdict;
use std::collections::BTreeMap;

/// One comparison that was made.
#[derive(Debug)]
pub struct Compared {
    /// The case, with the word for the command line that it was tried with.
    pub name: String,
    /// What both said; ours second.
    pub said: [String; 2],
    /// How it came out.
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    cases: usize,
    same: usize,
    meant: usize,
    skipped: usize,
    wrong: usize,
}

/// The counts of all groups.
#[derive(Debug, Default)]
pub struct Table {
    show: bool,
    groups: BTreeMap<String, Counts>,
}

impl Table {
    /// An empty table; `show` prints what both sides said of every case.
    pub fn new(show: bool) -> Self {
        Self { show, ..Self::default() }
    }

    /// Counts a comparison, and says it where there is something to say.
    pub fn add(&mut self, group: &str, compared: Compared) {
        let counts = self.groups.entry(group.to_owned()).or_default();
        counts.cases += 1;
        let Compared { name, said: [theirs, ours], verdict } = compared;
        if self.show {
            println!("--- {name}, Docker:\n{theirs}--- {name}, ours:\n{ours}");
        }
        match verdict {
            Verdict::Same => counts.same += 1,
            Verdict::Meant => counts.meant += 1,
            Verdict::Wrong(what) => {
                counts.wrong += 1;
                println!("FAILED  {name}: {what}");
            }
        }
    }

    /// Counts a case that cannot be tried here.
    pub fn skip(&mut self, case: &Case, name: &str, why: &str) {
        let counts = self.groups.entry(case.group().to_owned()).or_default();
        counts.cases += 1;
        counts.skipped += 1;
        println!("SKIPPED {name}, because {why}");
    }

    /// Counts a whole run that cannot be tried here.
    pub fn skip_run(&mut self, what: &str, why: &str) {
        self.groups.entry("runs".into()).or_default().skipped += 1;
        println!("SKIPPED {what}, because {why}");
    }

    /// Prints it.
    pub fn print(&self) {
        let line = |name: &str, c: &Counts| {
            println!("{name:16}{:>7}{:>7}{:>7}{:>9}{:>8}", c.cases, c.same, c.meant, c.skipped, c.wrong);
        };
        println!("{:16}{:>7}{:>7}{:>7}{:>9}{:>8}", "", "cases", "same", "meant", "skipped", "wrong");
        self.groups.iter().for_each(|(name, counts)| line(name, counts));
        line("all", &self.all());
    }

    /// The counts as every runner gives them. A difference that is meant passes: it is held against the very lines.
    pub fn tally(&self) -> Tally {
        let all = self.all();
        Tally { passed: all.same + all.meant, failed: all.wrong, skipped: all.skipped }
    }

    fn all(&self) -> Counts {
        self.groups.values().fold(Counts::default(), |sum, c| Counts {
            cases: sum.cases + c.cases,
            same: sum.same + c.same,
            meant: sum.meant + c.meant,
            skipped: sum.skipped + c.skipped,
            wrong: sum.wrong + c.wrong,
        })
    }
}
