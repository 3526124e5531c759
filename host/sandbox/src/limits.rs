//! What a call may use: memory summed over all memories, table elements, instances.

use wasmtime::ResourceLimiter;
use windlass_model::limits::PluginLimits;

use crate::fault::{Limit, PluginFault};

/// What one call may instantiate; the pool's sizes follow from it.
pub(crate) struct PerCall {
    /// Core instances; a component of one Rust module has three.
    pub(crate) instances: u32,
    /// Memories.
    pub(crate) memories: u32,
    /// Tables.
    pub(crate) tables: u32,
}

/// See [`PerCall`].
pub(crate) const PER_CALL: PerCall = PerCall { instances: 16, memories: 4, tables: 16 };

/// Counts what a call holds, and ends it when it asks for more than it may.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_bytes: u64,
    memory_bytes_max: u64,
    memory_peak_bytes: u64,
    table_elements: u64,
    table_elements_max: u64,
    exceeded: Option<PluginFault>,
}

/// Ends a call; the reason lies in the meter.
#[derive(Debug, thiserror::Error)]
#[error("a limit was reached")]
struct Exceeded;

impl Meter {
    pub(crate) fn new(limits: &PluginLimits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            memory_peak_bytes: 0,
            table_elements: 0,
            table_elements_max: u64::from(limits.table_elements_max),
            exceeded: None,
        }
    }

    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes
    }

    /// The limit that ended the call, if one did.
    pub(crate) fn exceeded(&self) -> Option<PluginFault> {
        self.exceeded.clone()
    }

    fn exceed<T>(&mut self, fault: PluginFault) -> wasmtime::Result<T> {
        self.exceeded.get_or_insert(fault);
        Err(Exceeded.into())
    }
}

fn growth(current: usize, desired: usize) -> u64 {
    desired.saturating_sub(current) as u64
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // What its own type forbids does not happen, so it is not counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.memory_bytes.saturating_add(growth(current, desired));
        if total > self.memory_bytes_max {
            let limit_bytes = self.memory_bytes_max;
            return self.exceed(PluginFault::OutOfMemory { limit_bytes });
        }
        self.memory_bytes = total;
        self.memory_peak_bytes = self.memory_peak_bytes.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(growth(current, desired));
        if total > self.table_elements_max {
            return self.exceed(PluginFault::OverLimit { which: Limit::TableElements });
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PER_CALL.instances as usize
    }

    fn tables(&self) -> usize {
        PER_CALL.tables as usize
    }

    fn memories(&self) -> usize {
        PER_CALL.memories as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_all_memories() {
        let limits = PluginLimits { memory_bytes_max: 100, ..PluginLimits::default() };
        let mut meter = Meter::new(&limits);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(!meter.memory_growing(0, 30, Some(20)).unwrap(), "its type says so");
        assert!(meter.memory_growing(0, 40, Some(40)).unwrap(), "and it was not counted");
        assert!(meter.memory_growing(60, 61, None).is_err());
        assert!(matches!(meter.exceeded(), Some(PluginFault::OutOfMemory { limit_bytes: 100 })));
        assert_eq!(meter.memory_peak_bytes(), 100);
    }

    #[test]
    fn table_elements_are_summed_over_all_tables() {
        let limits = PluginLimits { table_elements_max: 10, ..PluginLimits::default() };
        let mut meter = Meter::new(&limits);
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert!(meter.table_growing(0, 1, None).is_err());
        let which = Limit::TableElements;
        assert!(
            matches!(meter.exceeded(), Some(PluginFault::OverLimit { which: w }) if w == which)
        );
    }
}
