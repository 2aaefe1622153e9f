// ANCHOR: program
// 12_reload: … and workers of a new program take the place of the old, one after another.
import cluster from 'node:cluster';
import http from 'node:http';
import os from 'node:os';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());
const maxFailures = Number(process.env.MAX_FAILURES ?? 15);
const limit = 10_000;

// ANCHOR: console
// If the terminal stands still, as after Ctrl-S, what is printed waits and nothing else does.
// Node documents no way to say so, and each fork undoes it.
function letNobodyWait() {
  for (const { _handle } of [process.stdout, process.stderr]) {
    _handle?.setBlocking?.(false);
  }
}
letNobodyWait();
// ANCHOR_END: console

if (cluster.isPrimary) {
  // ANCHOR: signals
  const ends = ['SIGINT', 'SIGTERM'];
  ends.forEach((signal) => process.on(signal, (_, number) => end(0, number)));
  process.on('SIGTTIN', () => ending || more());
  process.on('SIGTTOU', () => kept.length > 1 && fewer());
  process.on('SIGHUP', reload);
  // ANCHOR_END: signals

  // ANCHOR: fork
  console.log(`마스터 프로세스 아이디: ${process.pid}`);
  const kept = [];
  let ending = null;
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

  // ANCHOR: reload
  // Gives each old worker a successor: one more, and when it is ready, one fewer.
  async function reload() {
    old = kept.length;
    // A successor on its way may run a program that is old by now.
    next?.leave();
    while (old > 0) {
      const successor = keepAWorker();
      next = successor;
      const trouble = await untilReady(successor.worker);
      if (next !== successor) {
        // It was forgotten.
        return;
      }
      next = null;
      if (trouble) {
        console.error(`Error: reload called off: the new worker ${trouble}`);
        return successor.leave();
      }
      kept.push(successor);
      fewer();
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
      // The command `timeout` sends one to it and one to all: within half a second they are one.
      if (Date.now() - ending > 500) {
        // Once more: at once, and as the shell would say it.
        process.exit(128 + signal);
      }
      return;
    }
    ending = Date.now();
    process.exitCode = status;
    const left = kept.splice(0).concat(next ?? []);
    next = null;
    // Node's cluster resets what still waits in its queue once the last of them is told, and it
    // shows nobody that queue.
    left.forEach((worker) => worker.leave());
    setTimeout(() => process.exit(), limit).unref();
    // A worker that has not finished by then is killed: if it is stopped, it would not see the end.
    process.on('exit', () => left.forEach((worker) => worker.kill()));
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
      letNobodyWait();
      // ANCHOR: wait
      worker.on('exit', (code, signal) => {
        const pid = worker.process.pid;
        console.log(`${pid}번 워커가 종료되었습니다\ncode ${code} signal ${signal}`);
        // A successor has one try.
        if (leaving || worker === next?.worker) {
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
    const kill = () => worker.process.kill('SIGKILL');
    const leave = () => {
      leaving = true;
      clearTimeout(pause);
      worker.disconnect();
      setTimeout(kill, limit).unref();
    };
    run();
    return { worker, leave, kill };
  }
  // ANCHOR_END: keep
} else {
  // ANCHOR: worker
  // Ctrl-C reaches the workers too, and the others may. They leave these to the primary, and end
  // when it says so or is gone.
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
  // A kept connection on which nothing is asked has a second: Node would close it at once.
  const open = new Set();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  const closeIdle = () => {
    http.Server.prototype.closeIdleConnections.call(server);
    // Node does not count connections on which nothing was asked yet.
    open.forEach((socket) => socket.bytesRead || socket.destroy());
  };
  server.closeIdleConnections = () => setTimeout(closeIdle, 1000);
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}
// ANCHOR_END: program
