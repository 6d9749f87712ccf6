//! Positions of rows in the input. Most often they follow each other, and then there is no list of them.

use std::ops::Range;

/// Positions, in an order of their own; none comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Positions {
    /// These.
    Run(Range<usize>),
    /// These, where they do not follow each other.
    List(Vec<usize>),
}

impl Default for Positions {
    fn default() -> Self {
        Positions::Run(0..0)
    }
}

impl From<Vec<usize>> for Positions {
    fn from(list: Vec<usize>) -> Self {
        match (list.first(), list.last()) {
            (Some(&first), Some(&last)) if list.is_sorted() && last - first + 1 == list.len() => {
                Positions::Run(first..last + 1)
            }
            (None, _) => Positions::default(),
            _ => Positions::List(list),
        }
    }
}

impl From<usize> for Positions {
    fn from(position: usize) -> Self {
        Positions::Run(position..position + 1)
    }
}

impl Positions {
    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Positions::Run(run) => run.len(),
            Positions::List(list) => list.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one with this number.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<usize> {
        match self {
            Positions::Run(run) => Some(run.start + number).filter(|position| *position < run.end),
            Positions::List(list) => list.get(number).copied(),
        }
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let (run, list) = match self {
            Positions::Run(run) => (run.clone(), &[][..]),
            Positions::List(list) => (0..0, &list[..]),
        };
        run.chain(list.iter().copied())
    }

    /// Those with these numbers.
    pub(crate) fn slice(&self, numbers: Range<usize>) -> Positions {
        match self {
            Positions::Run(run) => Positions::Run(run.start + numbers.start..run.start + numbers.end),
            Positions::List(list) => Positions::from(list[numbers].to_vec()),
        }
    }

    /// Appends those that follow each other from `first` on.
    pub(crate) fn append(&mut self, more: Range<usize>) {
        match self {
            _ if more.start == more.end => {}
            Positions::Run(run) if run.start == run.end => *run = more,
            Positions::Run(run) if run.end == more.start => run.end = more.end,
            Positions::Run(run) => *self = Positions::List(run.clone().chain(more).collect()),
            Positions::List(list) => list.extend(more),
        }
    }

    /// The position behind all of them.
    pub(crate) fn end(&self) -> usize {
        match self {
            Positions::Run(run) => run.end,
            Positions::List(list) => list.iter().max().map_or(0, |last| last + 1),
        }
    }

    /// As ranges, ascending.
    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        match self {
            Positions::Run(run) => Some(run.clone()).into_iter().filter(|run| run.start < run.end).collect(),
            Positions::List(list) => ranges(list),
        }
    }
}

/// Positions as ranges, ascending.
pub(crate) fn ranges(positions: &[usize]) -> Vec<Range<usize>> {
    if !positions.is_sorted() {
        let mut sorted = positions.to_vec();
        sorted.sort_unstable();
        return ranges(&sorted);
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for &position in positions {
        match ranges.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => ranges.push(position..position + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn positions_are_those_of_the_list_they_are_made_of(set in btree_set(0..30_usize, 0..12), from in 0..12_usize, to in 0..12_usize, turned in any::<bool>()) {
            let mut list: Vec<usize> = set.into_iter().collect();
            if turned {
                list.reverse();
            }
            let positions = Positions::from(list.clone());
            prop_assert_eq!(positions.len(), list.len());
            prop_assert_eq!(positions.iter().collect::<Vec<_>>(), &list[..]);
            (0..13).for_each(|number| assert_eq!(positions.get(number), list.get(number).copied()));
            let (from, to) = (from.min(list.len()), to.min(list.len()));
            let numbers = from.min(to)..from.max(to);
            prop_assert_eq!(positions.slice(numbers.clone()).iter().collect::<Vec<_>>(), &list[numbers]);
            prop_assert_eq!(positions.end(), list.iter().max().map_or(0, |last| last + 1));
            let mut appended = Positions::default();
            list.iter().for_each(|&position| appended.append(position..position + 1));
            prop_assert_eq!(appended.iter().collect::<Vec<_>>(), &list[..]);
            let ranges = positions.ranges();
            list.sort_unstable();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), list);
        }
    }
}
