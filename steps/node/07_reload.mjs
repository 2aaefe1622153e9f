// ANCHOR: program
// 07_reload: … and workers of a new program take the place of the old.
import cluster from 'node:cluster';
import http from 'node:http';
import os from 'node:os';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());
const maxFailures = Number(process.env.MAX_FAILURES ?? 15);
const limit = 10_000;

if (cluster.isPrimary) {
  // ANCHOR: fork
  console.log(`마스터 프로세스 아이디: ${process.pid}`);
  const kept = [];
  let ending = false;
  let old = 0;
  let next = null;
  const more = () => kept.push(keepAWorker());
  const fewer = () => {
    kept.shift().leave();
    old -= 1;
  };
  for (let i = 0; i < workers; i++) {
    more();
  }
  // ANCHOR_END: fork

  // ANCHOR: signals
  const ends = ['SIGINT', 'SIGTERM'];
  ends.forEach((signal) => process.on(signal, (_, number) => end(0, number)));
  process.on('SIGTTIN', () => ending || more());
  process.on('SIGTTOU', () => kept.length > 1 && fewer());
  process.on('SIGHUP', reload);
  // ANCHOR_END: signals

  // ANCHOR: reload
  // Gives each old worker a successor: one more, and when it is ready, one fewer.
  async function reload() {
    old = kept.length + (next ? 1 : 0);
    while (old > 0 && !next) {
      next = keepAWorker();
      const trouble = await untilReady(next.worker);
      if (ending) {
        return;
      }
      if (trouble) {
        console.error(`Error: reload called off: the new worker ${trouble}`);
        next.leave();
        old = 0;
      } else {
        kept.push(next);
        fewer();
      }
      next = null;
    }
  }
  // ANCHOR_END: reload

  // ANCHOR: ready
  function untilReady(worker) {
    return new Promise((resolve) => {
      worker.on('listening', () => resolve());
      worker.on('exit', () => resolve('ended before it was ready'));
      setTimeout(resolve, 5_000, 'was not ready after 5 seconds').unref();
    });
  }
  // ANCHOR_END: ready

  // ANCHOR: end
  function end(status, signal) {
    if (ending) {
      // Once more: at once, and as the shell would say it.
      process.exit(128 + signal);
    }
    ending = true;
    process.exitCode = status;
    next?.leave();
    kept.splice(0).forEach((worker) => worker.leave());
    setTimeout(() => process.exit(), limit).unref();
  }
  // ANCHOR_END: end

  // ANCHOR: keep
  // Keeps one worker running, with patience, until it is told to leave.
  function keepAWorker() {
    let worker, pause;
    let failures = 0;
    let leaving = false;
    const run = () => {
      const born = Date.now();
      worker = cluster.fork();
      // ANCHOR: wait
      worker.on('exit', (code, signal) => {
        const pid = worker.process.pid;
        console.log(`${pid}번 워커가 종료되었습니다\ncode ${code} signal ${signal}`);
        if (leaving) {
          return;
        }
        failures = Date.now() - born < 1000 ? failures + 1 : 0;
        if (failures >= maxFailures) {
          const why = 'so many workers in a row lived less than a second';
          console.error(`Error: MAX_FAILURES=${maxFailures}: ${why}`);
          return end(1);
        }
        // As pm2's exp_backoff_restart_delay: half as much again each time.
        pause = setTimeout(run, failures && Math.min(100 * 1.5 ** (failures - 1), 15_000));
      });
      // ANCHOR_END: wait
    };
    const leave = () => {
      leaving = true;
      clearTimeout(pause);
      worker.disconnect();
      setTimeout(() => worker.process.kill('SIGKILL'), limit).unref();
    };
    run();
    return { worker, leave };
  }
  // ANCHOR_END: keep
} else {
  // ANCHOR: worker
  // Ctrl-C reaches the workers too, and TERM may. They leave it to the primary, and end when it
  // says so or is gone.
  process.on('SIGINT', () => {}).on('SIGTERM', () => {}).on('SIGHUP', () => {});
  process.on('disconnect', () => process.exit());
  cluster.worker.on('error', () => process.exit());
  // ANCHOR_END: worker

  // ANCHOR: serve
  const server = http.createServer((request, response) => {
    if (cluster.worker.exitedAfterDisconnect) {
      // It is to finish: the client asks on another connection next time.
      response.setHeader('Connection', 'close');
    }
    response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
    response.write('<h1>Hello Node!</h1>');
    response.end('<p>Hello Cluster!</p>');
  });
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}
// ANCHOR_END: program
