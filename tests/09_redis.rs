//! Step 09: a visitor is remembered in Redis, for all workers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::promises::{Visitor, ask_for};
use support::transcript::play_all;
use support::{
    Answer, Cluster, HTML, OrFail, Port, REQUEST, Redis, Signal, assert_nothing, assert_says,
    assert_status, begin_to_connect, connect, is_dead, side_by_side, step, until, within,
};

support::promises_of_every_supervisor!("09_redis", Redis);
support::promises_of_every_reload!("09_redis", Redis);
support::promises_of_every_session!("09_redis", Redis);

#[test]
#[ignore = "needs redis-server"]
fn the_console_is_what_the_book_shows() {
    Redis::share();
    play_all("09_");
}

const A_SECOND: Duration = Duration::from_secs(1);

/// Starts the step with this Redis. A busy machine is no reason to say that Redis does not answer: it
/// may take longer than it may by default.
fn start(redis: &Redis, workers: usize) -> Cluster {
    Cluster::start(with(redis, "5000"), workers)
}

/// The step, with this Redis, which may take so many milliseconds for an answer.
fn with(redis: &Redis, milliseconds: &str) -> Command {
    let mut command = step("09_redis");
    command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", milliseconds);
    command
}

/// The step with this Redis, and with one setting more.
fn start_with(redis: &Redis, workers: usize, name: &str, value: &str) -> Cluster {
    let mut command = with(redis, "5000");
    command.env(name, value);
    Cluster::start(command, workers)
}

/// What Redis holds of this visitor.
fn held(redis: &Redis, visitor: &Visitor) -> u64 {
    redis.number(&["GET", &key(visitor)]) as u64
}

fn key(visitor: &Visitor) -> String {
    format!("session:{}", visitor.id.as_ref().expect("it was here"))
}

// No visitor is lost.

#[test]
#[ignore = "needs redis-server"]
fn whatever_worker_answers_a_visitors_count_goes_on() {
    let redis = Redis::start();
    let mut cluster = start(&redis, 3);
    let mut visitor = Visitor::new(&cluster);
    let visits: Vec<_> = (0..9).map(|_| visitor.visit()).collect();
    let counts: Vec<u64> = visits.iter().map(|visit| visit.count).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9], "all workers should count together");
    let workers: BTreeSet<_> = visits.iter().map(|visit| visit.worker).collect();
    assert_eq!(workers.len(), 3, "all three should have answered");
    cluster.send(Signal::SIGHUP, cluster.primary);
    cluster.replaced(3);
    assert_eq!(visitor.visit().count, 10, "a reload should lose no visitor");
    drop(cluster);
    let cluster = start(&redis, 1);
    let mut again = Visitor::new(&cluster);
    again.id = visitor.id;
    assert_eq!(again.visit().count, 11, "nor should a start of all anew");
}

/// A worker that is killed young is replaced after a pause, and a reload ends the pauses: so five of
/// six are killed at a time, the sixth answers, and after two times comes a reload.
#[test]
#[ignore = "needs redis-server"]
fn through_100_kills_and_10_reloads_under_load_no_count_goes_back_or_comes_twice() {
    let seed = fastrand::get_seed();
    println!("fastrand::seed({seed}) repeats these rounds");
    let redis = Redis::start();
    let mut cluster = start_with(&redis, 6, "MAX_FAILURES", "1000");
    let (end, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut visitors: Vec<Visitor> = (0..3).map(|_| Visitor::new(&cluster)).collect();
    for visitor in &mut visitors {
        assert_eq!(visitor.visit().count, 1, "the first visit is the first");
    }
    let come_and_come_again = |mut visitor: Visitor| {
        let (mut counts, mut lost) = (Vec::new(), 0);
        while !end.load(Ordering::Relaxed) {
            match visitor.try_visit() {
                Ok(visit) => counts.push(visit.count),
                Err(_) => lost += 1,
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
        (counts, lost)
    };
    let histories: Vec<_> = thread::scope(|scope| {
        // Each with two windows open.
        let windows = visitors.iter().flat_map(|visitor| [visitor.clone(), visitor.clone()]);
        let threads = windows.map(|it| scope.spawn(|| come_and_come_again(it)));
        let threads: Vec<_> = threads.collect();
        let _end = EndOf(&end);
        let are_busy = || {
            let enough = answered.load(Ordering::Relaxed) + fastrand::usize(0..20);
            until("visitors should be answered", || answered.load(Ordering::Relaxed) >= enough);
        };
        for _ in 0..10 {
            for _ in 0..2 {
                for worker in fastrand::choose_multiple(cluster.workers.clone(), 5) {
                    are_busy();
                    cluster.send(Signal::SIGKILL, worker);
                }
                cluster.replaced(5);
            }
            are_busy();
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.replaced(6);
        }
        end.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (visitor, windows) in visitors.iter_mut().zip(histories.chunks(2)) {
        for (counts, _) in windows {
            let back = first_where(counts, |count, next| next < count);
            assert_eq!(back, None, "a count should never go back");
        }
        let mut counts: Vec<u64> = windows.iter().flat_map(|(counts, _)| counts.clone()).collect();
        let lost: u64 = windows.iter().map(|(_, lost)| lost).sum();
        let visits = counts.len() as u64;
        assert!(visits > 100, "it should have come all the time, but that is {visits} times");
        let held = held(&redis, visitor);
        println!("{visits} visits answered, {lost} lost with their worker, {held} in Redis");
        counts.sort();
        let twice = first_where(&counts, |count, next| next == count);
        assert_eq!(twice, None, "a count should never come twice");
        assert!(counts[0] > 1, "the first visit was the first");
        assert!(*counts.last().unwrap() <= held, "the last count is more than Redis holds");
        // Whose worker was killed may have been counted, and may not.
        let possible = visits + 1..=visits + 1 + lost;
        assert!(possible.contains(&held), "{held} were counted, and {possible:?} could have been");
        assert_eq!(visitor.visit().count, held + 1, "now it should go on from what Redis holds");
    }
    assert_eq!(redis.keys().len(), 3, "there were three visitors: {:?}", redis.keys());
}

/// The first two counts in a row that are like this, with three before and three after them: all that
/// came are thousands.
fn first_where(counts: &[u64], are_so: impl Fn(u64, u64) -> bool) -> Option<&[u64]> {
    let at = counts.windows(2).position(|pair| are_so(pair[0], pair[1]))?;
    Some(&counts[at.saturating_sub(3)..counts.len().min(at + 5)])
}

struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// No Redis at the start.

/// Runs the step with this address. Checks that it starts nothing and ends with status 1, and that
/// it says so in one line with the address as `shown`. Returns what it says of the reason.
fn refused(url: impl AsRef<OsStr>, shown: &str) -> String {
    let port = Port::reserve();
    let mut command = step("09_redis");
    command.env("REDIS_URL", &url).env_remove("REDIS_MILLISECONDS").env("WORKERS", "2");
    command.env("RUST_BACKTRACE", "1");
    command.env("PORT", port.number.to_string());
    let output = Cluster::output(command);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.stdout, b"", "REDIS_URL={shown} should start nothing");
    let reason = stderr.strip_prefix(&format!("Error: REDIS_URL={shown}: "));
    let reason = reason.unwrap_or_else(|| panic!("it should name the setting: {stderr}"));
    assert_eq!(stderr.lines().count(), 1, "it should be told in one line: {stderr}");
    assert!(!stderr.contains("secret"), "the password is for nobody to see: {stderr}");
    assert_status(output.status, 1);
    TcpListener::bind(("127.0.0.1", port.number)).or_fail("the port should be free");
    reason.trim_end().to_owned()
}

#[test]
#[ignore = "needs redis-server"]
fn a_wrong_address_of_redis_is_one_line_and_starts_nothing() {
    for url in ["", " ", "redis", "http://127.0.0.1:6379", "redis://", "redis://127.0.0.1:port"] {
        refused(url, url);
    }
    refused(OsStr::from_bytes(b"redis://\xff"), "redis://\u{fffd}");
    refused("http://:secret@127.0.0.1:6379", "127.0.0.1:6379");
    refused("redis://user:secret@127.0.0.1:port", "127.0.0.1:port");
}

#[test]
#[ignore = "needs redis-server"]
fn nobody_at_the_address_of_redis_is_one_line_without_the_password_and_starts_nothing() {
    let nobody = Port::reserve();
    let address = format!("127.0.0.1:{}", nobody.number);
    let url = format!("redis://{address}");
    assert!(refused(&url, &url).contains("refused"));
    for password in [":secret", "user:secret", ":secret@secret", ":secret%40"] {
        let reason = refused(format!("redis://{password}@{address}"), &address);
        assert!(reason.contains("refused"), "it should say why: {reason}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_password_that_redis_refuses_is_one_line_and_starts_nothing() {
    let redis = Redis::start_with_password("secret-1");
    let (address, url) = (redis.address(), format!("redis://{}", redis.address()));
    refused(&url, &url);
    for wrong in [":secret-2", "user:secret-1"] {
        refused(format!("redis://{wrong}@{address}"), &address);
    }
    let cluster = start(&redis, 1);
    assert_eq!(Visitor::new(&cluster).counts(2), [1, 2], "with the right password it should work");
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_hangs_at_the_start_is_one_line_within_a_second() {
    let redis = Redis::start();
    redis.stop();
    within(A_SECOND, "it should give up", || {
        let start = Instant::now();
        refused(redis.url(), &redis.url());
        start.elapsed()
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_wrong_number_of_seconds_or_milliseconds_is_one_line_and_starts_nothing() {
    let redis = Redis::start();
    for (name, most) in [("SESSION_SECONDS", 31_536_000), ("REDIS_MILLISECONDS", 60_000)] {
        for value in ["", " ", "0", "-1", "31536001", "long", "2.5", "99999999999999999999"] {
            let mut command = with(&redis, "5000");
            command.env(name, value).env("RUST_BACKTRACE", "1");
            let output = Cluster::output(command);
            let expected =
                format!("Error: {name}={value:?}: not a whole number from 1 to {most}\n");
            assert_says(&String::from_utf8_lossy(&output.stderr), &expected);
            assert_eq!(output.stdout, b"", "{name}={value:?} should start nothing");
            assert_status(output.status, 1);
        }
    }
}

// Redis gone later.

/// What happens to Redis.
type Treat = fn(&mut Redis);

const SORRY: &str = "<h1>Service Unavailable</h1><p>Redis does not answer.</p>";

#[track_caller]
fn assert_is_sorry(answer: &Answer) {
    assert_eq!((answer.status(), &*answer.body), (Some(503), SORRY), "{answer:?}");
    let kind = format!("\r\ncontent-type: {HTML}\r\n");
    assert!(answer.head.contains(&kind), "its media type should be the page's: {answer:?}");
    assert!(!answer.head.contains("set-cookie"), "there is no session to remember: {answer:?}");
}

/// Asks for the page over as many connections at once. Each should be told that Redis does not
/// answer. Returns how long the last of them waited.
fn all_are_told(cluster: &Cluster, count: usize) -> Duration {
    let (start, port) = (Instant::now(), cluster.port.number);
    let ask = || {
        let answer = ask_for("/", None, &mut connect(port));
        (answer, start.elapsed())
    };
    let answers = side_by_side(0..count, |_| ask());
    let told = |(answer, took): (Result<Answer, String>, _)| {
        assert_is_sorry(&answer.or_fail("it should be answered"));
        took
    };
    let mut waits: Vec<Duration> = answers.into_iter().map(told).collect();
    waits.sort();
    println!("{count} at once: median {:?}, the last {:?}", waits[count / 2], waits[count - 1]);
    waits[count - 1]
}

/// However Redis goes, and whether visitors come while it is away, and comes back: the next request
/// of every worker works, and none of them was replaced.
fn redis_goes_and_comes_back(go: Treat, come_back: Treat, is_empty: bool) {
    for visitors in [0, 1, 4] {
        let mut redis = Redis::start();
        let mut cluster = Cluster::start(with(&redis, "1500"), 2);
        let workers = cluster.workers.clone();
        let mut visitor = Visitor::new(&cluster);
        assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the page should count the visits");
        go(&mut redis);
        if visitors > 0 {
            all_are_told(&cluster, visitors);
        }
        come_back(&mut redis);
        let next = if is_empty { 1 } else { 5 };
        let id = visitor.id.clone();
        let counts = visitor.counts(4);
        assert_eq!(counts, [next, next + 1, next + 2, next + 3], "{visitors} came meanwhile");
        assert_eq!(visitor.id, id, "a visitor should keep the id");
        assert!(workers.iter().all(|worker| !is_dead(*worker)), "no worker should have ended");
        let ended = cluster.end();
        assert_nothing(
            ended.lines.iter().map(String::as_str).chain(ended.stderr.lines()),
            "nothing happened to a worker",
        );
    }
}

#[test]
#[ignore = "needs redis-server"]
fn when_redis_has_hung_and_goes_on_the_very_next_request_works() {
    redis_goes_and_comes_back(|redis| redis.stop(), |redis| redis.go_on(), false);
}

#[test]
#[ignore = "needs redis-server"]
fn when_redis_was_killed_and_is_back_the_very_next_request_works() {
    redis_goes_and_comes_back(Redis::kill, Redis::start_again, true);
}

#[test]
#[ignore = "needs redis-server"]
fn when_redis_has_hung_and_was_killed_and_is_back_the_very_next_request_works() {
    let hang_and_die = |redis: &mut Redis| {
        redis.stop();
        redis.kill();
    };
    redis_goes_and_comes_back(hang_and_die, Redis::start_again, true);
}

#[test]
#[ignore = "needs redis-server"]
fn while_redis_hangs_fifty_at_once_are_told_within_a_second_and_others_answered_at_once() {
    fifty_are_told_while(|redis| redis.stop());
}

#[test]
#[ignore = "needs redis-server"]
fn while_redis_is_dead_fifty_at_once_are_told_within_a_second_and_others_answered_at_once() {
    fifty_are_told_while(Redis::kill);
}

/// The one worker answers who does not need Redis, while fifty others wait for it.
fn fifty_are_told_while(gone: Treat) {
    let mut redis = Redis::start();
    let mut command = step("09_redis");
    command.env("REDIS_URL", redis.url()).env_remove("REDIS_MILLISECONDS");
    let mut cluster = Cluster::start(command, 1);
    let worker = cluster.workers[0];
    assert_eq!(Visitor::new(&cluster).visit().count, 1, "the first visit is the first");
    gone(&mut redis);
    within(A_SECOND, "fifty should be told that Redis does not answer", || {
        all_are_told(&cluster, 50)
    });
    within(A_SECOND / 4, "a request that needs no Redis should be answered", || {
        let waiting: Vec<_> = (0..50).map(|_| begin_to_connect(cluster.port.number)).collect();
        for mut client in &waiting {
            let _ = client.write_all(REQUEST);
        }
        let start = Instant::now();
        let answer = ask_for("/none", None, &mut connect(cluster.port.number));
        assert_eq!(answer.or_fail("it should be answered").status(), Some(404));
        start.elapsed()
    });
    assert!(!is_dead(worker), "the worker should live");
    let ended = cluster.end();
    assert_nothing(
        ended.lines.iter().map(String::as_str).chain(ended.stderr.lines()),
        "nothing happened to the worker",
    );
}

#[test]
#[ignore = "needs redis-server"]
fn a_worker_that_is_replaced_while_redis_is_away_starts_and_works_once_redis_is_back() {
    let ways: [(Treat, Treat); 2] =
        [(|redis| redis.stop(), |redis| redis.go_on()), (Redis::kill, Redis::start_again)];
    for (go, come_back) in ways {
        for signal in [Signal::SIGKILL, Signal::SIGHUP] {
            for ask_meanwhile in [true, false] {
                let mut redis = Redis::start();
                let mut cluster = Cluster::start(with(&redis, "1500"), 1);
                let worker = cluster.workers[0];
                go(&mut redis);
                let to = if signal == Signal::SIGHUP { cluster.primary } else { worker };
                cluster.send(signal, to);
                let deaths = cluster.replaced(1);
                assert!(deaths.iter().all(|(dead, _)| *dead == worker), "{deaths:?}");
                if ask_meanwhile {
                    all_are_told(&cluster, 2);
                }
                let new = cluster.workers[0];
                come_back(&mut redis);
                assert_eq!(Visitor::new(&cluster).counts(2), [1, 2], "it should work again");
                assert!(!is_dead(new), "without another worker");
                let ended = cluster.end();
                assert_nothing(
                    ended.lines.iter().map(String::as_str).chain(ended.stderr.lines()),
                    "nothing should be said",
                );
            }
        }
    }
}

// What Redis holds.

#[test]
#[ignore = "needs redis-server"]
fn it_writes_nothing_but_sessions_each_for_half_an_hour_from_the_last_visit() {
    let redis = Redis::start();
    let mut command = with(&redis, "5000");
    command.env_remove("SESSION_SECONDS");
    let cluster = Cluster::start(command, 2);
    assert_nothing(redis.keys(), "nobody was here yet");
    let mut visitors = [(); 3].map(|()| Visitor::new(&cluster));
    for (at, visitor) in visitors.iter_mut().enumerate() {
        visitor.counts(at + 1);
    }
    let nobody: &[u8] = b"session=nobody";
    let client = &mut connect(cluster.port.number);
    ask_for("/none", Some(nobody), client).or_fail("it should be answered");
    let mut expected: Vec<String> = visitors.iter().map(key).collect();
    expected.sort();
    assert_eq!(redis.keys(), expected, "a key for each session");
    for (at, visitor) in visitors.iter_mut().enumerate() {
        let key = key(visitor);
        assert_eq!(redis.cli(&["TYPE", &key]), ["string"], "the type of {key}");
        assert_eq!(held(&redis, visitor), at as u64 + 1, "Redis should hold the visits");
        assert!((1_790..=1_800).contains(&redis.number(&["TTL", &key])), "it should be 1800 s");
        redis.cli(&["EXPIRE", &key, "60"]);
        visitor.visit();
        assert!((1_790..=1_800).contains(&redis.number(&["TTL", &key])), "a visit renews it");
    }
    ask_for("/", Some(nobody), client).or_fail("it should be answered");
    let new: Vec<String> = redis.keys().into_iter().filter(|it| !expected.contains(it)).collect();
    assert_eq!(new.len(), 1, "a value that is no id should make one new session: {new:?}");
    assert!(!new[0].contains("nobody"), "but not under that name: {new:?}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_session_that_nobody_uses_is_forgotten_after_its_seconds() {
    let redis = Redis::start();
    let cluster = start_with(&redis, 1, "SESSION_SECONDS", "1");
    let mut visitor = Visitor::new(&cluster);
    let start = Instant::now();
    assert_eq!(visitor.visit().count, 1);
    until("the session should be forgotten", || redis.keys().is_empty());
    let took = start.elapsed();
    assert!(took >= A_SECOND, "not before its second is over, but it was after {took:?}");
    let id = visitor.id.clone();
    assert_eq!(visitor.visit().count, 1, "it begins anew");
    assert_eq!(visitor.id, id, "a visitor should keep the id");
}
