//! `process_*`: the metrics that every Prometheus client exports about its process, from `/proc`
//! (Linux; nothing elsewhere). By hand, because the crate that reads them is made for another client
//! library.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// `USER_HZ`, the unit of times in `/proc`: 100 on every architecture that Rust's Linux targets use.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
struct Usage {
    cpu_seconds: f64,
    /// Seconds since 1970.
    started: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_fds: u64,
    max_fds: u64,
}

/// Registers the present values. Reads a few small files of the kernel, which do not block.
pub(super) fn register(registry: &mut Registry) {
    let Some(usage) = read() else { return };
    let cpu = Counter::<f64, AtomicU64>::default();
    cpu.inc_by(usage.cpu_seconds);
    registry.register("process_cpu_seconds", "User and system CPU time", cpu);
    let started = Gauge::<f64, AtomicU64>::default();
    started.set(usage.started);
    registry.register("process_start_time_seconds", "Start of the process", started);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory", usage.resident_bytes),
        ("process_virtual_memory_bytes", "Virtual memory", usage.virtual_bytes),
        ("process_open_fds", "Open file descriptors", usage.open_fds),
        ("process_max_fds", "Limit of open file descriptors", usage.max_fds),
    ] {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
}

fn read() -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let (cpu_ticks, start_ticks) = ticks(&stat)?;
    let booted = number_after(&std::fs::read_to_string("/proc/stat").ok()?, "btime")?;
    #[expect(clippy::cast_precision_loss, reason = "fractions of a second do not matter here")]
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
    Some(Usage {
        cpu_seconds: seconds(cpu_ticks),
        started: seconds(booted * 100 + start_ticks),
        resident_bytes: number_after(&status, "VmRSS:")? * 1024,
        virtual_bytes: number_after(&status, "VmSize:")? * 1024,
        // Without the descriptor of the listing itself.
        open_fds: (std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        max_fds: rlimit::Resource::NOFILE.get_soft().ok()?,
    })
}

/// CPU time and start of the process in ticks, from `/proc/self/stat` (proc(5)). The name in
/// parentheses may contain anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // The state is field 3; utime, stime and starttime are 14, 15 and 22.
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some((number(14)? + number(15)?, number(22)?))
}

/// The number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(ticks(stat), Some((300, 12_345)));
    }

    #[test]
    fn the_memory_is_in_kilobytes() {
        assert_eq!(number_after("VmSize:\t  4 kB\nVmRSS:\t   200 kB\n", "VmRSS:"), Some(200));
        assert_eq!(number_after("VmSize:\t  4 kB\n", "VmRSS:"), None);
    }
}
