// ANCHOR: program
// 09_redis: … and a visitor is remembered in Redis, for all workers: the notes' remedy.
import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());
const maxFailures = Number(process.env.MAX_FAILURES ?? 15);
const limit = 10_000;
const redisUrl = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';
const redisLimit = Number(process.env.REDIS_MILLISECONDS ?? 400);
const seconds = Number(process.env.SESSION_SECONDS ?? 1800);
const redis = openRedis();

if (cluster.isPrimary) {
  await inTime(redis.connect(), 2_000).catch(noRedis);
  redis.destroy();
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
  // It is ready once it is connected, or once it is plain that Redis is away.
  await inTime(redis.connect(), redisLimit).catch(() => {});
  // ANCHOR_END: worker

  // ANCHOR: serve
  const server = http.createServer(async (request, response) => {
    if (cluster.worker.exitedAfterDisconnect) {
      // It is to finish: the client asks on another connection next time.
      response.setHeader('Connection', 'close');
    }
    if (request.url.split('?')[0] !== '/') {
      response.statusCode = 404;
      response.end();
      return;
    }
    const id = idOf(request.headers.cookie ?? '') ?? randomBytes(16).toString('hex');
    const visits = await visit(id).catch(() => null);
    if (visits === null) {
      response.writeHead(503, { 'Content-Type': 'text/html;charset=utf-8' });
      response.end('<h1>Service Unavailable</h1><p>Redis does not answer.</p>');
      return;
    }
    response.writeHead(200, {
      'Content-Type': 'text/html;charset=utf-8',
      'Set-Cookie': `session=${id}; HttpOnly; SameSite=Lax; Path=/`,
    });
    response.write('<h1>Hello Cluster!</h1>');
    response.end(`<p>${process.pid}번 워커, ${visits}번째 방문</p>`);
  });
  server.listen(port, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}

// ANCHOR: visit
// Redis at REDIS_URL. A worker connects anew when the connection is lost.
function openRedis() {
  const socket = { connectTimeout: redisLimit, reconnectStrategy: cluster.isWorker && 50 };
  try {
    // Without a listener an error would end the process.
    return createClient({ url: redisUrl, socket }).on('error', () => {});
  } catch (error) {
    return noRedis(error);
  }
}

// Names the setting, and of its value what stands behind a password.
function noRedis(error) {
  console.error(`Error: REDIS_URL=${redisUrl.split('@').at(-1)}: ${error.message}`);
  process.exit(1);
}

// MULTI knows no time limit of its own.
function inTime(answer, limit) {
  const late = () => Promise.reject(new Error('no answer in time'));
  return Promise.race([answer, sleep(limit, null, { ref: false }).then(late)]);
}

// Counts one more visit in the session `id`.
async function visit(id) {
  if (!redis.isReady) {
    // The command would wait in a queue until Redis is back.
    throw new Error('not connected');
  }
  const key = `session:${id}`;
  const commands = redis.multi().incr(key).expire(key, seconds);
  const [visits] = await inTime(commands.exec(), redisLimit);
  return visits;
}
// ANCHOR_END: visit

// ANCHOR: id
// What looks like an id of ours in the header Cookie, which anybody may have written.
function idOf(cookies) {
  const values = cookies.split(/; */).filter((cookie) => cookie.startsWith('session='));
  return values.at(-1)?.match(/^session=([0-9a-f]{32})$/)?.[1];
}
// ANCHOR_END: id
// ANCHOR_END: program
