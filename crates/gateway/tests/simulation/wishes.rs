//! What a client has subscribed to, by the rules of the protocol: exact names before globs, later
//! globs before earlier ones.

use crate::message::Kind;
use std::collections::BTreeMap;

/// The options that a stream is served at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// 0 where the channel has none.
    pub(crate) depth: u16,
    /// Microseconds between two updates; 0 is real time.
    pub(crate) apart: i64,
    /// A bit for each ticker field.
    pub(crate) fields: u16,
}

#[derive(Clone, Debug)]
struct Glob {
    kind: Kind,
    pattern: String,
    options: Options,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    exact: BTreeMap<Kind, BTreeMap<String, Options>>,
    /// In the order in which they were first subscribed to.
    globs: Vec<Glob>,
}

/// Whether a pattern with `*` matches the whole of `name`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.as_bytes() {
        [] => name.is_empty(),
        [b'*', ..] => (0..=name.len()).any(|at| matches(&pattern[1..], &name[at..])),
        [first, ..] => name.as_bytes().first() == Some(first) && matches(&pattern[1..], &name[1..]),
    }
}

impl Wishes {
    /// The options of a stream; `None` when nothing asks for it.
    pub(crate) fn effective(&self, kind: Kind, name: &str) -> Option<Options> {
        if let Some(options) = self.exact.get(&kind).and_then(|names| names.get(name)) {
            return Some(*options);
        }
        let wants = |glob: &&Glob| glob.kind == kind && matches(&glob.pattern, name);
        self.globs.iter().rev().find(wants).map(|glob| glob.options)
    }

    /// Whether just this pattern is subscribed to.
    pub(crate) fn has(&self, kind: Kind, pattern: &str) -> bool {
        self.has_exact(kind, pattern)
            || self.globs.iter().any(|glob| glob.kind == kind && glob.pattern == pattern)
    }

    fn has_exact(&self, kind: Kind, name: &str) -> bool {
        self.exact.get(&kind).is_some_and(|names| names.contains_key(name))
    }

    /// Whether the options of the stream are those of this pattern.
    pub(crate) fn governs(&self, kind: Kind, pattern: &str, name: &str) -> bool {
        if self.has_exact(kind, name) {
            return pattern == name;
        }
        let wants = |glob: &&Glob| glob.kind == kind && matches(&glob.pattern, name);
        self.globs.iter().rev().find(wants).is_some_and(|glob| glob.pattern == pattern)
    }

    pub(crate) fn set(&mut self, kind: Kind, pattern: &str, options: Options) {
        if !pattern.contains('*') {
            self.exact.entry(kind).or_default().insert(pattern.to_owned(), options);
        } else if let Some(glob) = self.glob_mut(kind, pattern) {
            glob.options = options;
        } else {
            self.globs.push(Glob { kind, pattern: pattern.to_owned(), options });
        }
    }

    pub(crate) fn remove(&mut self, kind: Kind, pattern: &str) {
        if let Some(names) = self.exact.get_mut(&kind) {
            names.remove(pattern);
        }
        self.globs.retain(|glob| (glob.kind, &*glob.pattern) != (kind, pattern));
    }

    fn glob_mut(&mut self, kind: Kind, pattern: &str) -> Option<&mut Glob> {
        self.globs.iter_mut().find(|glob| (glob.kind, &*glob.pattern) == (kind, pattern))
    }

    /// How many subscriptions there are.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    /// All patterns.
    pub(crate) fn all(&self) -> Vec<(Kind, String, Options)> {
        let exact = self.exact.iter().flat_map(|(kind, names)| {
            names.iter().map(|(name, options)| (*kind, name.clone(), *options))
        });
        let globs = self.globs.iter().map(|glob| (glob.kind, glob.pattern.clone(), glob.options));
        exact.chain(globs).collect()
    }
}
