//! Machines on one machine: network namespaces, joined by cables. Linux, and root.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::process::spawn;

/// Three machines: `a` and `b`, each joined by a cable of its own to the one in the middle, and to
/// nothing else. Whatever is sent stays among them.
///
/// Dropping it removes it, and so does the end of the test, however that comes.
pub struct Network {
    /// What the names of its namespaces begin with.
    name: String,
    watchdog: Child,
}

const MIDDLE: &str = "m";

impl Network {
    /// Panics where the user may not make one.
    pub fn create() -> Network {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("cluster-{}-{}-", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let all = [MIDDLE, "a", "b"].map(|machine| format!("{name}{machine}"));
        // What runs there is ended by those who have started it. What has slipped away, if anything
        // has, is ended here, or its machine would live on.
        let remove = "read -r _; for name; do ip netns pids \"$name\" | xargs -r kill -s KILL; \
                      ip netns delete \"$name\"; done";
        let mut command = Command::new("sh");
        command.args(["-c", remove, "sh"]).args(&all).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = spawn(&mut command, &[]).expect("sh runs");
        let network = Network { name, watchdog };
        for machine in &all {
            ip(&format!("netns add {machine}"));
            ip(&format!("-n {machine} link set lo up"));
        }
        for host in ["a", "b"] {
            let (middle, there) = (network.namespace(MIDDLE), network.namespace(host));
            let [here, other] = [network.address(host, 1), network.address(host, 2)];
            ip(&format!("-n {middle} link add to-{host} type veth peer name cable netns {there}"));
            ip(&format!("-n {middle} address add {here}/24 dev to-{host}"));
            ip(&format!("-n {middle} link set to-{host} up"));
            ip(&format!("-n {there} address add {other}/24 dev cable"));
            ip(&format!("-n {there} link set cable up"));
        }
        network
    }

    /// The address of host `a` or `b`.
    pub fn host(&self, host: &str) -> String {
        self.address(host, 2)
    }

    /// The address at which this host finds the machine in the middle.
    pub fn middle(&self, host: &str) -> String {
        self.address(host, 1)
    }

    fn address(&self, host: &str, number: u8) -> String {
        // For documentation, RFC 5737: no real machine has these.
        let network = if host == "a" { "192.0.2" } else { "198.51.100" };
        format!("{network}.{number}")
    }

    fn namespace(&self, machine: &str) -> String {
        format!("{}{machine}", self.name)
    }

    /// Runs `story` on the machine in the middle: what it starts, and whom it connects to, is there.
    pub fn in_the_middle<R: Send>(&self, story: impl FnOnce() -> R + Send) -> R {
        self.at(MIDDLE, story)
    }

    /// Runs `story` on host `a` or `b`.
    pub fn at<R: Send>(&self, machine: &str, story: impl FnOnce() -> R + Send) -> R {
        let there = self.namespace(machine);
        thread::scope(|scope| {
            // A thread that ends with it: nobody has to find the way back.
            let run = scope.spawn(move || {
                let there = File::open(format!("/run/netns/{there}")).expect("there is one");
                setns(there, CloneFlags::CLONE_NEWNET).expect("root may enter it");
                story()
            });
            run.join().unwrap_or_else(|failure| resume_unwind(failure))
        })
    }

    /// The same command, run on host `a` or `b`.
    pub fn run_at(&self, host: &str, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.namespace(host)]);
        there.arg(command.get_program()).args(command.get_args());
        there.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        there
    }

    /// Pulls the cable of this host, or plugs it in again.
    pub fn plug(&self, host: &str, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        ip(&format!("-n {} link set to-{host} {state}", self.namespace(MIDDLE)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut watchdog = self.watchdog.stdin.take().expect("nobody else takes it");
        let _ = watchdog.write_all(b"remove it\n");
        let _ = self.watchdog.wait();
    }
}

/// ip(8). Panics where it fails.
#[track_caller]
fn ip(arguments: &str) {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(Stdio::null());
    let done = spawn(&mut command, &[]).and_then(|mut ip| ip.wait());
    let done = done.unwrap_or_else(|error| panic!("cannot run ip: {error}"));
    assert!(done.success(), "ip {arguments}: {done}");
}
