// ANCHOR: program
//! 08_session: … and a visitor is remembered in the worker's memory: the notes' problem.

use anyhow::{Context, Result, anyhow, ensure};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::middleware::map_response_with_state;
use axum::serve::{Listener, ListenerExt};
use axum::{Router, extract::State, response::Response, routing::any};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use nix::sys::signal::Signal;
use sendfd::{RecvWithFd, SendWithFd};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt};
use std::process::{self, ExitCode};
use std::{env, io, io::Write, path::PathBuf, sync::Arc, time::Duration, time::Instant};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio::{io::AsyncReadExt, process::Command, select, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// How long a worker may take to finish, and the primary to end.
const LIMIT: Duration = Duration::from_secs(10);

// ANCHOR: main
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let is_primary = env::var_os("CLUSTER_WORKER").is_none();
    if is_primary { primary().await } else { worker().await }
}
// ANCHOR_END: main

// ANCHOR: primary
async fn primary() -> Result<ExitCode> {
    let port = setting("PORT", 8086, 65_535)?;
    let mut workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let max_failures = setting("MAX_FAILURES", 15, 1_000)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"));
    let listener = listener.await.map_err(|error| anyhow!("PORT={port}: {error}"))?;
    let (queue, waiting) = mpsc::unbounded_channel();
    let (program, waiting) = (env::current_exe()?, Mutex::new(waiting));
    let (closing, accepted) = (CancellationToken::new(), TaskTracker::new());
    let primary = Primary { program, max_failures, queue, waiting, closing, accepted };
    let primary = Arc::new(primary);
    // Where it was ignored at the start, this signal would hide who has ended.
    let _ = signal(SignalKind::child())?;

    // ANCHOR: signals
    let (sender, mut ends) = mpsc::unbounded_channel();
    for number in [Signal::SIGINT, Signal::SIGTERM].map(|signal| signal as i32) {
        let (mut signal, sender) = (signal(SignalKind::from_raw(number))?, sender.clone());
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                // As the shell would say it.
                let _ = sender.send(ExitCode::from(128 + number as u8));
            }
        });
    }
    let mut more = signal(SignalKind::from_raw(Signal::SIGTTIN as i32))?;
    let mut fewer = signal(SignalKind::from_raw(Signal::SIGTTOU as i32))?;
    let mut reload = signal(SignalKind::hangup())?;
    // ANCHOR_END: signals

    // ANCHOR: tasks
    say(format!("마스터 프로세스 아이디: {}\n", process::id()));
    primary.accepted.spawn(accept(listener, Arc::clone(&primary)));
    let (mut tasks, leaving) = (JoinSet::new(), CancellationToken::new());
    let mut kept: Vec<CancellationToken> = Vec::new();
    // A reload: the first of those are `old`, and each of them is to give way to a successor.
    let (mut old, mut successors) = (0_usize, JoinSet::new());
    let status = loop {
        while kept.len() < workers {
            let leave = leaving.child_token();
            tasks.spawn(keep_a_worker(Arc::clone(&primary), leave.clone(), None));
            kept.push(leave);
        }
        let too_many = kept.len() - workers;
        kept.drain(..too_many).for_each(|oldest| oldest.cancel());
        old = old.saturating_sub(too_many);
        if old > 0 && successors.is_empty() {
            let (leave, (ready, is_ready)) = (leaving.child_token(), oneshot::channel());
            tasks.spawn(keep_a_worker(Arc::clone(&primary), leave.clone(), Some(ready)));
            successors.spawn(until_ready(leave, is_ready));
        }
        select! {
            _ = reload.recv() => old = kept.len() + successors.len(),
            Some(result) = successors.join_next() => match result? {
                // Now there is one too many.
                Ok(leave) => kept.push(leave),
                Err(error) => {
                    complain(error.context("reload called off"));
                    old = 0;
                }
            },
            _ = more.recv() => workers = (workers + 1).min(1_024),
            _ = fewer.recv() => workers = (workers - 1).max(1),
            Some(_) = ends.recv() => break ExitCode::SUCCESS,
            Some(result) = tasks.join_next() => if let Err(error) = result? {
                complain(error);
                break ExitCode::FAILURE;
            },
        }
    };
    // ANCHOR_END: tasks

    // ANCHOR: end
    let end = async {
        // Nobody new is let in. Who was let in is handed over first …
        primary.closing.cancel();
        primary.accepted.close();
        primary.accepted.wait().await;
        // … and then the workers are told to finish.
        leaving.cancel();
        while tasks.join_next().await.is_some() {}
    };
    select! {
        () = end => Ok(status),
        () = sleep(LIMIT) => Ok(status),
        Some(at_once) = ends.recv() => Ok(at_once),
    }
    // ANCHOR_END: end
}
// ANCHOR_END: primary

// ANCHOR: ready
/// Waits until a successor is ready. Tells it to leave where it is not; the error says why.
async fn until_ready(
    leave: CancellationToken,
    ready: oneshot::Receiver<Result<()>>,
) -> Result<CancellationToken> {
    let leave = leave.drop_guard();
    let ready = timeout(Duration::from_secs(5), ready).await.ok();
    ready.context("the new worker was not ready after 5 seconds")???;
    Ok(leave.disarm())
}
// ANCHOR_END: ready

// ANCHOR: queue
/// What the tasks of the primary share.
struct Primary {
    program: PathBuf,
    max_failures: usize,
    /// Connections enter here, when they are accepted and when a worker has not taken them …
    queue: mpsc::UnboundedSender<Accepted>,
    /// … and leave here. The lock is fair: the workers that are free get them in turn.
    waiting: Mutex<mpsc::UnboundedReceiver<Accepted>>,
    /// Cancelled when nobody new is to be let in.
    closing: CancellationToken,
    /// Counts the connections that are accepted, until a worker has taken them.
    accepted: TaskTracker,
}

type Accepted = (TcpStream, TaskTrackerToken);
// ANCHOR_END: queue

// ANCHOR: accept
async fn accept(listener: TcpListener, primary: Arc<Primary>) -> Result<()> {
    let token = || primary.accepted.token();
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => primary.queue.send((connection, token()))?,
                // No descriptor is left, say: to try again at once would not bring one.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            () = primary.closing.cancelled() => break,
        }
    }
    // The kernel has let these clients in already. To close the socket now would reset them.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(true)?;
                primary.queue.send((TcpStream::from_std(connection)?, token()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: keep
/// Keeps one worker running, with patience, until it is told to leave.
async fn keep_a_worker(
    primary: Arc<Primary>,
    leave: CancellationToken,
    mut ready: Option<oneshot::Sender<Result<()>>>,
) -> Result<()> {
    let (mut failures, most) = (0, primary.max_failures);
    while !leave.is_cancelled() {
        let born = Instant::now();
        let end = run_a_worker(&primary, &leave, &mut ready).await;
        if let Some(ready) = ready.take() {
            let never = anyhow!("the new worker ended before it was ready");
            let _ = ready.send(end.and(Err(never)));
            return Ok(());
        }
        if let Err(error) = end {
            complain(error);
        }
        if born.elapsed() >= Duration::from_secs(1) || leave.is_cancelled() {
            failures = 0;
            continue;
        }
        failures += 1;
        ensure!(
            failures < most,
            "MAX_FAILURES={most}: so many workers in a row lived less than a second"
        );
        // As pm2's exp_backoff_restart_delay: half as much again each time.
        let seconds = 0.1 * 1.5_f64.powi(failures as i32 - 1);
        select! {
            () = sleep(Duration::from_secs_f64(seconds.min(15.0))) => {}
            () = leave.cancelled() => {}
        }
    }
    Ok(())
}
// ANCHOR_END: keep

// ANCHOR: run
/// Starts a worker, hands it connections, and logs its death.
async fn run_a_worker(
    primary: &Primary,
    leave: &CancellationToken,
    ready: &mut Option<oneshot::Sender<Result<()>>>,
) -> Result<()> {
    // ANCHOR: start
    // A worker is this program once more, with its end of the channel as its stdin.
    let (channel, theirs) = UnixStream::pair()?;
    let worker = Command::new(&primary.program)
        .env("CLUSTER_WORKER", "1")
        .stdin(OwnedFd::from(theirs.into_std()?))
        .kill_on_drop(true)
        .spawn();
    let mut worker = worker.map_err(|error| anyhow!("fork: {error}"))?;
    let pid = worker.id().context("nobody has waited for it")?;
    // ANCHOR_END: start

    // ANCHOR: limit
    let limit = async {
        leave.cancelled().await;
        sleep(LIMIT).await;
        let _ = worker.start_kill();
        // Its channel ends with it, unless a child of its own holds it too: then go on without.
        sleep(Duration::from_secs(1)).await;
    };
    select! {
        end = hand_over(primary, channel, leave, ready) => end?,
        () = limit => {}
    }
    // ANCHOR_END: limit
    // ANCHOR: wait
    let status = worker.wait().await?;
    let code = status.code().map_or("null".to_string(), |code| code.to_string());
    let name = |number| Signal::try_from(number).map_or("SIGRT", Signal::as_str);
    let signal = status.signal().map_or("null", name);
    say(format!("{pid}번 워커가 종료되었습니다\ncode {code} signal {signal}\n"));
    // ANCHOR_END: wait
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: hand_over
/// Hands a worker one connection after another, until it has died.
async fn hand_over(
    primary: &Primary,
    mut channel: UnixStream,
    leave: &CancellationToken,
    ready: &mut Option<oneshot::Sender<Result<()>>>,
) -> Result<()> {
    // A worker is free once it has said `+`: it is ready, and has taken what it was handed.
    let (mut free, mut handed) = (false, None);
    loop {
        select! {
            biased;
            answer = channel.read_u8() => {
                // It could not take this, or died before it did. Ours is still open.
                if let Some(connection) = handed.take() && !matches!(answer, Ok(b'+')) {
                    primary.queue.send(connection)?;
                }
                if answer.is_err() {
                    return Ok(());
                }
                free = true;
                // ANCHOR: answered
                if let Some(ready) = ready.take() {
                    let _ = ready.send(Ok(()));
                }
                // ANCHOR_END: answered
            }
            () = leave.cancelled(), if free => {
                channel.writable().await?;
                let _ = channel.try_write(b"f");
                free = false;
            }
            Some(connection) = async { primary.waiting.lock().await.recv().await }, if free => {
                channel.writable().await?;
                // Where this fails the worker is dying, and the next read says so.
                let _ = channel.send_with_fd(b"c", &[connection.0.as_raw_fd()]);
                (free, handed) = (false, Some(connection));
            }
        }
    }
}
// ANCHOR_END: hand_over

// ANCHOR: worker
async fn worker() -> Result<ExitCode> {
    // Ctrl-C reaches the workers too, and TERM may. They leave it to the primary, and end when it
    // says so or is gone.
    let _ = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // So does HUP, where somebody sends it by name: `pkill -HUP`.
    let _ = signal(SignalKind::hangup())?;
    // A worker that is stopped could not see that: Linux ends it all the same.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let html = [(CONTENT_TYPE, "text/html;charset=utf-8")];
    // ANCHOR: page
    let sessions = Sessions::default();
    let pid = process::id();
    let page = async move |cookies: CookieJar| {
        let id = cookies.get("session").map(|cookie| cookie.value().to_string());
        let id = id.filter(|id| is_an_id(id)).unwrap_or_else(new_id);
        let visits = visit(&sessions, &id).await;
        let cookie = Cookie::build(("session", id)).path("/");
        let cookies = cookies.add(cookie.http_only(true).same_site(SameSite::Lax));
        let page = format!("<h1>Hello Cluster!</h1><p>{pid}번 워커, {visits}번째 방문</p>");
        (cookies, html, page)
    };
    // ANCHOR_END: page
    let mut channel = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.peer_addr().ok().context("CLUSTER_WORKER is set, but stdin is no channel")?;
    // From now on the primary may hand it connections. They wait in the channel for the last line.
    let _ = channel.write_all(b"+");
    say(format!("{}번 워커 실행\n", process::id()));
    channel.set_nonblocking(true)?;

    // ANCHOR: serve
    let channel = UnixStream::from_std(channel)?;
    let (finishing, open) = (CancellationToken::new(), TaskTracker::new());
    let finished = until_finished(finishing.clone(), open.clone());
    let channel = Channel { channel, finishing: finishing.clone(), open };
    let close = map_response_with_state(finishing, close_when_finishing);
    let app = Router::new().route("/", any(page)).layer(close);
    let app = app.into_make_service_with_connect_info::<TaskTrackerToken>();
    axum::serve(channel.tap_io(|_| {}), app).with_graceful_shutdown(finished).await?;
    // ANCHOR_END: serve
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: worker

// ANCHOR: visit
/// How often each session has been here.
type Sessions = Arc<Mutex<HashMap<String, u64>>>;

/// Counts one more visit in the session `id`.
async fn visit(sessions: &Sessions, id: &str) -> u64 {
    let mut sessions = sessions.lock().await;
    let visits = sessions.entry(id.to_string()).or_default();
    *visits += 1;
    *visits
}
// ANCHOR_END: visit

// ANCHOR: id
/// An id that nobody can guess: 128 random bits, in 32 hexadecimal digits.
fn new_id() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the system has random numbers");
    format!("{:032x}", u128::from_ne_bytes(bits))
}

/// Whether a cookie's value, which anybody may have written, looks like an id of ours.
fn is_an_id(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
// ANCHOR_END: id

// ANCHOR: finish
/// Waits until this worker is to finish, and then until no connection is open any more. A client
/// that keeps one open and asks for nothing is waited for no longer than a second.
async fn until_finished(finishing: CancellationToken, open: TaskTracker) {
    finishing.cancelled().await;
    open.close();
    let _ = timeout(Duration::from_secs(1), open.wait()).await;
}

/// Lets a client ask on another connection next time, once this worker is to finish.
async fn close_when_finishing(
    State(finishing): State<CancellationToken>,
    mut response: Response,
) -> Response {
    if finishing.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
// ANCHOR_END: finish

// ANCHOR: channel
/// The worker's end of the channel. axum takes connections from it as from any listener.
struct Channel {
    channel: UnixStream,
    /// Cancelled when the primary says that this worker is to finish.
    finishing: CancellationToken,
    /// Counts the connections that are open.
    open: TaskTracker,
}

impl Listener for Channel {
    type Io = TcpStream;
    type Addr = TaskTrackerToken;

    async fn accept(&mut self) -> (TcpStream, TaskTrackerToken) {
        loop {
            let (mut byte, mut socket) = ([0], [-1]);
            let _ = self.channel.readable().await;
            match self.channel.recv_with_fd(&mut byte, &mut socket) {
                Ok((0, _)) => process::exit(0), // The primary is gone.
                Ok((_, 0)) if byte == *b"f" => self.finishing.cancel(),
                Ok((_, 0)) => {
                    // No descriptor was left for it. The primary still has its own.
                    sleep(Duration::from_millis(100)).await;
                    let _ = self.channel.try_write(b"-");
                }
                Ok(_) => {
                    let _ = self.channel.try_write(b"+");
                    // SAFETY: the kernel has just made this descriptor, for this message.
                    let connection = unsafe { std::net::TcpStream::from_raw_fd(socket[0]) };
                    if let Ok(connection) = TcpStream::from_std(connection) {
                        return (connection, self.open.token());
                    }
                }
                Err(_) => {} // Nothing there after all.
            }
        }
    }

    fn local_addr(&self) -> io::Result<TaskTrackerToken> {
        Ok(self.open.token())
    }
}
// ANCHOR_END: channel

// ANCHOR: say
/// Prints whole lines in one write. Where nobody reads them any more, this process ends quietly.
fn say(lines: String) {
    if io::stdout().write_all(lines.as_bytes()).is_err() {
        process::exit(1);
    }
}

/// Says on stderr what went wrong, where the program goes on for now.
fn complain(error: anyhow::Error) {
    let _ = writeln!(io::stderr(), "Error: {error:#}");
}
// ANCHOR_END: say

// ANCHOR: setting
/// Reads `name` from the environment: a whole number up to `max`, or `default` if not set.
fn setting(name: &str, default: usize, max: usize) -> Result<usize> {
    let Some(value) = env::var_os(name) else { return Ok(default) };
    let number = value.to_string_lossy().parse().unwrap_or(0);
    ensure!((1..=max).contains(&number), "{name}={value:?}: not a whole number from 1 to {max}");
    Ok(number)
}
// ANCHOR_END: setting
// ANCHOR_END: program
