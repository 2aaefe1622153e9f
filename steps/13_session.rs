// ANCHOR: program
//! 13_session: … and a visitor is remembered in the worker's memory: the notes' problem.

use anyhow::{Context, Result, anyhow, bail, ensure};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::middleware::map_response_with_state;
use axum::{Router, body::Body, extract::State, response::IntoResponse, response::Response};
use axum::{http::StatusCode, routing::any};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http_body_util::{BodyExt, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::{server::graceful::GracefulShutdown, service::TowerToHyperService};
use nix::fcntl::{FcntlArg::F_SETFD, FdFlag, fcntl};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use sendfd::{RecvWithFd, SendWithFd};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt};
use std::process::{self, ExitCode};
use std::sync::{Arc, LazyLock};
use std::{env, fs::File, io, io::Write, path::PathBuf, thread, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio::{process::Command, select, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
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
    // Each worker takes two descriptors here, and each connection that waits takes one.
    let (_, most) = getrlimit(RLIMIT_NOFILE)?;
    let _ = setrlimit(RLIMIT_NOFILE, most, most);
    let program = env::current_exe()?;
    let (queue, waiting) = mpsc::unbounded_channel();
    let waiting = Mutex::new(waiting);
    let untaken = TaskTracker::new();
    let finish = CancellationToken::new();
    let shared = Shared { program, max_failures, queue, waiting, untaken, finish };
    let shared = Arc::new(shared);
    // Ignored, as it may be at the start, this signal would hide how a worker has ended.
    let _ = signal(SignalKind::child())?;

    // `nohup` has this one ignored at the start. Then it stays ignored, and reloads nothing.
    // SAFETY: ignoring a signal installs no handler.
    let hang_up = unsafe { nix::sys::signal::signal(Signal::SIGHUP, SigHandler::SigIgn) }?;
    let is_ignored = matches!(hang_up, SigHandler::SigIgn);
    let mut reload = if is_ignored { None } else { Some(signal(SignalKind::hangup())?) };

    let (sender, mut ends) = mpsc::unbounded_channel();
    for kind in [Signal::SIGINT, Signal::SIGTERM] {
        let mut arrivals = signal(SignalKind::from_raw(kind as i32))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                // As a shell reports an end by this signal.
                let _ = sender.send(ExitCode::from(128 + kind as u8));
            }
        });
    }
    let mut more = signal(SignalKind::from_raw(Signal::SIGTTIN as i32))?;
    let mut fewer = signal(SignalKind::from_raw(Signal::SIGTTOU as i32))?;
    let mut tasks = JoinSet::new();
    say(format!("마스터 프로세스 아이디: {}\n", process::id())).await;
    // What tells the worker of a place to finish: the oldest place is the first.
    let mut places: Vec<CancellationToken> = Vec::new();
    // In a reload the first of these places, `old` in number, are each to get a successor.
    let mut old = 0_usize;
    // At most one is on its way.
    let mut successors = JoinSet::new();
    let status = loop {
        while places.len() < workers {
            let finish = shared.finish.child_token();
            tasks.spawn(fill_a_place(Arc::clone(&shared), finish.clone(), None));
            places.push(finish);
        }
        for oldest in places.drain(..places.len() - workers) {
            oldest.cancel();
            old = old.saturating_sub(1);
        }
        if old > 0 && successors.is_empty() {
            let finish = shared.finish.child_token();
            let (ready, is_ready) = oneshot::channel();
            tasks.spawn(fill_a_place(Arc::clone(&shared), finish.clone(), Some(ready)));
            successors.spawn(until_ready(finish.drop_guard(), is_ready));
        }
        select! {
            result = accept(&listener, &shared) => return result,
            Some(_) = ends.recv() => break ExitCode::SUCCESS,
            Some(result) = tasks.join_next() => if let Err(error) = result? {
                complain(error).await;
                break ExitCode::FAILURE;
            },
            Some(()) = async { reload.as_mut()?.recv().await } => {
                old = places.len();
                // A successor on its way may run a program that is old by now.
                successors = JoinSet::new();
            }
            Some(result) = successors.join_next() => match result? {
                // Now there is one too many.
                Ok(finish) => places.push(finish.disarm()),
                Err(error) => {
                    tokio::spawn(complain(error.context("reload called off")));
                    old = 0;
                }
            },
            _ = more.recv() => workers = (workers + 1).min(1_024),
            _ = fewer.recv() => workers = (workers - 1).max(1),
        }
    };

    // The connections that were let in are handed over first, then the workers are told to finish.
    tokio::spawn(async move {
        let _ = accept_the_rest(listener, &shared).await;
        shared.untaken.close();
        shared.untaken.wait().await;
        shared.finish.cancel();
    });
    let finished = async { while tasks.join_next().await.is_some() {} };
    let second_signal = async {
        // The command `timeout` sends one to it and one to all: within half a second they are one.
        sleep(Duration::from_millis(500)).await;
        while ends.try_recv().is_ok() {}
        ends.recv().await
    };
    select! {
        () = finished => Ok(status),
        () = sleep(LIMIT) => Ok(status),
        Some(at_once) = second_signal => Ok(at_once),
    }
}
// ANCHOR_END: primary

// ANCHOR: ready
/// Says whether a successor is ready, or why it is not.
type Ready = oneshot::Sender<Result<()>>;

/// Waits until a successor is ready. If it is not, or is forgotten, the guard tells it to finish.
async fn until_ready(finish: DropGuard, ready: oneshot::Receiver<Result<()>>) -> Result<DropGuard> {
    match timeout(Duration::from_secs(5), ready).await {
        Ok(answer) => answer??,
        Err(_) => bail!("the new worker was not ready after 5 seconds"),
    }
    Ok(finish)
}
// ANCHOR_END: ready

// ANCHOR: shared
/// What the tasks of the primary share.
struct Shared {
    program: PathBuf,
    max_failures: usize,
    /// Connections enter here, when they are accepted and when a worker has not taken them …
    queue: mpsc::UnboundedSender<Accepted>,
    /// … and leave here. The lock is fair: the tasks of free workers get them in turn.
    waiting: Mutex<mpsc::UnboundedReceiver<Accepted>>,
    /// Counts the connections that no worker has taken yet.
    untaken: TaskTracker,
    /// Cancelled when all workers are to finish.
    finish: CancellationToken,
}
// ANCHOR_END: shared

// ANCHOR: accepted
/// A connection, which counts until a worker has taken it.
struct Accepted {
    connection: TcpStream,
    _counts: TaskTrackerToken,
}
// ANCHOR_END: accepted

// ANCHOR: let_in
impl Shared {
    fn let_in(&self, connection: TcpStream) -> Result<()> {
        let accepted = Accepted { connection, _counts: self.untaken.token() };
        Ok(self.queue.send(accepted)?)
    }
}
// ANCHOR_END: let_in

// ANCHOR: accept
async fn accept(listener: &TcpListener, shared: &Shared) -> Result<ExitCode> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => shared.let_in(connection)?,
            // No descriptor is left, for example: trying again at once would not bring one.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: rest
/// Accepts the clients in the backlog. The kernel has let them in already: closing the socket now
/// would reset them.
async fn accept_the_rest(listener: TcpListener, shared: &Shared) -> Result<()> {
    let listener = listener.into_std()?;
    let next = || {
        let (connection, _) = listener.accept()?;
        connection.set_nonblocking(true)?;
        TcpStream::from_std(connection)
    };
    loop {
        match next() {
            Ok(connection) => shared.let_in(connection)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
// ANCHOR_END: rest

// ANCHOR: place
/// Keeps one place filled: when its worker has died, the next one is started, until it is to
/// finish. It is given up if too many in a row could not be started or died young. A successor
/// says on `ready` whether it is ready.
async fn fill_a_place(
    shared: Arc<Shared>,
    finish: CancellationToken,
    mut ready: Option<Ready>,
) -> Result<()> {
    let most = shared.max_failures;
    let mut failures = 0;
    while !finish.is_cancelled() {
        let result = run_a_worker(&shared, &finish, &mut ready).await;
        // A successor has one try, and this one ended before it was ready.
        if let Some(ready) = ready {
            let why = anyhow!("the new worker ended before it was ready");
            let _ = ready.send(result.and(Err(why)));
            return Ok(());
        }
        let life = match result {
            Ok(life) => life,
            Err(error) => {
                complain(error).await;
                Duration::ZERO
            }
        };
        if life >= Duration::from_secs(1) || finish.is_cancelled() {
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
            () = finish.cancelled() => {}
        }
    }
    Ok(())
}
// ANCHOR_END: place

// ANCHOR: run
/// Starts a worker, hands it connections, and logs its death. Returns how long it lived.
async fn run_a_worker(
    shared: &Shared,
    finish: &CancellationToken,
    ready: &mut Option<Ready>,
) -> Result<Duration> {
    let born = Instant::now();
    // A worker is this program once more, with its end of the channel as its stdin.
    let (channel, theirs) = UnixStream::pair().map_err(|error| anyhow!("fork: {error}"))?;
    let worker = with_signals_ignored(shared)
        .env("CLUSTER_WORKER", "1")
        .stdin(OwnedFd::from(theirs.into_std()?))
        .kill_on_drop(true)
        .spawn();
    let mut worker = worker.map_err(|error| anyhow!("fork: {error}"))?;
    let pid = worker.id().expect("nobody has waited for it yet");

    let limit = async {
        finish.cancelled().await;
        sleep(LIMIT).await;
        let _ = worker.start_kill();
        // Its channel ends with it, unless a child of its own holds it too: then go on without.
        sleep(Duration::from_secs(1)).await;
    };
    select! {
        result = hand_over(shared, channel, finish, ready) => result?,
        () = limit => {}
    }
    let status = worker.wait().await?;
    let life = born.elapsed();
    let code = status.code().map_or("null".to_string(), |code| code.to_string());
    let name = |number| Signal::try_from(number).map_or("SIGRT", Signal::as_str);
    let signal = status.signal().map_or("null", name);
    say(format!("{pid}번 워커가 종료되었습니다\ncode {code} signal {signal}\n")).await;
    Ok(life)
}
// ANCHOR_END: run

// ANCHOR: ignored
/// A program that no signal ends before it has handlers of its own.
fn with_signals_ignored(shared: &Shared) -> Command {
    let ignore = || {
        for kind in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: ignoring a signal installs no handler.
            unsafe { nix::sys::signal::signal(kind, SigHandler::SigIgn) }?;
        }
        Ok(())
    };
    let mut command = Command::new(&shared.program);
    // SAFETY: between fork and exec, ignoring signals is allowed.
    unsafe { command.pre_exec(ignore) };
    command
}
// ANCHOR_END: ignored

// ANCHOR: hand_over
/// Hands a worker one connection after another, until it has died and its channel has ended.
async fn hand_over(
    shared: &Shared,
    mut channel: UnixStream,
    finish: &CancellationToken,
    ready: &mut Option<Ready>,
) -> Result<()> {
    // A worker says `+` when it is ready …
    let mut answer = channel.read_u8().await;
    while answer.is_ok() {
        if let Some(ready) = ready.take() {
            let _ = ready.send(Ok(()));
        }
        let accepted = select! {
            biased;
            // It says nothing unasked: this is its end.
            _ = channel.read_u8() => break,
            () = finish.cancelled() => {
                let _ = channel.write_u8(b'f').await;
                // The next that comes is its end.
                let _ = channel.read_u8().await;
                break;
            }
            Some(accepted) = async { shared.waiting.lock().await.recv().await } => accepted,
        };
        answer = match channel.send_with_fd(b"c", &[accepted.connection.as_raw_fd()]) {
            Ok(_) => channel.read_u8().await,
            // It is dying, or too many descriptors are on their way: as if it had said `-`.
            Err(_) => {
                sleep(Duration::from_millis(10)).await;
                Ok(b'-')
            }
        };
        // … and when it has taken what it was handed. Until then ours stays open.
        if !matches!(answer, Ok(b'+')) {
            shared.queue.send(accepted)?;
        }
    }
    Ok(())
}
// ANCHOR_END: hand_over

// ANCHOR: worker
async fn worker() -> Result<ExitCode> {
    // Ctrl-C reaches the workers too, and the others may. They leave these to the primary, and end
    // when it says so or is gone.
    let _ = signal(SignalKind::interrupt())?;
    let _ = signal(SignalKind::terminate())?;
    let _ = signal(SignalKind::hangup())?;
    // A worker that is stopped could not see that: Linux ends it all the same.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut channel = take_channel()?;
    // From now on it may be handed a connection, which waits in the channel for the loop below.
    let _ = channel.write_u8(b'+').await;
    say(format!("{}번 워커 실행\n", process::id())).await;

    let mut http = http1::Builder::new();
    // Answers a client that has closed its sending side, too, and waits 30 seconds for a head.
    http.half_close(true).timer(TokioTimer::new());
    let finishing = CancellationToken::new();
    let close = map_response_with_state(finishing.clone(), close_when_finishing);
    let app = Router::new().route("/", any(page)).fallback(not_found).layer(close);
    let app = TowerToHyperService::new(app.with_state(Arc::new(Sessions::default())));
    let open = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    loop {
        match receive(&channel).await {
            Ok(None) => break,
            Ok(Some(connection)) => {
                let _ = channel.write_u8(b'+').await;
                // Or an answer would wait until the client has confirmed the one before.
                let _ = connection.set_nodelay(true);
                let connection = http.serve_connection(TokioIo::new(connection), app.clone());
                open.spawn(graceful.watch(connection));
            }
            // No descriptor is left, for example. The primary still has its own.
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                let _ = channel.write_u8(b'-').await;
            }
        }
    }
    finishing.cancel();
    open.close();
    let finished = async {
        // A kept connection on which nothing is asked is waited for no longer than this …
        let _ = timeout(Duration::from_secs(1), open.wait()).await;
        // … and what has begun is answered. The primary sees to it that this has an end.
        graceful.shutdown().await;
    };
    select! {
        () = finished => {}
        // Nothing more will come but the channel's end, and the end of this process with it.
        _ = receive(&channel) => {}
    }
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: worker

// ANCHOR: page
async fn page(
    State(sessions): State<Arc<Sessions>>,
    cookies: CookieJar,
    body: Body,
) -> impl IntoResponse {
    throw_away(body).await;
    let id = cookies.get("session").map(|cookie| cookie.value().to_string());
    let id = id.filter(|id| is_an_id(id)).unwrap_or_else(new_id);
    let visits = sessions.visit(&id).await;
    let cookie = Cookie::build(("session", id)).path("/").http_only(true);
    let cookies = cookies.add(cookie.same_site(SameSite::Lax));
    let html = [(CONTENT_TYPE, "text/html;charset=utf-8")];
    let pid = process::id();
    (cookies, html, format!("<h1>Hello Cluster!</h1><p>{pid}번 워커, {visits}번째 방문</p>"))
}
// ANCHOR_END: page

// ANCHOR: visit
/// How often each session has been here.
#[derive(Default)]
struct Sessions {
    visits: Mutex<HashMap<String, u64>>,
}

impl Sessions {
    /// Counts one more visit in the session `id`.
    async fn visit(&self, id: &str) -> u64 {
        let mut all = self.visits.lock().await;
        let visits = all.entry(id.to_string()).or_default();
        *visits += 1;
        *visits
    }
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

// ANCHOR: not_found
async fn not_found(body: Body) -> StatusCode {
    throw_away(body).await;
    StatusCode::NOT_FOUND
}
// ANCHOR_END: not_found

/// Reads what comes with a request, up to ten megabytes. Closing a connection with something unread
/// would reset it, and the client may still be sending.
async fn throw_away(body: Body) {
    let mut body = Limited::new(body, 10_000_000);
    while let Some(Ok(_)) = body.frame().await {}
}

// ANCHOR: channel
/// Takes the channel, which is this worker's stdin.
fn take_channel() -> Result<UnixStream> {
    let channel = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.peer_addr().ok().context("CLUSTER_WORKER is set, but stdin is no channel")?;
    // A program that a worker starts is no worker, and must not keep the channel open.
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    // SAFETY: this process has no other thread.
    unsafe { env::remove_var("CLUSTER_WORKER") };
    Ok(UnixStream::from_std(channel)?)
}
// ANCHOR_END: channel

// ANCHOR: close
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
// ANCHOR_END: close

// ANCHOR: receive
/// Waits for the next connection from the primary. There is none if the primary says `f`: this
/// worker is to finish. If the primary is gone, this worker ends.
async fn receive(channel: &UnixStream) -> io::Result<Option<TcpStream>> {
    let mut letter = [0];
    let mut number = [-1];
    let message = || channel.recv_with_fd(&mut letter, &mut number);
    match channel.async_io(Interest::READABLE, message).await? {
        (0, _) => process::exit(0),
        (_, 0) if letter == *b"f" => return Ok(None),
        (_, 0) => return Err(io::Error::other("no descriptor was left for it")),
        _ => {}
    }
    // SAFETY: the kernel has just made this descriptor, for this message.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number[0]) };
    // No program that a worker starts gets it.
    fcntl(&descriptor, F_SETFD(FdFlag::FD_CLOEXEC))?;
    TcpStream::from_std(descriptor.into()).map(Some)
}
// ANCHOR_END: receive

// ANCHOR: say
/// Prints whole lines in one write. If nobody reads them any more, this process ends quietly.
async fn say(lines: String) {
    let print = move || {
        if io::stdout().write_all(lines.as_bytes()).is_err() {
            process::exit(1);
        }
    };
    in_turn(print).await;
}

/// Says on stderr what went wrong, for the program goes on.
async fn complain(error: anyhow::Error) {
    let line = format!("Error: {error:#}\n");
    let print = move || {
        let _ = io::stderr().write_all(line.as_bytes());
    };
    in_turn(print).await;
}
// ANCHOR_END: say

// ANCHOR: console
type Print = Box<dyn FnOnce() + Send>;

/// A thread that prints what it is sent. If the terminal stands still, as after Ctrl-S, no other
/// thread does.
static CONSOLE: LazyLock<mpsc::UnboundedSender<Print>> = LazyLock::new(|| {
    let (console, mut prints) = mpsc::unbounded_channel::<Print>();
    let _ = thread::Builder::new().spawn(move || {
        // After `stty tostop` each line from the background would bring this signal.
        let _ = SigSet::from(Signal::SIGTTOU).thread_block();
        while let Some(print) = prints.blocking_recv() {
            print();
        }
    });
    console
});

/// Has this printed after what was said before. Waits until it is, but no longer than a second.
async fn in_turn(print: impl FnOnce() + Send + 'static) {
    let (printed, is_printed) = oneshot::channel();
    let print = move || {
        print();
        let _ = printed.send(());
    };
    if let Err(not_sent) = CONSOLE.send(Box::new(print)) {
        // There is no such thread: none could be started.
        not_sent.0();
    }
    let _ = timeout(Duration::from_secs(1), is_printed).await;
}
// ANCHOR_END: console

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
