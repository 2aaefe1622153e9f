// <cluster-stage stage="02">: a stage to play with, instead of the figure in it.
(() => {
const STAGES = ['00_fork', '01_crash', '02_exit_log', '03_respawn', '04_errors'];
const SIGNALS = { KILL: 9, TERM: 15, INT: 2, HUP: 1, QUIT: 3 };
const PATHS = ['/', '/one', '/3']; // to 04: fine, foreseen, not foreseen

// What the real program does and prints. It has no looks, and no time but in `pass`.
class Cluster {
  lines = [];
  events = [];
  workers = [{}, {}, {}];
  accepting = []; // the kernel wakes the one that has waited longest
  constructor(stage, pid) {
    this.stage = stage;
    this.primary = this.last = pid;
    this.lines.push(`마스터 프로세스 아이디: ${pid}`);
    for (const worker of this.workers) this.fork(worker);
    this.events = [['started', pid]];
  }
  fork(worker) {
    Object.assign(worker, { pid: ++this.last, served: 0, clock: 0, end: '' });
    this.accepting.push(worker);
    this.lines.push(`${worker.pid}번 워커 실행`);
    this.events.push(['started', worker.pid]);
  }
  request(path) {
    const worker = this.accepting.shift();
    if (!worker) {
      this.events.push(['refused']);
      return;
    }
    this.accepting.push(worker);
    if (path === '/3') {
      this.events.push(['unanswered', worker.pid]);
      this.died(worker, 101, null);
      return;
    }
    this.events.push(['answered', worker.pid, path === '/one' ? 400 : 200]);
    const first = worker.served === 0;
    worker.served++;
    if (first && this.stage >= 1 && this.stage <= 3) worker.clock = 1000;
  }
  kill(pid, signal) {
    const worker = this.accepting.find(worker => worker.pid === pid);
    if (worker) this.died(worker, null, 'SIG' + signal);
    if (pid === this.primary) this.end(128 + SIGNALS[signal], 'code 0');
  }
  interrupt() {
    this.end(130, 'SIGINT');
  }
  pass(ms) {
    const running = this.accepting.filter(worker => worker.clock > 0);
    for (const worker of running) worker.clock -= ms;
    running.sort((a, b) => a.clock - b.clock);
    for (const worker of running) if (worker.clock <= 0) this.died(worker, 1, null);
  }
  died(worker, code, signal) {
    this.accepting.splice(this.accepting.indexOf(worker), 1);
    worker.clock = 0;
    worker.end = signal ?? 'code ' + code;
    this.events.push(['ended', worker.pid, worker.end]);
    if (this.stage >= 2) {
      this.lines.push(`${worker.pid}번 워커가 종료되었습니다`, `code ${code} signal ${signal}`);
    }
    if (this.stage >= 3) this.fork(worker);
    else if (!this.accepting.length) this.end(0);
  }
  // The primary ends; its workers go with it, and nobody is left to log that.
  end(status, how) {
    if (this.status >= 0) return;
    this.status = status;
    for (const worker of this.accepting.splice(0)) Object.assign(worker, { clock: 0, end: how });
    this.events.push(['over', status]);
  }
}

const pick = document.documentElement.lang === 'ko' ? ko => ko : (ko, en) => en;
const WORDS = {
  stage: pick('단계', 'Stage'),
  again: pick('다시 시작', 'Restart'),
  curl: pick('요청 보내기', 'Send a request'),
  path: pick('경로', 'Path'),
  signal: pick('신호', 'Signal'),
  started: pick('%번 프로세스가 시작되었습니다.', 'Process % has started.'),
  answered: pick('%번 워커가 응답했습니다:', 'Worker % has answered:'),
  unanswered: pick('%번 워커가 응답하지 못했습니다.', 'Worker % did not answer.'),
  refused: pick('연결이 거부되었습니다.', 'The connection was refused.'),
  ended: pick('%번 워커가 종료되었습니다:', 'Worker % has ended:'),
  over: pick('모두 종료되었습니다. echo $?: %', 'All have ended. echo $?: %'),
};
const LIT = 'color-mix(in srgb, var(--links) 40%, var(--bg))';
const STYLE = `
:host { display: block; margin: 2rem 0; padding: 1rem; border: 1px solid var(--icons) }
div { display: flex; flex-wrap: wrap; gap: .5em; align-items: center }
button, select { font: inherit; color: inherit; background: var(--bg); border: 1px solid; border-radius: 4px; min-height: 1.75em }
.tree { font: .9375em var(--mono-font); display: grid; grid-template-columns: repeat(3, 1fr); gap: 1em .5em; margin: 1em 0; isolation: isolate }
.tree div { justify-content: center; border: 1.5px solid; border-radius: 6px; background: var(--quote-bg); position: relative; padding: .5em 0; text-align: center }
.tree :first-child, .tree :last-child { grid-column: 1 / 4 }
.worker::before { content: ''; position: absolute; inset: -1em 50%; border-left: 2px solid; z-index: -1 }
.tree .gone { border-style: dashed; background: var(--bg) }
[aria-disabled=true] { opacity: .5; text-decoration: line-through }
b { flex: 1 0 100%; min-height: 1.5em }
i { position: absolute; bottom: 0; left: 0; border-top: .3em solid var(--links) }
p { min-height: max(1.5em, 7em - 6vw) }
pre { height: 12em; overflow: auto; padding: .5em; font: .875em var(--mono-font); background: var(--quote-bg) }
slot { display: none }
@media print {
  :host { border: 0; padding: 0 }
  div, p, pre { display: none !important }
  slot { display: block }
}`;

customElements.define('cluster-stage', class extends HTMLElement {
  now = () => performance.now(); // a test has a clock of its own
  root = this.attachShadow({ mode: 'open' });
  pid = 33094;

  connectedCallback() {
    const { root } = this;
    const select = (name, list) => `<label>${WORDS[name]} <select name="${name}" translate="no">${
      list.map(item => `<option>${item}`).join('')}</select></label>`;
    const button = name => `<button name="${name}">${WORDS[name] ?? name}</button>`;
    root.innerHTML = `<style>${STYLE}</style><div>${select('stage', STAGES)}${button('again')}</div>
<div class="tree">${`<div><span></span>${button('kill')}<b></b><i></i></div>`.repeat(4)}<div></div></div>
<div>${button('curl')}${select('path', PATHS)}${select('signal', Object.keys(SIGNALS))}${button('Ctrl-C')}</div>
<p role="status"></p><pre tabindex="0" role="group" lang="ko" translate="no" aria-label="stdout"></pre><slot></slot>`;
    const [stage, path, signal] = root.querySelectorAll('select');
    const start = () => {
      this.cluster = new Cluster(stage.selectedIndex, this.pid);
      this.pid += 1000;
      path.value = '/';
      path.parentElement.hidden = stage.value !== '04_errors'; // the others answer any path
    };
    const actions = {
      stage: start,
      again: start,
      curl: () => this.cluster.request(path.value),
      kill: ({ value }) => this.cluster.kill(Number(value), signal.value),
      'Ctrl-C': () => this.cluster.interrupt(),
    };
    for (const control of root.querySelectorAll('[name]')) {
      control[control.matches('select') ? 'onchange' : 'onclick'] = () => {
        this.tick();
        actions[control.name]?.(control);
        this.tick();
      };
    }
    this.onkeydown = event => event.stopPropagation(); // mdBook would turn the page
    stage.selectedIndex = this.getAttribute('stage');
    start();
    this.tick();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  // Lets the time pass that has passed, and shows what came of it.
  tick() {
    const { cluster, root } = this;
    const now = this.now();
    cluster.pass(now - this.shown || 0);
    this.shown = now;
    const over = cluster.status >= 0;
    const primary = { pid: cluster.primary, end: over ? '$? ' + cluster.status : '' };
    const boxes = root.querySelectorAll('.tree div');
    [primary, ...cluster.workers].forEach(({ pid, clock, served, end }, at) => {
      const [name, kill, state, bar] = boxes[at].children;
      const kind = at === 0 ? 'primary' : 'worker';
      boxes[at].className = `${kind} ${end && 'gone'}`;
      name.textContent = `${pick(at ? '워커' : '마스터', kind)} ${pid}`;
      kill.value = pid;
      kill.setAttribute('aria-disabled', Boolean(end));
      kill.textContent = root.querySelector('[name=signal]').value;
      kill.setAttribute('aria-label', `kill -${kill.textContent} ${pid}`);
      state.textContent = end || (clock ? (clock / 1000).toFixed(1) + ' s' : served ? '✓ ' + served : '');
      bar.style.width = `${clock ? clock / 10 : 0}%`;
    });
    root.querySelector('[name=Ctrl-C]').setAttribute('aria-disabled', over);
    boxes[4].className = over ? 'gone' : '';
    boxes[4].textContent = over ? ':8086 CLOSED' : ':8086 LISTEN';
    const events = cluster.events.splice(0);
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    for (const [name, pid] of calm ? [] : events) {
      const at = cluster.workers.findIndex(worker => worker.pid === pid) + 1;
      if (name === 'answered') boxes[at].animate({ backgroundColor: [LIT, 'var(--quote-bg)'] }, 700);
    }
    if (events.length) {
      root.querySelector('p').textContent = events.map(([name, value, how]) =>
        WORDS[name].replace('%', value) + (how ? ` ${how}.` : '')).join(' ');
      const console = root.querySelector('pre');
      console.textContent = cluster.lines.join('\n');
      console.scrollTop = console.scrollHeight;
    }
    clearTimeout(this.timer);
    const pause = calm ? 250 : 50;
    if (cluster.workers.some(worker => worker.clock)) this.timer = setTimeout(() => this.tick(), pause);
  }
});
})();
