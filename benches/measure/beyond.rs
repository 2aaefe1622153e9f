//! Part three: what is lost, and who waits for how long, where a primary, a host or the master of Redis
//! is replaced, or dies, under load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::promises::Visitor;
use support::{Cluster, Console, Haproxy, Lent, Port, Sentinels, Signal, step};

use crate::load::{self, CONNECTIONS, Mode};
use crate::machine::is_installed;
use crate::parts::{Bench, WORKERS, digits, milliseconds};
use crate::report::{BALANCED, BINARY, FAILURES, RESTARTS, TURNS};
use crate::servers::{PATIENCE, start_redis};

/// Whom the load is: one visitor, so that Redis holds one session.
const VISITOR: &str = "Cookie: session=00000000000000000000000000000000";

/// From the end of one change to the next.
const GAP: Duration = Duration::from_millis(300);

/// What is missing for a part of part three.
fn missing(needs: &[&'static str], name: &str) -> Option<&'static str> {
    let not_built = || !std::path::Path::new(step(name).get_program()).exists();
    let missing = needs.iter().find(|tool| !is_installed(tool)).copied();
    missing.or_else(|| not_built().then_some(BINARY))
}

/// A step that can be started again and again at one address, with a Redis that stays.
struct Host {
    name: &'static str,
    at: At,
    redis: String,
}

/// Where a host listens.
enum At {
    Own(Port),
    Lent(Lent),
}

impl Host {
    fn new(name: &'static str, is_lent: bool, redis: &str) -> Host {
        let at = if is_lent { At::Lent(Lent::listen()) } else { At::Own(Port::reserve()) };
        Host { name, at, redis: redis.to_owned() }
    }

    fn port(&self) -> u16 {
        match &self.at {
            At::Lent(lent) => lent.port.number,
            At::Own(port) => port.number,
        }
    }

    /// Starts it and waits until its first worker is ready.
    fn start(&self) -> Result<Cluster, String> {
        let mut command = step(self.name);
        command.env("WORKERS", WORKERS.to_string()).env("PORT", self.port().to_string());
        command.env("REDIS_URL", &self.redis);
        if let At::Lent(lent) = &self.at {
            command = lent.to(command);
        }
        let mut cluster = Cluster::spawn(command, Console::Read);
        loop {
            match cluster.next_line(PATIENCE) {
                Some(line) if line.ends_with("번 워커 실행") => return Ok(cluster),
                Some(_) => {}
                None => {
                    let (console, stderr) = (cluster.console(), cluster.stderr());
                    return Err(format!("{} should start, but:\n{console}\n{stderr}", self.name));
                }
            }
        }
    }
}

/// Has a cluster end by this signal, and waits until it has.
fn end(mut cluster: Cluster, signal: Signal) -> Result<(), String> {
    let sent = cluster.try_send(signal as i32, cluster.primary);
    sent.map_err(|error| format!("kill -{signal}: {error}"))?;
    cluster.try_wait_for_end(PATIENCE).map(drop)
}

/// Loads `port` for so long, and has `change` happen to what is behind it, again and again. Returns
/// what became of the load.
fn under_load(
    port: u16,
    mode: Mode,
    time: Duration,
    mut change: impl FnMut() -> Result<(), String>,
) -> Result<Value, String> {
    let headers = [VISITOR.to_owned()];
    let begun = Instant::now();
    let wrk = load::begin(port, mode, CONNECTIONS, time, &headers)?;
    let (mut changes, mut longest) = (0, GAP);
    sleep(GAP);
    // The last one is to end under load, too.
    while changes == 0 || begun.elapsed() + longest + 2 * GAP < time {
        let start = Instant::now();
        change()?;
        changes += 1;
        longest = longest.max(start.elapsed());
        sleep(GAP);
    }
    let load = load::end(wrk)?;
    Ok(json!({
        "changes": changes,
        "requests": load.requests,
        "lost": load.lost,
        "longest ms": milliseconds(Duration::from_secs_f64(load.longest / 1000.0)),
    }))
}

/// How a primary is replaced.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The old one ends, then the new one starts, as `systemctl restart` does.
    OldFirst,
    /// The new one starts, then the old one ends.
    NewFirst,
    /// The old one is killed, then the new one starts.
    Killed,
}

fn replace(host: &Host, way: Way, running: &mut Option<Cluster>) -> Result<(), String> {
    let old = running.take().expect("it runs");
    let new = if way == Way::NewFirst {
        let new = host.start()?;
        end(old, Signal::SIGTERM)?;
        new
    } else {
        end(old, if way == Way::Killed { Signal::SIGKILL } else { Signal::SIGTERM })?;
        host.start()?
    };
    *running = Some(new);
    Ok(())
}

/// How long somebody waits who comes while the primary is replaced, and an old request takes `SLOW`.
fn wait_behind_a_slow_request(host: &Host, way: Way) -> Result<Duration, String> {
    const SLOW: Duration = Duration::from_secs(3);
    let said = |error: std::io::Error| format!("{}: a client: {error}", host.name);
    let mut running = Some(host.start()?);
    let address = ("127.0.0.1", host.port());
    let begun = Instant::now();
    let mut slow = TcpStream::connect(address).map_err(said)?;
    slow.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n").map_err(said)?;
    sleep(GAP);
    thread::scope(|scope| {
        let replaced = scope.spawn(|| replace(host, way, &mut running));
        sleep(GAP);
        let came = Instant::now();
        let other = scope.spawn(move || {
            let mut client = TcpStream::connect(address)?;
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            client.read_to_string(&mut String::new())?;
            Ok(came.elapsed())
        });
        sleep(SLOW.saturating_sub(begun.elapsed()));
        slow.write_all(b"Host: localhost\r\n\r\n").map_err(said)?;
        let mut answer = String::new();
        slow.read_to_string(&mut answer).map_err(said)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{}: the slow request was not answered: {answer}", host.name));
        }
        replaced.join().expect("no panic")?;
        other.join().expect("no panic").map_err(said)
    })
}

pub fn restart(bench: &Bench) -> Result<Value, String> {
    let needs = ["redis-server", "wrk"];
    let subjects = bench.rounds_of_all(
        bench.rounds(3),
        &RESTARTS.map(|(name, ..)| name),
        |_| missing(&needs, "15_socket"),
        |name, bench| {
            let (_redis, url) = start_redis()?;
            let (is_lent, way) = match name {
                "lent, old first" => (true, Way::OldFirst),
                "lent, new first" => (true, Way::NewFirst),
                "lent, killed" => (true, Way::Killed),
                _ => (false, Way::OldFirst),
            };
            let host = Host::new("15_socket", is_lent, &url);
            let mut measured = Vec::new();
            for mode in Mode::BOTH {
                let mut running = Some(host.start()?);
                let change = || replace(&host, way, &mut running);
                let run = under_load(host.port(), mode, bench.seconds(5), change)?;
                measured.push((mode.name().to_owned(), run));
            }
            if is_lent && way != Way::Killed {
                let wait = wait_behind_a_slow_request(&host, way)?;
                measured.push(("slow wait ms".to_owned(), milliseconds(wait)));
            }
            Ok(measured)
        },
    )?;
    Ok(json!({ "workers": WORKERS, "connections": CONNECTIONS, "subjects": subjects }))
}

/// How a host is replaced, or what is done to what is in front of the hosts.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    Restart,
    Drain,
    Kill,
    ReloadBalancer,
}

/// Two hosts with a HAProxy in front.
struct Hosts {
    hosts: [Host; 2],
    running: [Option<Cluster>; 2],
    haproxy: Haproxy,
}

/// What HAProxy calls them.
const NAMES: [&str; 2] = ["a", "b"];

impl Hosts {
    fn start(is_lent: bool, redis: &str, settings: &[(&str, &str)]) -> Result<Hosts, String> {
        let hosts = [(); 2].map(|()| Host::new("16_hosts", is_lent, redis));
        let running = [Some(hosts[0].start()?), Some(hosts[1].start()?)];
        let addresses = [0, 1].map(|at| format!("127.0.0.1:{}", hosts[at].port()));
        let haproxy = Haproxy::start([&addresses[0], &addresses[1]], settings);
        Ok(Hosts { hosts, running, haproxy })
    }

    /// Does this to the host, and waits until HAProxy finds it well again.
    fn change(&mut self, at: usize, turn: Turn) -> Result<(), String> {
        let (haproxy, name) = (&self.haproxy, NAMES[at]);
        match turn {
            Turn::ReloadBalancer => {
                haproxy.reload();
                return Ok(());
            }
            Turn::Drain => {
                haproxy.order("drain", name);
                let deadline = Instant::now() + PATIENCE;
                while haproxy.count(name, "scur") > 0 && Instant::now() < deadline {
                    sleep(Duration::from_millis(5));
                }
            }
            Turn::Restart | Turn::Kill => {}
        }
        let old = self.running[at].take().expect("it runs");
        end(old, if turn == Turn::Kill { Signal::SIGKILL } else { Signal::SIGTERM })?;
        if turn == Turn::Kill {
            // A host that is back before it was missed shows nothing.
            haproxy.until_down(name);
        }
        self.running[at] = Some(self.hosts[at].start()?);
        if turn == Turn::Drain {
            haproxy.order("ready", name);
        }
        haproxy.until_up(name);
        Ok(())
    }
}

pub fn hosts(bench: &Bench) -> Result<Value, String> {
    let needs = ["haproxy", "redis-server", "wrk"];
    let missing = |_: &str| missing(&needs, "16_hosts");
    let headers = [VISITOR.to_owned()];
    let mut subjects =
        bench.rounds_of_all(bench.rounds(5), &BALANCED, missing, |name, bench| {
            let (_redis, url) = start_redis()?;
            let hosts = Hosts::start(false, &url, &[])?;
            let is_behind = name != "16_hosts";
            let port = if is_behind { hosts.haproxy.front.number } else { hosts.hosts[0].port() };
            let mut measured = Vec::new();
            for mode in Mode::BOTH {
                load::run(port, mode, CONNECTIONS, bench.seconds(1), &headers)?;
                let load = load::run(port, mode, CONNECTIONS, bench.seconds(2), &headers)?;
                measured.push((format!("{} a second", mode.name()), digits(load.per_second)));
            }
            Ok(measured)
        })?;
    let changes = bench.rounds_of_all(
        bench.rounds(2),
        &TURNS.map(|(name, ..)| name),
        missing,
        |name, bench| {
            let (is_lent, turn) = match name {
                "restarted" => (false, Turn::Restart),
                "restarted, lent" => (true, Turn::Restart),
                "drained" => (false, Turn::Drain),
                "balancer reloaded" => (false, Turn::ReloadBalancer),
                _ => (false, Turn::Kill),
            };
            let asked_again = [("RETRY_ON", "conn-failure empty-response")];
            let settings = if name == "killed, asked again" { &asked_again[..] } else { &[] };
            let mut measured = Vec::new();
            for mode in Mode::BOTH {
                let (_redis, url) = start_redis()?;
                let mut hosts = Hosts::start(is_lent, &url, settings)?;
                let front = hosts.haproxy.front.number;
                let mut next = 0;
                let change = || {
                    next = 1 - next;
                    hosts.change(next, turn)
                };
                let run = under_load(front, mode, bench.seconds(8), change)?;
                measured.push((mode.name().to_owned(), run));
            }
            Ok(measured)
        },
    )?;
    subjects
        .as_object_mut()
        .expect("it is one")
        .extend(changes.as_object().cloned().expect("it is"));
    Ok(json!({ "workers": WORKERS, "connections": CONNECTIONS, "subjects": subjects }))
}

/// What becomes of visits while something happens to the master of Redis.
#[derive(Default)]
struct Visits {
    acknowledged: u64,
    /// Acknowledged, and not in what Redis holds at the end.
    lost: u64,
    /// From the first visit to the last that could not be counted.
    first_and_last: Option<(Instant, Instant)>,
    longest: Duration,
}

/// Four visitors come again and again, until two seconds after `change`, and until they are counted
/// again.
fn visit(cluster: &Cluster, change: impl FnOnce()) -> Result<Visits, String> {
    let (over, seen) = (AtomicBool::new(false), Mutex::new(Visits::default()));
    let last_count = AtomicU64::new(0);
    let visitors = [(); 4].map(|()| Visitor::new(cluster));
    let come = |mut visitor: Visitor| {
        let (mut acknowledged, mut count) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let visit = visitor.try_visit();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.longest = seen.longest.max(asked.elapsed());
            match visit {
                Ok(visit) => {
                    (acknowledged, count) = (acknowledged + 1, visit.count);
                    last_count.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    let (first, _) = seen.first_and_last.unwrap_or((asked, asked));
                    seen.first_and_last = Some((first, Instant::now()));
                }
            }
        }
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.acknowledged += acknowledged;
        // A visit that was counted without an answer makes it less.
        seen.lost += acknowledged.saturating_sub(count);
    };
    thread::scope(|scope| {
        for visitor in visitors {
            scope.spawn(|| come(visitor));
        }
        sleep(Duration::from_secs(1));
        change();
        sleep(Duration::from_secs(2));
        let deadline = Instant::now() + PATIENCE;
        let before = last_count.load(Ordering::Relaxed);
        while last_count.load(Ordering::Relaxed) < before + 100 && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
    Ok(seen.into_inner().unwrap_or_else(PoisonError::into_inner))
}

pub fn failover(bench: &Bench) -> Result<Value, String> {
    let missing = |_: &str| missing(&["redis-server"], "17_failover");
    let subjects = bench.rounds_of_all(
        bench.rounds(3),
        &FAILURES.map(|(name, ..)| name),
        missing,
        |name, _| {
            let mut sentinels = Sentinels::start();
            let mut command = step("17_failover");
            command.env("REDIS_URL", sentinels.url());
            let cluster = Cluster::start(command, WORKERS);
            if name == "lagged, refused" {
                sentinels.redis[0].order("CONFIG SET min-replicas-to-write 1");
                sentinels.redis[0].order("CONFIG SET min-replicas-max-lag 1");
            }
            let visits = visit(&cluster, || match name {
                "killed" => sentinels.redis[0].kill(),
                "stopped" => sentinels.redis[0].stop(),
                "planned" => sentinels.fail_over(),
                _ => {
                    // The replica is cut off, and may not follow again.
                    sentinels.redis[0].order("ACL SETUSER default -psync -sync");
                    sentinels.redis[0].cli(&["CLIENT", "KILL", "TYPE", "replica"]);
                    sleep(Duration::from_millis(if name == "lagged" { 800 } else { 1500 }));
                    sentinels.redis[0].kill();
                }
            })?;
            let gap = visits.first_and_last.map_or(Duration::ZERO, |(first, last)| last - first);
            let run = json!({
                "acknowledged": visits.acknowledged,
                "lost": visits.lost,
                "gap ms": milliseconds(gap),
                "longest ms": milliseconds(visits.longest),
            });
            Ok(vec![("runs".to_owned(), run)])
        },
    )?;
    Ok(json!({ "workers": WORKERS, "subjects": subjects }))
}
