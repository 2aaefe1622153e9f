// ANCHOR: program
//! threads: the server of step 00, with a thread in the place of each worker process.

use anyhow::{Result, anyhow, ensure};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, net::TcpListener, process, sync::Arc, thread};
use tiny_http::{Header, Response, Server};

// ANCHOR: memory
// One process has one memory: every thread counts in here.
static SERVED: AtomicUsize = AtomicUsize::new(0);
// ANCHOR_END: memory

fn main() -> Result<()> {
    // ANCHOR: bind
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // ANCHOR_END: bind

    // ANCHOR: spawn
    println!("마스터 프로세스 아이디: {}", process::id());
    let server = Server::from_listener(listener, None).expect("the listener is bound");
    let server = Arc::new(server);
    let mut threads = Vec::new();
    for _ in 0..workers {
        let server = Arc::clone(&server);
        threads.push(thread::spawn(move || worker(&server)));
    }
    // ANCHOR_END: spawn
    // ANCHOR: join
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
    // ANCHOR_END: join
}

// ANCHOR: serve
/// The whole life of a thread. What it prints and counts is its process's.
fn worker(server: &Server) {
    println!("{}번 워커 실행", process::id());
    for request in server.incoming_requests() {
        match request.url() {
            "/panic" => panic!("one thread"),
            "/exit" => process::exit(1),
            _ => {}
        }
        let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
        let html = Header::from_bytes("Content-Type", "text/html;charset=utf-8").unwrap();
        let page = format!("<h1>Hello Node!</h1><p>Hello Cluster!</p><p>{served}</p>");
        let _ = request.respond(Response::from_string(page).with_header(html));
    }
}
// ANCHOR_END: serve

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
