//! A sentence with facts in it: `"PID 1 of web executes {box.init.executable.path}."`
//!
//! What a lab puts into a sentence is made harmless: it is cut, and characters that would move the text about
//! (line ends, escapes, changes of direction) are shown as their codes. Escaping for HTML is the page's.

use crate::expression::Expression;
use crate::facts::cut;
use cel::Context;

/// The longest text that a lab puts into a sentence, in bytes: a container's id fits, a poem does not.
const FACT_BYTES_MAX: usize = 160;

/// A sentence as the lesson has it.
#[derive(Debug)]
pub(crate) struct Sentence(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Fact(Expression),
}

impl Sentence {
    /// Reads a sentence; `bound` are the names that its facts may use. Errors say what is wrong.
    pub fn parse(source: &str, bound: &[String]) -> Result<Self, String> {
        let (mut parts, mut rest) = (vec![], source.trim());
        while let Some((before, after)) = rest.split_once('{') {
            let end = closing(after).ok_or_else(|| format!("`{{{after}` has no closing brace"))?;
            parts.push(Part::Text(before.to_owned()));
            let expression = &after[..end];
            parts.push(Part::Fact(
                Expression::compile(expression, bound).map_err(|e| format!("{{{expression}}}: {e}"))?,
            ));
            rest = &after[end + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The sentence for the facts in `scope`. Errors: the first fact that cannot be had.
    pub fn say(&self, scope: &Context<'_, '_>) -> Result<String, String> {
        let mut said = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => said.push_str(text),
                Part::Fact(expression) => said.push_str(&shown(expression.text(scope)?)),
            }
        }
        Ok(said)
    }
}

/// The place of the brace that closes an expression, passing over those in quotation marks.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Some(place),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Text out of a lab, as a person may safely read it.
pub(crate) fn shown(text: String) -> String {
    let plain = |c: char| !c.is_control() && !is_direction(c);
    let text = cut(text, FACT_BYTES_MAX);
    if text.chars().all(plain) {
        return text;
    }
    let code = |c: char| if plain(c) { c.to_string() } else { format!("\\u{{{:x}}}", u32::from(c)) };
    text.chars().map(code).collect()
}

/// Characters that are not seen themselves and change how their neighbours are.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::scope;
    use crate::facts::Facts;
    use crate::vocabulary;
    use std::sync::Arc;

    fn say(source: &str) -> Result<String, String> {
        let facts = Arc::new(Facts::of(&vocabulary::sample()));
        Sentence::parse(source, &[])?.say(&scope(&facts))
    }

    #[test]
    fn facts_are_put_into_sentences() {
        assert_eq!(
            say("PID {containers[0].init.pid} runs {command(containers[0].init)}."),
            Ok("PID 38 runs sleep 3600.".into())
        );
        assert_eq!(say("{'a}b' + \"}\"}"), Ok("a}b}".into()));
        assert_eq!(say("nothing"), Ok("nothing".into()));
        assert!(say("{containers").unwrap_err().contains("no closing brace"));
        assert!(say("{contaners}").unwrap_err().contains("no variable"));
        assert!(say("{containers[7].name}").is_err());
    }

    #[test]
    fn hostile_text_is_made_harmless() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}c".into()), "a\\u{1b}[2J\\u{a}b\\u{202e}c");
        assert!(shown("ä".repeat(1000)).len() < 200);
    }
}
