// ANCHOR: program
//! 05_loop: an event loop in each process. A worker is this program once more, and is sent the
//! listening socket.

use anyhow::{Context, Result, anyhow, ensure};
use axum::{Router, body::Body, http::header::CONTENT_TYPE, response::IntoResponse};
use http_body_util::{BodyExt, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::fcntl::{FcntlArg::F_SETFD, FdFlag, fcntl};
use nix::sys::signal::{SigHandler, Signal};
use sendfd::{RecvWithFd, SendWithFd};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt};
use std::process::{self, ExitCode};
use std::{env, fs::File, io, io::Write, net, path::PathBuf, sync::Arc, time::Duration};
use tokio::io::Interest;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::{process::Command, task::JoinSet, time::sleep};

// ANCHOR: main
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let is_primary = env::var_os("CLUSTER_WORKER").is_none();
    if is_primary { primary().await } else { worker().await }
}
// ANCHOR_END: main

// ANCHOR: primary
async fn primary() -> Result<ExitCode> {
    // ANCHOR: open
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"));
    let listener = listener.await.map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // The workers accept: this loop need not watch for connections.
    let listener = listener.into_std()?;
    let program = env::current_exe()?;
    let shared = Arc::new(Shared { program, listener });
    // Ignored, as it may be at the start, this signal would hide how a worker has ended.
    let _ = signal(SignalKind::child())?;
    // ANCHOR_END: open

    // ANCHOR: signals
    let mut signals = vec![Signal::SIGINT, Signal::SIGTERM];
    // `nohup` has this one ignored at the start, and then it stays ignored.
    // SAFETY: ignoring a signal installs no handler.
    let hang_up = unsafe { nix::sys::signal::signal(Signal::SIGHUP, SigHandler::SigIgn) }?;
    if !matches!(hang_up, SigHandler::SigIgn) {
        signals.push(Signal::SIGHUP);
    }
    // ANCHOR_END: signals

    // ANCHOR: tasks
    let mut tasks = JoinSet::new();
    for kind in signals {
        let mut arrivals = signal(SignalKind::from_raw(kind as i32))?;
        tasks.spawn(async move {
            arrivals.recv().await;
            // As a shell reports an end by this signal.
            Ok(ExitCode::from(128 + kind as u8))
        });
    }
    say(format!("마스터 프로세스 아이디: {}\n", process::id()));
    for _ in 0..workers {
        tasks.spawn(fill_a_place(Arc::clone(&shared)));
    }
    // The first task to end is the end of all: a signal has come, or a worker cannot be started.
    tasks.join_next().await.expect("there are tasks")?
    // ANCHOR_END: tasks
}
// ANCHOR_END: primary

// ANCHOR: shared
/// What the tasks of the primary share.
struct Shared {
    program: PathBuf,
    listener: net::TcpListener,
}
// ANCHOR_END: shared

// ANCHOR: place
/// Keeps one place filled: when its worker has died, the next one is started.
async fn fill_a_place(shared: Arc<Shared>) -> Result<ExitCode> {
    loop {
        run_a_worker(&shared).await?;
    }
}
// ANCHOR_END: place

// ANCHOR: run
/// Starts a worker, sends it the listening socket, and logs its death.
async fn run_a_worker(shared: &Shared) -> Result<()> {
    // A worker is this program once more, with its end of the channel as its stdin.
    let (channel, theirs) = UnixStream::pair().map_err(|error| anyhow!("fork: {error}"))?;
    let worker = Command::new(&shared.program)
        .env("CLUSTER_WORKER", "1")
        .stdin(OwnedFd::from(theirs.into_std()?))
        .kill_on_drop(true)
        .spawn();
    let mut worker = worker.map_err(|error| anyhow!("fork: {error}"))?;
    let pid = worker.id().expect("nobody has waited for it yet");

    // tokio sends nothing before it has seen that it can.
    channel.writable().await?;
    if channel.send_with_fd(b"l", &[shared.listener.as_raw_fd()]).is_err() {
        // Without a channel it ends, if it is not dead already, and another one is started.
        drop(channel);
    }
    let status = worker.wait().await?;
    let code = status.code().map_or("null".to_string(), |code| code.to_string());
    let name = |number| Signal::try_from(number).map_or("SIGRT", Signal::as_str);
    let signal = status.signal().map_or("null", name);
    say(format!("{pid}번 워커가 종료되었습니다\ncode {code} signal {signal}\n"));
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: worker
// ANCHOR: begin
async fn worker() -> Result<ExitCode> {
    // Ctrl-C reaches the workers too. They leave it to the primary, and end when it is gone.
    let _ = signal(SignalKind::interrupt())?;
    // A worker that is stopped could not see that: Linux ends it all the same.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let channel = take_channel()?;
    let listener = TcpListener::from_std(receive(&channel).await?.into())?;
    say(format!("{}번 워커 실행\n", process::id()));
    // Nothing more will come but the channel's end, and the end of this process with it.
    tokio::spawn(async move { receive(&channel).await });
    // ANCHOR_END: begin

    // ANCHOR: serve
    let mut http = http1::Builder::new();
    // Answers a client that has closed its sending side, too, and waits 30 seconds for a head.
    http.half_close(true).timer(TokioTimer::new());
    let app = TowerToHyperService::new(Router::new().fallback(page));
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                // Or an answer would wait until the client has confirmed the one before.
                let _ = connection.set_nodelay(true);
                tokio::spawn(http.serve_connection(TokioIo::new(connection), app.clone()));
            }
            // No descriptor is left, for example: trying again at once would not bring one.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
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

// ANCHOR: throw
/// Reads what comes with a request, up to ten megabytes. Closing a connection with something unread
/// would reset it, and the client may still be sending.
async fn throw_away(body: Body) {
    let mut body = Limited::new(body, 10_000_000);
    while let Some(Ok(_)) = body.frame().await {}
}
// ANCHOR_END: throw

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
/// Waits for the next descriptor from the primary. If the primary is gone, this worker ends.
async fn receive(channel: &UnixStream) -> io::Result<OwnedFd> {
    let mut letter = [0];
    let mut number = [-1];
    let message = || channel.recv_with_fd(&mut letter, &mut number);
    match channel.async_io(Interest::READABLE, message).await? {
        (0, _) => process::exit(0),
        (_, 0) => return Err(io::Error::other("no descriptor was left for it")),
        _ => {}
    }
    // SAFETY: the kernel has just made this descriptor, for this message.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number[0]) };
    // No program that a worker starts gets it.
    fcntl(&descriptor, F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(descriptor)
}
// ANCHOR_END: receive

// ANCHOR: say
/// Prints whole lines in one write. If nobody reads them any more, this process ends quietly.
fn say(lines: String) {
    if io::stdout().write_all(lines.as_bytes()).is_err() {
        process::exit(1);
    }
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
