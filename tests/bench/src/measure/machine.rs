//! Where and when a run took place: without it no figure means anything. Reads `/proc` and asks tools for their version.

use std::fs;
use std::process::Command;

/// The machine and the moment.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Machine {
    /// RFC 3339, UTC.
    pub(crate) date: String,
    /// Model name of the first CPU.
    pub(crate) cpu: String,
    /// CPUs online.
    pub(crate) cpus: usize,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Distribution.
    pub(crate) system: String,
    /// Whether the kernel says that it runs on a hypervisor.
    pub(crate) virtualised: bool,
    /// Version lines of the compared programs and of the compiler; absent tools are left out.
    pub(crate) versions: Vec<(String, String)>,
}

/// CPU time of the whole machine so far, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MachineTime {
    total: u64,
    steal: u64,
}

/// Load averages of the last 1, 5 and 15 minutes, as the kernel writes them.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

// === impl Machine ===

impl Machine {
    /// Looks at this machine now.
    pub(crate) fn describe() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib: u64 = field(&meminfo, "MemTotal")
            .and_then(|text| text.trim_end_matches("kB").trim().parse().ok())
            .unwrap_or(0);
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
        let tools = [
            ("nginx", "-v"),
            ("haproxy", "-v"),
            ("rustc", "-V"),
            ("wrk", "-v"),
            ("strace", "-V"),
            ("valgrind", "--version"),
        ];
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory_kib / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            system: system.trim_matches('"').to_owned(),
            virtualised: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            versions: tools
                .iter()
                .filter_map(|&(tool, flag)| Some((tool.to_owned(), first_line(tool, flag)?)))
                .collect(),
        }
    }
}

// === impl MachineTime ===

impl MachineTime {
    /// Reads the counters.
    pub(crate) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or_default()
    }

    /// The percentage of time since `earlier` that the hypervisor gave to others.
    pub(crate) fn steal_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        100.0 * crate::summary::as_f64(self.steal.saturating_sub(earlier.steal))
            / crate::summary::as_f64(total)
    }

    /// `cpu user nice system idle iowait irq softirq steal …`
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
        Some(Self { total: ticks.iter().sum(), steal: *ticks.get(7)? })
    }
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

/// The first line of a tool's version, which some tools print on standard error.
fn first_line(tool: &str, flag: &str) -> Option<String> {
    let output = Command::new(tool).arg(flag).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_a_share_of_all_time() {
        let before = MachineTime::parse("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1\n").unwrap();
        let after = MachineTime::parse("cpu  60 0 20 80 0 0 0 40 5 5\n").unwrap();
        assert!((after.steal_percent_since(before) - 30.0).abs() < 1e-9);
        assert_eq!(MachineTime::parse("intr 1\n"), None);
    }

    #[test]
    fn fields_are_found_with_tabs_and_spaces() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "absent"), None);
    }

    #[test]
    fn this_machine_can_be_described() {
        let machine = Machine::describe();
        assert!(machine.cpus > 0);
        assert!(machine.memory_mib > 0);
        assert_eq!(machine.date.len(), "2026-01-01T00:00:00Z".len());
    }
}
