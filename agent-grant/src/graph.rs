//! The automaton as a picture, in Graphviz's language.

use std::fmt::Write;

use agent_abi::{FileRights, image::SINK};

use crate::{
    automaton::{Dfa, Label, minimize},
    compile::Compiled,
    model::right_names,
};

/// A `dot` document: nodes are states with the rights that hold there, edges the bytes that lead
/// on, named by byte classes. An arrow from nowhere leads to the start. Dashed edges lead to the
/// sink, where nothing is allowed, by every byte that no other edge names.
///
/// Which rule decides is left out, so there are fewer states than in the image. A chain of states
/// that only pass one byte on becomes one edge.
#[must_use]
pub fn graph(grant: &Compiled) -> String {
    let dfa = &rights_only(&grant.dfa);
    let inner = chain_links(dfa);
    let mut text = head(&grant.name, dfa.start);
    let mut refuses = false;
    let shown = (1..dfa.states() as u32).filter(|state| !inner[*state as usize]);
    for state in shown {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  s{state} [{}];", node(dfa.label(state).allowed));
        let edges = edges(dfa, state);
        let named: usize = edges.iter().map(|(_, bytes)| bytes.len()).sum();
        for (head, bytes) in edges {
            let (to, label) = follow(dfa, &inner, head, &bytes);
            let _ = writeln!(text, "  s{state} -> s{to} [label=\"{}\"];", quote(&label));
        }
        if named < BYTES {
            refuses = true;
            let _ = writeln!(text, "  s{state} -> s{SINK} [style=dashed, color=gray];");
        }
    }
    if refuses {
        let _ = writeln!(
            text,
            "  s{SINK} [label=\"nothing\", style=dashed, color=gray, fontcolor=gray];"
        );
    }
    text.push_str("}\n");
    text
}

/// Bytes that can stand in a path.
const BYTES: usize = 255;

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn head(name: &str, start: u32) -> String {
    format!(
        "digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=monospace];\n  \
         edge [fontname=monospace];\n  start [shape=point];\n  start -> s{start};\n",
        quote(name)
    )
}

/// The rights of a state, a few to a line.
fn node(allowed: FileRights) -> String {
    let names = right_names(allowed);
    let lines: Vec<_> = names.chunks(3).map(|line| line.join(" ")).collect();
    if lines.is_empty() {
        return "label=\"\"".to_owned();
    }
    format!("label=\"{}\", style=\"rounded,bold\"", lines.join("\\n"))
}

/// Where an edge ends once chains are passed, and the bytes on the way.
fn follow(dfa: &Dfa, inner: &[bool], head: u32, bytes: &[u8]) -> (u32, String) {
    let (mut to, mut label) = (head, show(bytes));
    while inner[to as usize] {
        let Some((next, bytes)) = edges(dfa, to).into_iter().next() else {
            break;
        };
        label.push_str(&show(&bytes));
        to = next;
    }
    (to, label)
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
        text += &member(*first);
        if length > 2 {
            text.push('-');
        }
        if length > 1 {
            text += &member(shown[at + length - 1]);
        }
        at += length;
    }
    text + "]"
}

/// A byte of a class, escaped where it would mean something there.
fn member(byte: u8) -> String {
    if b"]-!".contains(&byte) {
        format!("\\{}", char::from(byte))
    } else {
        byte.escape_ascii().to_string()
    }
}
