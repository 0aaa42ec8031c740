//! The text of a policy file as a tree that knows where everything stands.
//!
//! The part of YAML that a policy needs: one document of mappings, sequences and scalars. Aliases are refused, so nothing can refer
//! to itself or grow when it is read; tags are refused, so a value is what it looks like. What was read before a syntax error
//! is kept, so that one look finds more than one mistake.

use super::problem::{Place, Problem};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle};
use std::ops::Range;

/// Nesting below which a policy stays by far.
const MOST_LEVELS: usize = 16;

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Node {
    pub place: Place,
    /// Bytes of the text; of a block collection: from its first key to the end of its last value.
    pub span: Range<usize>,
    pub value: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// Text without quotes, `is_plain`, or with them.
    Scalar {
        text: String,
        is_plain: bool,
    },
    Mapping {
        entries: Vec<(Node, Node)>,
        /// Whether it is written `{like: this}`.
        is_flow: bool,
    },
    Sequence,
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing stands there, or what YAML calls nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, is_plain: true }
            if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// What a mapping holds, in order.
    pub(super) fn entries(&self) -> Option<&[(Self, Self)]> {
        match &self.value {
            Value::Mapping { entries, .. } => Some(entries),
            _ => None,
        }
    }
}

/// The tree of `text`, if there is anything, and what is wrong with it as YAML.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder { text, ..Builder::default() };
    let options = granit_parser::options! {
        emit_comments: false,
        block_nesting_limit: MOST_LEVELS,
        flow_nesting_limit: MOST_LEVELS,
        emit_unresolved_aliases: true,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(e) => {
                let marker = e.marker();
                let place = Place { line: marker.line().max(1), column: marker.col() + 1 };
                builder.problems.push(syntax(text, place, e.kind(), &e.info()));
                break;
            }
        }
    }
    builder.finish()
}

/// A mistake in the YAML itself.
fn syntax(text: &str, place: Place, kind: &ErrorKind, info: &str) -> Problem {
    // The parser notices some tabs only on the line below.
    let indented_by_tab = |line: usize| {
        let line = text.split('\n').nth(line.checked_sub(1)?)?;
        let indent: &str = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        indent.find('\t').map(|at| at + 1)
    };
    for line in [place.line, place.line.saturating_sub(1)] {
        if let Some(column) = indented_by_tab(line) {
            return Problem::error(Place { line, column }, "indented by a tab; YAML takes spaces only");
        }
    }
    if matches!(kind, ErrorKind::RecursionLimitExceeded) {
        return Problem::error(place, "nested too deeply; a policy has types, and keys below them");
    }
    Problem::error(place, format!("this is no YAML: {info}"))
}

/// A collection that is being read.
struct Open {
    place: Place,
    start: usize,
    end: usize,
    is_flow: bool,
    /// `None` for a sequence.
    entries: Option<Vec<(Node, Node)>>,
    key: Option<Node>,
}

#[derive(Default)]
struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) {
        let place = Place { line: span.start.line().max(1), column: span.start.col() + 1 };
        match &event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    let message = "a second document begins; a policy file is one: remove the line `---` or `...` before it";
                    self.problems.push(Problem::error(place, message));
                }
            }
            _ if self.documents > 1 => {}
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                self.problems.push(Problem::error(place, "aliases are not taken here; write the value out"));
                self.node(self.scalar(place, span, "", true));
            }
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(place, tag.is_some());
                self.node(self.scalar(place, span, text, matches!(style, ScalarStyle::Plain)));
            }
            Event::MappingStart(style, _, tag) | Event::SequenceStart(style, _, tag) => {
                self.refuse_tag(place, tag.is_some());
                let entries = matches!(event, Event::MappingStart(..)).then(Vec::new);
                let start = self.byte(&span.start);
                let is_flow = *style == StructureStyle::Flow;
                self.open.push(Open { place, start, end: start, is_flow, entries, key: None });
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(self.byte(&span.end)),
            _ => {}
        }
    }

    fn byte(&self, marker: &granit_parser::Marker) -> usize {
        marker.byte_offset().unwrap_or_default().min(self.text.len())
    }

    fn refuse_tag(&mut self, place: Place, is_tagged: bool) {
        if is_tagged {
            self.problems
                .push(Problem::error(place, "tags are not taken here; leave out what begins with `!`"));
        }
    }

    fn scalar(&self, place: Place, span: &Span, text: &str, is_plain: bool) -> Node {
        let (start, end) = (self.byte(&span.start), self.byte(&span.end));
        let value = Value::Scalar { text: text.to_owned(), is_plain };
        Node { place, span: start..end.max(start), value }
    }

    /// A value is whole: it goes into the collection around it.
    fn node(&mut self, mut node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match (&mut open.entries, open.key.take()) {
            (Some(_), None) => open.key = Some(node),
            (Some(entries), Some(key)) => {
                if node.span.is_empty() {
                    node = nothing_after(self.text, &key, node);
                }
                open.end = node.span.end.max(key.span.end);
                entries.push((key, node));
            }
            (None, _) => open.end = node.span.end,
        }
    }

    fn close(&mut self, flow_end: usize) {
        let Some(open) = self.open.pop() else { return };
        let end = if open.is_flow { flow_end } else { open.end };
        let value = match open.entries {
            Some(entries) => Value::Mapping { entries, is_flow: open.is_flow },
            None => Value::Sequence,
        };
        self.node(Node { place: open.place, span: open.start..end.max(open.start), value });
    }

    fn finish(mut self) -> (Option<Node>, Vec<Problem>) {
        while !self.open.is_empty() {
            self.close(self.text.len());
        }
        (self.root, self.problems)
    }
}

/// The place of a value that is not there: behind the colon of its key.
fn nothing_after(text: &str, key: &Node, node: Node) -> Node {
    let rest = text.get(key.span.end..).unwrap_or("");
    let colon = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if !rest[colon..].starts_with(':') {
        return node;
    }
    let at = key.span.end + colon + 1;
    let column = key.place.column + text[key.span.start..at].chars().count();
    Node { place: Place { line: key.place.line, column }, span: at..at, ..node }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> String {
        let (_, problems) = parse(text);
        problems.iter().map(|p| format!("{}: {}\n", p.place, p.message)).collect()
    }

    #[test]
    fn spans_cover_values_and_nothing_else() {
        let text = "a:\n  b: 'x'  # why\n  c: {d: 1, e: 2 }\n  f:\n# end\n";
        let (root, problems) = parse(text);
        assert_eq!(problems, []);
        let root = root.expect("something");
        let a = &root.entries().expect("mapping")[0].1;
        assert_eq!(&text[a.span.clone()], "b: 'x'  # why\n  c: {d: 1, e: 2 }\n  f:");
        let values: Vec<&str> =
            a.entries().expect("mapping").iter().map(|(_, v)| &text[v.span.clone()]).collect();
        assert_eq!(values, ["'x'", "{d: 1, e: 2 }", ""]);
        let f = &a.entries().expect("mapping")[2].1;
        assert!(f.is_null());
        assert_eq!(f.place, Place { line: 4, column: 5 });
    }

    #[test]
    fn what_yaml_has_too_much_of_is_refused() {
        assert!(told("a: &x 1\nb: *x\n").starts_with("2:4: aliases"));
        assert!(told("a: &a [*a]\n").contains("aliases"));
        assert!(told("a: *nowhere\n").contains("aliases"));
        assert!(told("a: !!str 1\n").contains("tags"));
        assert!(told("a: 1\n---\nb: 2\n").contains("second document"));
        assert!(told(&"[".repeat(5000)).contains("nested too deeply"));
        assert!(told("a:\n\tb: 1\n").starts_with("2:1: indented by a tab"));
        assert!(told("a: [1\nb: }").contains("no YAML"));
    }

    #[test]
    fn what_stands_before_a_mistake_is_kept() {
        let (root, problems) = parse("a:\n  b: 1\nc: 'open\n");
        assert_eq!(problems.len(), 1);
        assert_eq!(root.expect("kept").entries().expect("mapping")[0].0.text(), Some("a"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ \\t\\na-c:{}\\[\\],#'\"&*!|>?%-]{0,80}|\\PC{0,80}") {
            let (root, problems) = parse(&text);
            fn check(node: &Node, text: &str) {
                assert!(text.get(node.span.clone()).is_some(), "on borders of characters");
                for (k, v) in node.entries().unwrap_or_default() {
                    check(k, text);
                    check(v, text);
                }
            }
            if let (Some(root), true) = (&root, problems.is_empty()) {
                check(root, &text);
            }
        }
    }
}
