//! Templates by segment: a tree in which literals are looked up and patterns tried in order, longest literal text first.
//! A node is visited at most once for each path, so a search is linear in the templates at worst.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::template::Segment;

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Arc<str>, usize>,
    /// In the order in which they are tried.
    patterns: Vec<(Segment, usize)>,
    /// What `**` leads to.
    rest: Option<usize>,
    /// What `{name...}` leads to.
    named_rest: Option<usize>,
    /// The endpoints that end here.
    leaf: Vec<usize>,
}

/// Nodes by number; the first is the root.
#[derive(Debug)]
pub(super) struct Tree(Vec<Node>);

impl Default for Tree {
    fn default() -> Self {
        Self(vec![Node::default()])
    }
}

/// How much text a segment demands: what demands more is tried first.
fn weight(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(text) => text.len(),
        Segment::Pattern(first, pieces) => first.len() + pieces.iter().map(|(_, text)| text.len()).sum::<usize>(),
        Segment::Rest(_) => 0,
    }
}

impl Tree {
    fn child(&self, node: usize, segment: &Segment) -> Option<usize> {
        let node = self.0.get(node)?;
        match segment {
            Segment::Literal(text) => node.literals.get(text).copied(),
            Segment::Rest(None) => node.rest,
            Segment::Rest(Some(_)) => node.named_rest,
            Segment::Pattern(..) => {
                node.patterns.iter().find(|(known, _)| known.same_form(segment)).map(|(_, child)| *child)
            }
        }
    }

    /// Adds an endpoint where these segments lead. Says which ended there before.
    pub(super) fn insert(&mut self, segments: &[Segment], endpoint: usize) -> Vec<usize> {
        let mut at = 0;
        for segment in segments {
            at = self.child(at, segment).unwrap_or_else(|| self.grow(at, segment));
        }
        match self.0.get_mut(at) {
            Some(node) => {
                let before = node.leaf.clone();
                node.leaf.push(endpoint);
                before
            }
            None => Vec::new(),
        }
    }

    fn grow(&mut self, at: usize, segment: &Segment) -> usize {
        let child = self.0.len();
        self.0.push(Node::default());
        if let Some(node) = self.0.get_mut(at) {
            match segment {
                Segment::Literal(text) => {
                    node.literals.insert(text.clone(), child);
                }
                Segment::Rest(None) => node.rest = Some(child),
                Segment::Rest(Some(_)) => node.named_rest = Some(child),
                Segment::Pattern(..) => {
                    node.patterns.push((segment.clone(), child));
                    node.patterns.sort_by_key(|(known, _)| std::cmp::Reverse(weight(known)));
                }
            }
        }
        child
    }

    /// The endpoints that end at one place, for each place.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &[usize]> {
        self.0.iter().map(|node| node.leaf.as_slice()).filter(|leaf| !leaf.is_empty())
    }

    /// The first leaf of which something is wanted, and what its parameters are.
    pub(super) fn find<'p>(
        &self,
        path: &[&'p str],
        wanted: &impl Fn(&[usize]) -> Option<usize>,
    ) -> Option<(usize, Vec<Cow<'p, str>>)> {
        let mut captured = Vec::new();
        let place = self.search(0, path, wanted, &mut captured)?;
        Some((place, captured))
    }

    /// Depth is bounded by the longest template.
    fn search<'p>(
        &self,
        node: usize,
        path: &[&'p str],
        wanted: &impl Fn(&[usize]) -> Option<usize>,
        captured: &mut Vec<Cow<'p, str>>,
    ) -> Option<usize> {
        let node = self.0.get(node)?;
        let Some((segment, rest)) = path.split_first() else {
            return wanted(&node.leaf).or_else(|| self.leaf(node.rest, wanted));
        };
        if let Some(child) = node.literals.get(*segment)
            && let Some(found) = self.search(*child, rest, wanted, captured)
        {
            return Some(found);
        }
        for (pattern, child) in &node.patterns {
            let before = captured.len();
            if capture(pattern, segment, captured)
                && let Some(found) = self.search(*child, rest, wanted, captured)
            {
                return Some(found);
            }
            captured.truncate(before);
        }
        if let Some(found) = self.leaf(node.named_rest, wanted) {
            captured.push(path.join("/").into());
            return Some(found);
        }
        self.leaf(node.rest, wanted)
    }

    fn leaf(&self, node: Option<usize>, wanted: &impl Fn(&[usize]) -> Option<usize>) -> Option<usize> {
        wanted(&self.0.get(node?)?.leaf)
    }

    /// Whether a template matches for a server that tells neither cases apart nor dots and blanks at the end of a name.
    pub(super) fn holds_but_for_spelling(&self, path: &[&str]) -> bool {
        self.folded(0, path)
    }

    fn folded(&self, node: usize, path: &[&str]) -> bool {
        let Some(node) = self.0.get(node) else { return false };
        let Some((segment, rest)) = path.split_first() else { return !node.leaf.is_empty() || node.rest.is_some() };
        let lenient = lenient(segment);
        node.literals.iter().any(|(text, child)| self::lenient(text) == lenient && self.folded(*child, rest))
            || node
                .patterns
                .iter()
                .any(|(pattern, child)| capture(&fold(pattern), &lenient, &mut Vec::new()) && self.folded(*child, rest))
            || node.rest.or(node.named_rest).is_some()
    }

    /// Whether a path that a pattern takes is that of a literal to such a server: `/users/ME` beside `/users/me`.
    pub(super) fn is_another_to_some(&self, path: &[&str]) -> bool {
        self.strays(0, path)
    }

    fn strays(&self, node: usize, path: &[&str]) -> bool {
        let (Some(node), Some((segment, rest))) = (self.0.get(node), path.split_first()) else { return false };
        let exact = node.literals.get(*segment);
        let is_it = |(text, child): (&Arc<str>, &usize)| {
            // Most names differ at once.
            let begins = match (text.bytes().next(), segment.bytes().next()) {
                (Some(one), Some(other)) if one.is_ascii() && other.is_ascii() => one.eq_ignore_ascii_case(&other),
                _ => true,
            };
            begins && lenient(text) == lenient(segment) && self.folded(*child, rest)
        };
        exact.is_some_and(|child| self.strays(*child, rest))
            || exact.is_none() && node.literals.iter().any(is_it)
            || node
                .patterns
                .iter()
                .any(|(pattern, child)| capture(pattern, segment, &mut Vec::new()) && self.strays(*child, rest))
    }
}

/// A segment as a server may read it that tells no cases apart, and drops dots and blanks from the end of a name.
fn lenient(segment: &str) -> String {
    let bare = segment.trim_end_matches(['.', ' ']);
    if bare.is_empty() { segment.to_owned() } else { bare.to_lowercase() }
}

fn fold(segment: &Segment) -> Segment {
    match segment {
        Segment::Pattern(first, pieces) => {
            let folded = pieces.iter().map(|(name, text)| (name.clone(), text.to_lowercase().into()));
            Segment::Pattern(first.to_lowercase().into(), folded.collect())
        }
        other => other.clone(),
    }
}

/// Whether a segment of a path fits a pattern; its parameters are added. Each is as short as what follows lets it be, but the
/// last, which takes what is left.
fn capture<'p>(pattern: &Segment, segment: &'p str, captured: &mut Vec<Cow<'p, str>>) -> bool {
    let Segment::Pattern(first, pieces) = pattern else { return false };
    let Some(mut rest) = segment.strip_prefix(first.as_ref()) else { return false };
    let last = pieces.len().saturating_sub(1);
    for (place, (_, behind)) in pieces.iter().enumerate() {
        let split = if place == last {
            rest.strip_suffix(behind.as_ref()).map(|value| (value, ""))
        } else {
            rest.split_once(behind.as_ref())
        };
        match split {
            Some((value, after)) if !value.is_empty() => {
                captured.push(value.into());
                rest = after;
            }
            _ => return false,
        }
    }
    true
}
