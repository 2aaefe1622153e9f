// ANCHOR: program
//! 08_finish: … and ends in order: what is being answered is answered.

use anyhow::{Context, Result, anyhow, ensure};
use axum::{Router, body::Body, http::header::CONTENT_TYPE, response::IntoResponse};
use http_body_util::{BodyExt, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::{server::graceful::GracefulShutdown, service::TowerToHyperService};
use nix::fcntl::{FcntlArg::F_SETFD, FdFlag, fcntl};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal};
use sendfd::{RecvWithFd, SendWithFd};
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
use tokio_util::sync::CancellationToken;

/// How long the primary waits for its workers to finish.
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
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let max_failures = setting("MAX_FAILURES", 15, 1_000)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"));
    let listener = listener.await.map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // Each worker takes two descriptors here, and each connection that waits takes one.
    let (_, most) = getrlimit(RLIMIT_NOFILE)?;
    let _ = setrlimit(RLIMIT_NOFILE, most, most);
    let program = env::current_exe()?;
    let (queue, waiting) = mpsc::unbounded_channel();
    let waiting = Mutex::new(waiting);
    let finish = CancellationToken::new();
    let shared = Arc::new(Shared { program, max_failures, queue, waiting, finish });
    // Ignored, as it may be at the start, this signal would hide how a worker has ended.
    let _ = signal(SignalKind::child())?;

    let mut signals = vec![Signal::SIGINT, Signal::SIGTERM];
    // `nohup` has this one ignored at the start, and then it stays ignored.
    // SAFETY: ignoring a signal installs no handler.
    let hang_up = unsafe { nix::sys::signal::signal(Signal::SIGHUP, SigHandler::SigIgn) }?;
    if !matches!(hang_up, SigHandler::SigIgn) {
        signals.push(Signal::SIGHUP);
    }

    // ANCHOR: signals
    let (sender, mut ends) = mpsc::unbounded_channel();
    for kind in signals {
        let mut arrivals = signal(SignalKind::from_raw(kind as i32))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                // As a shell reports an end by this signal.
                let _ = sender.send(ExitCode::from(128 + kind as u8));
            }
        });
    }
    // ANCHOR_END: signals
    let mut tasks = JoinSet::new();
    say(format!("마스터 프로세스 아이디: {}\n", process::id())).await;
    for _ in 0..workers {
        tasks.spawn(fill_a_place(Arc::clone(&shared)));
    }
    // ANCHOR: status
    let status = select! {
        result = accept(&listener, &shared) => return result,
        Some(_) = ends.recv() => ExitCode::SUCCESS,
        Some(result) = tasks.join_next() => {
            if let Err(error) = result? {
                complain(error).await;
            }
            ExitCode::FAILURE
        }
    };
    // ANCHOR_END: status

    // ANCHOR: end
    // Nobody new is let in, and the workers are told to finish.
    drop(listener);
    shared.finish.cancel();
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
    // ANCHOR_END: end
}
// ANCHOR_END: primary

// ANCHOR: shared
/// What the tasks of the primary share.
struct Shared {
    program: PathBuf,
    max_failures: usize,
    /// Connections enter here, when they are accepted and when a worker has not taken them …
    queue: mpsc::UnboundedSender<TcpStream>,
    /// … and leave here. The lock is fair: the tasks of free workers get them in turn.
    waiting: Mutex<mpsc::UnboundedReceiver<TcpStream>>,
    /// Cancelled when all workers are to finish.
    finish: CancellationToken,
}
// ANCHOR_END: shared

// ANCHOR: accept
async fn accept(listener: &TcpListener, shared: &Shared) -> Result<ExitCode> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => shared.queue.send(connection)?,
            // No descriptor is left, for example: trying again at once would not bring one.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: place
/// Keeps one place filled: when its worker has died, the next one is started, until it is to
/// finish. It is given up if too many in a row could not be started or died young.
async fn fill_a_place(shared: Arc<Shared>) -> Result<()> {
    let most = shared.max_failures;
    let mut failures = 0;
    while !shared.finish.is_cancelled() {
        let life = match run_a_worker(&shared).await {
            Ok(life) => life,
            Err(error) => {
                complain(error).await;
                Duration::ZERO
            }
        };
        if life >= Duration::from_secs(1) {
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
            () = shared.finish.cancelled() => {}
        }
    }
    Ok(())
}
// ANCHOR_END: place

// ANCHOR: run
/// Starts a worker, hands it connections, and logs its death. Returns how long it lived.
async fn run_a_worker(shared: &Shared) -> Result<Duration> {
    let born = Instant::now();
    // A worker is this program once more, with its end of the channel as its stdin.
    let (channel, theirs) = UnixStream::pair().map_err(|error| anyhow!("fork: {error}"))?;
    let worker = Command::new(&shared.program)
        .env("CLUSTER_WORKER", "1")
        .stdin(OwnedFd::from(theirs.into_std()?))
        .kill_on_drop(true)
        .spawn();
    let mut worker = worker.map_err(|error| anyhow!("fork: {error}"))?;
    let pid = worker.id().expect("nobody has waited for it yet");

    hand_over(shared, channel).await?;
    let status = worker.wait().await?;
    let life = born.elapsed();
    let code = status.code().map_or("null".to_string(), |code| code.to_string());
    let name = |number| Signal::try_from(number).map_or("SIGRT", Signal::as_str);
    let signal = status.signal().map_or("null", name);
    say(format!("{pid}번 워커가 종료되었습니다\ncode {code} signal {signal}\n")).await;
    Ok(life)
}
// ANCHOR_END: run

// ANCHOR: hand_over
/// Hands a worker one connection after another, until it has died and its channel has ended.
async fn hand_over(shared: &Shared, mut channel: UnixStream) -> Result<()> {
    // A worker says `+` when it is ready …
    let mut answer = channel.read_u8().await;
    while answer.is_ok() {
        let connection = select! {
            biased;
            // It says nothing unasked: this is its end.
            _ = channel.read_u8() => break,
            // ANCHOR: tell
            () = shared.finish.cancelled() => {
                let _ = channel.write_u8(b'f').await;
                // The next that comes is its end.
                let _ = channel.read_u8().await;
                break;
            }
            // ANCHOR_END: tell
            Some(connection) = async { shared.waiting.lock().await.recv().await } => connection,
        };
        answer = match channel.send_with_fd(b"c", &[connection.as_raw_fd()]) {
            Ok(_) => channel.read_u8().await,
            // It is dying, or too many descriptors are on their way: as if it had said `-`.
            Err(_) => {
                sleep(Duration::from_millis(10)).await;
                Ok(b'-')
            }
        };
        // … and when it has taken what it was handed. Until then ours stays open.
        if !matches!(answer, Ok(b'+')) {
            shared.queue.send(connection)?;
        }
    }
    Ok(())
}
// ANCHOR_END: hand_over

// ANCHOR: worker
async fn worker() -> Result<ExitCode> {
    // ANCHOR: handlers
    // Ctrl-C reaches the workers too, and the others may. They leave these to the primary, and end
    // when it says so or is gone.
    let _ = signal(SignalKind::interrupt())?;
    let _ = signal(SignalKind::terminate())?;
    let _ = signal(SignalKind::hangup())?;
    // ANCHOR_END: handlers
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
    let app = TowerToHyperService::new(Router::new().fallback(page));
    // ANCHOR: serve
    let graceful = GracefulShutdown::new();
    loop {
        match receive(&channel).await {
            Ok(None) => break,
            Ok(Some(connection)) => {
                let _ = channel.write_u8(b'+').await;
                // Or an answer would wait until the client has confirmed the one before.
                let _ = connection.set_nodelay(true);
                let connection = http.serve_connection(TokioIo::new(connection), app.clone());
                tokio::spawn(graceful.watch(connection));
            }
            // No descriptor is left, for example. The primary still has its own.
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                let _ = channel.write_u8(b'-').await;
            }
        }
    }
    select! {
        // What has begun is answered. The primary sees to it that this has an end.
        () = graceful.shutdown() => {}
        // Nothing more will come but the channel's end, and the end of this process with it.
        _ = receive(&channel) => {}
    }
    Ok(ExitCode::SUCCESS)
    // ANCHOR_END: serve
}
// ANCHOR_END: worker

// ANCHOR: page
async fn page(body: Body) -> impl IntoResponse {
    throw_away(body).await;
    let html = [(CONTENT_TYPE, "text/html;charset=utf-8")];
    (html, "<h1>Hello Node!</h1><p>Hello Cluster!</p>")
}
// ANCHOR_END: page

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
