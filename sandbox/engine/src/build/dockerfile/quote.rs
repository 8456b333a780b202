//! Go's `%q`: how Docker writes words into histories and errors.

/// A text in double quotes.
pub fn text(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        push(&mut quoted, c, '"');
    }
    quoted.push('"');
    quoted
}

/// A list of texts in brackets, separated by spaces.
pub fn list(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| text(word)).collect();
    format!("[{}]", words.join(" "))
}

/// A number, which Go takes for a character here.
pub fn number(number: i64) -> String {
    let character =
        u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut quoted = String::from('\'');
    push(&mut quoted, character, '\'');
    quoted.push('\'');
    quoted
}

fn push(quoted: &mut String, c: char, quote: char) {
    match c {
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{c}' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{b}' => quoted.push_str("\\v"),
        '\\' => quoted.push_str("\\\\"),
        c if c == quote => quoted.extend(['\\', c]),
        '\'' | '"' => quoted.push(c),
        c if c < ' ' || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
        // What Rust can show as it is, Go can too.
        c if c.is_alphanumeric() || c.escape_debug().len() == 1 => quoted.push(c),
        c if u32::from(c) < 0x10000 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_go_s() {
        assert_eq!(text("a\"b\\\u{7f}\u{200b}é😀\u{1}"), "\"a\\\"b\\\\\\x7f\\u200bé😀\\x01\"");
        assert_eq!(list(&["a".into(), String::new()]), "[\"a\" \"\"]");
        assert_eq!([number(0), number(10), number(39)], ["'\\x00'", "'\\n'", "'\\''"]);
    }
}
