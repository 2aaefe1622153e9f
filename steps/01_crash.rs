// ANCHOR: program
//! 01_crash: each worker exits with code 1, one second after its first answer.

use anyhow::{Result, anyhow, ensure};
use nix::{errno::Errno, sys::wait::wait, unistd::fork};
use std::{env, io, net::TcpListener, process, thread, time::Duration};
use tiny_http::{Header, Response, Server};

fn main() -> Result<()> {
    // ANCHOR: bind
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // ANCHOR_END: bind
    // ANCHOR: lifeline
    // A pipe that nobody writes into: it ends when the primary does, and the workers see that.
    let (lifeline, primary_end) = io::pipe()?;
    // ANCHOR_END: lifeline

    // ANCHOR: fork
    println!("마스터 프로세스 아이디: {}", process::id());
    for _ in 0..workers {
        // SAFETY: the primary has only one thread, so nothing is lost in the child.
        let forked = unsafe { fork() }.map_err(|error| anyhow!("fork: {error}"))?;
        if forked.is_child() {
            worker(listener, lifeline, primary_end);
        }
    }
    // ANCHOR_END: fork
    // ANCHOR: wait
    while wait() != Err(Errno::ECHILD) {}
    Ok(())
    // ANCHOR_END: wait
}

// ANCHOR: worker
/// The whole life of a worker: it never returns into the primary's code.
fn worker(listener: TcpListener, lifeline: io::PipeReader, primary_end: io::PipeWriter) -> ! {
    // While one process holds this end, the pipe does not end: only the primary may hold it.
    drop(primary_end);
    // This thread reads to the end of the pipe, and then ends the worker.
    thread::spawn(|| io::read_to_string(lifeline).map(|_| process::exit(0)));
    // ANCHOR_END: worker

    // ANCHOR: serve
    let server = Server::from_listener(listener, None).expect("the listener is bound");
    println!("{}번 워커 실행", process::id());
    for (served, request) in server.incoming_requests().enumerate() {
        let html = Header::from_bytes("Content-Type", "text/html;charset=utf-8").unwrap();
        let page = Response::from_string("<h1>Hello Node!</h1><p>Hello Cluster!</p>");
        let _ = request.respond(page.with_header(html));
        if served == 0 {
            thread::spawn(|| {
                thread::sleep(Duration::from_secs(1));
                process::exit(1);
            });
        }
    }
    process::exit(1)
    // ANCHOR_END: serve
}

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
