//! Step 14: a visitor is remembered in Redis, for all workers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::promises::{SORRY, SetOnDrop, Visit, Visitor, ask_for};
use support::transcript::play_all;
use support::{
    Answer, Cluster, Ended, HTML, OrFail, Pid, Port, REQUEST, Redis, Signal, always_answers,
    assert_nothing, assert_says, assert_status, begin_to_connect, connect, is_dead, side_by_side,
    step, until, within,
};

support::promises_of_every_supervisor!("14_redis", Redis);
support::promises_of_every_reload!("14_redis", Redis);
support::promises_of_every_session!("14_redis", Redis);

#[test]
#[ignore = "needs redis-server"]
fn the_console_is_what_the_book_shows() {
    Redis::share();
    play_all("14_");
}

const A_SECOND: Duration = Duration::from_secs(1);

/// A busy machine is no reason to say that Redis does not answer: it may take as many milliseconds as
/// it ever may.
const PATIENT: &str = "2000";

/// Starts the step with this Redis.
fn start(redis: &Redis, workers: usize) -> Cluster {
    Cluster::start(with(redis, PATIENT), workers)
}

/// The step, with this Redis, which may take so many milliseconds for an answer.
fn with(redis: &Redis, milliseconds: &str) -> Command {
    let mut command = step("14_redis");
    command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", milliseconds);
    command
}

/// The step with this Redis, and with one setting more.
fn start_with(redis: &Redis, workers: usize, name: &str, value: &str) -> Cluster {
    let mut command = with(redis, PATIENT);
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

/// The keys of all visitors. Each process has tried at its start whether it can count.
fn sessions(redis: &Redis) -> Vec<String> {
    redis.keys().into_iter().filter(|key| key != "session:check").collect()
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
        let _end = SetOnDrop(&end);
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
    let sessions = sessions(&redis);
    assert_eq!(sessions.len(), 3, "there were three visitors: {sessions:?}");
}

/// The first two counts in a row that are like this, with three before and three after them: all that
/// came are thousands.
fn first_where(counts: &[u64], are_so: impl Fn(u64, u64) -> bool) -> Option<&[u64]> {
    let at = counts.windows(2).position(|pair| are_so(pair[0], pair[1]))?;
    Some(&counts[at.saturating_sub(3)..counts.len().min(at + 5)])
}

// No Redis at the start.

/// Runs the step with this value of `REDIS_URL`. Checks that it starts nothing and ends with status
/// 1, and that it says so in one line with this address alone, or none where it could not be read.
/// Returns what it says of the reason.
#[track_caller]
fn refused(url: impl AsRef<OsStr>, address: Option<&str>) -> String {
    let (url, port) = (url.as_ref(), Port::reserve());
    let mut command = step("14_redis");
    command.env("REDIS_URL", url).env_remove("REDIS_MILLISECONDS").env("WORKERS", "2");
    command.env("RUST_BACKTRACE", "1");
    command.env("PORT", port.number.to_string());
    let output = Cluster::output(command);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.stdout, b"", "REDIS_URL={url:?} should start nothing");
    let address = address.map_or(String::new(), |address| format!("={address}"));
    let reason = stderr.strip_prefix(&format!("Error: REDIS_URL{address}: "));
    let reason = reason.unwrap_or_else(|| panic!("REDIS_URL={url:?} should be named: {stderr}"));
    assert_eq!(stderr.lines().count(), 1, "REDIS_URL={url:?} should be told in a line: {stderr}");
    assert!(!stderr.contains("secret"), "the password is for nobody to see: {stderr}");
    assert_status(output.status, 1);
    TcpListener::bind(("127.0.0.1", port.number)).or_fail("the port should be free");
    reason.trim_end().to_owned()
}

#[test]
#[ignore = "needs redis-server"]
fn a_url_that_cannot_be_read_is_one_line_without_it_and_starts_nothing() {
    for url in [
        "",
        " ",
        "redis",
        "redis://",
        "redis:///",
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:65536",
        "redis://127.0.0.1:6379/secret",
        "http://127.0.0.1:6379",
        "http://:secret@127.0.0.1:6379",
        "rediss://:secret@127.0.0.1:6379",
        "redis://:secret@",
        "redis://user:secret@127.0.0.1:port",
        "redis://:secret:127.0.0.1:6379",
        "redis://user:secret#1@127.0.0.1:6379",
        "redis://user:secret/1@127.0.0.1:6379",
        "redis://:secret%ff@127.0.0.1:6379",
        "redis://127.0.0.1:6379@user:secret",
    ] {
        refused(url, None);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn nobody_at_the_address_of_redis_is_one_line_without_the_password_and_starts_nothing() {
    let nobody = Port::reserve();
    let address = format!("127.0.0.1:{}", nobody.number);
    for (before, after) in [
        ("", ""),
        ("", "/0"),
        ("", "/0?password=secret"),
        (":secret@", ""),
        ("user:secret@", "/0?protocol=resp3"),
        (":secret@secret@", ""),
        (":secret%40@", ""),
        ("secret@", ""),
    ] {
        let reason = refused(format!("redis://{before}{address}{after}"), Some(&address));
        assert!(reason.contains("refused"), "it should say why: {reason}");
    }
    for scheme in ["unix", "redis+unix"] {
        let url = format!("{scheme}:///none.sock?user=user&pass=secret");
        let reason = refused(url, Some("/none.sock"));
        assert!(reason.contains("No such file"), "it should say why: {reason}");
    }
    refused(OsStr::from_bytes(b"redis://:secret@\xff"), Some("%EF%BF%BD:6379"));
}

/// As `redis-cli` prints it, as far as redis-rs passes it on.
#[test]
#[ignore = "needs redis-server"]
fn a_password_that_redis_refuses_is_one_line_and_starts_nothing() {
    let redis = Redis::start_with_password("secret-1");
    let address = redis.address();
    let reason = refused(format!("redis://{address}"), Some(&address));
    assert!(reason.starts_with("NOAUTH "), "it should say why: {reason}");
    for wrong in [":secret-2@", "user:secret-1@"] {
        for protocol in ["", "/0", "/?protocol=resp3"] {
            let reason = refused(format!("redis://{wrong}{address}{protocol}"), Some(&address));
            let is_why =
                reason.contains("authentication failed") || reason.starts_with("WRONGPASS ");
            assert!(is_why, "it should say why: {reason}");
        }
    }
    for right in [":secret-1@", "default:secret-1@"] {
        for protocol in ["", "/0", "/?protocol=resp3"] {
            let mut command = with(&redis, PATIENT);
            command.env("REDIS_URL", format!("redis://{right}{address}{protocol}"));
            let cluster = Cluster::start(command, 1);
            assert_eq!(Visitor::new(&cluster).counts(2), [1, 2], "with {right} it should work");
        }
    }
}

#[test]
#[ignore = "needs redis-server"]
fn whoever_is_no_redis_for_it_is_one_line_and_starts_nothing() {
    for (answer, expected) in [
        ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "Parse error"),
        ("-MOVED 866 127.0.0.1:1\r\n", "MOVED 866 127.0.0.1:1"),
        (
            "-ERR unknown command 'X', with args beginning with: 'secret' \r\n",
            "ERR unknown command 'X'",
        ),
        ("", ""),
    ] {
        let address = always_answers(answer.to_owned());
        let reason = refused(format!("redis://{address}"), Some(&address));
        assert!(reason.contains(expected), "{answer:?} should be what it tells of: {reason}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_hangs_at_the_start_is_one_line_within_a_second() {
    let redis = Redis::start();
    redis.stop();
    within(A_SECOND, "it should give up", || {
        let start = Instant::now();
        refused(redis.url(), Some(&redis.address()));
        start.elapsed()
    });
}

/// A successor has five seconds, and needs up to twice the milliseconds.
#[test]
#[ignore = "needs redis-server"]
fn a_wrong_number_of_seconds_or_milliseconds_is_one_line_and_starts_nothing() {
    let redis = Redis::start();
    for (name, most) in [("SESSION_SECONDS", 31_536_000), ("REDIS_MILLISECONDS", 2_000)] {
        let one_more = (most + 1).to_string();
        for value in ["", " ", "0", "-1", &one_more, "long", "2.5", "99999999999999999999"] {
            let mut command = with(&redis, PATIENT);
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

// A Redis that says no.

/// A Redis with a user for the step, the step with one worker, and a visitor who was there once.
struct Story {
    redis: Redis,
    cluster: Cluster,
    worker: Pid,
    visitor: Visitor,
    /// What is on stderr by now.
    errors: String,
}

impl Story {
    fn begin() -> Story {
        let redis = Redis::start();
        redis.order("ACL SETUSER me on >secret ~* +@all");
        let cluster = start_with(&redis, 1, "REDIS_URL", &Story::url(&redis));
        let (worker, visitor) = (cluster.workers[0], Visitor::new(&cluster));
        let mut story = Story { redis, cluster, worker, visitor, errors: String::new() };
        story.counts(1);
        story
    }

    fn url(redis: &Redis) -> String {
        format!("redis://me:secret@{}", redis.address())
    }

    /// One more visit is the visitor's `count`, by the same worker as ever.
    #[track_caller]
    fn counts(&mut self, count: u64) {
        assert_eq!(self.visitor.visit(), Visit { worker: self.worker, count }, "another visit");
    }

    /// One more visit is not counted, and the visitor told so.
    #[track_caller]
    fn is_told(&self) {
        let cookie = format!("session={}", self.visitor.id.as_ref().expect("it was here"));
        let client = &mut connect(self.cluster.port.number);
        assert_is_sorry(&ask_for("/", Some(cookie.as_bytes()), client).or_fail("an answer"));
    }

    /// These visits are not counted, and it says once why.
    #[track_caller]
    fn cannot_count(&mut self, visits: usize, why: &str) {
        for _ in 0..visits {
            self.is_told();
        }
        self.says(&format!("Error: REDIS_URL={}: {why}\n", self.redis.address()));
    }

    /// A reload is called off and a start refused, both for this reason.
    #[track_caller]
    fn cannot_begin(&mut self, why: &str) {
        self.cluster.send(Signal::SIGHUP, self.cluster.primary);
        self.cluster.one_dies("code 1 signal null");
        let line = format!("Error: REDIS_URL={}: {why}\n", self.redis.address());
        let off = "Error: reload called off: the new worker ended before it was ready\n";
        self.says(&(line + off));
        assert_eq!(refused(Story::url(&self.redis), Some(&self.redis.address())), why);
    }

    /// Waits until more is said on stderr, and checks that it is this.
    #[track_caller]
    fn says(&mut self, more: &str) {
        self.errors += more;
        let lines = self.errors.lines().count();
        until("it should say on stderr what is wrong", || {
            self.cluster.stderr().lines().count() >= lines
        });
        assert_says(&self.cluster.stderr(), &self.errors);
    }
}

/// Each with a command that Redis then answers in the same words, be it sent by `redis-cli`.
#[test]
#[ignore = "needs redis-server"]
fn whatever_error_redis_answers_with_it_says_so_once_and_goes_on_when_that_is_over() {
    const FAIL_TO_SAVE: &str = "as where its disk is full";
    let begin = |redis: &Redis, order| match order {
        FAIL_TO_SAVE => redis.fail_to_save(),
        order => redis.order(order),
    };
    for (command, order, back) in [
        ("INCRBY any 1", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("INCRBY any 1", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        (
            "INCRBY any 1",
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
        ("INCRBY any 1", FAIL_TO_SAVE, "CONFIG SET stop-writes-on-bgsave-error no"),
        ("INCRBY any 1", "ACL SETUSER me -incrby", "ACL SETUSER me +incrby"),
        ("EXPIRE any 1", "ACL SETUSER me -expire", "ACL SETUSER me +expire"),
        ("MULTI", "ACL SETUSER me -multi", "ACL SETUSER me +multi"),
    ] {
        let mut story = Story::begin();
        begin(&story.redis, order);
        let why = story.redis.answer_to("me", command);
        println!("{why}");
        story.cannot_count(3, &why);
        story.cannot_begin(&why);
        story.is_told();
        story.redis.order(back);
        // Both or neither: who may not count to its end, counts nothing. But who may not say what
        // belongs together, does the one and the other.
        let counted = if command == "MULTI" { 4 } else { 0 };
        story.counts(2 + counted);
        begin(&story.redis, order);
        story.cannot_count(1, &why);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn where_the_password_has_changed_old_workers_go_on_and_no_new_ones_take_their_place() {
    let mut story = Story::begin();
    let why = "Password authentication failed - AuthenticationFailed";
    story.redis.order("ACL SETUSER me resetpass >another");
    story.counts(2);
    story.cannot_begin(why);
    story.counts(3);
    // That ends with its connection.
    story.redis.cli(&["CLIENT", "KILL", "USER", "me"]);
    story.cannot_count(3, why);
    story.redis.order("ACL SETUSER me resetpass >secret");
    story.counts(4);
}

/// It stands between the step and a Redis, and passes on what they say.
struct Relay {
    address: SocketAddr,
    /// Where connections go that come from now on.
    to: Arc<Mutex<String>>,
    /// Of how many connections it has forgotten.
    forgotten: Arc<AtomicUsize>,
    /// How many have come.
    came: Arc<AtomicUsize>,
}

impl Relay {
    fn start(redis: &Redis) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let to = Arc::new(Mutex::new(redis.address()));
        let [forgotten, came] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let relay = Relay { address, to, forgotten, came };
        let (to, forgotten, came) = (relay.to.clone(), relay.forgotten.clone(), relay.came.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = came.fetch_add(1, Ordering::Relaxed);
                let Ok(redis) = TcpStream::connect(&*to.lock().unwrap()) else { continue };
                for (mut from, mut to) in [(&client, &redis), (&redis, &client)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    let forgotten = Arc::clone(&forgotten);
                    thread::spawn(move || {
                        let mut part = [0; 4096];
                        while let Ok(length @ 1..) = from.read(&mut part) {
                            if number >= forgotten.load(Ordering::Relaxed) {
                                let _ = to.write_all(&part[..length]);
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        relay
    }

    /// All connections stay open, but nothing passes any more, as where a router on the way has
    /// forgotten them. Those that come later are not concerned.
    fn forget(&self) {
        self.forgotten.store(self.came.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// What may be wrong with the connection alone costs one visit, and the next one has another
/// connection: `treat` does that, to the relay or to Redis, and `why` is what the step says of it.
fn one_visit_is_lost_with_its_connection(
    treat: impl Fn(&Relay, &Redis, &Redis),
    (why, limit): (&str, Duration),
) {
    let (redis, other) = (Redis::start(), Redis::start());
    let relay = Relay::start(&redis);
    let address = relay.address.to_string();
    let mut command = with(&redis, &limit.as_millis().to_string());
    command.env("REDIS_URL", format!("redis://{address}"));
    let mut cluster = Cluster::start(command, 1);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
    treat(&relay, &redis, &other);
    let lost = visitor.try_visit();
    assert!(lost.is_err(), "one visit should be lost, but that is answered: {lost:?}");
    let before = if *relay.to.lock().unwrap() == redis.address() { 2 } else { 0 };
    assert_eq!(visitor.counts(2), [before + 1, before + 2], "the next visit should be counted");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(lines, "nothing happened to the worker");
    assert_says(&stderr, &format!("Error: REDIS_URL={address}: {why}\n"));
}

#[test]
#[ignore = "needs redis-server"]
fn an_open_connection_of_no_use_costs_one_time_out_and_then_there_is_another() {
    let forget = |relay: &Relay, _: &Redis, _: &Redis| relay.forget();
    one_visit_is_lost_with_its_connection(forget, ("timed out", A_SECOND));
}

/// As by a proxy, or a name, that leads to whichever is the master now.
#[test]
#[ignore = "needs redis-server"]
fn where_another_redis_is_the_master_now_the_next_connection_leads_there() {
    let fail_over = |relay: &Relay, redis: &Redis, other: &Redis| {
        redis.order(&format!("REPLICAOF {}", other.address().replace(':', " ")));
        *relay.to.lock().unwrap() = other.address();
    };
    let why = "READONLY You can't write against a read only replica.";
    one_visit_is_lost_with_its_connection(fail_over, (why, 2 * A_SECOND));
}

/// A visit that Redis has not answered in time may be counted all the same: nobody can tell. But it
/// is not counted twice.
#[test]
#[ignore = "needs redis-server"]
fn a_visit_that_redis_answers_too_late_is_not_counted_twice() {
    let mut story = Story::begin();
    for count in [3, 5] {
        story.redis.stop();
        story.is_told();
        story.redis.go_on();
        // What Redis was sent before, it does first.
        story.counts(count);
    }
    assert_eq!(held(&story.redis, &story.visitor), 5, "nothing more should have come later");
}

// Redis gone later.

/// What happens to Redis.
type Treat = fn(&mut Redis);

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
        says_of_redis(&mut cluster, &redis, visitors.min(1)..=visitors.min(2));
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
    let mut command = step("14_redis");
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
    says_of_redis(&mut cluster, &redis, 1..=1);
}

/// Ends it. It has said so often why a visit could not be counted, and nothing else: each worker says
/// it once until it can count again.
#[track_caller]
fn says_of_redis(cluster: &mut Cluster, redis: &Redis, times: RangeInclusive<usize>) {
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(lines, "nothing happened to a worker");
    let line = format!("Error: REDIS_URL={}: ", redis.address());
    let others = stderr.lines().filter(|it| !it.starts_with(&line));
    assert_nothing(others, "it should say nothing but why it cannot count");
    let said = stderr.lines().count();
    assert!(times.contains(&said), "it should say that {times:?} times, but it says:\n{stderr}");
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
                let times = usize::from(ask_meanwhile);
                says_of_redis(&mut cluster, &redis, times..=times);
            }
        }
    }
}

// What Redis holds.

#[test]
#[ignore = "needs redis-server"]
fn it_writes_nothing_but_sessions_each_for_half_an_hour_from_the_last_visit() {
    let redis = Redis::start();
    let mut command = with(&redis, PATIENT);
    command.env_remove("SESSION_SECONDS");
    let cluster = Cluster::start(command, 2);
    assert_nothing(sessions(&redis), "nobody was here yet");
    let mut visitors = [(); 3].map(|()| Visitor::new(&cluster));
    for (at, visitor) in visitors.iter_mut().enumerate() {
        visitor.counts(at + 1);
    }
    let nobody: &[u8] = b"session=nobody";
    let client = &mut connect(cluster.port.number);
    ask_for("/none", Some(nobody), client).or_fail("it should be answered");
    let mut expected: Vec<String> = visitors.iter().map(key).collect();
    expected.sort();
    assert_eq!(sessions(&redis), expected, "a key for each session");
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
    let new: Vec<String> =
        sessions(&redis).into_iter().filter(|it| !expected.contains(it)).collect();
    assert_eq!(new.len(), 1, "a value that is no id should make one new session: {new:?}");
    assert!(!new[0].contains("nobody"), "but not under that name: {new:?}");
    assert!(redis.number(&["TTL", "session:check"]) > 0, "what is no session should go, too");
}

#[test]
#[ignore = "needs redis-server"]
fn a_session_that_nobody_uses_is_forgotten_after_its_seconds() {
    let redis = Redis::start();
    let cluster = start_with(&redis, 1, "SESSION_SECONDS", "1");
    let mut visitor = Visitor::new(&cluster);
    let start = Instant::now();
    assert_eq!(visitor.visit().count, 1);
    until("the session should be forgotten", || sessions(&redis).is_empty());
    let took = start.elapsed();
    assert!(took >= A_SECOND, "not before its second is over, but it was after {took:?}");
    let id = visitor.id.clone();
    assert_eq!(visitor.visit().count, 1, "it begins anew");
    assert_eq!(visitor.id, id, "a visitor should keep the id");
}
