//! What the book says of npm's pm2, seen on pm2.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Pm2, Told, process, until};

/// A server that answers each request, and knows of no end.
const PLAIN: &str = "
    const http = require('http');
    const server = http.createServer((request, response) => response.end('whole\\n'));
    server.listen(process.env.PORT, '127.0.0.1');
";

/// What makes it finish first, as pm2's documentation has it.
const GRACEFUL: &str = "
    process.on('SIGINT', () => server.close(() => process.exit()));
";

/// A program that ends at its start.
const SHORT: &str = "process.exit(7)";

/// One that says nothing and does not end.
const SILENT: &str = "setInterval(() => {}, 1000)";

/// An app's worker, as `pm2 jlist` has it.
#[derive(Debug, PartialEq)]
struct Instance {
    id: i64,
    pid: i32,
    status: String,
    restarts: i64,
}

fn instances(pm2: &Pm2) -> Vec<Instance> {
    let Told { text, .. } = pm2.tell(&["jlist"]);
    let list = text.find('[').map(|start| &text[start..]).unwrap_or(&text);
    let list: Vec<Value> = serde_json::from_str(list)
        .unwrap_or_else(|_| panic!("pm2 jlist should print JSON, but it prints:\n{text}"));
    let instance = |it: Value| Instance {
        id: it["pm_id"].as_i64().unwrap(),
        pid: it["pid"].as_i64().unwrap_or(0) as i32,
        status: it["pm2_env"]["status"].as_str().unwrap().to_owned(),
        restarts: it["pm2_env"]["restart_time"].as_i64().unwrap(),
    };
    list.into_iter().map(instance).collect()
}

fn ids(pm2: &Pm2) -> Vec<i64> {
    instances(pm2).iter().map(|it| it.id).collect()
}

fn statuses(pm2: &Pm2) -> Vec<String> {
    instances(pm2).into_iter().map(|it| it.status).collect()
}

/// Starts `text` as an app in cluster mode.
#[track_caller]
fn start(pm2: &Pm2, text: &str, options: &[&str]) {
    let app = pm2.app("app.js", text);
    pm2.does(&[&["start", &app, "--name", "app"], options].concat());
}

/// Starts `text` as [`start`] does, with settings of pm2's configuration file. Every life of less
/// than a minute is a short one: by default it is a second, which a busy machine may need.
#[track_caller]
fn start_patiently(pm2: &Pm2, text: &str, mut settings: Value) {
    settings["name"] = "app".into();
    settings["script"] = pm2.app("app.js", text).into();
    settings["exec_mode"] = "cluster".into();
    settings["min_uptime"] = 60_000.into();
    let file = pm2.app("app.json", &json!({ "apps": [settings] }).to_string());
    pm2.does(&["start", &file]);
}

/// How often the daemon has started the app's only worker.
fn starts(pm2: &Pm2) -> usize {
    pm2.log().matches("starting in -cluster mode-").count()
}

/// Waits until the daemon has logged `what`, a little longer than [`until`] would.
#[track_caller]
fn logged(pm2: &Pm2, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !pm2.log().contains(what) {
        assert!(Instant::now() < deadline, "pm2 should have logged `{what}`:\n{}", pm2.log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks over a connection that is kept, and returns it.
fn ask_and_keep(pm2: &Pm2) -> TcpStream {
    let mut client = pm2.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"whole\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a whole answer");
        answer.extend(byte);
    }
    client
}

/// Begins to ask. The worker has the connection when a later one is answered.
fn ask_halfway(pm2: &Pm2) -> TcpStream {
    let mut client = pm2.connect();
    client.write_all(b"GET / HTTP/1.0\r\n").unwrap();
    ask_and_keep(pm2);
    client
}

/// What is still to come, if it does come to an end.
fn rest(client: &mut TcpStream) -> String {
    let mut rest = String::new();
    match client.read_to_string(&mut rest) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}: {rest}"),
        _ => rest,
    }
}

/// Checks that no worker had to be killed: what was cut was not cut by a limit.
#[track_caller]
fn assert_ended_by_sigint(pm2: &Pm2) {
    assert!(!pm2.log().contains("sending SIGKILL"), "SIGINT should have been enough");
}

fn refuses(pm2: &Pm2) -> bool {
    TcpStream::connect(("127.0.0.1", pm2.port.number)).is_err()
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_starts_as_many_workers_as_asked_for_and_its_daemon_is_their_primary() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "2"]);
    let instances = instances(&pm2);
    assert_eq!(instances.iter().map(|it| it.id).collect::<Vec<_>>(), [0, 1]);
    for it in instances {
        assert_eq!(it.status, "online");
        let worker = process(support::Pid::from_raw(it.pid)).expect("it runs");
        assert_eq!(Some(worker.parent), pm2.daemon());
    }
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_starts_a_worker_that_lives_short_sixteen_times_without_a_pause_and_gives_up() {
    let pm2 = Pm2::new();
    start_patiently(&pm2, SHORT, json!({ "instances": 1 }));
    logged(&pm2, "had too many unstable restarts (16). Stopped. \"errored\"");
    assert_eq!(starts(&pm2), 16);
    assert!(!pm2.log().contains("will restart in"), "{}", pm2.log());
    let left = instances(&pm2);
    assert_eq!((&*left[0].status, left[0].restarts), ("errored", 15));
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_counts_the_first_start_among_its_max_restarts() {
    let pm2 = Pm2::new();
    start_patiently(&pm2, SHORT, json!({ "instances": 1, "max_restarts": 3 }));
    logged(&pm2, "had too many unstable restarts (3). Stopped. \"errored\"");
    assert_eq!(starts(&pm2), 3);
    assert_eq!(instances(&pm2)[0].restarts, 2);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_says_that_a_worker_waits_for_its_restart_which_it_has_given_up_after_pauses() {
    let pm2 = Pm2::new();
    let settings = json!({ "instances": 1, "max_restarts": 2, "exp_backoff_restart_delay": 100 });
    start_patiently(&pm2, SHORT, settings);
    logged(&pm2, "had too many unstable restarts (2). Stopped. \"errored\"");
    logged(&pm2, "will restart in 150ms");
    assert_eq!(statuses(&pm2), ["waiting restart"]);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_pauses_half_as_long_again_each_time_and_then_does_not_give_up() {
    let pm2 = Pm2::new();
    start(&pm2, SHORT, &["-i", "1", "--exp-backoff-restart-delay=100"]);
    // By then sixteen seconds have gone by, in which there should have been sixteen deaths.
    logged(&pm2, "will restart in 8614ms");
    let log = pm2.log();
    let pauses: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("will restart in ")?.1.strip_suffix("ms"))
        .collect();
    let expected =
        ["100", "150", "225", "337", "505", "757", "1135", "1702", "2553", "3829", "5743", "8614"];
    assert_eq!(pauses, expected);
    assert_eq!(statuses(&pm2), ["waiting restart"]);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_pauses_for_fifteen_seconds_at_most() {
    let pm2 = Pm2::new();
    start(&pm2, SHORT, &["-i", "1", "--exp-backoff-restart-delay=10100"]);
    logged(&pm2, "will restart in 10100ms");
    logged(&pm2, "will restart in 15000ms");
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_sends_sigint_and_1600_ms_later_kill_unless_told_another_time() {
    for (options, timeout) in
        [(&["-i", "1"][..], 1600), (&["-i", "1", "--kill-timeout", "300"], 300)]
    {
        let pm2 = Pm2::new();
        let path = pm2.app("signals", "");
        let told = format!("signal => require('fs').appendFileSync('{path}', signal)");
        let text = format!(
            "{PLAIN} for (const it of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(it, {told});"
        );
        start(&pm2, &text, options);
        until("the app should listen", || !refuses(&pm2));
        pm2.does(&["stop", "app"]);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "SIGINT");
        logged(&pm2, &format!("still alive after {timeout}ms, sending SIGKILL"));
        logged(&pm2, "via signal [SIGKILL]");
        assert_eq!(statuses(&pm2), ["stopped"]);
    }
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_stop_cuts_what_is_being_answered() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "1"]);
    until("the app should listen", || !refuses(&pm2));
    let mut client = ask_halfway(&pm2);
    pm2.does(&["stop", "app"]);
    assert_eq!(rest(&mut client), "");
    assert!(refuses(&pm2));
    assert_ended_by_sigint(&pm2);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_stop_waits_for_an_app_that_finishes_on_sigint() {
    let pm2 = Pm2::new();
    start(&pm2, &format!("{PLAIN}{GRACEFUL}"), &["-i", "1", "--kill-timeout", "20000"]);
    until("the app should listen", || !refuses(&pm2));
    let mut client = ask_halfway(&pm2);
    let mut kept = ask_and_keep(&pm2);
    thread::scope(|scope| {
        scope.spawn(|| pm2.does(&["stop", "app"]));
        assert_eq!(rest(&mut kept), "", "a connection that is idle should be closed");
        client.write_all(b"\r\n").unwrap();
        assert!(rest(&mut client).ends_with("whole\n"));
    });
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_scale_takes_the_oldest_away_down_to_none_and_knows_no_minus_one() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "2"]);
    pm2.does(&["scale", "app", "+1"]);
    assert_eq!(ids(&pm2), [0, 1, 2]);
    let Told { is_success, text } = pm2.tell(&["scale", "app", "-1"]);
    assert!(!is_success && text.contains("unknown option `-1'"), "{text}");
    pm2.does(&["scale", "app", "1"]);
    assert_eq!(ids(&pm2), [2]);
    pm2.does(&["scale", "app", "0"]);
    assert_eq!(ids(&pm2), [] as [i64; 0]);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_reload_starts_a_new_worker_of_the_program_on_the_disk_before_it_stops_each_old_one() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "2"]);
    let old: Vec<i32> = instances(&pm2).iter().map(|it| it.pid).collect();
    pm2.app("app.js", &PLAIN.replace("whole", "renewed and whole"));
    pm2.does(&["reload", "app"]);
    let new = instances(&pm2);
    assert!(new.iter().all(|it| it.status == "online" && !old.contains(&it.pid)), "{new:?}");
    let log = pm2.log();
    let log = log.lines().filter_map(|line| line.split_once("PM2 log: ")).map(|line| line.1);
    let marks = ["-reload- New worker listening", "Stopping app:app id:_old_"];
    let order: Vec<&str> = log.filter(|line| marks.iter().any(|it| line.starts_with(it))).collect();
    let listening = "-reload- New worker listening";
    let expected =
        [listening, "Stopping app:app id:_old_0", listening, "Stopping app:app id:_old_1"];
    assert_eq!(order, expected);
    let mut client = ask_and_keep(&pm2);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(&mut client).ends_with("renewed and whole\n"));
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_reload_cuts_what_is_being_answered_and_closes_what_is_kept() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "1"]);
    until("the app should listen", || !refuses(&pm2));
    let mut halfway = ask_halfway(&pm2);
    let mut kept = ask_and_keep(&pm2);
    pm2.does(&["reload", "app"]);
    assert_eq!((rest(&mut halfway), rest(&mut kept)), (String::new(), String::new()));
    assert_ended_by_sigint(&pm2);
    ask_and_keep(&pm2);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_reload_reports_success_where_the_new_program_dies_and_nobody_answers_any_more() {
    let pm2 = Pm2::new();
    start_patiently(&pm2, PLAIN, json!({ "instances": 2, "listen_timeout": 500 }));
    until("the app should listen", || !refuses(&pm2));
    pm2.app("app.js", SHORT);
    pm2.does(&["reload", "app"]);
    until("nobody should listen any more", || refuses(&pm2));
    logged(&pm2, "Stopped. \"errored\"");
    until("both should have been given up", || statuses(&pm2) == ["errored", "errored"]);
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_reload_stops_the_old_workers_though_the_new_ones_never_listen() {
    let pm2 = Pm2::new();
    start(&pm2, PLAIN, &["-i", "1", "--listen-timeout", "500"]);
    until("the app should listen", || !refuses(&pm2));
    pm2.app("app.js", SILENT);
    pm2.does(&["reload", "app"]);
    assert_eq!(statuses(&pm2), ["online"]);
    assert!(refuses(&pm2));
}

#[test]
#[ignore = "needs pm2: npm's pm2"]
fn pm2_reload_waits_for_ready_where_it_is_told_to() {
    let pm2 = Pm2::new();
    let go = pm2.app("go", "");
    let ready = format!(
        "{PLAIN} const fs = require('fs');
        const timer = setInterval(() => {{
            if (fs.readFileSync('{go}', 'utf8') !== '') process.send('ready', clearInterval(timer));
        }}, 10);"
    );
    pm2.app("go", "go");
    start(&pm2, &ready, &["-i", "1", "--wait-ready", "--listen-timeout", "30000"]);
    let old = instances(&pm2)[0].pid;
    pm2.app("go", "");
    thread::scope(|scope| {
        let reload = scope.spawn(|| pm2.does(&["reload", "app"]));
        until("the new worker should have started", || starts(&pm2) == 2);
        // Both listen, and both are asked in turn.
        for _ in 0..10 {
            ask_and_keep(&pm2);
        }
        assert!(process(support::Pid::from_raw(old)).is_some_and(|it| it.state != 'Z'));
        pm2.app("go", "go");
        reload.join().unwrap();
    });
    assert!(instances(&pm2)[0].pid != old);
    logged(&pm2, "Stopping app:app id:_old_0");
}
