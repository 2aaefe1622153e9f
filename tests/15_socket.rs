//! Step 15: the listening socket is lent, so that the primary can be replaced.

use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use support::promises::{Load, Visitor, at_least};
use support::transcript::play_all;
use support::{
    Cluster, Console, DEADLINE, Ended, Folder, Installed, Lent, Notify, OrFail, Port, REQUEST,
    Redis, Signal, answer, assert_nothing, assert_says, assert_status, connect, is_stopped, lend,
    step, until, within,
};

// Without a lent socket it is 14. These are where a change of this step could be seen.
support::promises_of_every_session!("15_socket", Redis);
support::promises! { "15_socket", Redis:
    a_taken_port_is_one_line_and_starts_nothing
    without_port_set_it_is_8086
    nobody_outside_this_machine_is_answered
    no_worker_outlives_a_primary_that_was_killed
    #[cfg(target_os = "linux")] // /proc says what a worker has open.
    a_program_that_a_worker_starts_would_inherit_nothing
    a_program_that_ends_at_its_start_ends_the_primary_after_so_many
    told_to_end_it_finishes_fifty_requests_and_refuses_new_ones
    who_is_in_the_kernels_queue_when_it_is_told_to_end_is_answered
    two_signals_at_once_are_one
    twenty_reloads_under_load_lose_no_request
    a_reload_is_called_off_where_the_program_ends_at_its_start
    terminated_during_a_reload_it_ends_in_order
}

#[test]
#[ignore = "needs redis-server"]
fn the_console_is_what_the_book_shows() {
    Redis::share();
    play_all("15_");
}

/// The step. All clusters but those that say something else share one Redis.
fn step_15() -> Command {
    Redis::share();
    step("15_socket")
}

/// Tells it to end, and waits until it has, in order.
#[track_caller]
fn terminated(mut cluster: Cluster) {
    cluster.send(Signal::SIGTERM, cluster.primary);
    let Ended { status, stderr, .. } = cluster.wait_for_end();
    assert_nothing(stderr.lines(), "it should end without a word on stderr");
    assert_status(status, 0);
}

// The socket.

#[test]
#[ignore = "needs redis-server"]
fn a_lent_socket_is_taken_and_the_port_that_is_set_is_left_alone() {
    let (lent, other) = (Lent::listen(), Port::reserve());
    let _taken = TcpListener::bind(("127.0.0.1", other.number)).or_fail("the port should be free");
    let mut command = step_15();
    command.env("PORT", other.number.to_string());
    let cluster = lent.start(command, 2);
    assert_eq!(Visitor::new(&cluster).counts(4), [1, 2, 3, 4], "over the lent one it should count");
    terminated(cluster);
    TcpStream::connect(("127.0.0.1", lent.port.number)).or_fail("it was only lent");
}

/// sd_listen_fds(3): a program that was started in between has left LISTEN_FDS as it was.
#[test]
#[ignore = "needs redis-server"]
fn a_socket_that_is_lent_to_another_process_is_left_alone() {
    let (lent, mut shell) = (Lent::listen(), Command::new("sh"));
    shell.args(["-c", "LISTEN_PID=1; exec \"$0\""]).arg(step_15().get_program());
    let cluster = Cluster::start(lent.to(shell), 1);
    assert_ne!(cluster.port.number, lent.port.number);
    cluster.assert_answers();
}

/// Each of these at descriptor 3 is an error, that says what is wrong.
#[test]
#[ignore = "needs redis-server"]
fn what_is_no_listening_socket_is_one_line_and_starts_nothing() {
    let (lent, folder) = (Lent::listen(), Folder::create());
    let connection = connect(lent.port.number);
    let silent = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let file = File::open("/dev/null").unwrap();
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(folder.path.join("socket")).unwrap();
    let (no_socket, no_tcp) = ("fd 3 is not a socket", "fd 3 is not a valid tcp socket");
    let does_not_listen = "descriptor 3 does not listen";
    let wrong: [(Option<OwnedFd>, &str); 6] = [
        (None, no_socket),
        (Some(file.into()), no_socket),
        (Some(datagram.into()), no_tcp),
        (Some(unix.into()), no_tcp),
        (Some(silent), does_not_listen),
        (Some(connection.into()), does_not_listen),
    ];
    for (descriptor, why) in wrong {
        let mut command = lend(step_15(), &Vec::from_iter(&descriptor));
        command.env("LISTEN_FDS", "1");
        is_refused(command, &format!("Error: LISTEN_FDS: {why}\n"));
    }
}

#[test]
#[ignore = "needs redis-server"]
fn several_sockets_are_one_line_and_start_nothing() {
    let sockets: [OwnedFd; 3] =
        [0; 3].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap().into());
    for count in [2, 3] {
        let command = lend(step_15(), &Vec::from_iter(&sockets[..count]));
        is_refused(command, &format!("Error: LISTEN_FDS={count}: one socket is enough\n"));
    }
}

/// The command starts nothing and ends with status 1. It says why in this line, and nothing else.
#[track_caller]
fn is_refused(mut command: Command, why: &str) {
    command.env("WORKERS", "2").env("RUST_BACKTRACE", "1");
    let Ended { status, lines, stderr } = Cluster::spawn(command, Console::Read).wait_for_end();
    assert_says(&stderr, why);
    assert_nothing(&lines, "it should start nothing");
    assert_status(status, 1);
}

#[test]
#[ignore = "needs redis-server"]
fn two_primaries_on_one_socket_both_answer() {
    let lent = Lent::listen();
    let (one, two) = (lent.start(step_15(), 1), lent.start(step_15(), 1));
    let mut visitor = Visitor::new(&one);
    for (awake, asleep) in [(&one, &two), (&two, &one)] {
        asleep.send(Signal::SIGSTOP, asleep.primary);
        until("one primary should be stopped", || is_stopped(asleep.primary));
        for _ in 0..5 {
            assert_eq!(visitor.visit().worker, awake.workers[0], "the other should answer alone");
        }
        asleep.send(Signal::SIGCONT, asleep.primary);
    }
    terminated(one);
    assert_eq!(visitor.visit().worker, two.workers[0], "and go on where it is left alone");
}

#[test]
#[ignore = "needs redis-server"]
#[cfg(target_os = "linux")] // /proc says what a process has open.
fn no_worker_holds_the_listening_socket() {
    let lent = Lent::listen();
    let mut cluster = lent.start(step_15(), 2);
    for _ in 0..2 {
        assert!(support::sockets(cluster.primary).contains(&lent.name()), "the primary should");
        for worker in &cluster.workers {
            let has_it = support::sockets(*worker).contains(&lent.name());
            assert!(!has_it, "worker {worker} should not hold the listening socket");
        }
        cluster.send(Signal::SIGHUP, cluster.primary);
        cluster.replaced(2);
    }
}

// Readiness.

/// A Redis behind a gate: each connection waits for the test to let it through.
struct Gate {
    redis: Redis,
    url: String,
    arrived: Receiver<TcpStream>,
}

impl Gate {
    fn close() -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let (sender, arrived) = channel();
        thread::spawn(move || {
            let mut connections = listener.incoming().flatten();
            connections.all(|connection| sender.send(connection).is_ok())
        });
        Gate { redis: Redis::start(), url, arrived }
    }

    /// The next connection, as soon as it is there.
    #[track_caller]
    fn next(&self) -> TcpStream {
        self.arrived.recv_timeout(DEADLINE).or_fail("the step should connect to Redis")
    }

    /// Lets this one through.
    fn open_for(&self, client: TcpStream) {
        let server = TcpStream::connect(self.redis.address()).or_fail("Redis should answer");
        let [there, back] = [(&client, &server), (&server, &client)].map(|(from, to)| {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            move || io::copy(&mut from, &mut to)
        });
        thread::spawn(there);
        thread::spawn(back);
    }

    /// Lets all through that still come.
    fn open(self) {
        thread::spawn(move || {
            for client in &self.arrived {
                self.open_for(client);
            }
        });
    }
}

#[test]
#[ignore = "needs redis-server"]
fn it_is_ready_when_a_worker_is_and_says_so_once_and_that_it_stops_when_it_begins_to() {
    let (gate, notify) = (Gate::close(), Notify::listen());
    let mut command = step_15();
    command.env("REDIS_URL", &gate.url).env("REDIS_MILLISECONDS", "2000").env("WORKERS", "1");
    notify.ask(&mut command);
    let mut cluster = Cluster::spawn(command, Console::Read);
    gate.open_for(gate.next());
    cluster.introduced();
    let of_the_worker = gate.next();
    let too_early = notify.next(Duration::ZERO);
    assert_eq!(too_early, None, "no worker is ready, so it should say nothing");
    gate.open_for(of_the_worker);
    gate.open();
    notify.says("READY=1");
    let worker = cluster.started();
    cluster.send(Signal::SIGKILL, worker);
    cluster.replaced(1);

    let mut busy = connect(cluster.port.number);
    let (begin, rest) = REQUEST.split_at(8);
    busy.write_all(begin).or_fail("the connection should be open");
    cluster.send(Signal::SIGTERM, cluster.primary);
    notify.says("STOPPING=1");
    busy.write_all(rest).or_fail("the connection should be open");
    answer(&mut busy).or_fail("it should say so before it has finished");
    assert_status(cluster.wait_for_end().status, 0);
    assert_eq!(notify.next(Duration::ZERO), None, "it should say each once");
}

// Restarts.

#[test]
#[ignore = "needs redis-server"]
fn who_comes_while_no_primary_runs_is_answered_by_the_next() {
    let lent = Lent::listen();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut cluster = lent.start(step_15(), 1);
        cluster.assert_answers();
        cluster.send(signal, cluster.primary);
        cluster.wait_for_end();
        let mut clients: Vec<_> = (0..50).map(|_| connect(lent.port.number)).collect();
        for client in &mut clients {
            client.write_all(REQUEST).or_fail("the connection should be open");
        }
        let _next = lent.start(step_15(), 1);
        for client in &mut clients {
            answer(client).or_fail("who waited in the backlog should be answered");
        }
    }
}

#[test]
#[ignore = "needs redis-server"]
fn twenty_restarts_under_load_lose_no_request_where_the_new_primary_comes_first() {
    restarts_lose_no_request(|lent, old| {
        let new = lent.start(step_15(), 2);
        terminated(old);
        new
    });
}

/// As `systemctl restart` does it.
#[test]
#[ignore = "needs redis-server"]
fn twenty_restarts_under_load_lose_no_request_where_the_old_primary_goes_first() {
    restarts_lose_no_request(|lent, old| {
        terminated(old);
        lent.start(step_15(), 2)
    });
}

/// Half of the clients keep their connection for as long as they may, the others take one for each
/// request. More of it, at the least this for each half:
///
/// ```text
/// REQUESTS=1000000 cargo test --release --features part-three --test 15_socket \
///     twenty_restarts -- --ignored --nocapture
/// ```
fn restarts_lose_no_request(restart: impl Fn(&Lent, Cluster) -> Cluster) {
    const TIMES: usize = 20;
    let wanted = at_least("REQUESTS");
    let (mut restarts, mut kept, mut single) = (0, 0, 0);
    while restarts < TIMES || kept.min(single) < wanted {
        let lent = Lent::listen();
        let mut cluster = lent.start(step_15(), 2);
        let (load, clients) = (Load::default(), (4, 4));
        load.during(lent.port.number, clients, || {
            for _ in 0..TIMES {
                load.is_answered(clients);
                cluster = restart(&lent, cluster);
            }
            load.is_answered(clients);
            cluster
        });
        restarts += TIMES;
        kept += load.kept.load(Ordering::Relaxed);
        single += load.single.load(Ordering::Relaxed);
        println!("{restarts} restarts; answered: {kept} on connections kept, {single} on one each");
        load.assert_lost_to_kills_alone(0);
    }
}

#[test]
#[ignore = "needs redis-server and python3"]
fn scripts_lend_lends_one_program_after_another_the_same_socket() {
    Redis::share();
    let mut command = Command::new(support::root().join("scripts/lend"));
    command.args(["bash", "-c", "for i in 1 2; do \"$0\"; done"]);
    command.arg(step("15_socket").get_program()).env("WORKERS", "1");
    let mut shell = Cluster::spawn(command, Console::Read);
    let start = |shell: &mut Cluster| {
        let primary = shell.line();
        let primary = primary.strip_prefix("마스터 프로세스 아이디: ").and_then(support::pid);
        shell.started();
        primary.expect("the program should say which process it is")
    };
    let first = start(&mut shell);
    shell.assert_answers();
    shell.send(Signal::SIGTERM, first);
    let mut client = connect(shell.port.number);
    client.write_all(REQUEST).or_fail("the connection should be open");
    shell.died();
    start(&mut shell);
    answer(&mut client).or_fail("who comes in between should be answered by the next");
}

#[test]
#[ignore = "needs python3"]
fn scripts_lend_says_in_a_line_why_it_cannot() {
    let taken = TcpListener::bind("127.0.0.1:0").or_fail("a port should be free");
    let port = taken.local_addr().or_fail("it should have an address").port().to_string();
    for (port, command) in [(&*port, "true"), ("many", "true"), ("65536", "true"), ("0", "")] {
        let mut lend = Command::new(support::root().join("scripts/lend"));
        let output = lend.arg(command).env("PORT", port).output().or_fail("it should run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_status(output.status, 1);
        assert!(
            said.starts_with("scripts/lend: ") && said.lines().count() == 1,
            "PORT={port} scripts/lend {command:?} should say one line, but it says\n{said}"
        );
    }
}

/// What a reload does not renew: the environment, and the path, whose links were followed once.
#[test]
#[ignore = "needs redis-server"]
#[cfg(target_os = "linux")] // /proc says which program a process runs.
fn after_a_restart_new_settings_and_a_new_path_are_in_force_and_no_visitor_is_lost() {
    use std::os::unix::fs::symlink;

    let [old, new] = [(); 2].map(|()| Installed::new("15_socket"));
    let current = old.folder().join("current");
    let (lent, redis) = (Lent::listen(), Redis::start());
    let start = |seconds: &str| {
        let mut command = Command::new(&current);
        command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "2000");
        command.env("SESSION_SECONDS", seconds);
        lent.start(command, 1)
    };
    let program = |installed: &Installed| installed.folder().join("15_socket");
    let runs = |cluster: &Cluster| {
        let path = |pid| std::fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
        assert_eq!(path(cluster.primary), path(cluster.workers[0]), "a worker is the same program");
        path(cluster.primary)
    };
    symlink(program(&old), &current).expect("a new name");
    let mut cluster = start("1000");
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.visit().count, 1);

    symlink(program(&new), current.with_extension("new")).expect("a new name");
    std::fs::rename(current.with_extension("new"), &current).expect("it is in the same folder");
    cluster.send(Signal::SIGHUP, cluster.primary);
    cluster.replaced(1);
    assert_eq!(runs(&cluster), program(&old), "a reload follows no link anew");
    terminated(cluster);
    let cluster = start("3000");
    assert_eq!(runs(&cluster), program(&new), "a restart should");
    assert_eq!(visitor.visit().count, 2, "the visitor should be remembered");
    let key = format!("session:{}", visitor.id.as_ref().expect("it was here"));
    let seconds = redis.number(&["TTL", &key]);
    assert!((2001..=3000).contains(&seconds), "for 3000 seconds now, but it is {seconds}");
}

// Patience with Redis at the start.

/// Two connections get no answer in the 0.4 seconds that each has.
#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_is_slow_at_the_start_is_asked_again() {
    let gate = Gate::close();
    let mut command = step_15();
    command.env("REDIS_URL", &gate.url).env_remove("REDIS_MILLISECONDS").env("WORKERS", "1");
    let mut cluster = Cluster::spawn(command, Console::Read);
    let _unanswered = [gate.next(), gate.next()];
    gate.open();
    cluster.introduced();
    cluster.started();
    cluster.assert_answers();
    assert_nothing(cluster.stderr().lines(), "there is nothing to tell");
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_hangs_for_longer_is_one_line_after_five_seconds() {
    let redis = Redis::start();
    redis.stop();
    within(Duration::from_secs(7), "it should give up", || {
        let start = Instant::now();
        let stderr = does_not_start(redis.url());
        assert_says(&stderr, &format!("Error: REDIS_URL={}: timed out\n", redis.address()));
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(5), "it should be patient, but gave up after {took:?}");
        took
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_refuses_is_one_line_at_once() {
    let nobody = Port::reserve();
    within(Duration::from_secs(2), "it should give up", || {
        let start = Instant::now();
        let stderr = does_not_start(format!("redis://127.0.0.1:{}", nobody.number));
        assert!(stderr.contains("refused"), "it should say why: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "it should say so in one line: {stderr}");
        start.elapsed()
    });
}

/// With this Redis it starts nothing, and ends with status 1. Returns what it says on stderr.
#[track_caller]
fn does_not_start(url: String) -> String {
    let mut command = step("15_socket");
    command.env("REDIS_URL", url).env_remove("REDIS_MILLISECONDS");
    let Ended { status, lines, stderr } = Cluster::spawn(command, Console::Read).wait_for_end();
    assert_nothing(&lines, "it should start nothing");
    assert_status(status, 1);
    stderr
}

// The units of systemd, which is asked what it makes of them, and never started.

/// Each unit as in the repository, but that it starts the step where Cargo has put it.
#[test]
#[ignore = "needs systemd-analyze"]
#[cfg(target_os = "linux")]
fn systemd_finds_no_fault_in_the_units_and_little_that_the_services_may_do() {
    let installed = Installed::new("15_socket");
    let folder = installed.folder();
    let program = format!("ExecStart={}", folder.join("15_socket").display());
    let copy = |from: &str, to: &str, start: &str| {
        let text = std::fs::read_to_string(support::root().join("steps/systemd").join(from));
        let text = text.or_fail(from);
        assert!(text.contains(start), "{from} should have the line {start}");
        // Else systemd would have every primary of the socket stop in accept, systemd.service(5).
        let is_service = from.ends_with(".service");
        assert!(
            !is_service || text.contains("\nNonBlocking=true\n"),
            "{from} should leave the socket as a primary that runs needs it: NonBlocking=true"
        );
        let to = folder.join(to);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("it is ours");
        std::fs::write(&to, if start.is_empty() { text } else { text.replace(start, &program) })
            .expect("it is ours");
        to
    };
    let (of_one, of_two) =
        ("ExecStart=/opt/cluster/15_socket", "ExecStart=/opt/cluster/%i/15_socket");
    let of_a_user = "ExecStart=%h/cluster-in-rust/target/debug/15_socket";
    let analyze = |arguments: &[&str], units: &[&std::path::PathBuf]| {
        let mut command = Command::new("systemd-analyze");
        // Where there is no session of a user, there is no such folder.
        command.env("XDG_RUNTIME_DIR", folder).args(arguments).args(units);
        let output = command.output().or_fail("systemd-analyze should run");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    // A word that it does not know is only told of, and ends well.
    let is_valid = |arguments: &[&str], units: &[&std::path::PathBuf]| {
        let (well, said) = analyze(arguments, units);
        assert!(well, "{units:?} should be units that systemd can load, but:\n{said}");
        assert_nothing(said.lines().filter(|line| line.contains("cluster")), "without a word");
    };
    let socket = copy("cluster.socket", "cluster.socket", "");
    let one = copy("cluster.service", "cluster.service", of_one);
    let pair = ["blue", "green"]
        .map(|name| copy("cluster@.service", &format!("cluster@{name}.service"), of_two));
    is_valid(&["verify", "--man=no"], &[&socket, &one, &pair[0], &pair[1]]);
    let of_a_user = copy("user/cluster.service", "user/cluster.service", of_a_user);
    let socket_of_a_user = copy("cluster.socket", "user/cluster.socket", "");
    is_valid(&["verify", "--man=no", "--user"], &[&socket_of_a_user, &of_a_user]);
    // From 0 to 100: a service of which nothing is said is at 96.
    let (little, said) =
        analyze(&["security", "--offline=true", "--threshold=15", "--no-pager"], &[&one, &pair[0]]);
    assert!(little, "they should be allowed no more than they need, but:\n{said}");
}
