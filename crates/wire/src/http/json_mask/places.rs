//! The masked places of a document as an automaton: the states that hold in a structure are those of its place, and a
//! member's name leads on from them. Steps into arrays are no steps.

use std::borrow::Cow;

use kernel::verdict::Mask;

use super::super::json_path::{JsonPath, Step};
use super::super::names;

/// A state, by number.
pub(super) type State = u32;

#[derive(Debug, Default)]
struct Node {
    /// By length and then by letters: mostly few, which so are found quicker than in any table, but as many as a client of
    /// GraphQL has aliases.
    members: Vec<(Box<[u8]>, State)>,
    any: Option<State>,
    /// Where `..` leads, without a name.
    deep: Option<State>,
    /// Behind `..`: it holds at every depth below.
    stays: bool,
    mask: Option<Mask>,
}

impl Node {
    fn member(&self, name: &[u8]) -> Option<State> {
        let place = self.place(name).ok()?;
        self.members.get(place).map(|(_, state)| *state)
    }

    /// Where a name stands, or would.
    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.members.binary_search_by(|(known, _)| known.len().cmp(&name.len()).then_with(|| (**known).cmp(name)))
    }
}

/// All places that are masked.
#[derive(Debug)]
pub(super) struct Places {
    nodes: Vec<Node>,
    longest_name: usize,
    /// Names count in any case.
    folds: bool,
}

impl Places {
    pub(super) fn new(paths: &[(JsonPath, Mask)], folds: bool) -> Self {
        let mut places = Self { nodes: vec![Node::default()], longest_name: 0, folds };
        for (path, mask) in paths {
            places.add(path.steps(), *mask);
        }
        places
    }

    pub(super) fn are_none(&self) -> bool {
        self.nodes.iter().all(|node| node.mask.is_none())
    }

    /// The longest name that is looked for, in bytes.
    pub(super) const fn longest_name(&self) -> usize {
        self.longest_name
    }

    fn add(&mut self, steps: &[Step], mask: Mask) {
        let mut at: State = 0;
        for step in steps {
            at = match step {
                Step::Elements => at,
                Step::Member(name) => {
                    let name = self.folded(name.as_bytes());
                    self.longest_name = self.longest_name.max(name.len());
                    let known = self.node(at).and_then(|node| node.member(&name));
                    known.unwrap_or_else(|| {
                        self.grow(at, false, |node, child| {
                            let place = node.place(&name).unwrap_or_else(|place| place);
                            node.members.insert(place, ((*name).into(), child));
                        })
                    })
                }
                Step::AnyMember => {
                    let known = self.node(at).and_then(|node| node.any);
                    known.unwrap_or_else(|| self.grow(at, false, |node, child| node.any = Some(child)))
                }
                Step::Deep => {
                    let known = self.node(at).and_then(|node| node.deep);
                    known.unwrap_or_else(|| self.grow(at, true, |node, child| node.deep = Some(child)))
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.mask = Some(node.mask.map_or(mask, |known| known.min(mask)));
        }
    }

    /// A name as it is compared. Mostly it is in lower case already.
    fn folded<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        let other = |byte: &u8| byte.is_ascii_uppercase() || !byte.is_ascii();
        match std::str::from_utf8(name) {
            Ok(text) if self.folds && name.iter().any(other) => {
                Cow::Owned(names::folded(text).collect::<String>().into_bytes())
            }
            _ => Cow::Borrowed(name),
        }
    }

    fn grow(&mut self, at: State, stays: bool, link: impl FnOnce(&mut Node, State)) -> State {
        let child = State::try_from(self.nodes.len()).unwrap_or(State::MAX);
        self.nodes.push(Node { stays, ..Node::default() });
        if let Some(node) = self.nodes.get_mut(at as usize) {
            link(node, child);
        }
        child
    }

    fn node(&self, state: State) -> Option<&Node> {
        self.nodes.get(state as usize)
    }

    /// The states at the root.
    pub(super) fn root(&self) -> Vec<State> {
        let mut states = Vec::new();
        self.enter(0, 0, &mut states);
        states
    }

    /// Appends a state, and what holds with it, unless it is there behind `begin`.
    fn enter(&self, state: State, begin: usize, states: &mut Vec<State>) {
        if states.get(begin..).is_some_and(|own| own.contains(&state)) {
            return;
        }
        states.push(state);
        if let Some(deep) = self.node(state).and_then(|node| node.deep) {
            self.enter(deep, begin, states);
        }
    }

    /// Appends the states of a member to those of its object, which stand from `from` to the end. No name is one that
    /// is longer than any that is looked for.
    pub(super) fn follow(&self, from: usize, name: Option<&[u8]>, states: &mut Vec<State>) {
        let end = states.len();
        let name = name.map(|name| self.folded(name));
        for place in from..end {
            let Some((state, node)) = states.get(place).and_then(|state| Some((*state, self.node(*state)?))) else {
                continue;
            };
            if node.stays {
                self.enter(state, end, states);
            }
            if let Some(next) = name.as_deref().and_then(|name| node.member(name)) {
                self.enter(next, end, states);
            }
            if let Some(next) = node.any {
                self.enter(next, end, states);
            }
        }
    }

    /// The strongest mask on a place.
    pub(super) fn mask(&self, states: &[State]) -> Option<Mask> {
        states.iter().filter_map(|state| self.node(*state)?.mask).min()
    }
}
