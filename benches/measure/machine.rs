//! The machine that a run is on, and the versions of what it measures.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::servers::pm2_home;

/// The tools that are measured, or measure: each with the command that tells its version.
const TOOLS: [(&str, [&str; 2]); 7] = [
    ("rustc", ["rustc", "--version"]),
    ("node", ["node", "--version"]),
    // `pm2 --version` would start pm2's daemon.
    ("pm2", ["pm2-runtime", "--version"]),
    ("nginx", ["nginx", "-v"]),
    ("redis-server", ["redis-server", "--version"]),
    ("haproxy", ["haproxy", "-v"]),
    ("wrk", ["wrk", "--version"]),
];

static VERSIONS: LazyLock<Vec<(&str, Option<String>)>> =
    LazyLock::new(|| TOOLS.iter().map(|(tool, command)| (*tool, version(command))).collect());

/// This machine, as the data file has it. A tool that is not installed has no version.
pub fn here() -> Value {
    let versions =
        VERSIONS.iter().cloned().map(|(tool, version)| (tool.to_owned(), version.into()));
    let versions: Map<String, Value> = versions.collect();
    json!({
        "cores": num_cpus::get(),
        "cpu": cpu(),
        "system": system(),
        "versions": versions,
    })
}

/// The same in a line for the terminal.
pub fn told(machine: &Value) -> String {
    let versions = machine["versions"].as_object().into_iter().flatten();
    let versions = versions.map(|(tool, version)| match version.as_str() {
        Some(version) => format!("{tool} {version}"),
        None => format!("{tool} not installed"),
    });
    let versions: Vec<String> = versions.collect();
    let text = |name: &str| machine[name].as_str().unwrap_or("?").to_owned();
    format!("{}, {} × {}; {}", text("system"), machine["cores"], text("cpu"), versions.join(", "))
}

pub fn today() -> String {
    output("date", &["+%Y-%m-%d"]).unwrap_or_default().trim().to_owned()
}

pub fn is_installed(tool: &str) -> bool {
    VERSIONS.iter().any(|(name, version)| *name == tool && version.is_some())
}

/// The first thing with a dot in what a tool says of itself: `v20.20.2`, `nginx/1.22.1`.
fn version(command: &[&str; 2]) -> Option<String> {
    let told = output(command[0], &command[1..])?;
    // HAProxy goes on with its manual's address, and the system's own version.
    let told = if command[0] == "haproxy" { told.lines().next()? } else { &told };
    let words = told.split(|letter: char| letter.is_whitespace() || "/=,".contains(letter));
    let mut words =
        words.map(|word| word.trim_start_matches(['v', '[']).trim_end_matches([']', ')']));
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    // Debian's wrk says `debian/4.1.0-3+b2`, and pm2 may have a banner above its version.
    let version = words.rfind(is_version)?;
    Some(version.split(['-', '+']).next()?.to_owned())
}

/// What a tool prints, on stdout or stderr; `None` where it is not installed.
fn output(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).env("PM2_HOME", pm2_home()).output().ok()?;
    let told = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&told).into_owned())
}

/// `Linux 6.1.0 x86_64`; what the builder of a kernel adds to its version is left out.
fn system() -> Option<String> {
    let told = output("uname", &["-srm"])?;
    let words = told.split_whitespace().map(|word| word.split('-').next().unwrap_or(word));
    Some(words.collect::<Vec<_>>().join(" "))
}

fn cpu() -> Option<String> {
    let listing = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = listing.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    let model = model.or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"]));
    model.map(|model| model.trim().to_owned()).filter(|model| !model.is_empty())
}
