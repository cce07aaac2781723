//! Lines of a trace, as strace writes them, put together to calls.
//!
//! A call that another thread's call interrupts stands on two lines: its beginning, and `<... name
//! resumed>` with the rest. Both ends matter here, since it is their order that is judged. Strings and
//! names of descriptors are in hexadecimal (`-xx -y`).

use std::collections::HashMap;

/// The beginning of a call, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Begins,
    Ends,
}

/// What is known of a call at that moment.
#[derive(Debug, Clone)]
pub struct Call {
    pub moment: Moment,
    pub thread: String,
    pub name: String,
    /// What the descriptor stands for: a path, or `socket:[NUMBER]`.
    pub file: String,
    /// Bytes it was given or gave; all strings one after the other.
    pub bytes: Vec<u8>,
    /// What it returned; `None` while it runs.
    pub returned: Option<i64>,
}

/// Every beginning and end in the order of the trace.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((thread, said)) = line.split_once(' ') else { continue };
        let said = said.trim_start();
        if let Some(said) = said.strip_suffix("<unfinished ...>") {
            found.extend(call(Moment::Begins, thread, said));
            begun.insert(thread, said.to_owned());
        } else if said.starts_with("<... ") {
            let Some((_, rest)) = said.split_once(" resumed>") else { continue };
            let whole = begun.remove(thread).unwrap_or_default() + rest;
            found.extend(call(Moment::Ends, thread, &whole));
        } else {
            found.extend(call(Moment::Begins, thread, said));
            found.extend(call(Moment::Ends, thread, said));
        }
    }
    found
}

/// `name(DESCRIPTOR<FILE>, "BYTES", …) = RETURNED`; what has no descriptor first is of no interest.
fn call(moment: Moment, thread: &str, said: &str) -> Option<Call> {
    let (name, rest) = said.split_once('(')?;
    let (descriptor, rest) = rest.split_once('<')?;
    let (file, rest) = rest.split_once('>')?;
    if descriptor.is_empty() || descriptor.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let returned = rest.rsplit_once(" = ").and_then(|(_, value)| value.split(' ').next()?.parse().ok());
    let bytes = rest.split('"').skip(1).step_by(2).flat_map(bytes_of).collect();
    let file = String::from_utf8_lossy(&bytes_of(file)).into_owned();
    Some(Call { moment, thread: thread.to_owned(), name: name.to_owned(), file, bytes, returned })
}

/// The bytes of `\x48\x54`.
fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    hexadecimal.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}
