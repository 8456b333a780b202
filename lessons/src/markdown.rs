//! CommonMark to safe HTML, and to the fenced blocks between it.
//!
//! The HTML holds nothing but what CommonMark itself produces: raw HTML is refused, and so are images and links
//! to anywhere but `https:`, a heading of the same lesson, or `lesson:` another one.

use crate::finding::Report;
use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html,
};
use std::ops::Range;

/// A part of a document, in order.
pub(crate) enum Piece {
    /// Prose as HTML.
    Prose(String),
    /// A fenced block that is not plain text.
    Fence {
        /// The info string.
        info: String,
        /// What is between the fences.
        body: String,
        /// The line of the opening fence.
        line: usize,
    },
}

/// A link that only the whole lesson, or the whole course, can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// To a heading of this lesson.
    Heading(String),
    /// To a lesson, by its slug.
    Lesson(String),
}

/// Reads documents of one file, and remembers their headings and links.
pub(crate) struct Reader<'r, 'f> {
    pub report: &'r mut Report<'f>,
    /// The ids of headings.
    pub anchors: Vec<String>,
    /// Links to follow, with their lines.
    pub links: Vec<(usize, Link)>,
}

impl<'r, 'f> Reader<'r, 'f> {
    /// A reader that adds its findings to `report`.
    pub fn new(report: &'r mut Report<'f>) -> Self {
        Self { report, anchors: vec![], links: vec![] }
    }

    /// Splits a document whose first line is line `first` of its file into prose and fenced blocks.
    pub fn pieces(&mut self, text: &str, first: usize) -> Vec<Piece> {
        let (mut pieces, mut prose) = (vec![], vec![]);
        let mut fence: Option<(String, String, usize)> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = line_of(text, first, &range);
            match (event, &mut fence) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))), _) if info.as_ref() != "text" => {
                    flush(&mut prose, &mut pieces);
                    fence = Some((info.into_string(), String::new(), line));
                }
                (Event::Text(text), Some((_, body, _))) => body.push_str(&text),
                (Event::End(TagEnd::CodeBlock), Some(_)) => {
                    let (info, body, line) = fence.take().expect("just matched");
                    pieces.push(Piece::Fence { info, body, line });
                }
                (event, _) => prose.push(self.safe(event, line)),
            }
        }
        flush(&mut prose, &mut pieces);
        self.name_headings(&mut pieces);
        pieces
    }

    /// A document without fenced blocks as HTML.
    pub fn html(&mut self, text: &str, first: usize) -> String {
        let events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES)
            .into_offset_iter()
            .map(|(event, range)| self.safe(event, line_of(text, first, &range)))
            .collect();
        let mut rendered = String::new();
        html::push_html(&mut rendered, events.into_iter());
        rendered.trim_end().to_owned()
    }

    /// One paragraph as HTML, without the `<p>` round it.
    pub fn inline(&mut self, text: &str, line: usize) -> String {
        let rendered = self.html(text, line);
        let inner = rendered.strip_prefix("<p>").and_then(|rest| rest.strip_suffix("</p>"));
        match inner {
            Some(inner) if !inner.contains("<p>") => inner.to_owned(),
            _ => {
                self.report.add(line, format!("`{}` should be one paragraph", text.trim_end()));
                rendered
            }
        }
    }

    fn safe<'a>(&mut self, event: Event<'a>, line: usize) -> Event<'a> {
        match event {
            Event::Html(raw) | Event::InlineHtml(raw) => {
                self.report.add(line, format!("raw HTML is not allowed: `{}`", raw.trim_end()));
                Event::Text(raw)
            }
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
                self.report.add(line, "the title is in the front matter; headings begin with ##");
                event
            }
            Event::Start(Tag::Image { .. }) => {
                self.report.add(line, "a lesson has no images: what can be seen is drawn from the lab");
                Event::Start(Tag::Emphasis)
            }
            Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
            Event::Start(Tag::Link { dest_url, title, id, .. }) => {
                let dest_url = self.target(&dest_url, line);
                Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id })
            }
            Event::Text(ref text) => {
                if let Some(mark) = text.chars().find(|&c| is_loud(c)) {
                    self.report.add(line, format!("prose has no {mark}: say it calmly"));
                }
                event
            }
            other => other,
        }
    }

    fn target<'a>(&mut self, url: &str, line: usize) -> CowStr<'a> {
        if let Some(heading) = url.strip_prefix('#') {
            self.links.push((line, Link::Heading(heading.to_owned())));
        } else if let Some(slug) = url.strip_prefix("lesson:") {
            self.links.push((line, Link::Lesson(slug.to_owned())));
            return format!("/lessons/{slug}").into();
        } else if !url.starts_with("https://") {
            self.report.add(line, format!("{url}: a link begins with https://, # or lesson:"));
            return "#".into();
        }
        url.to_owned().into()
    }

    /// Gives each heading an id made of its words, so that links can point at it.
    fn name_headings(&mut self, pieces: &mut [Piece]) {
        for piece in pieces {
            let Piece::Prose(html) = piece else { continue };
            let mut named = String::with_capacity(html.len());
            let mut rest = html.as_str();
            while let Some((before, after)) = rest.split_once("<h2>") {
                let id = self.anchor(after.split("</h2>").next().unwrap_or_default());
                named.push_str(&format!("{before}<h2 id=\"{id}\">"));
                rest = after;
            }
            named.push_str(rest);
            *html = named;
        }
    }

    fn anchor(&mut self, heading_html: &str) -> String {
        let mut inside_tag = false;
        let kept = heading_html.chars().filter(|&c| {
            let was_inside = inside_tag;
            inside_tag = (inside_tag || c == '<') && c != '>';
            !was_inside && !inside_tag
        });
        let words: String =
            kept.map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
        let base = format!("s-{}", words.split_whitespace().collect::<Vec<_>>().join("-"));
        let taken = self.anchors.iter().filter(|known| **known == base).count();
        let id = if taken == 0 { base } else { format!("{base}-{}", taken + 1) };
        self.anchors.push(id.clone());
        id
    }
}

/// Exclamation marks and pictographs, which the tone of the pages does without.
pub(crate) fn is_loud(c: char) -> bool {
    c == '!' || matches!(c, '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{FE0F}')
}

fn line_of(text: &str, first: usize, range: &Range<usize>) -> usize {
    first + text[..range.start].matches('\n').count()
}

fn flush(events: &mut Vec<Event<'_>>, pieces: &mut Vec<Piece>) {
    let mut rendered = String::new();
    html::push_html(&mut rendered, events.drain(..));
    if !rendered.trim().is_empty() {
        pieces.push(Piece::Prose(rendered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    fn read(text: &str) -> (Vec<Piece>, Vec<Finding>, Vec<(usize, Link)>) {
        let mut findings = vec![];
        let mut report = Report::on("lesson.md", &mut findings);
        let mut reader = Reader::new(&mut report);
        let pieces = reader.pieces(text, 1);
        let links = reader.links;
        (pieces, findings, links)
    }

    fn prose(text: &str) -> (String, Vec<Finding>) {
        let (pieces, findings, _) = read(text);
        let html = pieces.into_iter().map(|piece| match piece {
            Piece::Prose(html) => html,
            Piece::Fence { .. } => panic!("a fence"),
        });
        (html.collect(), findings)
    }

    #[test]
    fn fences_are_cut_out_of_the_prose() {
        let (pieces, findings, _) = read("## One `pid`\n\nText.\n\n```run id=a\nls\n---\nx\n```\n\nMore.\n");
        assert_eq!(findings, []);
        assert_eq!(pieces.len(), 3);
        assert!(
            matches!(&pieces[0], Piece::Prose(html) if html.contains("<h2 id=\"s-one-pid\">One <code>pid</code></h2>"))
        );
        assert!(
            matches!(&pieces[1], Piece::Fence { info, body, line: 5 } if info == "run id=a" && body == "ls\n---\nx\n")
        );
        assert!(matches!(&pieces[2], Piece::Prose(html) if html == "<p>More.</p>\n"));
    }

    #[test]
    fn nothing_but_commonmark_reaches_the_page() {
        for hostile in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](//evil.example)",
            "[x](data:text/html,x)",
            "<javascript:alert(1)>",
            "![x](https://example.org/x.png)",
            "[x]: javascript:alert(1)\n\n[x]",
        ] {
            let (html, findings) = prose(hostile);
            assert!(!findings.is_empty(), "{hostile} is not noticed");
            for part in ["<script", "<img", "javascript:alert(1)\"", "href=\"//", "data:text/html,x\""] {
                assert!(!html.contains(part), "{hostile} became {html}");
            }
        }
    }

    #[test]
    fn links_are_followed_or_refused() {
        let (pieces, findings, links) =
            read("[a](#s-x) [b](lesson:namespaces/01-one-kernel)\n[c](https://man7.org/)\n");
        assert_eq!(findings, []);
        assert_eq!(
            links,
            [(1, Link::Heading("s-x".into())), (1, Link::Lesson("namespaces/01-one-kernel".into()))]
        );
        assert!(
            matches!(&pieces[0], Piece::Prose(html) if html.contains("href=\"/lessons/namespaces/01-one-kernel\""))
        );
    }

    #[test]
    fn loud_prose_and_first_level_headings_are_found_with_their_line() {
        let (_, findings) = prose("Calm.\n\nLoud!\n\n# Title\n\nRocket \u{1F680}\n\n`a != b`\n");
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [3, 5, 7], "{findings:?}");
    }

    #[test]
    fn headings_with_the_same_words_get_their_own_ids() {
        let (html, _) = prose("## Try it\n\nx\n\n## Try it\n");
        assert!(html.contains("id=\"s-try-it\"") && html.contains("id=\"s-try-it-2\""));
    }
}
