//! Which boot of the machine this is.

/// The id of the machine's boot, as the kernel tells it; empty where it tells none.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
