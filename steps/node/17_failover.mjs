// ANCHOR: program
// 17_failover: … and when one Redis dies another takes over: the sentinels say which.
import { spawn } from 'node:child_process';
import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionTimeoutError, createClient, ErrorReply } from 'redis';

const port = Number(process.env.PORT ?? 8086);
const workers = Number(process.env.WORKERS ?? os.availableParallelism());
const maxFailures = Number(process.env.MAX_FAILURES ?? 15);
const limit = 10_000;
const redisUrls = (process.env.REDIS_URL ?? 'redis://127.0.0.1:26379').split(',');
// To find the master and to connect may take this long, and an answer too: a successor has five
// seconds for both.
const redisLimit = Math.min(Number(process.env.REDIS_MILLISECONDS ?? 400), 2_000);
const seconds = Number(process.env.SESSION_SECONDS ?? 1800);
// Named when a visit fails: the sentinels, or the master that they have named.
let asked = `REDIS_URL=${redisUrls.map(addressOf)}`;
let redis = null;
let inTrouble = false;

// ANCHOR: listen
// If the listening socket is lent, it is the primary's descriptor 3. The workers inherit the
// variables that say so.
const primary = cluster.isPrimary ? process.pid : process.ppid;
const lent = process.env.LISTEN_FDS && Number(process.env.LISTEN_PID ?? primary) === primary;
// If HOST is empty, Node would listen on every address.
const host = process.env.HOST || '127.0.0.1';
const listening = lent ? { fd: 3 } : { port, host };
// ANCHOR_END: listen

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
  // ANCHOR: patience
  const start = Date.now();
  let error;
  do {
    error = await count('check').then(() => null, (error) => error);
    // A busy machine is slow: better let the clients in the backlog wait a little longer.
  } while (error instanceof ConnectionTimeoutError && Date.now() - start < 5_000);
  if (error) {
    noRedis(error);
  }
  (await redis.master).destroy();
  // ANCHOR_END: patience

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

  // ANCHOR: notify
  // Node has no datagram socket of Unix. So systemd's own tool says it: the unit needs
  // NotifyAccess=all, for the tool is another process.
  const notify = (state) => {
    if (process.env.NOTIFY_SOCKET) {
      const tool = spawn('systemd-notify', [state], { stdio: 'ignore' });
      // It waits until systemd has read it. The end of this process does not.
      tool.on('error', () => {}).unref();
    }
  };
  cluster.once('listening', () => notify('READY=1'));
  // ANCHOR_END: notify

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
    notify('STOPPING=1');
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
        if (lent && Object.values(cluster.workers).every((other) => other.isDead())) {
          // Node closes the socket with its last worker, and has no other way to it.
          // The service that lends it starts a primary anew.
          console.error('Error: LISTEN_FDS: Node has closed the socket that it was lent');
          return end(1);
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
  // A worker that Redis refuses is of no use. If Redis is only away, it may come back.
  await count('check').catch((error) => error instanceof ErrorReply && noRedis(error));
  // ANCHOR_END: worker

  // ANCHOR: serve
  const server = http.createServer(async (request, response) => {
    if (cluster.worker.exitedAfterDisconnect) {
      // It is to finish: the client asks on another connection next time.
      response.setHeader('Connection', 'close');
    }
    const path = request.url.split('?')[0];
    // ANCHOR: health
    if (path === '/health') {
      // For a balancer, which is no visitor. It is not told how Redis is.
      response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' });
      response.end('well');
      return;
    }
    // ANCHOR_END: health
    if (path !== '/') {
      response.statusCode = 404;
      response.end();
      return;
    }
    const id = idOf(request.headers.cookie ?? '') ?? randomBytes(16).toString('hex');
    const visits = await visit(id);
    if (visits === null) {
      response.writeHead(503, { 'Content-Type': 'text/html;charset=utf-8' });
      response.end('<h1>Service Unavailable</h1><p>This visit could not be counted.</p>');
      return;
    }
    response.writeHead(200, {
      'Content-Type': 'text/html;charset=utf-8',
      'Set-Cookie': `session=${id}; HttpOnly; SameSite=Lax; Path=/`,
    });
    response.write('<h1>Hello Cluster!</h1>');
    response.end(`<p>${process.pid}번 워커, ${visits}번째 방문</p>`);
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
  server.listen(listening, () => console.log(`${process.pid}번 워커 실행`));
  // ANCHOR_END: serve
}

// ANCHOR: visit
// Counts one more visit in the session `id`. If it cannot, says why, once until it can again.
async function visit(id) {
  try {
    const visits = await count(id);
    inTrouble = false;
    return visits;
  } catch (error) {
    if (!inTrouble) {
      console.error(trouble(error));
    }
    inTrouble = true;
    return null;
  }
}

async function count(id, isFirst = true) {
  // The sentinels are asked again after a second: it may lead to an old master.
  if (!redis || Date.now() - redis.since > 1_000) {
    redis = { since: Date.now(), master: findMaster(redis?.master) };
  }
  const mine = redis;
  const key = `session:${id}`;
  let client;
  try {
    client = await inTime(mine.master);
    const [visits] = await inTime(client.multi().incr(key).expire(key, seconds).exec());
    return visits;
  } catch (error) {
    // Dead, silent or a replica by now: the next visit asks the sentinels. One that waits
    // on this connection still has its time.
    redis = redis === mine ? null : redis;
    setTimeout(() => client?.destroy(), redisLimit).unref();
    if (isFirst && client && !client.isOpen) {
      // The connection was lost since the last visit, or in the middle of this one, which is then
      // counted twice. There may be a master.
      return count(id, false);
    }
    throw error;
  }
}

// ANCHOR: master
// The connection to the master: the one that is known, if that is still the master.
// `createSentinel` of npm's redis follows it by itself, but has no time limit, and tries again.
async function findMaster(known) {
  const old = await known?.catch(() => null);
  let host, port;
  try {
    // Time is to be left for the one that is known.
    const limit = old ? redisLimit / 2 : redisLimit;
    [host, port] = await Promise.any(redisUrls.map((url) => inTime(ask(url), limit)));
  } catch ({ errors }) {
    if (old?.isReady) {
      // If no sentinel answers, the one that is known will do.
      return old;
    }
    throw errors.at(-1);
  }
  asked = `mymaster=${host}:${port}`;
  const { socket } = old?.options ?? {};
  if (old?.isReady && socket.host === host && socket.port === Number(port)) {
    return old;
  }
  setTimeout(() => old?.destroy(), redisLimit).unref();
  return connectTo({ ...loginOf(redisUrls[0]), socket: { host, port: Number(port) } });
}

// Where the master is, as this sentinel says. The first that answers counts.
async function ask(url) {
  const sentinel = await connectTo({ url });
  try {
    const question = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster'];
    const answer = await inTime(sentinel.sendCommand(question));
    return answer ?? Promise.reject(new ErrorReply('no mymaster'));
  } finally {
    sentinel.destroy();
  }
}

// It has the user and the password of the first sentinel, if that has any.
function loginOf(url) {
  const { username, password } = createClient({ url }).options;
  return { username, password };
}

async function connectTo(options) {
  const socket = { ...options.socket, connectTimeout: redisLimit, reconnectStrategy: false };
  // Without a listener an error would end the process. A visit that waits for it gets it, too.
  const client = createClient({ ...options, socket }).on('error', () => {});
  try {
    // A connection may be open, and nobody answers.
    await inTime(client.connect());
  } catch (error) {
    client.destroy();
    throw error;
  }
  return client;
}
// ANCHOR_END: master

// MULTI knows no time limit of its own.
function inTime(answer, limit = redisLimit) {
  const late = () => Promise.reject(new ConnectionTimeoutError());
  return Promise.race([answer, sleep(limit, null, { ref: false }).then(late)]);
}
// ANCHOR_END: visit

// Where a sentinel is: of its URL what holds no password.
function addressOf(url) {
  try {
    const { host, port = 6379, path } = createClient({ url }).options.socket;
    return path ?? `${host}:${port}`;
  } catch {
    // Why would be said in words of the URL.
    console.error('Error: REDIS_URL: not an address of Redis');
    process.exit(1);
  }
}

// Names the setting, and the reason in the words of Redis if it has given one.
function trouble(error) {
  const { message, code } = error.replies?.find((reply) => reply instanceof Error) ?? error;
  return `Error: ${asked}: ${message || code}`;
}

function noRedis(error) {
  console.error(trouble(error));
  process.exit(1);
}

// ANCHOR: id
// What looks like an id of ours in the header Cookie, which anybody may have written.
function idOf(cookies) {
  const values = cookies.split(/; */).filter((cookie) => cookie.startsWith('session='));
  return values.at(-1)?.match(/^session=([0-9a-f]{32})$/)?.[1];
}
// ANCHOR_END: id
// ANCHOR_END: program
