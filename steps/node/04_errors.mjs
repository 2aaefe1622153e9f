// ANCHOR: program
// 04_errors: what was foreseen gets an answer; only what was not ends a worker.
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
  const lines = ['<h1>Hello Node!</h1>', '<p>Hello Cluster!</p>'];
  const server = http.createServer((request, response) => {
    const path = request.url.replace(/^\/+/, '');
    let status = 200;
    let page = lines.join('');
    if (/^\d+$/.test(path)) {
      page = lines[Number(path) - 1];
    } else if (path !== '') {
      status = 400;
      page = '<h1>Bad Request</h1><p>Ask for line 1 or 2.</p>';
    }
    response.writeHead(status, { 'Content-Type': 'text/html;charset=utf-8' });
    response.write(page);
    response.end();
  });
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}
// ANCHOR_END: program
