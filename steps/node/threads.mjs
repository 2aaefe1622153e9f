// ANCHOR: program
// threads: what happens with worker_threads in the place of worker processes.
import http from 'node:http';
import os from 'node:os';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());

if (isMainThread) {
  // ANCHOR: spawn
  console.log(`마스터 프로세스 아이디: ${process.pid}`);
  const served = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < workers; i++) {
    const thread = new Worker(new URL(import.meta.url), { workerData: served });
    thread.on('error', (error) => console.error(error.message));
  }
  // ANCHOR_END: spawn
} else {
  // ANCHOR: serve
  const server = http.createServer((request, response) => {
    if (request.url === '/panic') throw new Error('one thread');
    if (request.url === '/exit') process.exit(1);
    const served = Atomics.add(workerData, 0, 1) + 1;
    response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
    response.write('<h1>Hello Node!</h1><p>Hello Cluster!</p>');
    response.end(`<p>${served}</p>`);
  });
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}
// ANCHOR_END: program
