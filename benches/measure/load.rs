//! Load: wrk, and what it says.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Connections that wrk keeps busy, but for where their number has to grow.
pub const CONNECTIONS: usize = 32;

/// How the clients ask.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    KeepAlive,
    /// A connection for each request.
    Each,
}

impl Mode {
    pub const BOTH: [Mode; 2] = [Mode::KeepAlive, Mode::Each];

    /// Its name in the data file.
    pub fn name(self) -> &'static str {
        match self {
            Mode::KeepAlive => "keep-alive",
            Mode::Each => "each",
        }
    }
}

/// What wrk counted.
#[derive(Default)]
pub struct Load {
    pub requests: u64,
    pub per_second: f64,
    /// Of a hundred answers ninety-nine came in this time, in milliseconds.
    pub p99: f64,
    /// The longest that an answer took, in milliseconds.
    pub longest: f64,
    /// Requests without an answer, or with one that is not 2xx or 3xx.
    pub lost: u64,
}

/// Begins to load whoever listens on `port` of this machine for so long.
pub fn begin(
    port: u16,
    mode: Mode,
    connections: usize,
    time: Duration,
    headers: &[String],
) -> Result<Child, String> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--latency", "--timeout", "10s"]);
    wrk.arg(format!("--threads={}", connections.min(2)));
    wrk.arg(format!("--connections={connections}"));
    wrk.arg(format!("--duration={}s", time.as_secs().max(1)));
    if mode == Mode::Each {
        wrk.args(["--header", "Connection: close"]);
    }
    for header in headers {
        wrk.args(["--header", header]);
    }
    wrk.arg(format!("http://127.0.0.1:{port}/"));
    let wrk = wrk.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    wrk.map_err(|error| format!("wrk: {error}"))
}

/// Waits for the end of a load.
pub fn end(wrk: Child) -> Result<Load, String> {
    let output = wrk.wait_with_output().map_err(|error| format!("wrk: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk ended with {}: {told}{errors}", output.status));
    }
    read(&told).ok_or_else(|| format!("wrk said something else: {told}"))
}

/// Loads whoever listens on `port` of this machine for so long.
pub fn run(
    port: u16,
    mode: Mode,
    connections: usize,
    time: Duration,
    headers: &[String],
) -> Result<Load, String> {
    end(begin(port, mode, connections, time, headers)?)
}

fn read(told: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut complete = 0;
    for line in told.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            complete += 1;
        } else if let Some(value) = line.strip_prefix("Requests/sec:") {
            load.per_second = value.trim().parse().ok()?;
            complete += 1;
        } else if let Some(value) = line.strip_prefix("99%") {
            load.p99 = milliseconds(value.trim())?;
            complete += 1;
        } else if let Some(values) = line.strip_prefix("Latency ")
            && let [_, _, longest, _] = values.split_whitespace().collect::<Vec<_>>()[..]
        {
            load.longest = milliseconds(longest)?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            let numbers = errors.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
            load.lost += numbers.sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.lost += count.trim().parse::<u64>().ok()?;
        }
    }
    (complete == 3).then_some(load)
}

/// `1.50ms`, `987.00us`, `2.01s`.
fn milliseconds(value: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    let (unit, factor) = units.iter().find(|(unit, _)| value.ends_with(unit))?;
    Some(value.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}
