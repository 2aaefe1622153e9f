//! Step 17: where one Redis dies another takes over.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::promises::{SORRY, SetOnDrop, Visitor, ask_for};
use support::transcript::play_all;
use support::{
    Cluster, Ended, OrFail, Port, Redis, Sentinels, Signal, always_answers, assert_nothing,
    assert_says, assert_status, connect, is_dead, side_by_side, step, until, within,
};

support::promises_of_every_session!("17_failover", Sentinels);
support::promises! { "17_failover", Sentinels:
    no_worker_outlives_a_primary_that_was_killed
    #[cfg(target_os = "linux")] // /proc says what a worker has open.
    a_program_that_a_worker_starts_would_inherit_nothing
    told_to_end_it_finishes_fifty_requests_and_refuses_new_ones
    twenty_reloads_under_load_lose_no_request
    an_old_worker_stays_until_a_new_one_is_ready
}

#[test]
#[ignore = "needs redis-server"]
fn the_console_is_what_the_book_shows() {
    play_all("17_");
}

const A_SECOND: Duration = Duration::from_secs(1);

/// The step, with these sentinels, which takes as long for an answer as it ever may: a busy machine is
/// no reason to say that there is none.
fn with(all: &Sentinels) -> Command {
    let mut command = step("17_failover");
    command.env("REDIS_URL", all.url()).env("REDIS_MILLISECONDS", "2000");
    command
}

/// The step as it is without that setting.
fn hasty(all: &Sentinels) -> Command {
    let mut command = with(all);
    command.env_remove("REDIS_MILLISECONDS");
    command
}

/// What this Redis holds of the visitor.
fn held(redis: &Redis, visitor: &Visitor) -> u64 {
    let key = format!("session:{}", visitor.id.as_ref().expect("it was here"));
    redis.cli(&["GET", &key])[0].parse().unwrap_or(0)
}

/// Visits until that is counted. Until then it is told that it cannot be. Returns the count, and how
/// long each answer took before.
#[track_caller]
fn visit_until_counted(visitor: &mut Visitor) -> (u64, Vec<Duration>) {
    let (mut count, mut waits) = (0, Vec::new());
    until("a visit should be counted", || {
        let start = Instant::now();
        match visitor.try_visit() {
            Ok(visit) => count = visit.count,
            Err(instead) => {
                assert!(instead.contains(SORRY), "it should be told: {instead}");
                waits.push(start.elapsed());
            }
        }
        count > 0
    });
    (count, waits)
}

/// Nothing happened to a worker, and so often one said what is wrong, in a line of its own, and of
/// the master or the sentinels.
#[track_caller]
fn says_so(cluster: &mut Cluster, times: RangeInclusive<usize>) -> String {
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(lines, "nothing happened to a worker");
    let is_known = |line: &&str| {
        line.starts_with("Error: mymaster=127.0.0.1:") || line.starts_with("Error: REDIS_URL=")
    };
    assert_nothing(stderr.lines().filter(|line| !is_known(line)), "nothing else should be said");
    let said = stderr.lines().count();
    assert!(times.contains(&said), "it should say that {times:?} times, but it says:\n{stderr}");
    stderr
}

// A master that goes.

/// However the master goes: within five seconds the visits are counted again, by the same workers,
/// and until then nobody waits for long.
fn counts_go_on_when_the_master(goes: fn(&mut Redis)) {
    within(5 * A_SECOND, "the counts should go on", || {
        let mut all = Sentinels::start();
        let mut cluster = Cluster::start(hasty(&all), 2);
        let mut visitor = Visitor::new(&cluster);
        assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the page should count the visits");
        goes(&mut all.redis[0]);
        let start = Instant::now();
        let (count, mut waits) = visit_until_counted(&mut visitor);
        let took = start.elapsed();
        waits.sort();
        println!("{took:.2?}, {} visits not counted, {:.2?} at most", waits.len(), waits.last());
        assert!(!waits.is_empty(), "nobody counts while there is no master");
        let median = waits[waits.len() / 2];
        assert!(median < A_SECOND, "a visitor should soon be told, but it takes {median:?}");
        // Who was told that a visit could not be counted may have been counted all the same.
        assert!((5..=5 + waits.len() as u64).contains(&count), "not from 4 on, but {count}");
        let more: Vec<_> = (0..6).map(|_| visitor.visit()).collect();
        let counts: Vec<u64> = more.iter().map(|visit| visit.count).collect();
        assert_eq!(counts, (count + 1..=count + 6).collect::<Vec<_>>(), "and on from there");
        let workers: BTreeSet<_> = more.iter().map(|visit| visit.worker).collect();
        assert_eq!(workers, cluster.workers.iter().copied().collect(), "by both, as ever");
        assert_eq!(held(&all.redis[1], &visitor), count + 6, "by the other Redis");
        says_so(&mut cluster, 1..=2);
        took
    });
}

#[test]
#[ignore = "needs redis-server"]
fn when_the_master_is_killed_the_counts_go_on_within_five_seconds() {
    counts_go_on_when_the_master(Redis::kill);
}

#[test]
#[ignore = "needs redis-server"]
fn when_the_master_is_stopped_the_counts_go_on_within_five_seconds() {
    counts_go_on_when_the_master(|redis| redis.stop());
}

/// Visits go on in six windows while it is killed. What was acknowledged is held, for the replica had
/// it at once.
#[test]
#[ignore = "needs redis-server"]
fn a_master_that_is_killed_under_load_loses_nobody_whom_the_replica_has() {
    let mut all = Sentinels::start();
    let mut cluster = Cluster::start(hasty(&all), 2);
    let windows = under_load(&cluster, || {
        all.redis[0].kill();
        all.until_master_is(1);
    });
    for (visitor, counts) in &windows {
        let held = held(&all.redis[1], visitor);
        let last = *counts.last().expect("it was here");
        // What the master had sent the replica, and not yet told the worker, is one of each at most.
        println!("{} visits answered, the last as number {last}, held {held}", counts.len());
        assert!(counts.is_sorted_by(|a, b| a < b), "a count should never go back or come twice");
        assert!(last <= held, "what was acknowledged should be held: {last}, {held}");
    }
    says_so(&mut cluster, 1..=2);
}

/// Has six visitors come again and again, before `it` is done and after. Each with its counts.
fn under_load(cluster: &Cluster, it: impl FnOnce()) -> Vec<(Visitor, Vec<u64>)> {
    let (end, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let come = |mut visitor: Visitor| {
        let (mut counts, mut after) = (Vec::new(), 0);
        // At least ten more once it is over.
        while after < 10 {
            let is_over = end.load(Ordering::Relaxed);
            if let Ok(visit) = visitor.try_visit() {
                counts.push(visit.count);
                counted.fetch_add(1, Ordering::Relaxed);
                after += usize::from(is_over);
            }
        }
        (visitor, counts)
    };
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..6).map(|_| Visitor::new(cluster)).collect();
        let threads = visitors.into_iter().map(|it| scope.spawn(|| come(it)));
        let threads: Vec<_> = threads.collect();
        let _end = SetOnDrop(&end);
        until("there should be some load", || counted.load(Ordering::Relaxed) >= 100);
        it();
        end.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// It is empty, and takes itself for a master for a while: the sentinels wait before they tell it.
#[test]
#[ignore = "needs redis-server"]
fn a_master_that_comes_back_takes_no_visits() {
    let mut all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
    all.redis[0].kill();
    let (count, _) = visit_until_counted(&mut visitor);
    all.in_their_own_time();
    all.redis[0].start_again();
    let role = |redis: &Redis| redis.cli(&["ROLE"])[0].clone();
    assert_eq!(role(&all.redis[0]), "master", "it should not know better yet");
    let expected: Vec<u64> = (count + 1..=count + 20).collect();
    assert_eq!(visitor.counts(20), expected, "the counts should go on");
    assert_eq!(role(&all.redis[0]), "master", "it was to be one all the time");
    assert_nothing(all.redis[0].keys(), "nothing should be written there");
    all.in_no_time();
    all.settled();
    assert_eq!(visitor.visit().count, count + 21, "nor later, when it is the replica");
    assert_eq!(held(&all.redis[0], &visitor), count + 21, "to which that comes from the master");
    says_so(&mut cluster, 1..=2);
}

/// Nobody came meanwhile, so that each worker still has its connection to it.
#[test]
#[ignore = "needs redis-server"]
fn a_master_that_was_stopped_and_wakes_takes_no_visits() {
    let all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the page should count the visits");
    all.redis[0].stop();
    all.until_master_is(1);
    all.redis[0].go_on();
    assert_eq!(visitor.counts(4), [5, 6, 7, 8], "the counts should go on at the new master");
    all.settled();
    assert_eq!(visitor.counts(2), [9, 10], "nor later");
    says_so(&mut cluster, 0..=0);
}

// What is lost.

#[test]
#[ignore = "needs redis-server"]
fn what_a_replica_that_was_cut_off_does_not_have_is_lost() {
    let mut all = Sentinels::start();
    let cluster = Cluster::start(with(&all), 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(3), [1, 2, 3], "the page should count the visits");
    until("the replica should have them", || held(&all.redis[1], &visitor) == 3);
    all.cut_off();
    assert_eq!(visitor.counts(4), [4, 5, 6, 7], "the master counts alone");
    all.redis[0].kill();
    let (count, _) = visit_until_counted(&mut visitor);
    assert_eq!(count, 4, "four visits were acknowledged, and are lost");
}

#[test]
#[ignore = "needs redis-server"]
fn with_min_replicas_to_write_it_refuses_to_count_what_could_be_lost() {
    let mut all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(3), [1, 2, 3], "the page should count the visits");
    until("the replica should have them", || held(&all.redis[1], &visitor) == 3);
    all.redis[0].order("CONFIG SET min-replicas-to-write 1");
    all.cut_off();
    for _ in 0..4 {
        let instead = visitor.try_visit().expect_err("nobody but the master has this");
        assert!(instead.contains(SORRY), "it should be told: {instead}");
    }
    all.redis[0].kill();
    let (count, _) = visit_until_counted(&mut visitor);
    assert_eq!(count, 4, "nothing that was acknowledged is lost");
    let said = says_so(&mut cluster, 2..=4);
    assert!(said.contains("NOREPLICAS Not enough good replicas to write."), "{said}");
}

/// The old master goes on to count until it is told, and whoever has asked the sentinels before does
/// not know.
#[test]
#[ignore = "needs redis-server"]
fn a_planned_failover_loses_what_the_old_master_still_acknowledges() {
    let all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let mut lost = 0;
    for _ in 0..5 {
        let to = 1 - all.master();
        let windows = under_load(&cluster, || {
            all.fail_over();
            all.until_master_is(to);
            all.until_workers_are_at(to, 2);
        });
        for (visitor, counts) in windows {
            let held = held(&all.redis[to], &visitor);
            println!("{} acknowledged, and {held} held", counts.len());
            lost += counts.len().saturating_sub(held as usize);
            assert!(held > counts.len() as u64 / 10, "most should be held");
            let last = *counts.last().unwrap();
            assert_eq!(last, held, "it should go on from what is held");
        }
        if lost > 0 {
            break;
        }
        all.settled();
    }
    assert!(lost > 0, "what is acknowledged in a planned failover should be lost, in part");
    assert!(cluster.workers.iter().all(|worker| !is_dead(*worker)), "no worker should have ended");
    assert_nothing(cluster.end().lines, "nothing happened to a worker");
}

/// Whoever writes to the old master has to wait, and then its connection ends.
#[test]
#[ignore = "needs redis-server"]
fn a_planned_failover_loses_nothing_where_the_old_master_is_told_to_pause_first() {
    let all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let windows = under_load(&cluster, || {
        all.redis[0].order("CLIENT PAUSE 60000 WRITE");
        all.fail_over();
        all.until_master_is(1);
        all.until_workers_are_at(1, 2);
    });
    for (visitor, counts) in windows {
        let held = held(&all.redis[1], &visitor);
        println!("{} acknowledged, and {held} held", counts.len());
        assert!(counts.is_sorted_by(|a, b| a < b), "a count should never go back or come twice");
        assert!(counts.len() as u64 <= held, "{} acknowledged, but {held} held", counts.len());
    }
    // Of six visits that wait for the old master each may give up after another has been counted at
    // the new one: then its worker says once more that there is trouble.
    says_so(&mut cluster, 0..=8);
}

// Sentinels that are away, or wrong.

/// The first sentinel is gone in this way before the start, and then the master is killed.
fn it_follows_the_other_sentinels_where_the_first(goes: fn(&mut Redis)) {
    let mut all = Sentinels::start();
    let url = all.url();
    goes(&mut all.sentinels[0]);
    let mut command = with(&all);
    command.env("REDIS_URL", url);
    let mut cluster = Cluster::start(command, 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the others should be asked");
    all.redis[0].kill();
    let (count, _) = visit_until_counted(&mut visitor);
    assert_eq!(count, 5, "and the others should choose");
    says_so(&mut cluster, 1..=2);
}

#[test]
#[ignore = "needs redis-server"]
fn where_the_first_sentinel_is_dead_the_others_are_asked() {
    it_follows_the_other_sentinels_where_the_first(Redis::kill);
}

#[test]
#[ignore = "needs redis-server"]
fn where_the_first_sentinel_is_silent_the_others_are_asked() {
    it_follows_the_other_sentinels_where_the_first(|sentinel| sentinel.stop());
}

/// What a sentinel says where this is the port of the master.
fn names(port: u16) -> String {
    let port = port.to_string();
    format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
}

const HTTP: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

#[test]
#[ignore = "needs redis-server"]
fn what_one_sentinel_says_is_nothing_against_what_two_say() {
    let (all, other) = (Sentinels::start(), Redis::start());
    let other_master = names(other.port());
    for answer in ["", HTTP, "-ERR no\r\n", "$-1\r\n", "*0\r\n", "+OK\r\n", &other_master] {
        let mut command = with(&all);
        let liar = always_answers(answer.to_owned());
        let rest = all.sentinels[..2].iter().map(Redis::url).collect::<Vec<_>>().join(",");
        command.env("REDIS_URL", format!("redis://{liar},{rest}"));
        let mut cluster = Cluster::start(command, 1);
        assert_eq!(Visitor::new(&cluster).counts(2), [1, 2], "{answer:?} should not matter");
        says_so(&mut cluster, 0..=0);
    }
    assert_nothing(other.keys(), "the other Redis is nobody's master");
}

/// They are asked again after a second, and nobody answers. With less time than a sentinel could take,
/// some is left for the master that is known: on a busy machine, in the best of five rounds.
#[test]
#[ignore = "needs redis-server"]
fn where_no_sentinel_answers_the_master_that_is_known_goes_on() {
    let ways: [fn(&mut Redis); 2] = [Redis::kill, |sentinel| sentinel.stop()];
    for goes in ways {
        let goes_on = (0..5).any(|_| {
            let mut all = Sentinels::start();
            let mut command = with(&all);
            command.env("REDIS_MILLISECONDS", "900");
            let mut cluster = Cluster::start(command, 2);
            let mut visitor = Visitor::new(&cluster);
            assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
            all.sentinels.iter_mut().for_each(goes);
            let start = Instant::now();
            let mut counts = 3..;
            while start.elapsed() < 3 * A_SECOND {
                match visitor.try_visit() {
                    Ok(visit) => assert_eq!(Some(visit.count), counts.next(), "it should go on"),
                    Err(_) => return false,
                }
            }
            says_so(&mut cluster, 0..=0);
            true
        });
        assert!(goes_on, "each visit should be counted, but in all of five rounds one was not");
    }
}

// At the start, and when Redis refuses.

/// The step starts nothing with this command, and says so in one line that begins like this, with no
/// password. Returns the line.
#[track_caller]
fn refused(mut command: Command, start: &str) -> String {
    let port = Port::reserve();
    command.env("WORKERS", "2").env("RUST_BACKTRACE", "1");
    command.env("PORT", port.number.to_string());
    let output = Cluster::output(command);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.stdout, b"", "{start}: it should start nothing");
    assert!(stderr.starts_with(start), "it should begin with {start}, but it is {stderr}");
    assert_eq!(stderr.lines().count(), 1, "it should be one line: {stderr}");
    assert!(!stderr.contains("secret"), "the password is for nobody to see: {stderr}");
    assert_status(output.status, 1);
    TcpListener::bind(("127.0.0.1", port.number)).or_fail("the port should be free");
    stderr
}

fn with_url(url: &str) -> Command {
    let mut command = step("17_failover");
    command.env("REDIS_URL", url);
    command
}

#[test]
#[ignore = "needs redis-server"]
fn urls_that_cannot_be_read_are_one_line_without_them_and_start_nothing() {
    for url in [
        "",
        ",",
        "redis",
        "redis://127.0.0.1:26379,",
        "redis://127.0.0.1:26379,127.0.0.1:26380",
        "redis://127.0.0.1:26379,redis://127.0.0.1:port",
        "redis://:secret@127.0.0.1:26379,http://:secret@127.0.0.1:26380",
        "redis://user:secret,1@127.0.0.1:26379",
        "rediss://:secret@127.0.0.1:26379",
    ] {
        refused(with_url(url), "Error: REDIS_URL: ");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn whoever_is_no_sentinel_for_it_is_one_line_without_the_password_and_starts_nothing() {
    let [nobody, nobody_else] = [Port::reserve(), Port::reserve()];
    let [nobody, nobody_else] = [nobody, nobody_else].map(|it| format!("127.0.0.1:{}", it.number));
    let (redis, all) = (Redis::start(), Sentinels::start());
    let unknown = &all.sentinels[0];
    unknown.order("SENTINEL REMOVE mymaster");
    let locked = Sentinels::start_with(None, Some("secret-1"));
    let locked = locked.sentinels[0].address();
    for (urls, addresses, why) in [
        (format!("redis://:secret@{nobody}"), nobody.clone(), "refused"),
        (
            format!("redis://:secret@{nobody},redis://me:secret@{nobody_else}/0"),
            format!("{nobody},{nobody_else}"),
            "refused",
        ),
        (redis.url(), redis.address(), "ERR unknown command 'SENTINEL'"),
        (unknown.url(), unknown.address(), "no mymaster"),
        (format!("redis://{locked}"), locked.clone(), "NOAUTH"),
        (format!("redis://:secret-2@{locked}"), locked.clone(), "authentication failed"),
    ] {
        let line = refused(with_url(&urls), &format!("Error: REDIS_URL={addresses}: "));
        assert!(line.contains(why), "it should say why, {why:?}: {line}");
    }
    let address = always_answers(HTTP.to_owned());
    refused(with_url(&format!("redis://{address}")), &format!("Error: REDIS_URL={address}: "));
}

#[test]
#[ignore = "needs redis-server"]
fn sentinels_or_a_master_that_hang_at_the_start_are_one_line_within_some_seconds() {
    let all = Sentinels::start();
    let start = Instant::now();
    all.sentinels.iter().for_each(Redis::stop);
    let line = refused(hasty(&all), &format!("Error: REDIS_URL={}: ", all.address()));
    assert!(line.contains("timed out"), "it should say why: {line}");
    // As patient as 15.
    assert!(start.elapsed() < 9 * A_SECOND, "after {:?}", start.elapsed());
    all.sentinels.iter().for_each(Redis::go_on);
    drop(all);
    // Nobody chooses another one here.
    let hung = Redis::start();
    hung.stop();
    let address = always_answers(names(hung.port()));
    let mut command = with_url(&format!("redis://{address}"));
    command.env_remove("REDIS_MILLISECONDS");
    let line = refused(command, &format!("Error: mymaster={}: ", hung.address()));
    assert!(line.contains("timed out"), "it should say why: {line}");
}

#[test]
#[ignore = "needs redis-server"]
fn the_password_of_the_first_sentinel_is_for_the_master_too() {
    let both = Sentinels::start_with(Some("secret-1"), Some("secret-1"));
    let master_alone = Sentinels::start_with(Some("secret-1"), None);
    // A sentinel without a password takes any of the user `default`.
    let url = |it: &Redis| format!("redis://default:secret-1@{}", it.address());
    let urls = master_alone.sentinels.iter().map(url).collect::<Vec<_>>().join(",");
    for (urls, mut all) in [(both.url(), both), (urls, master_alone)] {
        let mut command = with_url(&urls);
        command.env("REDIS_MILLISECONDS", "2000");
        let mut cluster = Cluster::start(command, 1);
        let mut visitor = Visitor::new(&cluster);
        assert_eq!(visitor.counts(2), [1, 2], "with the password it should work");
        all.redis[0].kill();
        assert_eq!(visit_until_counted(&mut visitor).0, 3, "and with the new master, too");
        let said = says_so(&mut cluster, 1..=1);
        assert!(!said.contains("secret"), "the password is for nobody to see: {said}");
    }
    let all = Sentinels::start_with(Some("secret-1"), None);
    let start = format!("Error: mymaster={}: ", all.redis[0].address());
    let line = refused(with(&all), &start);
    assert!(line.contains("NOAUTH"), "it should say why: {line}");
    let wrong = all.url().replace("redis://", "redis://default:secret-2@");
    refused(with_url(&wrong), &start);
}

#[test]
#[ignore = "needs redis-server"]
fn a_worker_that_the_master_refuses_is_not_ready() {
    let all = Sentinels::start();
    let mut cluster = Cluster::start(with(&all), 2);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
    all.redis[0].order("CONFIG SET maxmemory 1");
    cluster.send(Signal::SIGHUP, cluster.primary);
    cluster.one_dies("code 1 signal null");
    until("two lines should tell of it", || cluster.stderr().lines().count() == 2);
    let start = format!("Error: mymaster={}: OOM ", all.redis[0].address());
    let stderr = cluster.stderr();
    assert!(stderr.starts_with(&start), "it should say why in Redis's words: {stderr}");
    let off = "\nError: reload called off: the new worker ended before it was ready\n";
    assert!(stderr.ends_with(off), "the reload should be called off: {stderr}");
    refused(with(&all), &start);
    all.redis[0].order("CONFIG SET maxmemory 0");
    assert_eq!(visitor.counts(2), [3, 4], "the old ones should go on");
}

#[test]
#[ignore = "needs redis-server"]
fn a_worker_that_is_replaced_while_there_is_no_master_starts_and_works_once_there_is_one() {
    for signal in [Signal::SIGKILL, Signal::SIGHUP] {
        let mut all = Sentinels::start();
        let mut cluster = Cluster::start(with(&all), 1);
        let worker = cluster.workers[0];
        let mut visitor = Visitor::new(&cluster);
        assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
        all.redis[0].kill();
        let to = if signal == Signal::SIGHUP { cluster.primary } else { worker };
        cluster.send(signal, to);
        let deaths = cluster.replaced(1);
        assert!(deaths.iter().all(|(dead, _)| *dead == worker), "{deaths:?}");
        assert_eq!(visit_until_counted(&mut visitor).0, 3, "{signal}: the counts should go on");
        says_so(&mut cluster, 0..=1);
    }
}

// While the master hangs.

/// Stands between the step and this Redis. Where it is told to, it passes on the next visit, and keeps
/// to itself what Redis says on that connection from then on.
fn relay(redis: &Redis) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (address, to) = (listener.local_addr().expect("it is bound"), redis.address());
    let keeps_the_next = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&keeps_the_next);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(redis) = TcpStream::connect(&to) else { continue };
            let (told, keeps) = (Arc::clone(&told), Arc::new(AtomicBool::new(false)));
            for (mut from, mut to, is_client) in [(&client, &redis, true), (&redis, &client, false)]
                .map(|(from, to, it)| (from.try_clone().unwrap(), to.try_clone().unwrap(), it))
            {
                let (told, keeps) = (Arc::clone(&told), Arc::clone(&keeps));
                thread::spawn(move || {
                    let mut part = [0; 4096];
                    while let Ok(length @ 1..) = from.read(&mut part) {
                        let is_a_visit =
                            is_client && part[..length].windows(4).any(|it| it == b"EXEC");
                        if is_a_visit && told.swap(false, Ordering::SeqCst) {
                            keeps.store(true, Ordering::SeqCst);
                        }
                        if is_client || !keeps.load(Ordering::SeqCst) {
                            let _ = to.write_all(&part[..length]);
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (address, keeps_the_next)
}

/// Redis has counted it, and nobody can tell.
#[test]
#[ignore = "needs redis-server"]
fn a_visit_whose_answer_does_not_come_is_not_counted_twice_and_costs_one_connection() {
    let redis = Redis::start();
    let (address, keeps_the_next) = relay(&redis);
    let sentinel = always_answers(names(address.port()));
    let mut command = with_url(&format!("redis://{sentinel}"));
    command.env("REDIS_MILLISECONDS", "2000");
    let mut cluster = Cluster::start(command, 1);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(1), [1], "the page should count the visits");
    for count in [3, 5] {
        keeps_the_next.store(true, Ordering::SeqCst);
        let instead = visitor.try_visit().expect_err("no answer came");
        assert!(instead.contains(SORRY), "it should be told: {instead}");
        assert_eq!(visitor.visit().count, count, "the one without an answer counts once");
    }
    assert_eq!(held(&redis, &visitor), 5, "nothing more should have come later");
    let why = format!("Error: mymaster={address}: timed out\n");
    assert_says(&says_so(&mut cluster, 2..=2), &why.repeat(2));
}

#[test]
#[ignore = "needs redis-server"]
fn while_the_master_hangs_it_says_so_once() {
    let all = Sentinels::start();
    // Nobody takes over, however long it hangs.
    for sentinel in &all.sentinels {
        sentinel.order("SENTINEL SET mymaster down-after-milliseconds 60000");
    }
    let mut cluster = Cluster::start(with(&all), 1);
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(1), [1], "the page should count the visits");
    for _ in 0..2 {
        let count = held(&all.redis[0], &visitor);
        all.redis[0].stop();
        for _ in 0..3 {
            visitor.try_visit().expect_err("Redis hangs");
        }
        all.redis[0].go_on();
        let next = visitor.visit().count;
        assert!((count + 1..=count + 4).contains(&next), "each at most once: {next} after {count}");
    }
    says_so(&mut cluster, 2..=2);
}

/// The master alone, and then the sentinels, too.
#[test]
#[ignore = "needs redis-server"]
fn while_all_hang_fifty_at_once_are_told_within_a_second_and_others_answered_at_once() {
    let all = Sentinels::start();
    // Nobody takes over, however long it hangs.
    for sentinel in &all.sentinels {
        sentinel.order("SENTINEL SET mymaster down-after-milliseconds 60000");
    }
    let mut cluster = Cluster::start(hasty(&all), 1);
    let port = cluster.port.number;
    assert_eq!(Visitor::new(&cluster).visit().count, 1, "the first visit is the first");
    all.redis[0].stop();
    for with_sentinels in [false, true] {
        if with_sentinels {
            all.sentinels.iter().for_each(Redis::stop);
        }
        within(A_SECOND, "fifty should be told that nobody counts", || {
            let start = Instant::now();
            for answer in side_by_side(0..50, |_| ask_for("/", None, &mut connect(port))) {
                let answer = answer.or_fail("it should be answered");
                assert_eq!((answer.status(), &*answer.body), (Some(503), SORRY), "{answer:?}");
            }
            start.elapsed()
        });
        within(A_SECOND / 4, "who needs no Redis should be answered", || {
            let start = Instant::now();
            let answer = ask_for("/health", None, &mut connect(port));
            assert_eq!(answer.or_fail("it should be answered").status(), Some(200));
            start.elapsed()
        });
    }
    says_so(&mut cluster, 1..=1);
}
