//! The automaton as a picture, in Graphviz's language.

use std::fmt::Write;

use agent_abi::image::SINK;

use crate::{
    automaton::{Dfa, Label, minimize},
    compile::Compiled,
    model::right_names,
};

/// A `dot` document: nodes are states with the rights that hold there, edges the bytes that lead
/// on. Which rule decides is left out, so there are fewer states than in the image. Chains of single bytes become one edge; the sink, where nothing is allowed, is left out.
#[must_use]
pub fn graph(grant: &Compiled) -> String {
    let dfa = &rights_only(&grant.dfa);
    let mut text = String::new();
    let name = grant.name.escape_default();
    // Writing into a string cannot fail.
    let _ = writeln!(text, "digraph \"{name}\" {{");
    let _ = writeln!(text, "  rankdir=LR; node [shape=box, fontname=monospace];");
    let _ = writeln!(text, "  edge [fontname=monospace];");
    let inner = chain_links(dfa);
    for state in 1..dfa.states() as u32 {
        if inner[state as usize] {
            continue;
        }
        let rights = right_names(dfa.label(state).allowed).join(" ");
        let shape = if state == dfa.start {
            ", style=bold"
        } else {
            ""
        };
        let _ = writeln!(text, "  s{state} [label=\"{rights}\"{shape}];");
        for (head, bytes) in edges(dfa, state) {
            let mut label = show(&bytes);
            let mut to = head;
            while inner[to as usize] {
                let Some((next, bytes)) = edges(dfa, to).into_iter().next() else {
                    break;
                };
                label.push_str(&show(&bytes));
                to = next;
            }
            let label = label.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(text, "  s{state} -> s{to} [label=\"{label}\"];");
        }
    }
    text.push_str("}\n");
    text
}

/// The smallest automaton that allows the same.
fn rights_only(dfa: &Dfa) -> Dfa {
    let mut plain = dfa.clone();
    let mut labels: Vec<Label> = Vec::new();
    for (state, slot) in plain.label_of.iter_mut().enumerate() {
        let label = Label {
            allowed: dfa.label(state as u32).allowed,
            ..Label::NONE
        };
        *slot = labels
            .iter()
            .position(|known| *known == label)
            .unwrap_or_else(|| {
                labels.push(label);
                labels.len() - 1
            }) as u32;
    }
    plain.labels = labels;
    minimize(&plain)
}

/// Where a state leads, the sink left out, with the bytes that lead there.
fn edges(dfa: &Dfa, state: u32) -> Vec<(u32, Vec<u8>)> {
    let mut edges: Vec<(u32, Vec<u8>)> = Vec::new();
    for byte in 1..=255 {
        let head = dfa.step(state, byte);
        if head == u32::from(SINK) {
            continue;
        }
        match edges.iter_mut().find(|(to, _)| *to == head) {
            Some((_, bytes)) => bytes.push(byte),
            None => edges.push((head, vec![byte])),
        }
    }
    edges
}

/// States that only pass one byte on: one way in, one way out by one byte, no rights.
fn chain_links(dfa: &Dfa) -> Vec<bool> {
    let states = dfa.states();
    let all: Vec<_> = (0..states as u32).map(|state| edges(dfa, state)).collect();
    let mut ways_in = vec![0_usize; states];
    for (to, bytes) in all.iter().flatten() {
        ways_in[*to as usize] += bytes.len();
    }
    (0..states)
        .map(|state| {
            let one_out = matches!(all[state].as_slice(), [(to, bytes)]
                if bytes.len() == 1 && *to as usize != state);
            one_out
                && ways_in[state] == 1
                && state != dfa.start as usize
                && dfa.label(state as u32).allowed.is_empty()
        })
        .collect()
}

/// "/", "[a-c]" or, for most bytes, "*" and what is left out.
fn show(bytes: &[u8]) -> String {
    if let [byte] = bytes {
        return byte.escape_ascii().to_string();
    }
    let left_out: Vec<u8> = (1..=255).filter(|byte| !bytes.contains(byte)).collect();
    if left_out.is_empty() {
        return "any".to_owned();
    }
    let (negated, shown) = if bytes.len() > 127 {
        ("!", left_out.as_slice())
    } else {
        ("", bytes)
    };
    let mut text = format!("[{negated}");
    let mut at = 0;
    while let Some(first) = shown.get(at) {
        let run = (at..shown.len()).take_while(|i| shown[*i] as usize == *first as usize + i - at);
        let length = run.count();
        let _ = write!(text, "{}", first.escape_ascii());
        if length > 2 {
            let _ = write!(text, "-{}", shown[at + length - 1].escape_ascii());
        } else if length == 2 {
            let _ = write!(text, "{}", shown[at + 1].escape_ascii());
        }
        at += length;
    }
    text + "]"
}
