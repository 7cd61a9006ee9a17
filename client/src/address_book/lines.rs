//! Plain lines: one identifier each.

use super::collector::Collector;
use super::{Import, ImportError};

/// Reads one identifier per line; blank lines and lines that start with `#` are comments.
pub(super) fn read(
    import: &Import,
    text: &str,
    collector: &mut Collector,
) -> Result<(), ImportError> {
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let outcome = import.normalizer.identifier(line, import.default_region);
        collector.record(outcome, "", i + 1)?;
    }
    Ok(())
}
