// What the programs of steps 05 to 14 do and print. It has no looks, its state is plain data, and it
// has no time but what `pass` is given. While anything is left to do, its clock stands still.
(() => {
const NUMBERS = { HUP: 1, INT: 2, KILL: 9, TERM: 15, CONT: 18, STOP: 19, TTIN: 21, TTOU: 22 };
const LIMIT = 10_000; // for workers to finish
const READY = 5_000; // for a successor to be ready
const IDLE = 30_000; // for a kept connection, hyper's limit
const LIFE = 1_000; // who lives less has died young; also what idle clients have after `f`
const REDIS = 'REDIS_URL=127.0.0.1:6379: ';

globalThis.LiveCluster = class {
  constructor(step, { workers = 2, maxFailures = 15, pid = 33094 } = {}) {
    this.state = {
      step, maxFailures, now: 0, pid, luck: 3, program: 'v1', lines: [], listening: true,
      backlog: [], queue: [], line: [], clients: [], workers: [], places: [], timers: [], sessions: 0,
      primary: { pid, stopped: false, signals: [], want: workers, current: [], old: 0, successor: 0 },
      visitors: {}, redis: { is: step === 14 ? 'up' : '', counts: {} }, turn: 0,
    };
    this.events = [];
    this.print(`마스터 프로세스 아이디: ${pid}`);
    this.fill();
  }

  // What a reader does.

  // A client connects and asks. `kind` is once; half, whose request is whole when `rest` comes; or
  // keep, which keeps the connection.
  ask(kind = 'once', visitor = '') {
    const { state } = this;
    const client = {
      id: state.clients.length + 1, kind, visitor, cookie: state.visitors[visitor] ?? 0, where: 'backlog',
      pid: 0, copy: false, waits: true, whole: kind !== 'half', answers: [], result: '',
    };
    state.clients.push(client);
    if (state.listening) {
      state.backlog.push(client.id);
      this.say('connected', client);
    } else {
      this.leave(client, 'refused');
      this.say('refused', client);
    }
    return client.id;
  }
  rest(id) {
    const client = this.client(id);
    if (client.result || client.whole) return;
    client.whole = true;
    this.say('rest', client);
  }
  // Asks once more: on its connection, or as any client would, on a new one where that was closed.
  again(id) {
    const client = this.client(id);
    if (client.kind !== 'keep' || client.waits) return;
    if (client.result) return this.ask('keep', client.visitor);
    client.waits = true;
    client.cookie = this.state.visitors[client.visitor] ?? 0;
    this.say('again', client);
  }
  signal(name, pid) {
    const { state } = this;
    const primary = pid === state.primary.pid;
    const process = primary ? state.primary : state.workers.find(worker => worker.pid === pid);
    if (!process || !this.lives(process)) return;
    this.say('signal', name, pid);
    const stops = name === 'STOP' || (/TT/.test(name) && !(primary && this.from(11)));
    if (name === 'KILL') this.struck(process, name);
    else if (name === 'CONT') {
      process.stopped = false;
      // It wipes away the others that wait and are the terminal's own.
      process.signals = process.signals.filter(other => !/TT/.test(other));
      if (!primary) for (const other of process.signals.splice(0)) this.struck(process, other);
    } else if (stops) process.stopped = true;
    else if (primary) {
      if (!process.signals.includes(name)) process.signals.push(name);
    } else if (!this.handles(process, name)) {
      if (process.stopped) process.signals.push(name);
      else this.struck(process, name);
    }
  }
  // Ctrl-C: SIGINT to all.
  interrupt() {
    const { primary } = this.state;
    this.say('interrupt');
    for (const worker of this.state.workers) {
      if (this.lives(worker) && !this.handles(worker, 'INT')) this.struck(worker, 'INT');
    }
    if (this.lives(primary) && !primary.signals.includes('INT')) primary.signals.push('INT');
  }
  // What is on the disk from now on: v1 or v2, which are good; exit, which ends at once; or nothing.
  install(program) {
    this.state.program = program;
    this.say('installed', program);
  }
  // Redis is up, gone, or refuses to count.
  turn(is) {
    const { redis } = this.state;
    if (redis.is === 'gone') redis.counts = {};
    redis.is = is;
    this.say('redis', is);
  }

  // Time, and one thing after another.

  step() {
    const next = this.next();
    if (!next) return false;
    const [method, whose] = next;
    if (whose?.place) this.state.turn = whose.pid;
    this[method](whose);
    return true;
  }
  settle() {
    while (this.step());
  }
  // How long nothing happens, if nobody does anything.
  quiet() {
    if (this.next()) return 0;
    const times = this.state.timers.filter(timer => this.isValid(timer)).map(timer => timer.at);
    return Math.max(0, Math.min(...times) - this.state.now);
  }
  pass(ms) {
    this.settle();
    for (let left = ms; left > 0;) {
      const now = Math.min(left, this.quiet());
      this.state.now += now;
      left -= now;
      this.settle();
    }
  }

  // The next thing that a process does, as [method, ...arguments]: the order in which they would, if
  // none of them took any time.
  next() {
    const { state } = this;
    const { primary, backlog, queue, line } = state;
    if (state.status >= 0) return;
    const awake = !primary.stopped;
    // Each in turn: the one that has just done something comes last.
    const inTurn = [...state.workers].sort((a, b) => (a.pid <= state.turn) - (b.pid <= state.turn) || a.pid - b.pid);
    const workers = inTurn.filter(worker => worker.is !== 'gone');
    const active = workers.filter(worker => worker.is !== 'dead' && !worker.stopped);
    const find = (list, method, test) => {
      const one = list.find(test);
      return one && [method, one];
    };
    const served = worker => state.clients.find(it => it.pid === worker.pid && it.waits && it.whole);
    const isDone = worker => worker.finishes && !state.clients.some(it => it.pid === worker.pid);
    return (awake && this.from(6) && state.listening && backlog.length && ['accept'])
      || (awake && find(workers, 'read', worker => worker.is === 'dead' && worker.said.length))
      || (awake && find(workers, 'reap', worker => worker.is === 'dead'))
      || (awake && queue.length && find(line.map(pid => this.worker(pid)), 'send', worker => !this.place(worker).finish))
      || (awake && primary.signals.length && ['hear'])
      || find(active, 'begin', worker => worker.is === 'starting' && (this.from(6) || worker.told.length) && !worker.fails)
      || find(active, 'take', worker => worker.told[0] > 0)
      || (awake && find(workers, 'read', worker => worker.said.length))
      || find(active, 'answer', served)
      || (!this.from(6) && state.listening && backlog.length && this.awakened(active))
      || (awake && find(line.map(pid => this.worker(pid)), 'tell', worker => this.place(worker).finish))
      || (awake && primary.ending && this.ofTheEnd())
      || find(active, 'finish', worker => worker.told[0] === 'f')
      || find(active, 'exit', isDone)
      || (awake && find(state.places, 'fork', place => place.is === 'empty'))
      || (awake && primary.old > 0 && !primary.successor && !primary.ending && ['succeed'])
      || find(state.timers, 'ring', timer => timer.at <= state.now && this.isValid(timer));
  }

  // What the primary does.

  fill() {
    const { primary } = this.state;
    while (primary.current.length < primary.want) primary.current.push(this.newPlace().id);
    for (const id of primary.current.splice(0, primary.current.length - primary.want)) {
      this.cancel(this.state.places.find(place => place.id === id));
      primary.old = Math.max(0, primary.old - 1);
    }
  }
  newPlace() {
    const { places } = this.state;
    const place = { id: places.length + 1, is: 'empty', failures: 0, finish: false, pid: 0, untried: false };
    places.push(place);
    return place;
  }
  // The worker of this place is to finish.
  cancel(place) {
    place.finish = true;
    if (place.is === 'pausing' || place.is === 'empty') place.is = 'gone';
    else if (this.from(11)) this.timer('kill', LIMIT, place.pid);
  }
  accept() {
    const client = this.client(this.state.backlog.shift());
    client.where = 'queue';
    this.state.queue.push(client.id);
    this.say('accepted', client);
  }
  send(worker) {
    const { queue, line } = this.state;
    const client = this.client(queue.shift());
    line.splice(line.indexOf(worker.pid), 1);
    Object.assign(client, { where: 'way', pid: worker.pid, copy: true });
    worker.told.push(client.id);
    worker.holds = client.id;
    this.say('sent', client, worker.pid);
  }
  // Reads a `+`: the worker is ready, or has what it was sent.
  read(worker) {
    const { state } = this;
    worker.said.shift();
    if (worker.holds) {
      const client = this.client(worker.holds);
      client.copy = false;
      worker.holds = 0;
      this.say('confirmed', client, worker.pid);
    } else this.say('ready', worker.pid);
    state.line.push(worker.pid);
    const place = this.place(worker);
    if (!place.untried) return;
    place.untried = false;
    if (state.primary.successor !== place.id || state.primary.ending) return;
    state.primary.successor = 0;
    state.primary.current.push(place.id);
    this.fill();
  }
  tell(worker) {
    const { line } = this.state;
    line.splice(line.indexOf(worker.pid), 1);
    worker.told.push('f');
    this.say('told', worker.pid);
  }
  fork(place) {
    const { state } = this;
    const isMissing = state.program === 'nothing';
    if (isMissing) {
      const why = 'fork: No such file or directory (os error 2)';
      if (!this.from(7)) return this.fail(why);
      if (place.untried) return this.callOff(place, why);
      this.complain(why);
      return this.failed(place);
    }
    const worker = {
      pid: ++state.pid, place: place.id, program: state.program, is: 'starting', born: state.now, stopped: false,
      signals: [], told: this.from(6) ? [] : ['l'], said: [], holds: 0, finishes: false, counts: {}, troubled: false,
      code: null, signal: null, fails: state.program === 'exit',
    };
    state.workers.push(worker);
    Object.assign(place, { is: 'filled', pid: worker.pid });
    if (worker.fails) this.timer('fails', 5, worker.pid);
    this.say('forked', worker.pid);
  }
  // A dead worker's channel has ended: what it was sent and has not taken goes to another.
  reap(worker) {
    const { state } = this;
    worker.is = 'gone';
    state.line = state.line.filter(pid => pid !== worker.pid);
    this.print(`${worker.pid}번 워커가 종료되었습니다`, `code ${worker.code} signal ${worker.signal}`);
    this.say('reaped', worker.pid, worker.signal ?? 'code ' + worker.code);
    if (worker.holds) {
      const client = this.client(worker.holds);
      Object.assign(client, { where: 'queue', pid: 0, copy: false });
      state.queue.push(client.id);
      this.say('back', client);
    }
    const place = this.place(worker);
    if (place.untried) return this.callOff(place, 'the new worker ended before it was ready');
    if (place.finish) this.giveUp(place);
    else if (!this.from(7)) place.is = 'empty';
    else if (state.now - worker.born >= LIFE) Object.assign(place, { is: 'empty', failures: 0 });
    else this.failed(place);
  }
  // Of the end, what has gone is shown to the last.
  giveUp(place) {
    Object.assign(place, { is: 'gone', stays: Boolean(this.state.primary.ending) });
  }
  failed(place) {
    const { primary, maxFailures } = this.state;
    place.failures++;
    if (place.failures < maxFailures) {
      const pause = Math.min(15_000, 100 * 1.5 ** (place.failures - 1));
      place.is = 'pausing';
      this.say('pauses', pause / 1000);
      return this.timer('restart', pause, place.id);
    }
    this.giveUp(place);
    if (primary.ending) return;
    this.fail(`MAX_FAILURES=${maxFailures}: so many workers in a row lived less than a second`);
  }
  fail(why) {
    this.complain(why);
    if (this.from(8)) this.endInOrder(1);
    else this.over(1);
  }
  hear() {
    const { primary, now } = this.state;
    const name = primary.signals.shift();
    const { ending } = primary;
    if (this.from(12) && name === 'HUP') {
      if (ending) return this.say('heard', name);
      primary.old = primary.current.length;
      // The one on its way may run a program that is old by now.
      if (primary.successor) this.cancel(this.state.places.find(place => place.id === primary.successor));
      primary.successor = 0;
      return this.say('reloads');
    }
    if (/TT/.test(name)) {
      if (!ending) {
        primary.want = Math.min(1_024, Math.max(1, primary.want + (name === 'TTIN' ? 1 : -1)));
        this.fill();
      }
      return this.say('wants', primary.want);
    }
    this.say('heard', name);
    if (!this.from(8)) this.over(128 + NUMBERS[name]);
    else if (!ending) this.endInOrder(0);
    else if (now - ending.at >= 500) this.over(128 + NUMBERS[name]);
  }
  succeed() {
    const { primary } = this.state;
    const place = this.newPlace();
    place.untried = true;
    primary.successor = place.id;
    this.timer('ready', READY, place.id);
    this.fork(place);
  }
  callOff(place, why) {
    const { primary } = this.state;
    place.is = 'gone';
    if (primary.successor !== place.id) return;
    primary.successor = primary.old = 0;
    if (primary.ending) return;
    this.complain('reload called off: ' + why);
    this.say('off');
  }
  endInOrder(status) {
    const { state } = this;
    state.primary.ending = { at: state.now, status, told: false };
    state.timers.push({ kind: 'limit', at: state.now + LIMIT, of: 0 });
    if (!this.from(10)) this.close();
  }
  close() {
    const { state } = this;
    state.listening = false;
    for (const id of state.backlog.splice(0)) this.leave(this.client(id), 'lost');
    this.say('closed');
    if (!this.from(10)) this.tellAll();
  }
  tellAll() {
    const { state } = this;
    state.primary.ending.told = true;
    for (const place of state.places) if (place.is !== 'gone' && !place.finish) this.cancel(place);
    this.say('all');
  }
  // From 10 on, those let in come first, and the workers are told second.
  ofTheEnd() {
    const { state } = this;
    const { ending } = state.primary;
    if (state.listening) return ['close'];
    const onTheirWay = state.queue.length || state.workers.some(worker => worker.holds && worker.is !== 'gone');
    if (!ending.told && !onTheirWay) return ['tellAll'];
    if (state.places.every(place => place.is === 'gone')) return ['over', ending.status];
  }
  // The primary ends, and its workers go with it; nobody is left to log that.
  over(status) {
    const { state } = this;
    Object.assign(state, { status, listening: false, backlog: [], queue: [], line: [], timers: [] });
    for (const worker of state.workers) {
      if (worker.is !== 'gone') Object.assign(worker, { is: 'gone', signal: 'SIGKILL', stopped: false });
    }
    state.primary.stopped = false;
    for (const client of state.clients) if (!client.result) this.cut(client);
    this.say('over', status);
  }

  // What a worker does.

  begin(worker) {
    const { redis } = this.state;
    worker.told = [];
    if (redis.is === 'refuses') {
      this.complain(REDIS + 'NOREPLICAS Not enough good replicas to write.');
      return this.die(worker, 1, null);
    }
    worker.is = 'running';
    if (this.from(6)) worker.said.push('+');
    this.print(`${worker.pid}번 워커 실행`);
    this.say('runs', worker.pid);
  }
  take(worker) {
    const client = this.client(worker.told.shift());
    client.where = 'worker';
    worker.said.push('+');
    this.say('taken', client, worker.pid);
  }
  // In 05 all that sleep are woken, and the first to accept gets it: chance.
  awakened(active) {
    const awake = active.filter(worker => worker.is === 'running');
    if (awake.length) return ['acceptItself', awake[(this.state.luck >> 8) % awake.length]];
  }
  acceptItself(worker) {
    const { state } = this;
    const client = this.client(state.backlog.shift());
    state.luck = (state.luck * 1_103_515_245 + 12_345) % 2 ** 31;
    Object.assign(client, { where: 'worker', pid: worker.pid });
    this.say('acceptedBy', client, worker.pid);
  }
  answer(worker) {
    const { state } = this;
    const client = state.clients.find(it => it.pid === worker.pid && it.waits && it.whole);
    const answer = { status: 200, pid: worker.pid };
    client.waits = false;
    client.answers.push(answer);
    if (this.from(13)) this.visit(worker, client, answer);
    answer.last = Boolean(worker.finishes);
    this.say('answered', client, worker.pid);
    if (client.kind !== 'keep') this.leave(client, 'answered');
    else if (worker.finishes) this.leave(client, 'closed');
    else {
      client.idle = state.now;
      this.timer('idle', IDLE, client.id);
    }
  }
  visit(worker, client, answer) {
    const { redis, visitors } = this.state;
    if (redis.is === 'gone' || redis.is === 'refuses') {
      answer.status = 503;
      const why = redis.is === 'gone' ? 'Connection refused (os error 111)' : 'NOREPLICAS Not enough good replicas to write.';
      if (!worker.troubled) this.complain(REDIS + why);
      worker.troubled = true;
      return;
    }
    worker.troubled = false;
    const counts = this.from(14) ? redis.counts : worker.counts;
    client.cookie ||= ++this.state.sessions;
    answer.count = counts[client.cookie] = (counts[client.cookie] ?? 0) + 1;
    if (client.visitor) visitors[client.visitor] = client.cookie;
  }
  finish(worker) {
    worker.told.shift();
    worker.finishes = true;
    this.say('finishes', worker.pid);
    if (this.from(9)) this.timer('patience', LIFE, worker.pid);
    else this.closeIdle(worker);
  }
  closeIdle(worker) {
    for (const client of this.state.clients) {
      if (client.pid === worker.pid && !client.waits && !client.result) {
        this.leave(client, 'closed');
        this.say('dropped', client, worker.pid);
      }
    }
  }
  exit(worker) {
    this.die(worker, 0, null);
  }

  // What befalls them.

  isValid({ kind, of }) {
    const { state } = this;
    const place = state.places.find(place => place.id === of);
    const worker = this.worker(of);
    const awake = !state.primary.stopped;
    const acts = worker && this.lives(worker) && !worker.stopped;
    switch (kind) {
      case 'restart': return awake && place.is === 'pausing';
      case 'ready': return awake && state.primary.successor === of && !state.primary.ending;
      case 'limit': return awake;
      case 'kill': return awake && this.lives(worker);
      case 'fails': return acts && worker.is === 'starting';
      case 'patience': return acts && state.clients.some(it => it.pid === of && !it.waits);
      case 'idle': {
        const client = this.client(of);
        const its = this.worker(client.pid);
        return !client.result && !client.waits && its && !its.stopped;
      }
    }
  }
  ring(timer) {
    const { state } = this;
    state.timers.splice(state.timers.indexOf(timer), 1);
    const { kind, of } = timer;
    const place = state.places.find(place => place.id === of);
    if (kind === 'restart') {
      place.is = 'empty';
    } else if (kind === 'ready') {
      state.primary.successor = state.primary.old = 0;
      this.complain('reload called off: the new worker was not ready after 5 seconds');
      this.say('off');
      this.cancel(place);
    } else if (kind === 'limit') {
      this.say('limit');
      this.over(state.primary.ending.status);
    } else if (kind === 'kill') {
      this.say('limit');
      this.struck(this.worker(of), 'KILL');
    } else if (kind === 'fails') this.die(this.worker(of), 3, null);
    else if (kind === 'patience') this.closeIdle(this.worker(of));
    else if (state.now - this.client(of).idle >= IDLE) {
      this.leave(this.client(of), 'closed');
      this.say('dropped', this.client(of), this.client(of).pid);
    }
  }
  // A signal that nothing handles.
  struck(process, name) {
    if (process === this.state.primary) this.over(128 + NUMBERS[name]);
    else if (this.lives(process)) this.die(process, null, 'SIG' + name);
  }
  die(worker, code, signal) {
    Object.assign(worker, { is: 'dead', code, signal, stopped: false, told: [] });
    for (const client of this.state.clients) {
      if (client.pid === worker.pid && client.where === 'worker') this.cut(client);
    }
    this.say('died', worker.pid, signal ?? 'code ' + code);
  }
  cut(client) {
    this.leave(client, client.waits ? 'lost' : 'closed');
  }
  leave(client, result) {
    Object.assign(client, { result, where: 'client', pid: 0, copy: false });
    if (result === 'lost') this.say('lost', client);
  }

  // Small words.

  from(step) {
    return this.state.step >= step;
  }
  client(id) {
    return this.state.clients[id - 1];
  }
  worker(pid) {
    return this.state.workers.find(worker => worker.pid === pid);
  }
  place(worker) {
    return this.state.places[worker.place - 1];
  }
  lives(process) {
    return !(this.state.status >= 0) && process.is !== 'dead' && process.is !== 'gone';
  }
  handles(worker, name) {
    if (worker.is === 'starting') return this.from(12);
    return name === 'INT' || this.from(8);
  }
  timer(kind, ms, of) {
    this.state.timers.push({ kind, at: this.state.now + ms, of });
  }
  print(...lines) {
    this.state.lines.push(...lines.map(text => ({ text, error: false })));
  }
  complain(why) {
    this.state.lines.push({ text: 'Error: ' + why, error: true });
  }
  say(name, ...about) {
    this.events.push([name, ...about.map(it => it?.id ?? it)]);
  }
};
})();
