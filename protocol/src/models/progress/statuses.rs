//! The statuses of all backends in one order: each backend says them in order, and each is told once.

/// Most different statuses of one operation; a pull has six, a create about one for each layer.
const MAX_STATUSES: usize = 256;

/// Which statuses were said, and how far each backend is.
#[derive(Debug)]
pub(super) struct Statuses {
    /// In the order in which they are told.
    said: Vec<String>,
    /// How many of them were told.
    told: usize,
    /// How many of them each backend has said or passed; `None` if it has left.
    reached: Vec<Option<usize>>,
}

// === impl Statuses ===

impl Statuses {
    pub(super) fn new(backends: usize) -> Self {
        Self { said: Vec::new(), told: 0, reached: vec![Some(0); backends] }
    }

    /// The backend at `index` says `status`. What nobody has said before comes behind what this backend has said, and
    /// before what others have said later than that.
    pub(super) fn said(&mut self, index: usize, status: &str) {
        let Some(Some(own)) = self.reached.get(index).copied() else { return };
        let at = match self.said.iter().position(|said| said == status) {
            Some(at) => at,
            None if self.said.len() < MAX_STATUSES => {
                let at = own.max(self.told);
                self.said.insert(at, status.to_owned());
                for reached in self.reached.iter_mut().flatten().filter(|reached| **reached > at) {
                    *reached += 1;
                }
                at
            }
            None => return,
        };
        if let Some(Some(reached)) = self.reached.get_mut(index) {
            *reached = (*reached).max(at + 1);
        }
    }

    /// The backend at `index` says nothing any more, and nobody waits for it.
    pub(super) fn leave(&mut self, index: usize) {
        if let Some(reached) = self.reached.get_mut(index) {
            *reached = None;
        }
    }

    /// The next status that is to be told, which counts as told then. The first is due at once, so that clients see that
    /// something happens; the others when every backend that is still there has come so far.
    pub(super) fn due(&mut self) -> Option<&str> {
        let everyone = self.reached.iter().flatten().min().copied();
        let due = everyone.unwrap_or(self.said.len()).max(1);
        let status = self.said.get(self.told).filter(|_| self.told < due)?;
        self.told += 1;
        Some(status)
    }
}
