// ANCHOR: program
// 06_handoff: the primary accepts each connection and hands it to the next worker: Node's default.
import cluster from 'node:cluster';
import http from 'node:http';
import os from 'node:os';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());

if (cluster.isPrimary) {
  // ANCHOR: fork
  console.log(`마스터 프로세스 아이디: ${process.pid}`);
  for (let i = 0; i < workers; i++) {
    cluster.fork();
  }
  // ANCHOR_END: fork
  // ANCHOR: wait
  cluster.on('exit', (worker, code, signal) => {
    const pid = worker.process.pid;
    console.log(`${pid}번 워커가 종료되었습니다\ncode ${code} signal ${signal}`);
    cluster.fork();
  });
  // ANCHOR_END: wait
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
