//! What this process has used of its machine, as Linux tells it.

use dfs_core::wire::metadata::ProcessUsage;

/// Nothing if the operating system does not tell.
pub fn usage() -> Option<ProcessUsage> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu_ms = u64::try_from(cpu.tv_sec).ok()? * 1000 + u64::try_from(cpu.tv_nsec).ok()? / 1_000_000;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(ProcessUsage {
        cpu_ms,
        resident_bytes: kibibytes(&status, "VmRSS:")? * 1024,
        resident_peak_bytes: kibibytes(&status, "VmHWM:")? * 1024,
    })
}

/// The number behind a key of `/proc/self/status`, such as `VmRSS:     1234 kB`.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 0 && usage.resident_peak_bytes >= usage.resident_bytes, "{usage:?}");
        let before = usage.cpu_ms;
        let mut sum = 0_u64;
        while super::usage().unwrap().cpu_ms < before + 20 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
