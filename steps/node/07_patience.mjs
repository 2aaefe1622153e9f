// ANCHOR: program
// 07_patience: … and has patience with a worker that dies at once, and with a console that stands
// still.
import cluster from 'node:cluster';
import http from 'node:http';
import os from 'node:os';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());
const maxFailures = Number(process.env.MAX_FAILURES ?? 15);

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
  // ANCHOR: fork
  console.log(`마스터 프로세스 아이디: ${process.pid}`);
  for (let i = 0; i < workers; i++) {
    keepAWorker();
  }
  // ANCHOR_END: fork

  // ANCHOR: keep
  // Keeps one worker running, with patience.
  function keepAWorker() {
    let failures = 0;
    const run = () => {
      const born = Date.now();
      const worker = cluster.fork();
      letNobodyWait();
      // ANCHOR: wait
      worker.on('exit', (code, signal) => {
        const pid = worker.process.pid;
        console.log(`${pid}번 워커가 종료되었습니다\ncode ${code} signal ${signal}`);
        failures = Date.now() - born < 1000 ? failures + 1 : 0;
        if (failures >= maxFailures) {
          const why = 'so many workers in a row lived less than a second';
          console.error(`Error: MAX_FAILURES=${maxFailures}: ${why}`);
          process.exit(1);
        }
        // As pm2's exp_backoff_restart_delay: half as much again each time.
        setTimeout(run, failures && Math.min(100 * 1.5 ** (failures - 1), 15_000));
      });
      // ANCHOR_END: wait
    };
    run();
  }
  // ANCHOR_END: keep
} else {
  // ANCHOR: serve
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
    response.write('<h1>Hello Node!</h1>');
    response.end('<p>Hello Cluster!</p>');
  });
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}
// ANCHOR_END: program
