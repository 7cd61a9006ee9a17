//! The epochs that rows are kept under at one moment, and changes that go to all of them.

use std::{fmt, sync::Arc};

use acquaint_core::{keys::Row, oprf::OprfElement, oprf::RotationFactor};

use super::{DirectoryError, line::Line};
use crate::store::{Change, Store};

/// The epochs of a directory: one, or two while a rotation lasts.
pub(super) struct Lines {
    /// Those that are served, ascending; there is one at least.
    live: Vec<Arc<Line>>,
    /// The one that rows are being moved to: it takes part in every change, and nobody sees it.
    moving: Option<Arc<Line>>,
}

/// Changes by epoch, as the store takes them.
pub(super) type Parts = Vec<(u32, Vec<Change>)>;

impl Lines {
    /// One epoch, and perhaps one that rows are being moved to.
    pub(super) fn one(live: Arc<Line>, moving: Option<Arc<Line>>) -> Self {
        Self { live: vec![live], moving }
    }

    /// Two epochs that are served, the older one first.
    pub(super) fn two(from: Arc<Line>, to: Arc<Line>) -> Self {
        Self { live: vec![from, to], moving: None }
    }

    /// The epochs that are served, ascending.
    pub(super) fn live(&self) -> &[Arc<Line>] {
        &self.live
    }

    /// The newest epoch that is served.
    pub(super) fn newest(&self) -> &Arc<Line> {
        self.live.last().expect("a directory serves one epoch at least")
    }

    /// An epoch that is served.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`].
    pub(super) fn served(&self, epoch: u32) -> Result<&Arc<Line>, DirectoryError> {
        self.live.iter().find(|line| line.epoch == epoch).ok_or(DirectoryError::Epoch)
    }

    /// Any epoch that rows are kept under.
    pub(super) fn any(&self, epoch: u32) -> Result<&Arc<Line>, DirectoryError> {
        self.all().find(|line| line.epoch == epoch).ok_or(DirectoryError::Epoch)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.live.iter().chain(&self.moving)
    }

    /// The epoch that was addressed first, then the others.
    fn addressed_first(&self, addressed: u32) -> Result<Vec<&Arc<Line>>, DirectoryError> {
        let mut lines = vec![self.served(addressed)?];
        lines.extend(self.all().filter(|line| line.epoch != addressed));
        Ok(lines)
    }

    /// The changes that store rows of an epoch, under every epoch.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`] if the epoch is not served.
    pub(super) fn puts(&self, addressed: u32, rows: &[Row]) -> Result<Parts, DirectoryError> {
        let lines = self.addressed_first(addressed)?;
        let elements: Vec<OprfElement> = rows.iter().map(|row| row.element.clone()).collect();
        let part = |line: &&Arc<Line>| {
            let elements = converted(&lines, line, &elements);
            let rows = elements.into_iter().zip(rows).map(|(element, row)| Row {
                element,
                label: row.label.clone(),
                hidden: row.hidden,
            });
            (line.epoch, rows.map(|row| line.rows.put(&row)).collect())
        };
        Ok(lines.iter().map(part).collect())
    }

    /// The changes that remove elements of an epoch, under every epoch.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`] if the epoch is not served.
    pub(super) fn removals(
        &self,
        addressed: u32,
        elements: &[OprfElement],
    ) -> Result<Parts, DirectoryError> {
        let lines = self.addressed_first(addressed)?;
        let part = |line: &&Arc<Line>| {
            let elements = converted(&lines, line, elements);
            (line.epoch, elements.iter().map(|element| line.rows.removal(element)).collect())
        };
        Ok(lines.iter().map(part).collect())
    }
}

/// The elements of the first of some epochs as those of a certain one.
fn converted(lines: &[&Arc<Line>], to: &Line, elements: &[OprfElement]) -> Vec<OprfElement> {
    match lines.first() {
        Some(from) if from.epoch != to.epoch => {
            RotationFactor::between(&from.secret, &to.secret).apply(elements)
        }
        _ => elements.to_vec(),
    }
}

/// Refuses what an epoch has no room for.
///
/// # Errors
/// [`DirectoryError::Full`], [`DirectoryError::Store`].
pub(super) fn check_room(
    store: &dyn Store,
    parts: &Parts,
    entries_max: u64,
) -> Result<(), DirectoryError> {
    for (epoch, changes) in parts {
        if store.entries(*epoch)? + changes.len() as u64 > entries_max {
            return Err(DirectoryError::Full);
        }
    }
    Ok(())
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("live", &self.live).field("moving", &self.moving).finish()
    }
}
