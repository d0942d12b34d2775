//! Which subscriptions want to know of a symbol's news.

use crate::handle::Handle;
use crate::subscriptions::Stream;
use std::collections::HashMap;
use std::sync::Arc;

/// The subscriptions of each symbol that was heard of since subscriptions changed last.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_symbol: HashMap<Arc<str>, Vec<(Stream, u64)>>,
}

impl Routes {
    /// Subscriptions have changed.
    pub(crate) fn clear(&mut self) {
        self.by_symbol.clear();
    }

    /// Tells those who want to know that a symbol has news on a stream, or on all with `None`.
    ///
    /// *Cost:* for a symbol's first news every pattern is looked at, then one look-up.
    pub(crate) fn mark(
        &mut self,
        handles: &mut HashMap<u64, Handle>,
        stream: Option<Stream>,
        symbol: &str,
    ) {
        if !self.by_symbol.contains_key(symbol) {
            let wanted = handles.iter().filter(|(_, handle)| handle.matches(symbol));
            let wanted = wanted.map(|(number, handle)| (handle.stream, *number)).collect();
            self.by_symbol.insert(symbol.into(), wanted);
        }
        let Some((symbol, routes)) = self.by_symbol.get_key_value(symbol) else { return };
        for (of, number) in routes {
            if stream.is_none_or(|stream| stream == *of)
                && let Some(handle) = handles.get_mut(number)
            {
                handle.mark(symbol);
            }
        }
    }
}
