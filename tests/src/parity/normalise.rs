//! Takes out of what a daemon said all that is different each time: ids, times, the places of sockets. What is the same
//! within one output stays the same: each id gets a number in the order in which ids appear.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// The shortest that a full id is cut to.
const SHORT: usize = 12;

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} [A-Z]+", "<time>"),
        (
            r"(About a minute|About an hour|Less than a second|\d+ (seconds?|minutes?|hours?|days?)) ago",
            "<ago>",
        ),
        (r"Up (About a minute|Less than a second|\d+ (seconds?|minutes?))", "Up <time>"),
        (r"unix://\S*/(docker|isolab)\.sock", "<socket>"),
        (r"/[^\s:]*/isolab-parity\.\w+/(docker|isolab)\b", "<here>"),
        (r"02:42:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}", "<mac>"),
        (r"veth[0-9a-f]{7}", "<veth>"),
    ]
    .into_iter()
    .map(|(pattern, word)| (Regex::new(pattern).expect("a pattern of ours is valid"), word))
    .collect()
});

static HEX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12})\b").expect("a pattern of ours is valid")
});

/// What a build says before an id.
const BUILT: [&str; 4] =
    ["---> ", "---> Running in ", "Removing intermediate container ", "Successfully built "];

static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[a-z]+_[a-z]+[0-9]?\b").expect("a pattern of ours is valid"));

/// One output, ready to be compared. `names` replaces the names that daemons make up.
pub fn normalise(text: &str, names: bool) -> String {
    let mut text = text.replace('\r', "");
    for (pattern, word) in PATTERNS.iter() {
        text = pattern.replace_all(&text, *word).into_owned();
    }
    if names {
        text = NAME.replace_all(&text, "<name>").into_owned();
    }
    let mut known: Vec<String> = vec![];
    let number = |found: &Captures<'_>| {
        let id = &found[0];
        // Twelve digits without a letter are a number more often than an id, but for what a build says of its steps and a
        // transfer of its layers: of three hundred ids one is such.
        let (before, after) = found.get(0).map_or(("", ""), |f| (&text[..f.start()], &text[f.end()..]));
        let built = BUILT.iter().any(|words| before.ends_with(words));
        let begins = before.rsplit('\n').next().is_some_and(|line| matches!(line, "" | "errors: "));
        if id.bytes().all(|c| c.is_ascii_digit()) && !built && !(begins && after.starts_with(": ")) {
            return id.to_owned();
        }
        let same = |other: &String| other[..SHORT] == id[..SHORT];
        let place = known.iter().position(same).unwrap_or_else(|| {
            known.push(id.to_owned());
            known.len() - 1
        });
        match id.len() {
            SHORT => format!("<id {}>", place + 1),
            length => format!("<id {} in {length}>", place + 1),
        }
    };
    HEX.replace_all(&text, number).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_each_time_is_taken_out() {
        let id = "0123456789ab".repeat(5) + "cdef";
        for (text, wanted) in [
            (format!("{id} {} fedcba987654 {id}", &id[..12]), "<id 1 in 64> <id 1> <id 2> <id 1 in 64>"),
            ("at 2026-11-25T10:00:00.5Z, 3 seconds ago".into(), "at <time>, <ago>"),
            ("Up 2 minutes\r\n".into(), "Up <time>\n"),
            ("123456789012 veth0a1b2c3".into(), "123456789012 <veth>"),
            ("Successfully built 123456789012".into(), "Successfully built <id 1>"),
            ("a\n123456789012: Waiting".into(), "a\n<id 1>: Waiting"),
            ("errors: 123456789012: Waiting".into(), "errors: <id 1>: Waiting"),
            ("at 123456789012: 3".into(), "at 123456789012: 3"),
            ("unix:///tmp/x/isolab.sock".into(), "<socket>"),
        ] {
            assert_eq!(normalise(&text, false), wanted);
        }
    }

    #[test]
    fn made_up_names_are_taken_out_where_asked() {
        assert_eq!(normalise("eager_fermi", false), "eager_fermi");
        assert_eq!(normalise("/eager_fermi2 CAP_SYS", true), "/<name> CAP_SYS");
    }
}
