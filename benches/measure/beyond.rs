//! Part three: what is lost, and who waits for how long, where a primary, a host or the master of Redis
//! is replaced, or dies, under load.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::promises::{SetOnDrop, Visitor};
use support::{Cluster, Hosts, NAMES, Place, Redis, Sentinels, Signal, step, until};

use crate::load::{self, CONNECTIONS, Mode};
use crate::parts::{Bench, WORKERS, digits, milliseconds};
use crate::report::{BALANCED, FAILURES, RESTARTS, TURNS};
use crate::servers::missing;

/// Whom the load is: one visitor, so that Redis holds one session.
const VISITOR: &str = "Cookie: session=00000000000000000000000000000000";

/// From the end of one change to the next.
const GAP: Duration = Duration::from_millis(300);

/// Loads `port` for so long, and has `change` happen to what is behind it, again and again. Returns
/// what became of the load.
fn under_load(
    port: u16,
    mode: Mode,
    time: Duration,
    mut change: impl FnMut(),
) -> Result<Value, String> {
    let headers = [VISITOR.to_owned()];
    let begun = Instant::now();
    let wrk = load::begin(port, mode, CONNECTIONS, time, &headers)?;
    let (mut changes, mut longest) = (0, GAP);
    sleep(GAP);
    // The last one is to end under load, too.
    while changes == 0 || begun.elapsed() + longest + 2 * GAP < time {
        let start = Instant::now();
        change();
        changes += 1;
        longest = longest.max(start.elapsed());
        sleep(GAP);
    }
    let load = load::end(wrk)?;
    Ok(json!({
        "changes": changes,
        "requests": load.requests,
        "lost": load.lost,
        "longest ms": digits(load.longest),
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

/// A primary of 15 that is replaced again and again at one place, with a Redis that stays.
struct Service {
    place: Place,
    redis: Redis,
    running: Option<Cluster>,
}

impl Service {
    fn start(place: Place) -> Service {
        let mut service = Service { place, redis: Redis::start(), running: None };
        service.running = Some(service.another());
        service
    }

    /// One more primary, with workers that are ready.
    fn another(&self) -> Cluster {
        let mut command = step("15_socket");
        command.env("REDIS_URL", self.redis.url()).env("REDIS_MILLISECONDS", "2000");
        Cluster::start(self.place.to(command), WORKERS)
    }

    fn replace(&mut self, way: Way) {
        let end = |old: Option<Cluster>, signal| {
            let mut old = old.expect("it runs");
            old.send(signal, old.primary);
            // Ten seconds to finish, and some.
            old.wait_for_end_within(Duration::from_secs(15));
        };
        if way == Way::NewFirst {
            let old = self.running.replace(self.another());
            end(old, Signal::SIGTERM);
        } else {
            let signal = if way == Way::Killed { Signal::SIGKILL } else { Signal::SIGTERM };
            end(self.running.take(), signal);
            self.running = Some(self.another());
        }
    }

    /// How long somebody waits who comes while the primary is replaced, and an old request takes three
    /// seconds.
    fn wait_behind_a_slow_request(&mut self, way: Way) -> io::Result<Duration> {
        const SLOW: Duration = Duration::from_secs(3);
        let address = ("127.0.0.1", self.place.port());
        let begun = Instant::now();
        let mut slow = TcpStream::connect(address)?;
        slow.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n")?;
        sleep(GAP);
        thread::scope(|scope| {
            scope.spawn(|| self.replace(way));
            sleep(GAP);
            let other = scope.spawn(move || {
                let came = Instant::now();
                let mut client = TcpStream::connect(address)?;
                client
                    .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
                client.read_to_string(&mut String::new())?;
                Ok(came.elapsed())
            });
            sleep(SLOW.saturating_sub(begun.elapsed()));
            slow.write_all(b"Host: localhost\r\n\r\n")?;
            slow.read_to_string(&mut String::new())?;
            other.join().expect("no panic")
        })
    }
}

pub fn restart(bench: &Bench) -> Result<Value, String> {
    let subjects = bench.rounds_of_all(
        bench.rounds(3),
        &RESTARTS.map(|(name, ..)| name),
        |_| missing(&["redis-server", "wrk"], &["15_socket"]),
        |name, bench| {
            let (is_lent, way) = match name {
                "lent, old first" => (true, Way::OldFirst),
                "lent, new first" => (true, Way::NewFirst),
                "lent, killed" => (true, Way::Killed),
                _ => (false, Way::OldFirst),
            };
            let mut measured = Vec::new();
            for mode in Mode::BOTH {
                let mut service =
                    Service::start(if is_lent { Place::lent() } else { Place::own() });
                let port = service.place.port();
                let run = under_load(port, mode, bench.seconds(5), || service.replace(way))?;
                measured.push((mode.name().to_owned(), run));
            }
            if is_lent && way != Way::Killed {
                let wait = Service::start(Place::lent()).wait_behind_a_slow_request(way);
                let wait = wait.map_err(|error| format!("{name}: a client: {error}"))?;
                measured.push(("slow wait ms".to_owned(), milliseconds(wait)));
            }
            Ok(measured)
        },
    );
    Ok(json!({ "workers": WORKERS, "connections": CONNECTIONS, "subjects": subjects }))
}

/// How a host is replaced, or what is done to what is in front of the hosts.
#[derive(Clone, Copy)]
enum Turn {
    Restart,
    Drain,
    Kill,
    ReloadBalancer,
}

/// Does this to the host, and waits until HAProxy finds it well again.
fn take_turns(hosts: &mut Hosts, at: usize, turn: Turn) {
    match turn {
        Turn::ReloadBalancer => return hosts.haproxy.reload(),
        Turn::Restart => hosts.stop(at),
        Turn::Drain => {
            hosts.drain(at);
            hosts.stop(at);
        }
        Turn::Kill => {
            hosts.kill(at);
            // A host that is back before it was missed shows nothing.
            hosts.haproxy.until_down(NAMES[at]);
        }
    }
    hosts.start_again(at);
}

pub fn hosts(bench: &Bench) -> Result<Value, String> {
    let missing = |_: &str| missing(&["haproxy", "redis-server", "wrk"], &["16_hosts"]);
    let headers = [VISITOR.to_owned()];
    let own = || [(); 2].map(|()| Place::own());
    let subjects = bench.rounds_of_all(bench.rounds(5), &BALANCED, missing, |name, bench| {
        let hosts = Hosts::start(own(), &[]);
        let port = if name == "16_hosts" { hosts.places[0].port() } else { hosts.front() };
        let mut measured = Vec::new();
        for mode in Mode::BOTH {
            load::run(port, mode, CONNECTIONS, bench.seconds(1), &headers)?;
            let load = load::run(port, mode, CONNECTIONS, bench.seconds(2), &headers)?;
            measured.push((format!("{} a second", mode.name()), digits(load.per_second)));
        }
        Ok(measured)
    });
    let changed = bench.rounds_of_all(
        bench.rounds(2),
        &TURNS.map(|(name, ..)| name),
        missing,
        |name, bench| {
            let turn = match name {
                "restarted" | "restarted, lent" => Turn::Restart,
                "drained" => Turn::Drain,
                "balancer reloaded" => Turn::ReloadBalancer,
                _ => Turn::Kill,
            };
            let asked_again = [("RETRY_ON", "conn-failure empty-response")];
            let settings = if name == "killed, asked again" { &asked_again[..] } else { &[] };
            let mut measured = Vec::new();
            for mode in Mode::BOTH {
                let lent = || [(); 2].map(|()| Place::lent());
                let places = if name == "restarted, lent" { lent() } else { own() };
                let mut hosts = Hosts::start(places, settings);
                let (front, mut next) = (hosts.front(), 0);
                let run = under_load(front, mode, bench.seconds(8), || {
                    next = 1 - next;
                    take_turns(&mut hosts, next, turn);
                })?;
                measured.push((mode.name().to_owned(), run));
            }
            Ok(measured)
        },
    );
    let subjects: serde_json::Map<_, _> = subjects.into_iter().chain(changed).collect();
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
fn visit(cluster: &Cluster, change: impl FnOnce()) -> Visits {
    let (over, seen) = (AtomicBool::new(false), Mutex::new(Visits::default()));
    let counted = AtomicU64::new(0);
    let visitors = [(); 4].map(|()| Visitor::new(cluster));
    let come = |mut visitor: Visitor| {
        let (mut acknowledged, mut count) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let visit = visitor.try_visit();
            let mut seen = seen.lock().expect("no panic");
            seen.longest = seen.longest.max(asked.elapsed());
            match visit {
                Ok(visit) => {
                    (acknowledged, count) = (acknowledged + 1, visit.count);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    let (first, _) = seen.first_and_last.unwrap_or((asked, asked));
                    seen.first_and_last = Some((first, Instant::now()));
                }
            }
        }
        let mut seen = seen.lock().expect("no panic");
        seen.acknowledged += acknowledged;
        // A visit that was counted without an answer makes it less.
        seen.lost += acknowledged.saturating_sub(count);
    };
    thread::scope(|scope| {
        for visitor in visitors {
            scope.spawn(|| come(visitor));
        }
        let _over = SetOnDrop(&over);
        sleep(Duration::from_secs(1));
        change();
        sleep(Duration::from_secs(2));
        let before = counted.load(Ordering::Relaxed);
        until("visits should be counted again", || counted.load(Ordering::Relaxed) > before + 100);
    });
    seen.into_inner().expect("no panic")
}

pub fn failover(bench: &Bench) -> Result<Value, String> {
    let subjects = bench.rounds_of_all(
        bench.rounds(3),
        &FAILURES.map(|(name, ..)| name),
        |_| missing(&["redis-server"], &["17_failover"]),
        |name, _| {
            let mut sentinels = Sentinels::start();
            let mut command = step("17_failover");
            command.env("REDIS_URL", sentinels.url());
            let cluster = Cluster::start(command, WORKERS);
            if name == "lagged, refused" {
                sentinels.redis[0].order("CONFIG SET min-replicas-to-write 1");
            }
            let visits = visit(&cluster, || match name {
                "killed" => sentinels.redis[0].kill(),
                "stopped" => sentinels.redis[0].stop(),
                "planned" => sentinels.fail_over(),
                _ => {
                    sentinels.cut_off();
                    sleep(Duration::from_millis(if name == "lagged" { 800 } else { 1500 }));
                    sentinels.redis[0].kill();
                }
            });
            let gap = visits.first_and_last.map_or(Duration::ZERO, |(first, last)| last - first);
            let run = json!({
                "acknowledged": visits.acknowledged,
                "lost": visits.lost,
                "gap ms": milliseconds(gap),
                "longest ms": milliseconds(visits.longest),
            });
            Ok(vec![("runs".to_owned(), run)])
        },
    );
    Ok(json!({ "workers": WORKERS, "subjects": subjects }))
}
