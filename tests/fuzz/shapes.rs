//! Requests that grow: one piece of an input, many times over.
//!
//! Comes in: an input. Goes out: the same with each of its pieces in turn repeated until it has a given
//! size: many parameters, many of one name, long names, many elements, deep nesting, many escapes.
//! Always true: a shape at twice the size has twice the pieces, so what costs more than twice as much is
//! more than linear.
//! Not here: what is measured (`main`).

/// What separates the pieces of a request.
const MARKS: &[u8] = b"\n?&=%+,:;.{}[]\"'\\<>/ ";
/// Most marks that a piece goes over: a parameter has one, a text of a list a few dozen.
const SPANS: [usize; 5] = [1, 2, 4, 9, 40];

/// Shapes that no seed need have, behind the head of any request.
const BODIES: [(&str, &str, &str); 17] = [
    ("", "a&", ""),
    ("", "a=1&", ""),
    ("", "%41", ""),
    ("text=", "%E9", ""),
    ("", "+", ""),
    ("[", "{},", "{}]"),
    ("[", "{\"data\":[{},{},{}]},", "{}]"),
    ("{\"a\":[", "0,", "0]}"),
    ("", "[", ""),
    ("", "{\"a\":", ""),
    ("{", "\"a\":1,", "\"b\":1}"),
    ("{\"", "\\u00e9", "\":1}"),
    ("{\"text\":\"", "\\ud83d", "\"}"),
    ("<InboundMessage><MessageText>", "<a>", ""),
    ("<InboundMessage><MessageText>", "&#233;", "</MessageText></InboundMessage>"),
    ("<InboundMessage ", "a='1' ", "/>"),
    ("", "<![CDATA[]]>", ""),
];

/// How to make one shape at any size.
pub struct Shape<'a> {
    before: Vec<u8>,
    piece: &'a [u8],
    behind: &'a [u8],
}

impl Shape<'_> {
    pub fn of(&self, size: usize) -> Vec<u8> {
        let mut made = self.before.clone();
        let room = size.saturating_sub(self.before.len() + self.behind.len());
        (0..room / self.piece.len()).for_each(|_| made.extend_from_slice(self.piece));
        made.extend_from_slice(self.behind);
        made
    }

    /// The piece, for whoever must look at it.
    pub fn name(&self) -> String {
        format!("{}({})*{}", self.before.escape_ascii(), self.piece.escape_ascii(), self.behind.escape_ascii())
    }
}

/// The shapes of one input, at most about `count`.
pub fn of_input(input: &[u8], count: usize) -> Vec<Shape<'_>> {
    let marks: Vec<usize> = (0..input.len()).filter(|at| MARKS.contains(&input[*at])).collect();
    let ranges = SPANS.iter().flat_map(|span| marks.windows(span + 1).map(|range| (range[0], range[range.len() - 1])));
    let ranges: Vec<_> = ranges.filter(|(from, to)| from < to).collect();
    let step = (ranges.len() / count).max(1);
    let shape = |(from, to): &(usize, usize)| Shape {
        before: input[..*from].to_vec(),
        piece: &input[*from..*to],
        behind: &input[*from..],
    };
    ranges.iter().step_by(step).map(shape).collect()
}

/// Those of no input, with the head of `input`.
pub fn of_head(input: &[u8]) -> Vec<Shape<'static>> {
    let end = input.windows(2).position(|two| two == b"\n\n").map_or(input.len(), |at| at + 2);
    let shape = |(before, piece, behind): &(&'static str, &'static str, &'static str)| Shape {
        before: [&input[..end], before.as_bytes()].concat(),
        piece: piece.as_bytes(),
        behind: behind.as_bytes(),
    };
    BODIES.iter().map(shape).collect()
}
