//! What the steps promise whose primary has patience, a limit and a clean end.
//!
//! None of it asks for a certain page: the answers are whole, and greet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind::ConnectionRefused;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{iter, mem, thread};

use nix::sys::signal::Signal;
#[cfg(target_os = "linux")]
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::handoff::{SOON, is_answered_within, stop};
use super::load::Load;
use super::refuses;
use crate::{
    Cluster, Console, Ended, Installed, OrFail, REQUEST, answer, assert_deaths, assert_nothing,
    assert_says, assert_status, connect, descriptors, is_dead, is_read, is_stopped,
    limit_descriptors, limit_processes, side_by_side, step, step_of_an_ordinary_user, until,
    within,
};

/// How long a worker may take to finish, and the primary to end.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// A worker that lived for less than this died young.
pub(super) const A_LIFE: Duration = Duration::from_secs(1);

/// The pauses after one worker in a row that died young, after two, and so on.
fn pauses() -> impl Iterator<Item = Duration> {
    let seconds = iter::successors(Some(0.1), |pause| Some(pause * 1.5));
    seconds.map(|pause: f64| Duration::from_secs_f64(pause.min(15.0)))
}

/// By how much something may be late that should happen at once, or after a pause, beside the time
/// that a start takes at that moment. The pauses that are told apart by it differ by more.
const LATE: Duration = Duration::from_millis(300);

/// [`within`], where each of several times is the fastest of all rounds by itself. The error of a
/// round is a time that spoils it.
fn each_within(
    limit: Duration,
    what: &str,
    mut round: impl FnMut() -> Result<Vec<Duration>, Duration>,
) {
    let mut best: Vec<Duration> = Vec::new();
    within(limit, what, || match round() {
        Err(spoils) => spoils,
        Ok(times) => {
            let known = best.iter().copied().chain(iter::repeat(Duration::MAX));
            best = times.into_iter().zip(known).map(|(new, known)| new.min(known)).collect();
            best.iter().copied().max().expect("something was timed")
        }
    });
}

// Patience.

pub fn a_wrong_number_of_failures_is_one_line_and_starts_nothing(name: &str) {
    for value in ["", " ", "0", "-1", "1001", "few", "2.5", "2 ", "99999999999999999999"] {
        refuses(name, "MAX_FAILURES", value, ": not a whole number from 1 to 1000\n");
    }
}

/// Kills a worker that was born at that time or later. Returns when it was sent the signal. The error
/// is the time that it may have lived, where it may not have died young: on a busy machine, that is.
fn dies_young(cluster: &mut Cluster, worker: Pid, born: Instant) -> Result<Instant, Duration> {
    let sent = Instant::now();
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, KILLED);
    let life = born.elapsed();
    if life < A_LIFE { Ok(sent) } else { Err(life) }
}

pub(super) const KILLED: &str = "code null signal SIGKILL";

/// Kills the only worker, which was born at that time or later, and so on with those that come in
/// its place, once for each of `pauses`. Each lives for `life` at least.
///
/// Returns the time from which on the last of them may have been born, and by how much each pause
/// was too long, beside the time that a start takes. The error is the time that one may have lived
/// who should have died young.
fn die_young_in_a_row(
    cluster: &mut Cluster,
    a_start: Duration,
    mut born: Instant,
    life: Duration,
    pauses: impl Iterator<Item = Duration>,
) -> Result<(Instant, Vec<Duration>), Duration> {
    let mut late = Vec::new();
    for (at, pause) in pauses.enumerate() {
        live_for(life);
        let worker = cluster.workers[0];
        let sent = dies_young(cluster, worker, born)?;
        cluster.started();
        let took = sent.elapsed();
        assert!(
            took >= pause,
            "{} in a row died young, so the next should wait for {pause:?}, but it came after \
             {took:?}",
            at + 1
        );
        late.push((took - pause).saturating_sub(a_start));
        born = sent + pause;
    }
    Ok((born, late))
}

/// Waits until a worker is that old which has just said that it runs.
fn live_for(life: Duration) {
    let seen = Instant::now();
    until("a worker should have lived for a while", || seen.elapsed() > life);
}

pub fn the_pause_grows_by_half_with_each_worker_in_a_row_that_died_young(name: &str) {
    each_within(LATE, "a pause should be over, once it may be,", || {
        let born = Instant::now();
        let mut cluster = Cluster::start(step(name), 1);
        let start = born.elapsed();
        let row = die_young_in_a_row(&mut cluster, start, born, Duration::ZERO, pauses().take(7));
        cluster.assert_answers();
        row.map(|(_, late)| late)
    });
}

pub fn a_worker_that_lived_for_a_second_is_replaced_at_once_and_the_pauses_begin_anew(name: &str) {
    let round = || {
        let mut command = step(name);
        // Those that die young, before and after, are more than these together, but not in a row.
        command.env("MAX_FAILURES", "6");
        let born = Instant::now();
        let mut cluster = Cluster::start(command, 1);
        let start = born.elapsed();
        let more_than_half = A_LIFE.mul_f64(0.6);
        let (born, before) =
            die_young_in_a_row(&mut cluster, start, born, more_than_half, pauses().take(2))?;
        let more = pauses().skip(2).take(2);
        let (_, more) = die_young_in_a_row(&mut cluster, start, born, Duration::ZERO, more)?;
        live_for(A_LIFE);
        let (worker, sent) = (cluster.workers[0], Instant::now());
        cluster.send(Signal::SIGKILL, worker);
        cluster.dies(worker, KILLED);
        cluster.started();
        let at_once = sent.elapsed().saturating_sub(start);
        let after = pauses().take(3);
        let (_, after) = die_young_in_a_row(&mut cluster, start, sent, Duration::ZERO, after)?;
        Ok([before, more, vec![at_once], after].concat())
    };
    each_within(LATE, "the pauses should be none, and then the first ones again, and over", round);
}

/// Two workers: those in whose place another came count, each for itself. What the other worker is
/// about when all is over, it may finish.
pub fn too_many_in_a_row_that_died_young_in_one_place_end_it_in_order(name: &str) {
    let round = || {
        let mut command = step(name);
        command.env("MAX_FAILURES", "3");
        let born = Instant::now();
        let mut cluster = Cluster::start(command, 2);
        let mut places = [(cluster.workers[0], born), (cluster.workers[1], born)];
        for pause in pauses().take(2) {
            for (worker, born) in &mut places {
                let sent = dies_young(&mut cluster, *worker, *born)?;
                *worker = cluster.started();
                *born = sent + pause;
            }
        }
        let [(last, born), (other, _)] = places;
        let mut client = asks_half(&cluster, other);
        dies_young(&mut cluster, last, born)?;
        until_nobody_is_let_in(&cluster);
        client.write_all(REST).or_fail("the connection should be open");
        answer(&mut client).or_fail("a worker that is told to finish should finish this");
        drop(client);
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        let finished = format!("{other}번 워커가 종료되었습니다");
        assert_eq!(lines, [&finished, FINISHED], "the other worker should have ended in order");
        assert_says(&stderr, &too_many(3));
        assert_status(status, 1);
        Ok(Duration::ZERO)
    };
    within(A_LIFE, "each worker should have been killed", || {
        round().unwrap_or_else(|life: Duration| life)
    });
}

fn too_many(limit: usize) -> String {
    format!("Error: MAX_FAILURES={limit}: so many workers in a row lived less than a second\n")
}

/// As where a setting is missing that the program asks for.
pub fn a_program_that_ends_at_its_start_ends_the_primary_after_so_many(name: &str) {
    for limit in [1, 3] {
        let program = Installed::new(name);
        let mut command = program.command();
        command.env("MAX_FAILURES", limit.to_string());
        let mut cluster = Cluster::start(command, 1);
        let worker = cluster.workers[0];
        program.replace_by_a_failure();
        live_for(A_LIFE);
        cluster.send(Signal::SIGKILL, worker);
        cluster.dies(worker, KILLED);
        for _ in 0..limit {
            cluster.one_dies("code 1 signal null");
        }
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        assert_nothing(&lines, "after {limit} it should end");
        assert_says(&stderr, &too_many(limit));
        assert_status(status, 1);
    }
}

pub fn a_worker_that_cannot_be_started_counts_as_one_that_died_young(name: &str) {
    let mut command = limit_processes(step_of_an_ordinary_user(name), 0);
    command.env("WORKERS", "1").env("MAX_FAILURES", "3").env("RUST_BACKTRACE", "1");
    let start = Instant::now();
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.introduced();
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    let took = start.elapsed();
    assert_nothing(&lines, "no worker can have started");
    let (tries, end) = stderr.split_at(stderr.find("Error: MAX").unwrap_or(stderr.len()));
    assert_eq!(end, too_many(3), "all of stderr: {stderr}");
    assert_eq!(tries.lines().count(), 3, "it should say each time what failed: {stderr}");
    assert!(tries.lines().all(|line| line.starts_with("Error: fork: ")), "what failed? {stderr}");
    assert_status(status, 1);
    let least = pauses().take(2).sum();
    assert!(took >= least, "it should wait before it tries again, but all took {took:?}");
}

/// The limit is the primary's alone, and set while it runs, which Linux alone can do.
#[cfg(target_os = "linux")]
pub fn a_worker_that_cannot_be_started_is_started_once_it_can(name: &str) {
    let mut cluster = Cluster::start(step_of_an_ordinary_user(name), 1);
    let worker = cluster.workers[0];
    crate::allow_new_processes_and_threads(cluster.primary, false);
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, KILLED);
    let mut client = asks(&cluster);
    until("it should say that it cannot fork", || cluster.stderr().starts_with("Error: fork: "));
    crate::allow_new_processes_and_threads(cluster.primary, true);
    cluster.started();
    answer(&mut client).or_fail("who waits should be answered by the worker that comes");
}

/// The pauses of all fifteen, and that no pause is longer than fifteen seconds.
pub fn without_max_failures_set_it_is_15(name: &str) {
    let _alone = MACHINE.lock();
    let mut command = step(name);
    command.env_remove("MAX_FAILURES");
    let mut born = Instant::now();
    let mut cluster = Cluster::start(command, 1);
    for pause in pauses().take(14) {
        let worker = cluster.workers[0];
        let sent = dies_young(&mut cluster, worker, born).expect("it should die young");
        let line = cluster.next_line(2 * pause + A_LIFE).unwrap_or_default();
        let took = sent.elapsed();
        assert!(
            line.ends_with("번 워커 실행"),
            "after a pause of {pause:?} a new worker should say that it runs, but this comes: \
             `{line}`"
        );
        let most = pause.mul_f64(1.2) + A_LIFE / 2;
        assert!(took >= pause, "the pause should be {pause:?}, but it was {took:?}");
        assert!(took < most, "the pause should be {pause:?}, but it was {took:?}");
        cluster.workers = line.split('번').next().and_then(crate::pid).into_iter().collect();
        born = sent + pause;
    }
    let worker = cluster.workers[0];
    dies_young(&mut cluster, worker, born).expect("it should die young");
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_nothing(&lines, "all workers have died and been logged");
    assert_says(&stderr, &too_many(15));
    assert_status(status, 1);
}

// A clean end.

/// How a worker ends that was told to finish.
pub(super) const FINISHED: &str = "code 0 signal null";

/// Waits for the end of all, which began at `start` and is one in order: each worker has finished
/// and is logged once, nothing else is said, the port is free, and nobody had to wait for the limit.
/// Returns how long it took.
#[track_caller]
pub(super) fn ends_in_order(cluster: &mut Cluster, start: Instant) -> Duration {
    let workers = mem::take(&mut cluster.workers);
    let Ended { status, lines, stderr } = cluster.wait_for_end_within(2 * LIMIT);
    let took = start.elapsed();
    let death = |worker| [format!("{worker}번 워커가 종료되었습니다"), FINISHED.to_owned()];
    let expected: BTreeSet<[String; 2]> = workers.iter().map(death).collect();
    let deaths: BTreeSet<[String; 2]> =
        lines.chunks_exact(2).map(|death| [death[0].clone(), death[1].clone()]).collect();
    assert_eq!(deaths, expected, "each worker should finish, and be logged");
    assert_eq!(lines.len(), 2 * workers.len(), "once, and nothing more: {lines:?}");
    assert_nothing(stderr.lines(), "it should have nothing to say on stderr");
    assert_status(status, 0);
    TcpListener::bind(("127.0.0.1", cluster.port.number)).or_fail("the port should be free again");
    assert!(took < LIMIT / 2, "nobody should have had to wait for the limit, but it took {took:?}");
    took
}

/// A client that has asked.
pub fn asks(cluster: &Cluster) -> TcpStream {
    let mut client = connect(cluster.port.number);
    client.write_all(REQUEST).or_fail("the connection should be open");
    client
}

const HALF: &[u8] = REQUEST.split_at(REQUEST.len() / 2).0;
pub(super) const REST: &[u8] = REQUEST.split_at(REQUEST.len() / 2).1;

/// A client that `worker` has, and that has asked for one half so far.
pub(super) fn asks_half(cluster: &Cluster, worker: Pid) -> TcpStream {
    let before = descriptors(worker).len();
    let mut client = None;
    until("the worker should take a connection", || {
        let mut next = connect(cluster.port.number);
        next.write_all(HALF).or_fail("the connection should be open");
        client = Some(next);
        // Another worker may have it. Then this one is next, or it has been slow to take one.
        let seen = Instant::now();
        while seen.elapsed() < 4 * SOON && descriptors(worker).len() <= before {
            thread::sleep(Duration::from_millis(1));
        }
        descriptors(worker).len() > before
    });
    let client = client.expect("it has just connected");
    until("the worker should read the first half", || is_read(&client));
    client
}

#[track_caller]
fn until_nobody_is_let_in(cluster: &Cluster) {
    until("nobody new should be let in", || {
        let new = TcpStream::connect(("127.0.0.1", cluster.port.number));
        new.is_err_and(|error| error.kind() == ConnectionRefused)
    });
}

/// The ways in which a cluster is told to end. systemd and Ctrl-C tell each process.
const ENDS: [fn(&Cluster); 4] = [
    |cluster| cluster.send(Signal::SIGTERM, cluster.primary),
    |cluster| cluster.send(Signal::SIGINT, cluster.primary),
    |cluster| cluster.send_to_all(Signal::SIGTERM).or_fail("the program should run"),
    |cluster| cluster.interrupt(),
];

pub fn told_to_end_it_ends_at_once_where_nobody_is_connected(name: &str) {
    for end in ENDS {
        ends_in_order_at_once(name, end);
    }
}

fn ends_in_order_at_once(name: &str, end: impl Fn(&Cluster)) {
    within(A_LIFE / 2, "without any connection it should end", || {
        let mut cluster = Cluster::start(step(name), 3);
        cluster.assert_answers();
        let start = Instant::now();
        end(&cluster);
        ends_in_order(&mut cluster, start)
    });
}

/// From 12 on this means something else.
pub fn hung_up_it_ends_in_order(name: &str) {
    ends_in_order_at_once(name, |cluster| cluster.send(Signal::SIGHUP, cluster.primary));
    finishes_fifty_requests(name, |cluster| cluster.send(Signal::SIGHUP, cluster.primary));
}

pub fn told_to_end_it_finishes_fifty_requests_and_refuses_new_ones(name: &str) {
    for end in ENDS {
        finishes_fifty_requests(name, end);
    }
}

/// What a worker has is finished: here, requests that have been sent by half.
pub fn told_to_end_it_answers_what_has_begun(name: &str) {
    for end in ENDS {
        let mut cluster = Cluster::start(step(name), 2);
        let workers = cluster.workers.clone();
        let mut clients: Vec<TcpStream> =
            (0..10).map(|at| asks_half(&cluster, workers[at % 2])).collect();
        let start = Instant::now();
        end(&cluster);
        until_nobody_is_let_in(&cluster);
        for (at, client) in clients.iter_mut().enumerate() {
            client.write_all(REST).or_fail("the connection should be open");
            answer(client).or_fail(&format!("request {} of 10 should be answered", at + 1));
        }
        drop(clients);
        ends_in_order(&mut cluster, start);
    }
}

/// Linux ends a worker with its primary. Where none does, it sees that for itself, also while it
/// finishes.
pub fn no_worker_that_finishes_outlives_a_primary_that_was_killed(name: &str) {
    #[cfg(not(target_os = "linux"))]
    let command = step(name);
    #[cfg(target_os = "linux")]
    let command = crate::without_parent_death_signal(step(name));
    let mut cluster = Cluster::start(command, 1);
    let worker = cluster.workers[0];
    let _client = asks_half(&cluster, worker);
    cluster.send(Signal::SIGTERM, cluster.primary);
    until_nobody_is_let_in(&cluster);
    assert!(!is_dead(worker), "it has a request to finish");
    cluster.send(Signal::SIGKILL, cluster.primary);
    until("the worker should end with its primary", || is_dead(worker));
    cluster.wait_for_end();
}

/// Half of them are at a worker and have asked for one half, the others ask while all are stopped.
fn finishes_fifty_requests(name: &str, end: impl Fn(&Cluster)) {
    let mut cluster = Cluster::start(step(name), 2);
    let workers = cluster.workers.clone();
    let held = || workers.iter().map(|worker| descriptors(*worker).len()).sum::<usize>();
    let before = held();
    let mut half: Vec<TcpStream> = (0..25).map(|_| connect(cluster.port.number)).collect();
    for client in &mut half {
        client.write_all(HALF).or_fail("the connection should be open");
    }
    until("the workers should have 25 connections", || held() == before + 25);
    stop(&cluster, &workers);
    let mut whole: Vec<TcpStream> = (0..25).map(|_| asks(&cluster)).collect();
    let start = Instant::now();
    end(&cluster);
    until_nobody_is_let_in(&cluster);
    for worker in &workers {
        cluster.send(Signal::SIGCONT, *worker);
    }
    for client in &mut half {
        client.write_all(REST).or_fail("the connection should be open");
    }
    for (at, client) in whole.iter_mut().chain(&mut half).enumerate() {
        answer(client).or_fail(&format!("request {} of 50 should be answered", at + 1));
    }
    drop((half, whole));
    ends_in_order(&mut cluster, start);
}

/// The primary is stopped, so that it accepts nobody: but the kernel lets them in. Once it goes on,
/// tokio accepts 128 before the signal has its turn, and then either may be next.
pub fn who_is_in_the_kernels_queue_when_it_is_told_to_end_is_answered(name: &str) {
    // Linux lets in one more than the 128 that tokio asks for. What others let in varies.
    let (count, rounds) = if cfg!(target_os = "linux") { (129, 8) } else { (50, 1) };
    for _ in 0..rounds {
        let mut cluster = Cluster::start(step(name), 2);
        cluster.send(Signal::SIGSTOP, cluster.primary);
        until("the primary should be stopped", || is_stopped(cluster.primary));
        let clients: Vec<TcpStream> = (0..count).map(|_| asks(&cluster)).collect();
        let start = Instant::now();
        cluster.send(Signal::SIGTERM, cluster.primary);
        cluster.send(Signal::SIGCONT, cluster.primary);
        for (at, mut client) in clients.into_iter().enumerate() {
            let what = format!("client {} of {count} was let in and should be answered", at + 1);
            answer(&mut client).or_fail(&what);
        }
        ends_in_order(&mut cluster, start);
    }
}

/// The primary has no descriptor for those that wait in the kernel's queue until a worker takes one
/// of the connections that it has.
pub fn who_is_in_the_kernels_queue_is_answered_where_descriptors_are_used_up(name: &str) {
    let mut cluster = Cluster::start(limit_descriptors(step(name), 64), 2);
    let workers = cluster.workers.clone();
    stop(&cluster, &workers);
    let mut clients: Vec<TcpStream> = (0..100).map(|_| asks(&cluster)).collect();
    until("the primary should use up its descriptors", || descriptors(cluster.primary).len() >= 64);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    let last = clients.last_mut().expect("there are 100");
    assert!(!is_answered_within(last, 4 * SOON), "no worker is awake that could have answered");
    for worker in &workers {
        cluster.send(Signal::SIGCONT, *worker);
    }
    for (at, mut client) in clients.into_iter().enumerate() {
        let what = format!("client {} of 100 was let in and should be answered", at + 1);
        answer(&mut client).or_fail(&what);
    }
    ends_in_order(&mut cluster, start);
}

pub fn who_keeps_a_connection_and_asks_for_nothing_is_waited_for_a_second(name: &str) {
    within(2 * A_LIFE, "with idle connections all should end", || {
        let mut cluster = Cluster::start(step(name), 2);
        let mut idle = [asks(&cluster), connect(cluster.port.number)];
        answer(&mut idle[0]).or_fail("it should be answered");
        let start = Instant::now();
        cluster.send(Signal::SIGTERM, cluster.primary);
        let end = idle[0].read(&mut [0]);
        let waited = start.elapsed();
        assert_eq!(end.ok(), Some(0), "the connection should have been closed, without a word");
        assert!(waited >= A_LIFE, "who may ask again has a second, but this was {waited:?}");
        ends_in_order(&mut cluster, start)
    });
}

pub fn who_asks_again_within_that_second_is_answered_for_the_last_time(name: &str) {
    let mut cluster = Cluster::start(step(name), 2);
    let mut client = asks(&cluster);
    let first = answer(&mut client).or_fail("it should be answered");
    assert!(!first.is_the_last(), "nobody has told it to end yet: {first:?}");
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    until_nobody_is_let_in(&cluster);
    is_answered_for_the_last_time(&mut client);
    ends_in_order(&mut cluster, start);
}

/// Asks again and again: the worker is about to hear that it is to finish. Each answer is whole, and
/// the one that says so is the last.
pub(super) fn is_answered_for_the_last_time(client: &mut TcpStream) {
    until("an answer should say that it is the last", || {
        client.write_all(REQUEST).or_fail("no answer has said that it is the last");
        answer(client).or_fail("who asks should be answered").is_the_last()
    });
    assert_eq!(client.read(&mut [0]).ok(), Some(0), "the last answer should be the last");
}

/// What comes within half a second of the first signal is the first.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// `timeout` sends one to the primary and one to its group; a script may send INT and TERM.
pub fn two_signals_at_once_are_one(name: &str) {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut cluster = Cluster::start(step(name), 2);
        let mut client = asks_half(&cluster, cluster.workers[0]);
        let start = Instant::now();
        cluster.send(Signal::SIGTERM, cluster.primary);
        cluster.send_to_all(second).or_fail("one signal should not end it at once");
        until_nobody_is_let_in(&cluster);
        until("half a second should be over", || start.elapsed() > ONE_SIGNAL);
        client.write_all(REST).or_fail("the connection should be open");
        answer(&mut client).or_fail("what had begun when both signals came should be answered");
        drop(client);
        ends_in_order(&mut cluster, start);
    }
}

pub fn the_second_ctrl_c_ends_all_at_once(name: &str) {
    use Signal::{SIGINT, SIGTERM};
    for (first, second) in [(SIGINT, SIGINT), (SIGTERM, SIGTERM), (SIGTERM, SIGINT)] {
        within(A_LIFE, "the second signal should end all", || {
            let mut cluster = Cluster::start(step(name), 2);
            let workers = cluster.workers.clone();
            let mut clients = [asks_half(&cluster, workers[0]), connect(cluster.port.number)];
            stop(&cluster, &workers[1..]);
            let first_came = Instant::now();
            cluster.send_to_all(first).or_fail("the program should run");
            until_nobody_is_let_in(&cluster);
            until("half a second should be over", || first_came.elapsed() > ONE_SIGNAL + LATE);
            let start = Instant::now();
            cluster.send_to_all(second).or_fail("the first signal should not end it");
            let Ended { status, lines, stderr } = cluster.wait_for_end();
            let took = start.elapsed();
            assert_nothing(
                lines.iter().map(String::as_str).chain(stderr.lines()),
                "it should end at once",
            );
            let code = Some(128 + second as i32);
            assert_eq!(status.code(), code, "it should say, as a shell would, what ended it");
            assert!(clients.iter_mut().all(|client| !matches!(client.read(&mut [0]), Ok(1..))));
            took
        });
    }
}

/// A worker is told nothing by these. Not TERM: that it ends in order with the others says so.
pub fn term_and_ctrl_c_are_not_for_a_worker_alone(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    let mut client = asks_half(&cluster, worker);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        cluster.send(signal, worker);
    }
    client.write_all(REST).or_fail("the connection should be open");
    let answer = answer(&mut client).or_fail("it should go on answering");
    assert!(!answer.is_the_last(), "it should go on as before: {answer:?}");
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, KILLED);
}

pub fn told_to_end_during_a_pause_it_ends_at_once_where_nobody_waits(name: &str) {
    let round = || {
        let born = Instant::now();
        let mut cluster = Cluster::start(step(name), 1);
        let row = pauses().take(5);
        let (born, _) =
            die_young_in_a_row(&mut cluster, Duration::ZERO, born, Duration::ZERO, row)?;
        let worker = cluster.workers[0];
        dies_young(&mut cluster, worker, born)?;
        let start = Instant::now();
        cluster.send(Signal::SIGTERM, cluster.primary);
        Ok(ends_in_order(&mut cluster, start))
    };
    within(LATE * 2, "it should not wait for the end of a pause of 759 ms, but end", || {
        round().unwrap_or_else(|life: Duration| life)
    });
}

pub fn told_to_end_during_a_pause_it_answers_who_waits_and_then_ends(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    for _ in 0..3 {
        let worker = cluster.workers[0];
        cluster.send(Signal::SIGKILL, worker);
        cluster.dies(worker, KILLED);
        cluster.started();
    }
    let worker = cluster.workers[0];
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, KILLED);
    let mut client = asks(&cluster);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    answer(&mut client).or_fail("who was let in should be answered by the next worker");
    drop(client);
    cluster.started();
    ends_in_order(&mut cluster, start);
}

/// Nobody is left who could take what waits. So nobody waits for that.
pub fn where_every_place_is_given_up_it_ends_without_delay(name: &str) {
    let round = || {
        let mut command = step(name);
        command.env("MAX_FAILURES", "1");
        let born = Instant::now();
        let mut cluster = Cluster::start(command, 1);
        let worker = cluster.workers[0];
        stop(&cluster, &[worker]);
        let clients = [asks(&cluster), asks(&cluster)];
        let start = Instant::now();
        dies_young(&mut cluster, worker, born)?;
        let Ended { status, lines, stderr } = cluster.wait_for_end_within(2 * LIMIT);
        let took = start.elapsed();
        drop(clients);
        assert_nothing(&lines, "no worker should have come in its place");
        assert_says(&stderr, &too_many(1));
        assert_status(status, 1);
        Ok(took)
    };
    within(A_LIFE, "where every place has been given up, all should end", || {
        round().unwrap_or_else(|life: Duration| life)
    });
}

/// In a namespace of its own the primary is process 1, as in a container: there a signal for which
/// a process has no handler does nothing.
#[cfg(target_os = "linux")]
pub fn as_process_1_it_ends_in_order_by_term_and_by_ctrl_c(name: &str) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = Command::new("unshare");
        if !crate::is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(step(name).get_program()).env("WORKERS", "2");
        let mut cluster = Cluster::spawn(command, Console::Read);
        assert_eq!(cluster.line(), "마스터 프로세스 아이디: 1", "the primary should be process 1");
        cluster.started();
        cluster.started();
        cluster.assert_answers();
        let primary = cluster.children()[0].pid;
        let start = Instant::now();
        cluster.send(signal, primary);
        // unshare ends as the primary does.
        ends_in_order(&mut cluster, start);
        assert!(is_dead(primary));
    }
}

// The limit.

/// Each of these takes ten seconds: side by side, all of them do.
pub fn after_ten_seconds_nothing_is_waited_for_any_longer(name: &str) {
    let all = [half_a_request_is_cut, a_stopped_worker_is_cut];
    side_by_side(all, |promise: fn(&str)| promise(name));
}

pub fn after_ten_seconds_a_worker_that_was_told_to_go_is_killed(name: &str) {
    let all = [
        a_worker_that_was_told_to_go_is_killed_and_its_client_is_cut,
        a_stopped_worker_that_was_told_to_go_is_killed_and_its_client_answered_by_another,
    ];
    side_by_side(all, |promise: fn(&str)| promise(name));
}

/// Waits until this client gets nothing any more, after what began at `start` and has a limit.
fn is_cut_at_the_limit(client: &mut TcpStream, start: Instant) {
    client.set_read_timeout(Some(2 * LIMIT)).expect("it is no zero");
    let end = client.read(&mut [0]);
    let took = start.elapsed();
    assert!(!matches!(end, Ok(1..)), "nobody can have answered");
    at_the_limit(took);
}

#[track_caller]
pub(super) fn at_the_limit(took: Duration) {
    assert!(took >= LIMIT, "there are {LIMIT:?} to finish, but it was over after {took:?}");
    assert!(took < LIMIT + 3 * A_LIFE, "it should be over after {LIMIT:?}, but took {took:?}");
}

/// All is over at the limit. The death of a worker that was killed may be logged just before.
fn ends_at_the_limit(cluster: &mut Cluster, start: Instant) {
    let Ended { status, lines, stderr } = cluster.wait_for_end_within(2 * LIMIT);
    at_the_limit(start.elapsed());
    let known = |line: &String| line == KILLED || line.ends_with("번 워커가 종료되었습니다");
    assert!(lines.iter().all(known), "what is this? {lines:?}");
    assert_nothing(stderr.lines(), "stderr should be empty");
    assert_status(status, 0);
}

fn half_a_request_is_cut(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let mut client = asks_half(&cluster, cluster.workers[0]);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    is_cut_at_the_limit(&mut client, start);
    ends_at_the_limit(&mut cluster, start);
}

fn a_stopped_worker_is_cut(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    stop(&cluster, &cluster.workers);
    let mut client = asks(&cluster);
    let start = Instant::now();
    cluster.interrupt();
    is_cut_at_the_limit(&mut client, start);
    ends_at_the_limit(&mut cluster, start);
}

fn a_worker_that_was_told_to_go_is_killed_and_its_client_is_cut(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    let mut client = asks_half(&cluster, worker);
    one_more(&mut cluster);
    let start = Instant::now();
    cluster.send(Signal::SIGTTOU, cluster.primary);
    is_cut_at_the_limit(&mut client, start);
    cluster.dies(worker, KILLED);
    cluster.assert_answers();
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

fn a_stopped_worker_that_was_told_to_go_is_killed_and_its_client_answered_by_another(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    stop(&cluster, &[worker]);
    one_more(&mut cluster);
    let mut clients = vec![asks(&cluster), asks(&cluster)];
    until("the other worker should answer one of two clients", || {
        clients.retain_mut(|client| !is_answered_within(client, SOON));
        clients.len() == 1
    });
    let mut client = clients.remove(0);
    client.set_read_timeout(Some(2 * LIMIT)).expect("it is no zero");
    let start = Instant::now();
    cluster.send(Signal::SIGTTOU, cluster.primary);
    answer(&mut client).or_fail("the other worker should answer it once the first is dead");
    at_the_limit(start.elapsed());
    cluster.dies(worker, KILLED);
    drop(client);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

// More and fewer.

fn one_more(cluster: &mut Cluster) -> Pid {
    cluster.send(Signal::SIGTTIN, cluster.primary);
    cluster.started()
}

fn one_fewer(cluster: &mut Cluster) {
    let oldest = cluster.workers[0];
    cluster.send(Signal::SIGTTOU, cluster.primary);
    cluster.dies(oldest, FINISHED);
}

pub fn ttin_starts_one_more_and_ttou_ends_the_oldest_but_never_the_last(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    for count in 2..=4 {
        one_more(&mut cluster);
        assert_eq!(cluster.children().len(), count, "one more should have been started");
    }
    for count in (1..=3).rev() {
        one_fewer(&mut cluster);
        assert_eq!(cluster.children().len(), count, "one, and none in its place, should be gone");
    }
    for _ in 0..3 {
        cluster.send(Signal::SIGTTOU, cluster.primary);
        // Then it knows of the signal: it has let others in since.
        for _ in 0..3 {
            cluster.assert_answers();
        }
    }
    // Below one there was nothing to count.
    one_more(&mut cluster);
    one_fewer(&mut cluster);
    cluster.assert_answers();
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

/// The number is kept: who comes in the place of a worker that died is one of them.
pub fn a_worker_that_dies_is_replaced_in_whatever_number(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    for _ in 0..2 {
        one_more(&mut cluster);
    }
    let killed: BTreeSet<_> =
        cluster.workers.iter().map(|worker| (*worker, KILLED.to_owned())).collect();
    for (worker, _) in &killed {
        cluster.send(Signal::SIGKILL, *worker);
    }
    assert_deaths(&cluster.replaced(3), &killed);
    assert_eq!(cluster.children().len(), 3, "there should be three workers again");
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

pub fn a_worker_that_is_told_to_go_finishes_what_it_has_and_gets_no_more(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    let mut busy = asks_half(&cluster, worker);
    let mut kept = asks(&cluster);
    answer(&mut kept).or_fail("it should be answered");
    let held = descriptors(worker).len();
    one_more(&mut cluster);
    cluster.send(Signal::SIGTTOU, cluster.primary);
    is_answered_for_the_last_time(&mut kept);
    let mut clients: Vec<TcpStream> = (0..20).map(|_| asks(&cluster)).collect();
    for client in &mut clients {
        answer(client).or_fail("the other worker should answer");
    }
    assert!(descriptors(worker).len() <= held, "it should get no more connections");
    assert!(!is_dead(worker), "it has a request to finish");
    busy.write_all(REST).or_fail("the connection should be open");
    let last = answer(&mut busy).or_fail("it should finish its request");
    assert!(last.is_the_last(), "and say that this is the last: {last:?}");
    cluster.dies(worker, FINISHED);
    assert_eq!(cluster.children().len(), 1, "nobody should come in its place");
}

/// One promise starts so many workers that another, which times pauses, would be late. The first
/// that ends leaves the machine to the other.
static MACHINE: Mutex<()> = Mutex::new(());

/// 1,024 are as many as `WORKERS` may be.
pub fn there_are_never_more_than_1024_workers(name: &str) {
    let _alone = MACHINE.lock();
    let mut cluster = Cluster::start(step(name), 1_023);
    one_more(&mut cluster);
    cluster.send(Signal::SIGTTIN, cluster.primary);
    for _ in 0..3 {
        cluster.assert_answers();
    }
    // Those of the start may have been started in another order than they have said so.
    cluster.send(Signal::SIGTTOU, cluster.primary);
    cluster.one_dies(FINISHED);
    assert_eq!(cluster.children().len(), 1_023, "one should have gone");
}

/// Such a terminal stops whoever prints in the background, by SIGTTOU. Here that signal means one
/// worker fewer, so a line would cost a worker.
#[cfg(target_os = "linux")]
pub fn in_the_background_of_a_terminal_its_lines_cost_no_worker(name: &str) {
    let mut command = Command::new("script");
    let step = step(name);
    let job = format!("set -m; stty tostop -opost; {:?} & wait", step.get_program());
    command.args(["--quiet", "--return", "--command", &job, "/dev/null"]).env("WORKERS", "3");
    command.env("SHELL", "/bin/sh");
    let mut cluster = Cluster::spawn(command, Console::Read);
    let line = cluster.line();
    let primary = line.strip_prefix("마스터 프로세스 아이디: ").and_then(crate::pid);
    let primary = primary.expect("the first line should be the primary's");
    let children = || crate::processes().into_iter().filter(|it| it.parent == primary).count();
    for _ in 0..3 {
        cluster.started();
    }
    let worker = cluster.workers[0];
    for _ in 0..3 {
        cluster.assert_answers();
    }
    kill(worker, Signal::SIGKILL).expect("it has just said that it runs");
    cluster.dies(worker, KILLED);
    cluster.started();
    assert_eq!(children(), 3, "no line should have cost a worker");
    kill(primary, Signal::SIGTERM).expect("it has just printed a line");
    cluster.news(0, 3, 0);
    cluster.wait_for_end();
}

// Under load.

/// Clients ask all the time, over connections that they keep and over new ones, while workers come
/// and go.
pub fn while_workers_come_and_go_under_load_no_request_is_lost(name: &str) {
    let mut cluster = Cluster::start(step(name), 2);
    cluster.assert_answers();
    let before = descriptors(cluster.primary).len();
    let load = Load::default();
    load.during(cluster.port.number, (1, 1), || {
        for _ in 0..100 {
            one_more(&mut cluster);
            // Those of the start may have been started in another order than they have said so.
            cluster.send(Signal::SIGTTOU, cluster.primary);
            cluster.one_dies(FINISHED);
        }
    });
    load.assert_lost_to_kills_alone(200);
    assert_eq!(cluster.children().len(), 2, "one was to go for each that came");
    until("the primary should hold the descriptors it began with, and no more", || {
        descriptors(cluster.primary).len() <= before
    });
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

/// Workers that are a second old are killed, in every second round after they were stopped and then
/// clients have come: these connections can have reached only a worker that is not killed, or none.
pub fn kills_under_load_lose_nothing_but_what_the_dead_had(name: &str) {
    let mut cluster = Cluster::start(step(name), 16);
    cluster.assert_answers();
    let before = descriptors(cluster.primary).len();
    let load = Load::default();
    load.during(cluster.port.number, (0, 2), || {
        let mut born = BTreeMap::new();
        for round in 0..60 {
            one_round(&mut cluster, &mut born, round, &load);
        }
    });
    load.assert_lost_to_kills_alone(300);
    nothing_is_left_of_the_dead(name, &cluster, 16, before);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(&mut cluster, start);
}

/// As many workers as before, no zombie, and the descriptors with which all began.
pub fn nothing_is_left_of_the_dead(name: &str, cluster: &Cluster, workers: usize, before: usize) {
    let children = cluster.children();
    let zombies = children.iter().filter(|child| child.state == 'Z').count();
    assert_eq!(zombies, 0, "a worker that died stays as a zombie");
    assert_eq!(children.len(), workers, "the primary has another number of workers now");
    until("the primary should hold the descriptors it began with, and no more", || {
        descriptors(cluster.primary).len() <= before
    });
    let fresh = descriptors(Cluster::start(step(name), 1).workers[0]).len();
    for worker in &cluster.workers {
        until("a worker should have closed the connections that its clients have left", || {
            descriptors(*worker).len() == fresh
        });
    }
}

fn one_round(cluster: &mut Cluster, born: &mut BTreeMap<Pid, Instant>, round: usize, load: &Load) {
    use Signal::{SIGABRT, SIGALRM, SIGKILL, SIGQUIT, SIGUSR1};
    // From 08 on HUP, as INT and TERM, is not for a worker alone.
    let signals = [SIGABRT, SIGALRM, SIGKILL, SIGQUIT, SIGUSR1];
    for worker in &cluster.workers {
        born.entry(*worker).or_insert_with(Instant::now);
    }
    // Those that have said so first are the first to be old enough.
    let victims = cluster.workers[..1 + round % 3].to_vec();
    until("the workers should be a second old", || {
        victims.iter().all(|worker| born[worker].elapsed() > A_LIFE)
    });
    let mut waiting = Vec::new();
    let stopped = round.is_multiple_of(2);
    if stopped {
        stop(cluster, &victims);
        waiting.extend((0..4).map(|_| asks(cluster)));
    }
    let mut expected = BTreeSet::new();
    for (at, worker) in victims.iter().enumerate() {
        // Any other signal waits until a worker goes on that is stopped.
        let signal = if stopped { SIGKILL } else { signals[(round + at) % signals.len()] };
        load.kill(cluster, *worker, signal);
        born.remove(worker);
        expected.insert((*worker, format!("code null signal {signal}")));
    }
    let deaths = cluster.replaced(victims.len());
    assert_deaths(&deaths, &expected);
    for mut client in waiting {
        answer(&mut client).or_fail("a connection that no worker had taken should not be lost");
    }
}

/// What every program promises whose primary has patience, a limit, a clean end and as many workers
/// as it is told: what the steps from 05 on have brought, each its own. The page is the step's.
#[macro_export]
macro_rules! promises_of_every_supervisor {
    ($step:literal $(, $needs:ident)?) => {
        $crate::promises! { $step $(, $needs)?:
            a_wrong_port_is_one_line_and_starts_nothing
            a_wrong_number_of_workers_is_one_line_and_starts_nothing
            a_wrong_number_of_failures_is_one_line_and_starts_nothing
            a_taken_port_is_one_line_and_starts_nothing
            without_port_set_it_is_8086
            nobody_outside_this_machine_is_answered
            a_client_that_hangs_up_ends_no_worker
            a_console_that_nobody_reads_ends_it_quietly
            one_primary_starts_as_many_workers_as_asked_for
            without_workers_set_there_is_one_for_each_cpu
            no_worker_outlives_a_primary_that_was_killed
            a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
            a_hup_that_was_ignored_at_the_start_stays_ignored
            a_child_that_is_not_its_own_is_not_logged
            a_worker_that_nobody_started_says_so_and_ends
            #[cfg(target_os = "linux")] // No other system can tell a worker that is stopped.
            no_stopped_worker_outlives_a_primary_that_was_killed
            #[cfg(target_os = "linux")] // /proc says what a worker has open.
            a_program_that_a_worker_starts_would_inherit_nothing

            #[cfg(target_os = "linux")] // /proc says who has a connection.
            a_thousand_connections_one_after_another_go_to_four_workers_in_turn
            six_connections_to_one_worker_are_answered_while_all_stay_open
            a_worker_that_is_stopped_and_killed_loses_no_client
            while_a_worker_stays_stopped_the_others_answer_all_that_comes_later
            #[cfg(target_os = "linux")] // Other systems count them in another way.
            a_connection_that_cannot_be_sent_is_answered_once_it_can
            five_hundred_connections_with_64_descriptors_are_answered_in_part_and_then_again
            a_header_that_is_not_ascii_is_answered
            http_1_0_keeps_a_connection_where_it_is_asked_to_and_says_so
            who_closes_its_sending_side_is_answered
            who_sends_three_megabytes_that_nobody_reads_is_answered
            the_second_of_two_requests_in_one_segment_is_not_late
            a_client_that_resets_its_connection_is_not_worth_a_word

            the_pause_grows_by_half_with_each_worker_in_a_row_that_died_young
            a_worker_that_lived_for_a_second_is_replaced_at_once_and_the_pauses_begin_anew
            too_many_in_a_row_that_died_young_in_one_place_end_it_in_order
            a_program_that_ends_at_its_start_ends_the_primary_after_so_many
            a_worker_that_cannot_be_started_counts_as_one_that_died_young
            #[cfg(target_os = "linux")] // No other system limits the processes of one that runs.
            a_worker_that_cannot_be_started_is_started_once_it_can
            a_console_that_stands_still_stops_nobody

            told_to_end_it_ends_at_once_where_nobody_is_connected
            told_to_end_it_finishes_fifty_requests_and_refuses_new_ones
            no_worker_that_finishes_outlives_a_primary_that_was_killed
            who_is_in_the_kernels_queue_when_it_is_told_to_end_is_answered
            who_is_in_the_kernels_queue_is_answered_where_descriptors_are_used_up
            who_keeps_a_connection_and_asks_for_nothing_is_waited_for_a_second
            who_asks_again_within_that_second_is_answered_for_the_last_time
            two_signals_at_once_are_one
            the_second_ctrl_c_ends_all_at_once
            term_and_ctrl_c_are_not_for_a_worker_alone
            told_to_end_during_a_pause_it_ends_at_once_where_nobody_waits
            told_to_end_during_a_pause_it_answers_who_waits_and_then_ends
            where_every_place_is_given_up_it_ends_without_delay
            #[cfg(target_os = "linux")]
            #[ignore = "needs unshare: util-linux, and the right to make a namespace for processes"]
            as_process_1_it_ends_in_order_by_term_and_by_ctrl_c
            after_ten_seconds_nothing_is_waited_for_any_longer

            ttin_starts_one_more_and_ttou_ends_the_oldest_but_never_the_last
            a_worker_that_dies_is_replaced_in_whatever_number
            a_worker_that_is_told_to_go_finishes_what_it_has_and_gets_no_more
            after_ten_seconds_a_worker_that_was_told_to_go_is_killed
            #[cfg(target_os = "linux")]
            #[ignore = "needs script: util-linux"]
            in_the_background_of_a_terminal_its_lines_cost_no_worker

            while_workers_come_and_go_under_load_no_request_is_lost
            kills_under_load_lose_nothing_but_what_the_dead_had
        }
    };
}
