//! What is decided by the number of rows.

/// Something that few rows have another of.
#[derive(Debug, Clone, Default)]
pub(crate) struct ByRows<T> {
    /// That of few rows: each for fewer rows than its number, ascending.
    pub(crate) few: Vec<(usize, T)>,
    /// That of all others.
    pub(crate) many: T,
}

impl<T> ByRows<T> {
    /// That of so many rows.
    pub(crate) fn of(&self, rows: usize) -> &T {
        self.few.iter().find(|(below, _)| rows < *below).map_or(&self.many, |(_, value)| value)
    }

    /// What `make` makes of each; it is told how many rows each is for fewer than.
    pub(crate) fn map<U>(&self, make: impl Fn(usize, &T) -> U) -> ByRows<U> {
        let few = self.few.iter().map(|(below, value)| (*below, make(*below, value))).collect();
        ByRows { few, many: make(usize::MAX, &self.many) }
    }

    /// All of them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.few.iter_mut().map(|(_, value)| value).chain(std::iter::once(&mut self.many))
    }
}
