//! What the steps promise whose primary accepts each connection and hands it to a worker.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
#[cfg(target_os = "linux")]
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::ends_with_nothing_left;
use super::supervise::asks;
use crate::{
    Cluster, Console, DEADLINE, Ended, GREETING, OrFail, REQUEST, answer, any_answer,
    assert_nothing, assert_says, assert_status, begin_to_connect, connect, is_dead, is_stopped,
    limit_descriptors, reset, step, until, within,
};
#[cfg(target_os = "linux")]
use crate::{limit_descriptors_softly, step_of_an_ordinary_user};

// Who gets a connection.

/// Who answers is looked up: the worker that has a socket which nobody had before.
#[cfg(target_os = "linux")]
pub fn a_thousand_connections_one_after_another_go_to_four_workers_in_turn(name: &str) {
    let cluster = Cluster::start(step(name), 4);
    let mut seen: std::collections::BTreeSet<String> =
        cluster.workers.iter().flat_map(|worker| crate::sockets(*worker)).collect();
    let mut order = Vec::new();
    for _ in 0..1_000 {
        let mut client = asks(&cluster);
        answer(&mut client).or_fail("each connection should be answered");
        let mut owners = cluster.workers.iter().enumerate().filter_map(|(at, worker)| {
            let new: Vec<String> =
                crate::sockets(*worker).into_iter().filter(|it| !seen.contains(it)).collect();
            (!new.is_empty()).then_some((at, new))
        });
        let (owner, new) = owners.next().expect("a worker holds the connection");
        seen.extend(new);
        order.push(owner);
    }
    let shares = [0, 1, 2, 3].map(|worker| order.iter().filter(|it| **it == worker).count());
    assert_eq!(shares, [250; 4], "each of the four workers should have got a fourth");
    let wrong = order.iter().enumerate().position(|(at, worker)| *worker != order[at % 4]);
    assert_eq!(wrong, None, "the order should repeat, but it does not from here on: {order:?}");
}

pub fn six_connections_to_one_worker_are_answered_while_all_stay_open(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let mut clients: Vec<TcpStream> = (0..6).map(|_| asks(&cluster)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        answer(client).or_fail(&format!("connection {} of 6 should be answered", at + 1));
    }
}

// A worker that is stopped.

pub fn a_worker_that_is_stopped_and_killed_loses_no_client(name: &str) {
    for stopped in 1..=2 {
        let cluster = Cluster::start(step(name), 2);
        let asleep = &cluster.workers[..stopped];
        stop(&cluster, asleep);
        let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(cluster.port.number)).collect();
        for client in &mut clients {
            client.write_all(REQUEST).or_fail("the connection should be open");
        }
        // The workers that are awake answer all but what the others were handed: one each.
        if stopped == 1 {
            until("the worker that is awake should answer seven of eight clients", || {
                clients.retain_mut(|client| !is_answered_within(client, SOON));
                clients.len() == 1
            });
        }
        for worker in asleep {
            cluster.send(Signal::SIGKILL, *worker);
        }
        for client in &mut clients {
            let what = "a worker was stopped, given a connection and killed: another should answer";
            answer(client).or_fail(what);
        }
    }
}

pub fn while_a_worker_stays_stopped_the_others_answer_all_that_comes_later(name: &str) {
    let cluster = Cluster::start(step(name), 3);
    stop(&cluster, &cluster.workers[..1]);
    let mut first: Vec<TcpStream> = (0..3).map(|_| asks(&cluster)).collect();
    until("two workers should answer two of three clients", || {
        first.retain_mut(|client| !is_answered_within(client, SOON));
        first.len() == 1
    });
    for _ in 0..50 {
        cluster.assert_answers();
    }
    assert!(!is_answered_within(&mut first[0], SOON), "one client waits for the sleeper");
    cluster.send(Signal::SIGCONT, cluster.workers[0]);
    answer(&mut first[0]).or_fail("the sleeper should answer once it is awake");
}

/// Where the primary ends by itself, because of a signal.
pub fn no_stopped_worker_outlives_a_primary_that_was_told_to_end(name: &str) {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        within(Duration::from_secs(1), "a stopped worker should not outlive its primary", || {
            let mut cluster = Cluster::start(step(name), 2);
            stop(&cluster, &cluster.workers[..1]);
            ends_with_nothing_left(&mut cluster, signal)
        });
    }
}

/// Where the primary can do nothing any more. A process group that loses its last parent is woken
/// up by the kernel, setpgid(2); so here the group has another member, as in a script.
#[cfg(target_os = "linux")]
pub fn no_stopped_worker_outlives_a_primary_that_was_killed(name: &str) {
    within(Duration::from_secs(1), "a stopped worker should not outlive its primary", || {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" & exec sleep 60"]).arg(step(name).get_program());
        command.env("WORKERS", "1");
        let mut cluster = Cluster::spawn(command, crate::Console::Read);
        let line = cluster.line();
        let primary = line.strip_prefix("마스터 프로세스 아이디: ").and_then(crate::pid);
        let worker = cluster.started();
        kill(worker, Signal::SIGSTOP).expect("it has just said that it runs");
        until("the worker should be stopped", || is_stopped(worker));
        let start = Instant::now();
        let primary = primary.expect("a process id");
        cluster.send(Signal::SIGKILL, primary);
        until("a stopped worker should end with its primary", || {
            is_dead(worker) && is_dead(primary)
        });
        let took = start.elapsed();
        let port = cluster.port.number;
        TcpListener::bind(("127.0.0.1", port)).or_fail("the port should be free again");
        cluster.end();
        took
    });
}

/// A child that the primary did not start: a shell starts one, and then becomes the primary.
pub fn a_child_that_is_not_its_own_is_not_logged(name: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 0.2 & exec \"$0\""]).arg(step(name).get_program());
    let mut cluster = Cluster::start(command, 1);
    let worker = cluster.workers[0];
    until("the child that is a stranger should have ended", || {
        cluster.children().iter().all(|child| child.pid == worker || is_dead(child.pid))
    });
    cluster.assert_answers();
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, "code null signal SIGKILL");
    let new = cluster.started();
    let alive: Vec<Pid> =
        cluster.children().iter().map(|child| child.pid).filter(|pid| !is_dead(*pid)).collect();
    assert_eq!(alive, [new], "one worker was asked for");
}

/// `CLUSTER_WORKER` is set in a shell, say, and forgotten.
pub fn a_worker_that_nobody_started_says_so_and_ends(name: &str) {
    let mut command = step(name);
    command.env("CLUSTER_WORKER", "1");
    let output = Cluster::output(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_says(&said, "Error: CLUSTER_WORKER is set, but stdin is no channel\n");
    assert_nothing(String::from_utf8_lossy(&output.stdout).lines(), "it should print nothing else");
    assert_status(output.status, 1);
}

// What HTTP and its clients may do.

/// Every second connection asks, the others are idle, and none of them goes before all have come.
pub fn five_hundred_connections_with_64_descriptors_are_answered_in_part_and_then_again(
    name: &str,
) {
    let mut cluster = Cluster::start(limit_descriptors(step(name), 64), 2);
    let workers = cluster.workers.clone();
    let clients: Vec<TcpStream> = (0..500).map(|_| begin_to_connect(cluster.port.number)).collect();
    let mut asked = [false; 500];
    let mut answered = [false; 500];
    // A worker has fewer than 16 other descriptors, and every second connection that it has asks.
    let fit = 2 * (64 - 16) / 2;
    until("as many clients should be answered as the workers have descriptors for", || {
        for (at, mut client) in clients.iter().enumerate().step_by(2) {
            asked[at] = asked[at] || client.write(REQUEST).is_ok();
            answered[at] = answered[at] || client.read(&mut [0; 4096]).is_ok_and(|it| it > 0);
        }
        answered.iter().filter(|it| **it).count() >= fit
    });
    drop(clients);
    for _ in 0..10 {
        cluster.assert_answers();
    }
    assert!(workers.iter().all(|worker| !is_dead(*worker)), "no worker should have ended");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(&lines, "it should have nothing to log");
    assert_nothing(stderr.lines(), "nothing should panic");
}

pub fn a_header_that_is_not_ascii_is_answered(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let mut client = connect(cluster.port.number);
    client
        .write_all("GET / HTTP/1.1\r\nHost: localhost\r\nX-Name: 홍길동\r\n\r\n".as_bytes())
        .or_fail("the connection should be open");
    answer(&mut client).or_fail("a header may hold any byte, RFC 9110, 5.5, and be answered");
}

pub fn http_1_0_keeps_a_connection_where_it_is_asked_to_and_says_so(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let mut client = connect(cluster.port.number);
    for _ in 0..2 {
        client
            .write_all(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            .or_fail("the connection should be open");
        let head = answer(&mut client).or_fail("the page should come").head;
        assert!(head.contains("\r\nconnection: keep-alive\r\n"), "it should say so: {head}");
    }
}

/// Also: where its worker is stopped meanwhile.
pub fn a_client_that_resets_its_connection_is_not_worth_a_word(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    for stopped in [false, true] {
        if stopped {
            stop(&cluster, &[worker]);
        }
        for length in [0, 8, REQUEST.len()] {
            for _ in 0..5 {
                let mut client = connect(cluster.port.number);
                client.write_all(&REQUEST[..length]).or_fail("the connection should be open");
                reset(client);
            }
        }
    }
    cluster.send(Signal::SIGCONT, worker);
    cluster.assert_answers();
    assert!(!is_dead(worker), "the worker should live");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(
        lines.iter().map(String::as_str).chain(stderr.lines()),
        "a client that left is no news",
    );
}

/// As `printf … | nc -N` does: the request is whole, and nothing more will come.
pub fn who_closes_its_sending_side_is_answered(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    for round in 1..=30 {
        let mut client = asks(&cluster);
        client.shutdown(Shutdown::Write).or_fail("the connection should be open");
        answer(&mut client)
            .or_fail(&format!("request {round} of 30 was whole, and should be answered"));
    }
}

/// A worker that answers without having read it would reset the connection, and the client, which is
/// still sending, might not see the answer.
pub fn who_sends_three_megabytes_that_nobody_reads_is_answered(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    for path in ["/", "/none"] {
        let mut client = connect(cluster.port.number);
        let what = format!("POST {path} with three megabytes");
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n");
        client.write_all(head.as_bytes()).or_fail(&what);
        for part in 0..30 {
            client.write_all(&[b'x'; 100_000]).or_fail(&format!("{what} should be taken"));
            if part == 0 {
                // Whether a client sees an answer that comes now is a matter of luck.
                client.set_read_timeout(Some(10 * SOON)).expect("it is no zero");
                let is_early = client.peek(&mut [0]).is_ok();
                assert!(!is_early, "{what} should be read first, but it is answered, or closed");
            }
        }
        client.set_read_timeout(Some(DEADLINE)).expect("it is no zero");
        any_answer(&mut client).or_fail(&format!("{what} should be answered"));
    }
}

/// Without TCP_NODELAY the second answer waits until the client confirms the first, which it does
/// some 40 ms later, once it has got used to the connection: Nagle's algorithm and delayed
/// acknowledgments, tcp(7).
pub fn the_second_of_two_requests_in_one_segment_is_not_late(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    within(Duration::from_millis(20), "most times both of two requests should be answered", || {
        let mut client = connect(cluster.port.number);
        let mut pair = || {
            let start = Instant::now();
            client.write_all(&REQUEST.repeat(2)).or_fail("the connection should be open");
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while text.matches(GREETING).count() < 2 {
                let length = client.read(&mut buffer).or_fail("both should be answered");
                assert_ne!(length, 0, "both requests should be answered, but this is all: {text}");
                text += &String::from_utf8_lossy(&buffer[..length]);
            }
            start.elapsed()
        };
        let mut times: Vec<Duration> = (0..40).map(|_| pair()).skip(20).collect();
        times.sort();
        times[10]
    });
}

// What a worker has, and its children have not.

/// The channel, a connection, the listening socket: whoever had one would keep it open after the
/// worker's death.
#[cfg(target_os = "linux")]
pub fn a_program_that_a_worker_starts_would_inherit_nothing(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let mut client = asks(&cluster);
    answer(&mut client).or_fail("it should be answered");
    let worker = cluster.workers[0];
    let of = |what: &str, number: &str| format!("/proc/{worker}/{what}/{number}");
    let stdin = std::fs::read_link(of("fd", "0")).expect("a worker has a stdin");
    assert_eq!(stdin, std::path::Path::new("/dev/null"), "a worker's stdin is its children's, too");
    for number in crate::descriptors(worker) {
        let Ok(info) = std::fs::read_to_string(of("fdinfo", &number)) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
        let flags = i32::from_str_radix(flags.trim(), 8).expect("they are octal");
        let target = std::fs::read_link(of("fd", &number)).unwrap_or_default();
        let target = target.display().to_string();
        assert!(
            !target.starts_with("socket:") || flags & nix::libc::O_CLOEXEC != 0,
            "descriptor {number} of a worker, {target}, should be close-on-exec"
        );
    }
}

/// `nohup` starts a program with this signal ignored.
pub fn a_hup_that_was_ignored_at_the_start_stays_ignored(name: &str) {
    let mut command = step(name);
    command.env("WORKERS", "1");
    let mut cluster = Cluster::spawn_ignoring(command, Console::Read, &[Signal::SIGHUP]);
    cluster.introduced();
    cluster.started();
    cluster.send_to_all(Signal::SIGHUP).or_fail("it should run");
    for _ in 0..3 {
        cluster.assert_answers();
    }
    cluster.send(Signal::SIGTERM, cluster.primary);
    let Ended { status, .. } = cluster.wait_for_end();
    let code = status.code();
    assert!(matches!(code, Some(0 | 143)), "TERM should end it all the same, but: {status}");
}

// What the kernel refuses.

/// The kernel sends no descriptor where those of one user that are on their way, sent and not yet
/// taken, are more than a process may have open, unix(7): ETOOMANYREFS. That is no news of the
/// worker, which is as free as before.
#[cfg(target_os = "linux")]
pub fn a_connection_that_cannot_be_sent_is_answered_once_it_can(name: &str) {
    let mut command = limit_descriptors(step_of_an_ordinary_user(name), 64);
    command.env("WORKERS", "2");
    let mut cluster = Cluster::start(command, 2);
    let on_their_way = DescriptorsOnTheirWay::send(200);
    let mut clients = [(); 4].map(|()| asks(&cluster));
    for client in &mut clients {
        assert!(!is_answered_within(client, 4 * SOON), "this test should have seen a send fail");
    }
    drop(on_their_way);
    for client in &mut clients {
        answer(client).or_fail("who waited while nothing could be sent should be answered now");
    }
    for _ in 0..4 {
        cluster.assert_answers();
    }
    assert_nothing(cluster.end().stderr.lines(), "nothing is wrong with it");
}

/// Descriptors that the user of [`step_of_an_ordinary_user`] has sent and nobody has taken.
#[cfg(target_os = "linux")]
struct DescriptorsOnTheirWay {
    _channels: Vec<(UnixDatagram, UnixDatagram)>,
}

#[cfg(target_os = "linux")]
impl DescriptorsOnTheirWay {
    fn send(count: usize) -> DescriptorsOnTheirWay {
        use nix::libc::{SYS_setresuid, syscall};
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        use std::os::fd::AsRawFd;

        // The user of a thread is its own, so that of the other tests stays.
        let send = move || {
            if crate::is_root() {
                let nobody = crate::NOBODY;
                // SAFETY: it changes the user of this thread alone, setresuid(2), "C library/kernel
                // differences".
                assert_eq!(
                    unsafe { syscall(SYS_setresuid, nobody, nobody, nobody) },
                    0,
                    "setresuid"
                );
            }
            let mut channels = Vec::new();
            for _ in 0..count {
                let channel = UnixDatagram::pair().expect("descriptors are left");
                let descriptor = [channel.0.as_raw_fd()];
                let message = [ControlMessage::ScmRights(&descriptor)];
                let text = [std::io::IoSlice::new(b"x")];
                sendmsg::<()>(descriptor[0], &text, &message, MsgFlags::empty(), None)
                    .or_fail("this test's own limit of descriptors should be higher");
                channels.push(channel);
            }
            channels
        };
        DescriptorsOnTheirWay { _channels: std::thread::spawn(send).join().expect("it sends") }
    }
}

/// The soft limit of descriptors is one for programs that use select(2). Who may have more, takes
/// more, as Node does.
#[cfg(target_os = "linux")]
pub fn more_workers_can_be_had_than_the_soft_limit_has_descriptors_for(name: &str) {
    let mut command = step(name);
    command.env("WORKERS", "60");
    let mut cluster = Cluster::spawn(limit_descriptors_softly(command, 64), Console::Read);
    cluster.introduced();
    for _ in 0..60 {
        cluster.started();
    }
    cluster.assert_answers();
    assert_nothing(cluster.end().stderr.lines(), "stderr should be empty");
}

// A console that stands still.

/// As after Ctrl-S in a terminal: whoever prints a line, waits. Here stdout is a pipe that is full.
pub fn a_console_that_stands_still_stops_nobody(name: &str) {
    let (mut reader, mut full) = crate::process::pipe();
    let mut command = step(name);
    command.env("WORKERS", "2");
    fill(&mut full);
    let cluster = Cluster::spawn(command, Console::Own(full.into()));
    until("two workers should answer all clients", || cluster.children().len() == 2);
    for _ in 0..2 {
        answers(&cluster);
    }
    let worker = cluster.children()[0].pid;
    cluster.send(Signal::SIGKILL, worker);
    until("another worker should take its place", || {
        let children: Vec<Pid> = cluster.children().iter().map(|child| child.pid).collect();
        children.len() == 2 && !children.contains(&worker)
    });
    for _ in 0..4 {
        answers(&cluster);
    }
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is ours");
    let mut console = Vec::new();
    until("once it is read again, the console should have all lines", || {
        let _ = reader.read_to_end(&mut console);
        let text = String::from_utf8_lossy(&console);
        let told = format!("{worker}번 워커가 종료되었습니다\ncode null signal SIGKILL\n");
        // The one that was killed had not got so far.
        text.contains(&told) && text.matches("번 워커 실행\n").count() == 2
    });
}

/// What it takes to print is no part of a worker's life.
pub fn where_its_console_stands_still_it_gives_up_all_the_same(name: &str) {
    let (_reader, mut full) = crate::process::pipe();
    let mut command = step(name);
    command.env("WORKERS", "1").env("MAX_FAILURES", "2");
    fill(&mut full);
    let mut cluster = Cluster::spawn(command, Console::Own(full.into()));
    for _ in 0..2 {
        let mut worker = None;
        until("a worker should have been started", || {
            worker = cluster.children().first().map(|child| child.pid);
            worker.is_some_and(|worker| !is_dead(worker)) || is_dead(cluster.primary)
        });
        let worker = worker.expect("a worker should have been started, but its primary is dead");
        cluster.send(Signal::SIGKILL, worker);
        until("a worker that was killed should be dead", || is_dead(worker));
    }
    let Ended { status, stderr, .. } = cluster.wait_for_end();
    let why = "so many workers in a row lived less than a second";
    assert_says(&stderr, &format!("Error: MAX_FAILURES=2: {why}\n"));
    assert_status(status, 1);
}

/// Writes to a pipe until it takes no more.
fn fill(pipe: &mut std::io::PipeWriter) {
    let set = |flags| fcntl(&*pipe, FcntlArg::F_SETFL(flags)).expect("it is ours");
    set(OFlag::O_NONBLOCK);
    let mut filler = &*pipe;
    while filler.write(&[b'.'; 4096]).is_ok() {}
    while filler.write(b".").is_ok() {}
    set(OFlag::empty());
}

/// A worker's own first line may keep it for a second.
fn answers(cluster: &Cluster) {
    answer(&mut asks(cluster)).or_fail("the console stands still, and who asks should be answered");
}

/// A glance at a connection, for those that are looked at again and again.
pub(super) const SOON: Duration = Duration::from_millis(5);

pub fn stop(cluster: &Cluster, workers: &[Pid]) {
    for worker in workers {
        cluster.send(Signal::SIGSTOP, *worker);
    }
    until("the workers should be stopped", || workers.iter().all(|worker| is_stopped(*worker)));
}

/// Whether the answer begins to come `within` that time; then it is read. What comes otherwise,
/// an end say, is a panic.
pub(super) fn is_answered_within(client: &mut TcpStream, within: Duration) -> bool {
    client.set_read_timeout(Some(within)).expect("it is no zero");
    let begun = client.peek(&mut [0]);
    client.set_read_timeout(Some(DEADLINE)).expect("it is no zero");
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    match begun {
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => false,
        _ => {
            answer(client).or_fail("a client should get the page, and nothing else");
            true
        }
    }
}
