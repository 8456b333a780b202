//! Shell patterns as Go's `path.Match` has them: `*`, `?`, `[a-z]`, and a backslash that escapes.

/// Whether a text has something in it that is not meant literally.
pub fn is_pattern(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Whether a name, which has no slash, matches. A pattern that is none matches nothing.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            star = Some((p, n));
            continue;
        }
        if n == name.len() && p == pattern.len() {
            return true;
        }
        match name.get(n).and_then(|&c| one(&pattern[p..], c)) {
            Some(length) => {
                p += length;
                n += 1;
            }
            None => match star {
                Some((after, taken)) if taken < name.len() => {
                    (p, n) = (after, taken + 1);
                    star = Some((after, taken + 1));
                }
                _ => return false,
            },
        }
    }
}

/// How much of the pattern takes this one character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '\\' => (*pattern.get(1)? == c).then_some(2),
        '[' => {
            let negated = pattern.get(1) == Some(&'^');
            let mut at = if negated { 2 } else { 1 };
            let mut found = false;
            let mut first = true;
            while first || *pattern.get(at)? != ']' {
                first = false;
                let (low, next) = bound(pattern, at)?;
                at = next;
                let mut high = low;
                if pattern.get(at) == Some(&'-') {
                    (high, at) = bound(pattern, at + 1)?;
                }
                found |= low <= c && c <= high;
            }
            (found != negated).then_some(at + 1)
        }
        literal => (literal == c).then_some(1),
    }
}

/// One end of a range.
fn bound(pattern: &[char], at: usize) -> Option<(char, usize)> {
    match *pattern.get(at)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(at + 1)?, at + 2)),
        c => Some((c, at + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.c", "a.c", true),
            ("*.c", ".c", true),
            ("*.c", "a.cc", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("a?c", "aéc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[a-c", "b", false),
            ("[]a]", "]", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("", "", true),
            ("*", "", true),
            ("**", "ab", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(is_pattern("a*") && is_pattern("[x") && !is_pattern("a\\*b"));
        let hostile = "*a".repeat(2000);
        assert!(!matches(&hostile, &"a".repeat(1999)));
    }
}
