//! An iterator of which it can be told whether it has ended, without a look at that for each item afterwards.

/// Items, of which the next one may have been taken already.
pub(super) struct Items<I: Iterator> {
    next: Option<Option<I::Item>>,
    /// The items behind it.
    pub(super) behind: I,
}

impl<I: Iterator> Items<I> {
    pub(super) fn new(items: I) -> Self {
        Items { next: None, behind: items }
    }

    /// Whether no item is left.
    pub(super) fn is_empty(&mut self) -> bool {
        self.next.get_or_insert_with(|| self.behind.next()).is_none()
    }

    /// The number of items that are left, if that is known before they are taken.
    pub(super) fn known_len(&self) -> Option<usize> {
        let (least, most) = self.size_hint();
        most.filter(|most| *most == least)
    }
}

impl<I: Iterator> Iterator for Items<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        match self.next.take() {
            Some(next) => next,
            None => self.behind.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let taken = match &self.next {
            None => 0,
            Some(None) => return (0, Some(0)),
            Some(Some(_)) => 1,
        };
        let (least, most) = self.behind.size_hint();
        (least.saturating_add(taken), most.and_then(|most| most.checked_add(taken)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_ahead_changes_nothing() {
        for len in 0..3 {
            let mut items = Items::new(0..len);
            assert_eq!(items.is_empty(), len == 0);
            assert_eq!(items.known_len(), Some(len));
            assert_eq!(items.by_ref().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            assert!(items.is_empty());
        }
    }
}
