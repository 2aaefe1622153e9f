// ANCHOR: program
//! 05_handoff: the primary accepts each connection and hands it to the next worker, as Node's does.

use anyhow::{Context, Result, anyhow, ensure};
use axum::{Router, http::header::CONTENT_TYPE, serve::Listener};
use nix::sys::signal::Signal;
use sendfd::{RecvWithFd, SendWithFd};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt};
use std::process::{self, ExitCode};
use std::{env, io, io::Write, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::{io::AsyncReadExt, process::Command, select, task::JoinSet, time::sleep};

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
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"));
    let listener = listener.await.map_err(|error| anyhow!("PORT={port}: {error}"))?;
    let (queue, waiting) = mpsc::unbounded_channel();
    let (program, waiting) = (env::current_exe()?, Mutex::new(waiting));
    let primary = Arc::new(Primary { program, queue, waiting });
    // Where it was ignored at the start, this signal would hide who has ended.
    let _ = signal(SignalKind::child())?;

    // ANCHOR: tasks
    say(format!("마스터 프로세스 아이디: {}\n", process::id()));
    let mut tasks = JoinSet::new();
    for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|signal| signal as i32) {
        let mut signal = signal(SignalKind::from_raw(number))?;
        tasks.spawn(async move {
            signal.recv().await;
            // As the shell would say it.
            Ok(ExitCode::from(128 + number as u8))
        });
    }
    for _ in 0..workers {
        tasks.spawn(keep_a_worker(Arc::clone(&primary)));
    }
    tasks.spawn(accept(listener, primary));
    // The first task to end is the end of all: a signal has come, or a worker cannot be started.
    tasks.join_next().await.context("there are tasks")??
    // ANCHOR_END: tasks
}
// ANCHOR_END: primary

// ANCHOR: queue
/// What the tasks of the primary share.
struct Primary {
    program: PathBuf,
    /// Connections enter here, when they are accepted and when a worker has not taken them …
    queue: mpsc::UnboundedSender<TcpStream>,
    /// … and leave here. The lock is fair: the workers that are free get them in turn.
    waiting: Mutex<mpsc::UnboundedReceiver<TcpStream>>,
}
// ANCHOR_END: queue

// ANCHOR: accept
async fn accept(listener: TcpListener, primary: Arc<Primary>) -> Result<ExitCode> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => primary.queue.send(connection)?,
            // No descriptor is left, say: to try again at once would not bring one.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: keep
/// Keeps one worker running.
async fn keep_a_worker(primary: Arc<Primary>) -> Result<ExitCode> {
    loop {
        run_a_worker(&primary).await?;
    }
}
// ANCHOR_END: keep

// ANCHOR: run
/// Starts a worker, hands it connections, and logs its death.
async fn run_a_worker(primary: &Primary) -> Result<()> {
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

    hand_over(primary, channel).await?;
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
async fn hand_over(primary: &Primary, mut channel: UnixStream) -> Result<()> {
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
            }
            Some(connection) = async { primary.waiting.lock().await.recv().await }, if free => {
                channel.writable().await?;
                // Where this fails the worker is dying, and the next read says so.
                let _ = channel.send_with_fd(b"c", &[connection.as_raw_fd()]);
                (free, handed) = (false, Some(connection));
            }
        }
    }
}
// ANCHOR_END: hand_over

// ANCHOR: worker
async fn worker() -> Result<ExitCode> {
    // Ctrl-C reaches the workers too. They leave it to the primary, and end when it is gone.
    let _ = signal(SignalKind::interrupt())?;
    // A worker that is stopped could not see that: Linux ends it all the same.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let html = [(CONTENT_TYPE, "text/html;charset=utf-8")];
    let page = (html, "<h1>Hello Node!</h1><p>Hello Cluster!</p>");
    let mut channel = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.peer_addr().ok().context("CLUSTER_WORKER is set, but stdin is no channel")?;
    // From now on the primary may hand it connections. They wait in the channel for the last line.
    let _ = channel.write_all(b"+");
    say(format!("{}번 워커 실행\n", process::id()));
    channel.set_nonblocking(true)?;
    let channel = Channel { channel: UnixStream::from_std(channel)? };
    axum::serve(channel, Router::new().fallback(async || page)).await?;
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: worker

// ANCHOR: channel
/// The worker's end of the channel. axum takes connections from it as from any listener.
struct Channel {
    channel: UnixStream,
}

impl Listener for Channel {
    type Io = TcpStream;
    type Addr = ();

    async fn accept(&mut self) -> (TcpStream, ()) {
        loop {
            let (mut byte, mut socket) = ([0], [-1]);
            let _ = self.channel.readable().await;
            match self.channel.recv_with_fd(&mut byte, &mut socket) {
                Ok((0, _)) => process::exit(0), // The primary is gone.
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
                        return (connection, ());
                    }
                }
                Err(_) => {} // Nothing there after all.
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
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
