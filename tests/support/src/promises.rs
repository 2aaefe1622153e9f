//! What several steps promise. Each test file calls the macros at the end for its own step.

mod handoff;
mod load;
mod reload;
mod session;
mod supervise;

pub use handoff::*;
pub use load::{Load, SetOnDrop, at_least};
pub use reload::*;
pub use session::*;
pub use supervise::*;

use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use predicates::prelude::{Predicate, PredicateBooleanExt, predicate};

use super::{
    Cluster, Console, DEADLINE, Ended, OrFail, PAGE, Port, REQUEST, answer, assert_nothing,
    assert_status, connect, descriptors, is_dead, is_stopped, limit_descriptors, limit_processes,
    reset, says, step, step_of_an_ordinary_user, until, within, zombie_status,
};

// Settings and the port.

pub fn a_wrong_port_is_one_line_and_starts_nothing(name: &str) {
    for value in ["", " ", "0", "-1", "65536", "eighty", "80.86", "8086 ", "99999999999999999999"] {
        refuses(name, "PORT", value, ": not a whole number from 1 to 65535\n");
    }
}

pub fn a_wrong_number_of_workers_is_one_line_and_starts_nothing(name: &str) {
    for value in ["", " ", "0", "-1", "1025", "two", "2.5", "2 ", "99999999999999999999"] {
        refuses(name, "WORKERS", value, ": not a whole number from 1 to 1024\n");
    }
}

/// With this `setting` the step starts nothing: it prints one line, `Error: ` with that and `why`.
#[track_caller]
fn refuses(name: &str, setting: &str, value: &str, why: &str) {
    let mut command = step(name);
    command.env("WORKERS", "2").env(setting, value).env("RUST_BACKTRACE", "1");
    is_refused(command, &format!("Error: {setting}={value:?}{why}"));
}

/// The program starts nothing, and prints one line, an error with this in it, on stderr.
#[track_caller]
fn is_refused(command: Command, why: &str) {
    let Ended { status, lines, stderr } = Cluster::spawn(command, Console::Read).wait_for_end();
    assert_nothing(&lines, &format!("only `{}` should come, on stderr", why.trim_end()));
    let one_line = predicate::str::starts_with("Error: ")
        .and(predicate::str::contains(why))
        .and(predicate::str::contains("\n").count(1));
    says(&stderr, why, one_line.eval(&stderr));
    assert_status(status, 1);
}

pub fn a_taken_port_is_one_line_and_starts_nothing(name: &str) {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = step(name);
    command.env("PORT", port.number.to_string()).env("WORKERS", "2").env("RUST_BACKTRACE", "1");
    is_refused(command, &format!("PORT={}: Address", port.number));
}

/// Nobody's server is in the way of this: where 8086 is free it is taken, and where another program
/// has it, the step says just the same.
pub fn without_port_set_it_is_8086(name: &str) {
    for _ in 0..10 {
        let taken = TcpListener::bind(("127.0.0.1", 8086));
        let mut command = step(name);
        command.env_remove("PORT").env("WORKERS", "1");
        let mut cluster = Cluster::spawn(command, Console::Read);
        if cluster.next_line(DEADLINE).is_none() {
            let Ended { status, stderr, .. } = cluster.wait_for_end();
            // Without PORT it should say that 8086 is taken.
            let taken = "PORT=8086: Address";
            says(&stderr, taken, stderr.contains(taken));
            assert_status(status, 1);
            return;
        }
        let what = "without PORT it should listen on 8086, which is taken, but it starts";
        assert!(taken.is_err(), "{what}");
        // Whoever had the port has just left it: once more.
    }
    panic!("port 8086 is taken and left by somebody all the time");
}

pub fn nobody_outside_this_machine_is_answered(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    // A server that listens on all addresses answers on these, too.
    for address in other_addresses() {
        let address = SocketAddr::new(address, cluster.port.number);
        let other = TcpStream::connect_timeout(&address, DEADLINE);
        assert!(other.is_err(), "it should listen on 127.0.0.1 only, but {address} answers");
    }
    cluster.assert_answers();
}

/// Addresses of this machine that are not 127.0.0.1. A machine without any (on macOS, without a
/// network) cannot be reached by anybody else in the first place.
fn other_addresses() -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    if cfg!(target_os = "linux") {
        // All of 127.0.0.0/8 is this machine here; on macOS, 127.0.0.1 alone.
        addresses.push(IpAddr::from([127, 0, 0, 2]));
    }
    // For UDP, to connect sends nothing: it only chooses the address to send from. 192.0.2.1 is
    // nobody's, RFC 5737.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let chosen = socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr());
    addresses.extend(chosen.map(|address| address.ip()).into_iter().filter(|it| !it.is_loopback()));
    addresses
}

// Clients.

pub fn the_page_is_the_same_for_every_path_and_method(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    cluster.assert_answer("GET", "/", 200, PAGE);
    cluster.assert_answer("POST", "/any/path?at=all", 200, PAGE);
}

/// Whether a client closes or resets its connection, before the worker takes it or after, with half
/// a request or a whole one.
pub fn a_client_that_hangs_up_ends_no_worker(name: &str) {
    // The worker of a crashing step lives for a second after the first whole request. What takes
    // longer, on a busy machine, says nothing.
    let a_second = Duration::from_secs(1);
    within(a_second, "clients should hang up, and the next one be answered,", || {
        let mut cluster = Cluster::start(step(name), 1);
        let worker = cluster.workers[0];
        let before = descriptors(worker).len();
        let half = hang_up_with_half_a_request(cluster.port.number);
        let start = Instant::now();
        let whole = half.and_then(|()| hang_up_with_a_request(&cluster));
        let mut lives = true;
        until("the worker should have closed every connection", || {
            lives = !is_dead(worker);
            let done = !lives || descriptors(worker).len() <= before;
            if !done {
                // Where panics have ended the threads that were to take them, tiny_http leaves
                // connections waiting until others come.
                let _ = TcpStream::connect(("127.0.0.1", cluster.port.number));
            }
            done
        });
        let answers = whole.is_ok() && lives && cluster.get("/").is_ok();
        let took = start.elapsed();
        if !answers && took < a_second {
            panic!("the worker should go on when clients hang up, but now it answers nobody");
        }
        let stderr = cluster.end().stderr;
        assert!(
            is_of_tiny_http(&stderr),
            "a client hung up, and a step's own code should say nothing of it: {stderr}"
        );
        took
    });
}

/// The error is that nobody listens any more.
fn hang_up_with_half_a_request(port: u16) -> io::Result<()> {
    // Fewer than wait in the queue for accept(2), 128: the next would be a second late.
    for _ in 0..20 {
        drop(TcpStream::connect(("127.0.0.1", port))?);
        for hang_up in [drop as fn(TcpStream), reset] {
            let mut client = TcpStream::connect(("127.0.0.1", port))?;
            client.write_all(b"GET / HT")?;
            hang_up(client);
        }
    }
    Ok(())
}

/// The error is that the worker has gone.
fn hang_up_with_a_request(cluster: &Cluster) -> io::Result<()> {
    let (address, worker) = (("127.0.0.1", cluster.port.number), cluster.workers[0]);
    // Before the worker takes the connection.
    cluster.try_send(Signal::SIGSTOP as i32, worker)?;
    until("the worker should be stopped", || is_stopped(worker));
    for _ in 0..5 {
        let mut client = TcpStream::connect(address)?;
        client.write_all(REQUEST)?;
        reset(client);
    }
    cluster.try_send(Signal::SIGCONT as i32, worker)?;
    for hang_up in [drop as fn(TcpStream), reset] {
        // One that asks much and does not wait: its worker writes to a closed socket.
        let mut rude = TcpStream::connect(address)?;
        rude.write_all(&REQUEST.repeat(50))?;
        rude.shutdown(Shutdown::Both)?;
        drop(rude);
        // One that leaves when the answers begin to come, or soon after.
        let mut rude = TcpStream::connect(address)?;
        rude.set_read_timeout(Some(Duration::from_millis(50)))?;
        rude.write_all(&REQUEST.repeat(50))?;
        let _ = rude.read(&mut [0]);
        hang_up(rude);
    }
    Ok(())
}

/// Whether `stderr` holds nothing, or only panics in tiny_http's own files. They look like this,
/// the first line and the last of these only where a program leaves them to the standard library:
///
/// ```text
/// thread '<unnamed>' (33097) panicked at …/tiny_http-0.12.0/src/client.rs:153:45:
/// called `Option::unwrap()` on a `None` value
/// note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
/// ```
fn is_of_tiny_http(stderr: &str) -> bool {
    let mut lines = stderr.lines();
    while let Some(line) = lines.next() {
        match line.split_once("panicked at ") {
            // The next line is the panic's own.
            Some((_, place)) if place.contains("/tiny_http-") => drop(lines.next()),
            None if line.is_empty() || line.starts_with("note: run with") => {}
            _ => return false,
        }
    }
    true
}

/// As many idle connections as use up the worker's descriptors come and go. Each takes two, and
/// with one of the two limits it is the second for which there is none.
pub fn a_worker_without_descriptors_answers_again_or_ends(name: &str) {
    for limit in [40, 41] {
        let mut cluster = Cluster::start(limit_descriptors(step(name), limit), 1);
        let worker = cluster.workers[0];
        keep_zombies(&cluster);
        let idle: Vec<TcpStream> = (0..limit).map(|_| connect(cluster.port.number)).collect();
        until("the connections should use up the descriptors", || {
            let used_up = descriptors(worker).len() >= limit as usize;
            used_up || is_dead(worker) || !cluster.stderr().is_empty()
        });
        drop(idle);
        never_deaf(&mut cluster);
    }
}

/// As many idle connections as use up the threads that the worker may start come and go.
#[cfg(target_os = "linux")]
pub fn a_worker_without_threads_answers_again_or_ends(name: &str) {
    let mut cluster = Cluster::start(step_of_an_ordinary_user(name), 1);
    let worker = cluster.workers[0];
    keep_zombies(&cluster);
    super::allow_new_processes_and_threads(worker, false);
    let mut idle = Vec::new();
    for _ in 0..30 {
        // One after another: several at once may wait for the same thread.
        let taken = descriptors(worker).len();
        idle.push(TcpStream::connect(("127.0.0.1", cluster.port.number)));
        until("the worker should take the connection, or need a thread for it", || {
            let is_taken = descriptors(worker).len() > taken;
            is_taken || is_dead(worker) || !cluster.stderr().is_empty()
        });
    }
    super::allow_new_processes_and_threads(worker, true);
    drop(idle);
    never_deaf(&mut cluster);
}

/// Stops the primary, so that its worker stays a zombie once it has ended, with its status to read:
/// some primaries say nothing of it. On Linux only, see [`zombie_status`].
fn keep_zombies(cluster: &Cluster) {
    if cfg!(target_os = "linux") {
        cluster.send(Signal::SIGSTOP, cluster.primary);
        until("the primary should be stopped", || is_stopped(cluster.primary));
    }
}

/// The one worker of the cluster answers, or it has ended by itself and with a code that says that
/// something was wrong: 1 is the steps' own, 101 a panic's. A primary that replaces its workers has
/// then another one that answers.
fn never_deaf(cluster: &mut Cluster) {
    let worker = cluster.workers[0];
    let (mut client, mut buffer) = (None, [0; 512]);
    let deadline = Instant::now() + DEADLINE;
    let answered = loop {
        let asked = client.get_or_insert_with(|| {
            let mut client = connect(cluster.port.number);
            client.set_read_timeout(Some(Duration::from_millis(5))).expect("it is no zero");
            let _ = client.write_all(REQUEST);
            client
        });
        match asked.read(&mut buffer) {
            Ok(1..) => break true,
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            // It was closed: once more, unless the worker is about to end.
            Ok(0) | Err(_) => client = None,
        }
        if is_dead(worker) {
            break false;
        }
        if Instant::now() > deadline {
            panic!(
                "nobody holds up the worker any more, but for {DEADLINE:?} it has answered nobody, \
                 and it has not ended"
            );
        }
    };
    if cfg!(target_os = "linux") {
        let status = zombie_status(worker);
        let well = answered || matches!(status, Some(WaitStatus::Exited(_, 1 | 101)));
        let how = match status {
            Some(WaitStatus::Exited(_, code)) => format!("exited with code {code}"),
            Some(WaitStatus::Signaled(_, signal, _)) => format!("was ended by {signal}"),
            _ => "had ended before any client came".to_owned(),
        };
        assert!(well, "the worker should answer, or exit with code 1 or 101, but it {how}");
        cluster.send(Signal::SIGCONT, cluster.primary);
    }
    // A crashing step's worker that has answered has another second.
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = cluster.get("/") {
        if is_dead(cluster.primary) {
            // It may end with its last worker.
            return assert_status(cluster.wait_for_end().status, 0);
        }
        assert!(Instant::now() < deadline, "a worker should answer again, but {error}");
    }
}

// The console.

pub fn a_console_that_nobody_reads_ends_it(name: &str) {
    ends_without_a_console(name);
}

pub fn a_console_that_nobody_reads_ends_it_quietly(name: &str) {
    let stderr = ends_without_a_console(name);
    assert_nothing(stderr.lines(), "`… | head -1` should end without a word on stderr");
}

/// Returns what it says of that on stderr.
fn ends_without_a_console(name: &str) -> String {
    let mut command = step(name);
    command.env("WORKERS", "2");
    let mut cluster = Cluster::spawn(command, Console::Unread);
    let Ended { status, stderr, .. } = cluster.wait_for_end();
    assert!(!status.success(), "nobody reads what it says, so it should fail, but it ends well");
    stderr
}

pub fn ctrl_c_ends_all_at_once_and_logs_nothing(name: &str) {
    within(Duration::from_secs(1), "Ctrl-C should end all", || {
        let mut cluster = Cluster::start(step(name), 3);
        let start = Instant::now();
        cluster.interrupt();
        let Ended { lines, stderr, .. } = cluster.wait_for_end();
        let took = start.elapsed();
        if cfg!(target_os = "linux") {
            // Elsewhere a worker may die, and be logged, before the signal has reached the primary.
            assert_nothing(&lines, "Ctrl-C should log nothing and respawn nothing");
        }
        assert_nothing(stderr.lines(), "stderr should be empty");
        took
    });
}

// The primary and its workers.

pub fn one_primary_starts_as_many_workers_as_asked_for(name: &str) {
    let mut cluster = Cluster::start(step(name), 3);
    let mut children: Vec<_> = cluster.children().iter().map(|child| child.pid).collect();
    let mut workers = cluster.workers.clone();
    children.sort();
    workers.sort();
    assert_eq!(children, workers, "the primary's children should be those that said that they run");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(&lines, "with WORKERS=3 the console should have ended after three workers");
    assert_nothing(stderr.lines(), "nothing went wrong, so stderr should be empty");
}

pub fn without_workers_set_there_is_one_for_each_cpu(name: &str) {
    let mut command = step(name);
    command.env_remove("WORKERS");
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.introduced();
    for _ in 0..num_cpus::get() {
        cluster.started();
    }
    let workers = cluster.children().len();
    assert_eq!(workers, num_cpus::get(), "without WORKERS there should be one worker a CPU");
}

/// Also: a connection is never lost on a worker that cannot take it.
pub fn every_worker_answers_on_the_one_port(name: &str) {
    for awake in 0..3 {
        let cluster = Cluster::start(step(name), 3);
        let mut asleep = cluster.workers.clone();
        asleep.remove(awake);
        for worker in &asleep {
            cluster.send(Signal::SIGSTOP, *worker);
        }
        until("the other workers should be stopped", || asleep.iter().all(|pid| is_stopped(*pid)));
        // On Linux a worker that is stopped takes no connection. On macOS it may still take one, for
        // the thread that waits in accept(2) stops on its way out: then one of three is not taken.
        let mut clients: Vec<_> = (0..3).map(|_| connect(cluster.port.number)).collect();
        for client in &mut clients {
            client.write_all(REQUEST).or_fail("the connection should be open");
        }
        if cfg!(target_os = "linux") {
            let what = format!("worker {} of 3 should answer all clients alone", awake + 1);
            for client in &mut clients {
                answer(client).or_fail(&what);
            }
            continue;
        }
        let answered = |client: &mut TcpStream| {
            let mut text = [0; 4096];
            let length = client.read(&mut text).unwrap_or(0);
            text[..length].starts_with(b"HTTP/1.1 200 OK")
        };
        for client in &clients {
            client.set_nonblocking(true).unwrap();
        }
        until("the worker that is awake should have answered one client of three", || {
            let mut here = clients.iter_mut().map(answered).enumerate();
            let done = here.find(|(_, answered)| *answered).map(|(at, _)| at);
            done.map(|at| clients.remove(at)).is_some()
        });
        for worker in &asleep {
            cluster.send(Signal::SIGCONT, *worker);
        }
        for client in &mut clients {
            client.set_nonblocking(false).unwrap();
            assert!(answered(client), "a connection should wait for the worker that took it");
        }
    }
}

/// However the primary goes, and at the least a second later.
fn no_worker_outlives_the_primary(name: &str, signal: Signal) {
    within(Duration::from_secs(1), "no worker should outlive its primary: all should end", || {
        ends_with_nothing_left(&mut Cluster::start(step(name), 3), signal)
    });
}

/// Sends `signal` to the primary and waits for the end of all: the primary ends by it, nothing more
/// is printed, and the port is free. Returns how long the end took.
fn ends_with_nothing_left(cluster: &mut Cluster, signal: Signal) -> Duration {
    let start = Instant::now();
    cluster.send(signal, cluster.primary);
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    let took = start.elapsed();
    assert_ended_by(signal, status);
    assert_nothing(&lines, "nobody is left to log anything");
    assert_nothing(stderr.lines(), "stderr should be empty");
    let port = cluster.port.number;
    TcpListener::bind(("127.0.0.1", port)).or_fail("the port should be free again");
    took
}

/// The primary died by `signal`, or ended in order because of it and says so as a shell would, with
/// 128 and its number.
fn assert_ended_by(signal: Signal, status: ExitStatus) {
    let number = signal as i32;
    let told = status.signal() == Some(number) || status.code() == Some(128 + number);
    assert!(told, "the primary should have ended by {signal}, but it did so with {status}");
}

pub fn no_worker_outlives_a_primary_that_was_killed(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGKILL);
}

pub fn no_worker_outlives_a_primary_that_was_terminated(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGTERM);
}

pub fn no_worker_outlives_a_primary_that_was_interrupted(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGINT);
}

pub fn no_worker_outlives_a_primary_that_was_hung_up(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGHUP);
}

pub fn a_primary_that_cannot_fork_says_so_in_one_line_and_ends(name: &str) {
    let mut command = limit_processes(step_of_an_ordinary_user(name), 0);
    command.env("WORKERS", "2").env("RUST_BACKTRACE", "1");
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.introduced();
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_nothing(&lines, "no worker can have started");
    assert!(stderr.starts_with("Error: fork: "), "it should say what failed: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "it should say so in one line: {stderr}");
    assert_status(status, 1);
}

/// As by `trap '' CHLD` in a shell. An ignored SIGCHLD would hide who has ended, wait(2).
pub fn a_death_is_logged_even_if_sigchld_was_ignored_at_the_start(name: &str) {
    let mut command = step(name);
    command.env("WORKERS", "2");
    let mut cluster = Cluster::spawn_ignoring(command, Console::Read, &[Signal::SIGCHLD]);
    cluster.introduced();
    let worker = cluster.started();
    cluster.started();
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, "code null signal SIGKILL");
}

// The clock of a crashing step.

pub fn a_worker_exits_one_second_after_its_first_answer_however_often_it_is_asked(name: &str) {
    let a_second = Duration::from_secs(1);
    within(a_second.mul_f64(1.25), "a worker that has answered should exit", || {
        let cluster = Cluster::start(step(name), 1);
        let mut connection = connect(cluster.port.number);
        let start = Instant::now();
        let mut answers = 0;
        let instead = loop {
            let _ = connection.write_all(REQUEST);
            match answer(&mut connection) {
                Ok(_) => answers += 1,
                Err(instead) => break instead,
            }
            assert!(start.elapsed() < DEADLINE, "after one second it should exit, but it goes on");
        };
        let life = start.elapsed();
        let what = "until it exits, the worker should give answer after answer";
        assert!(answers > 1, "{what}, but after {answers} of them {instead}");
        assert!(
            life >= a_second,
            "a worker should live for one second after its first answer, but {life:.2?} after it \
             {instead}"
        );
        life
    });
}

/// One test for each promise of these that a step keeps, by name. `Redis` or `Sentinels` says that
/// it needs one, or those.
#[macro_export]
macro_rules! promises {
    ($step:literal, $needs:ident: $($(#[$condition:meta])* $promise:ident)*) => {
        $(#[allow(unused_attributes, reason = "it may need something else, too")]
        #[ignore = "needs redis-server"]
        $(#[$condition])*
        #[test]
        fn $promise() {
            $crate::$needs::share();
            $crate::promises::$promise($step);
        })*
    };
    ($step:literal: $($(#[$condition:meta])* $promise:ident)*) => {
        $($(#[$condition])*
        #[test]
        fn $promise() {
            $crate::promises::$promise($step);
        })*
    };
}

/// What every program promises, be its workers processes or threads.
#[macro_export]
macro_rules! promises_of_every_server {
    ($step:literal) => {
        $crate::promises! { $step:
            a_wrong_port_is_one_line_and_starts_nothing
            a_wrong_number_of_workers_is_one_line_and_starts_nothing
            a_taken_port_is_one_line_and_starts_nothing
            without_port_set_it_is_8086
            nobody_outside_this_machine_is_answered
            a_client_that_hangs_up_ends_no_worker
        }
    };
}

/// The same where Ctrl-C ends all at once, as it does up to step 07.
#[macro_export]
macro_rules! promises_of_every_program {
    ($step:literal) => {
        $crate::promises_of_every_server!($step);
        $crate::promises! { $step: ctrl_c_ends_all_at_once_and_logs_nothing }
    };
}

/// What every program whose workers are processes promises besides.
#[macro_export]
macro_rules! promises_of_every_cluster {
    ($step:literal) => {
        $crate::promises! { $step:
            one_primary_starts_as_many_workers_as_asked_for
            without_workers_set_there_is_one_for_each_cpu
            every_worker_answers_on_the_one_port
            no_worker_outlives_a_primary_that_was_killed
            no_worker_outlives_a_primary_that_was_terminated
            no_worker_outlives_a_primary_that_was_interrupted
            no_worker_outlives_a_primary_that_was_hung_up
            a_primary_that_cannot_fork_says_so_in_one_line_and_ends
        }
    };
}
