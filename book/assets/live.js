// <cluster-live step="06">: part two's cluster, above its figure. What it does is in
// live-model.js; here is how it looks.
(() => {
const NAMES = [
  '05_loop', '06_handoff', '07_patience', '08_finish', '09_keepalive', '10_backlog', '11_scale', '12_reload',
  '13_session', '14_redis',
];
const SIGNALS = ['KILL', 'TERM', 'INT', 'HUP', 'STOP', 'CONT', 'TTIN', 'TTOU'];
const PRIMARY = 33094;
const PACE = 520; // of one thing after another, in ms
const MOST = 9; // who has left and is still shown
const EACH = 400; // ms of the cluster's time between those who keep coming
const AT_ONCE = 3; // of them

const isKorean = document.documentElement.lang === 'ko';
const pick = (ko, en) => isKorean ? ko : en;
const WORDS = {
  show: pick('보여 주기', 'Show me'),
  step: pick('단계', 'Step'),
  legend: pick('○ 한 번 요청, ◖ 절반만 온 요청, □ 유지하는 연결, 파선은 가는 중, 점선은 사본. ✓ 응답, ✗ 페이지 없음, ⊘ 거부, · 닫힘. +↑ 받음, f↓ 마치라는 말.',
    '○ asks once, ◖ half a request, □ a kept connection; dashed: on its way, dotted: a copy. ✓ answered, ✗ no page, ⊘ refused, · closed. +↑ taken, f↓ to finish.'),
  back: pick('뒤로', 'Back'),
  pause: pick('일시 정지', 'Pause'),
  play: pick('계속', 'Go on'),
  one: pick('한 동작씩', 'One event'),
  again: pick('다시 시작', 'Restart'),
  once: pick('요청 보내기', 'Send a request'),
  half: pick('요청 절반 보내기', 'Send half a request'),
  keep: pick('요청하고 연결 유지', 'Ask and keep the connection'),
  flow: pick('계속 요청하기', 'Keep asking'),
  visitor: pick('방문자', 'Visitor'),
  signal: pick('프로세스에 보낼 신호', 'Signal to a process'),
  program: pick('디스크의 프로그램', 'Program on the disk'),
  redis: pick('레디스', 'Redis'),
  clients: pick('클라이언트', 'clients'),
  backlog: pick('백로그', 'backlog'),
  queue: pick('대기열', 'queue'),
  copies: pick('사본', 'copies'),
  nothing: pick('없음', 'none'),
  up: pick('실행 중', 'runs'),
  gone: pick('종료됨', 'ended'),
  refuses: pick('거부', 'refuses'),
  starting: pick('뜨는 중', 'starting'),
  stopped: pick('멈춤', 'stopped'),
  finishes: pick('마치는 중', 'finishing'),
  ending: pick('종료하는 중', 'ending'),
  pauses: pick('기다리는 중', 'pause'),
};
// What is said of each event: %1, %2 are what it is about.
const SAID = {
  connected: pick('%1번 연결이 백로그에 들어갔습니다.', 'Connection %1 is in the backlog.'),
  refused: pick('%1번 연결이 거부되었습니다.', 'Connection %1 is refused.'),
  rest: pick('%1번 연결에서 나머지 절반이 왔습니다.', 'The other half comes on connection %1.'),
  again: pick('%1번 연결로 다시 요청합니다.', 'Connection %1 asks again.'),
  signal: 'kill -%1 %2.',
  interrupt: pick('Ctrl-C: 모두 SIGINT를 받습니다.', 'Ctrl-C: all get SIGINT.'),
  installed: pick('디스크의 프로그램: %1.', 'The program on the disk is %1 now.'),
  redis: pick('레디스: %1.', 'Redis: %1.'),
  accepted: pick('마스터 프로세스가 %1번 연결을 수락했습니다.', 'The primary has accepted connection %1.'),
  acceptedBy: pick('%2번 워커가 %1번 연결을 직접 수락했습니다.', 'Worker %2 has accepted connection %1 itself.'),
  sent: pick('%1번 연결을 %2번 워커에게 보냈습니다. 사본은 남아 있습니다.', 'Connection %1 is sent to worker %2. The copy stays.'),
  taken: pick('%2번 워커가 %1번 연결을 받고 +를 보냅니다.', 'Worker %2 has taken connection %1, and says +.'),
  confirmed: pick('+를 읽고 %1번 연결의 사본을 닫았습니다.', 'The + is read, and the copy of connection %1 closed.'),
  answered: pick('%2번 워커가 %1번 연결에 응답했습니다:', 'Worker %2 has answered connection %1:'),
  ready: pick('%1번 워커가 +로 준비되었다고 알렸습니다.', 'Worker %1 has said +: it is ready.'),
  forked: pick('%1번 프로세스를 시작했습니다.', 'Process %1 is started.'),
  runs: pick('%1번 워커가 실행되었습니다.', 'Worker %1 runs.'),
  died: pick('%1번 워커가 종료되었습니다: %2.', 'Worker %1 has ended: %2.'),
  lost: pick('응답을 받지 못한 연결: %1.', 'Without an answer: %1.'),
  reaped: pick('마스터 프로세스가 %1번 워커의 종료를 출력했습니다.', 'The primary has logged the end of worker %1.'),
  back: pick('%1번 연결이 대기열로 돌아갔습니다.', 'Connection %1 is back in the queue.'),
  pauses: pick('다음 워커는 %1초 뒤에 뜹니다.', 'The next worker comes after %1 s.'),
  heard: pick('마스터 프로세스가 처리한 신호: SIG%1.', 'The primary has handled SIG%1.'),
  wants: pick('필요한 워커: %1개.', 'Workers wanted: %1.'),
  reloads: pick('리로드: 지금 있는 워커를 모두 하나씩 바꿉니다.', 'Reload: every present worker is replaced, one by one.'),
  off: pick('리로드를 취소했습니다.', 'The reload is called off.'),
  closed: pick('리스닝 소켓을 닫았습니다.', 'The listening socket is closed.'),
  all: pick('모든 워커에게 마치라고 알립니다.', 'All workers are to finish.'),
  told: pick('%1번 워커에게 f를 보냈습니다.', 'Worker %1 is sent f.'),
  finishes: pick('%1번 워커가 f를 읽고 하던 일을 마칩니다.', 'Worker %1 has read f, and finishes.'),
  dropped: pick('%1번 연결은 요청이 없어 닫혔습니다.', 'Connection %1 was idle, and is closed.'),
  limit: pick('10초가 지났습니다.', 'Ten seconds are over.'),
  over: pick('모두 종료되었습니다. echo $?: %1', 'All have ended. echo $?: %1'),
};

// What "show me" plays. An act is a method of the model; `say` is a caption, `wait` lets time go by, and `halt` stops it.
const say = (ko, en) => ['say', pick(ko, en)];
const wait = ms => ['wait', ms];
const kill = (signal, pid = PRIMARY) => ['signal', signal, pid];
const ask = (kind = 'once', visitor = '') => ['ask', kind, visitor];
const times = (count, act) => Array(count).fill(act);
const nine = [
  say('연결 아홉 개가 열리고, 열린 채로 있습니다.', 'Nine connections are opened, and stay open.'), ...times(9, ask('keep')),
];
const half = [say('1번 연결이 요청을 절반만 보냅니다.', 'Connection 1 sends half of its request.'), ask('half')];
const kept = [say('1번 연결은 응답을 받고 열려 있습니다.', 'Connection 1 is answered, and stays open.'), ask('keep')];
const late = [wait(300), say('0.3초 뒤에 다시 요청합니다.', 'It asks again 0.3 seconds later.'), ['again', 1]];
const ended = [say('TERM이 옵니다.', 'TERM comes.'), kill('TERM')];
const backlog = [
  say('마스터 프로세스를 멈추고, 여섯이 요청합니다. 모두 백로그에 있습니다.', 'The primary is stopped, and six ask. All are in the backlog.'),
  kill('STOP'), ...times(6, ask()),
  say('TERM을 보내고, 다시 움직이게 합니다.', 'It is sent TERM, and then goes on.'), kill('TERM'), kill('CONT'),
];
const broken = ['뜨지 못하는 프로그램', 'A program that cannot start'];
const fails = [
  say('이제 디스크의 프로그램은 뜨자마자 종료합니다.', 'From now on the program on the disk ends at once.'), ['install', 'exit'],
];
const more = [say('TTIN을 보냅니다.', 'TTIN is sent.'), kill('TTIN')];
const visits = [say('방문자 A가 네 번 옵니다.', 'Visitor A comes four times.'), ...times(4, ask('once', 'A'))];
const SHOWS = {
  5: [[5, '멈춘 워커', 'A stopped worker', [
    say('워커 둘을 멈춥니다.', 'Two workers are stopped.'), kill('STOP', 33095), kill('STOP', 33096),
    ...times(4, ask()),
    say('그래도 아무도 기다리지 않았습니다. 깨어 있는 워커가 수락합니다.', 'And yet nobody waited: the one that is awake accepts.'),
    say('연결을 열어 두면 모두 한 워커에 몰립니다.', 'Connections that are kept are all with that one.'), ...times(4, ask('keep')),
  ]], [5, '고르지 않은 분배', 'Uneven shares', [...nine,
    say('워커마다 몇 개인지 보세요. 세는 프로세스가 없습니다.', 'See how many each worker has. Nobody counts.'),
  ]]],
  6: [[5, '연결 아홉 개', 'Nine connections', [...nine, say('고르게 나뉘지 않습니다.', 'The shares are uneven.')]],
    [6, '연결 아홉 개', 'Nine connections', [...nine, say('셋씩입니다.', 'Three each.')]],
    [6, '받기 전에 죽은 워커', 'A worker that dies too early', [
      say('33095번 워커를 멈춥니다.', 'Worker 33095 is stopped.'), kill('STOP', 33095), ask(), ask(), ask(), ask(),
      say('1번 연결은 가는 중입니다. 워커는 받지 못하고, 마스터 프로세스에는 사본이 있습니다.',
        'Connection 1 is on its way. The worker cannot take it, and the primary has a copy.'),
      say('그 워커를 죽입니다.', 'That worker is killed.'), kill('KILL', 33095),
      say('잃은 연결이 없습니다. 사본이 다른 워커에게 갔습니다.', 'Nothing is lost: the copy went to another worker.'),
    ]]],
  7: [[6, ...broken, [...fails, kill('KILL', 33095), wait(30),
    say('기다리지 않고 바로 다시 띄웁니다. 끝이 없습니다.', 'It is started again without a pause, and without an end.'), ['halt']]],
  [7, ...broken, [...fails, kill('KILL', 33095), wait(1500),
    say('기다리는 시간이 매번 길어지고, 네 번째에 포기합니다.', 'Each pause is longer, and the fourth failure is the last.')]]],
  8: [[7, '절반만 온 요청', 'Half a request', [...half, ...ended, say('요청을 잃었습니다.', 'The request is lost.')]],
    [8, '절반만 온 요청', 'Half a request', [...half, ...ended,
      say('새 클라이언트는 거부됩니다.', 'Nobody new is let in.'), ask(),
      say('나머지 절반이 옵니다.', 'The other half comes.'), ['rest', 1],
      say('응답했고, 그다음에 종료했습니다. 종료 코드는 0입니다.', 'It was answered first. The status is 0.')]]],
  9: [[8, '유지한 연결', 'A kept connection', [...kept, ...ended, ...late,
    say('연결은 미리 알리지 않고 닫혔고, 새 연결은 거부됩니다.', 'It was closed without a word, and a new one is refused.')]],
  [9, '유지한 연결', 'A kept connection', [...kept, ...ended, ...late,
    say('응답에 Connection: close가 있습니다. 아무것도 잃지 않았습니다.', 'The answer says Connection: close. Nothing is lost.')]]],
  10: [[9, '백로그의 여섯', 'Six in the backlog', [...backlog, say('둘은 응답을 받고, 넷은 받지 못했습니다.', 'Two are answered, four are cut off.')]],
    [10, '백로그의 여섯', 'Six in the backlog', [...backlog,
      say('여섯 모두 응답을 받았고, 워커는 그다음에 f를 받았습니다.', 'All six are answered; only then the workers were told.')]]],
  11: [[10, '워커 하나 더', 'One worker more', [
    ...more, ask(), ask(),
    say('이 단계에서 TTIN은 마스터 프로세스를 멈춥니다. 요청은 백로그에서 기다립니다.',
      'In this step TTIN stops the primary. Clients wait in the backlog.')]],
  [11, '워커 하나 더', 'One worker more', [
    ...more,
    say('워커가 하나 늘었습니다. 가장 오래된 워커가 요청 하나를 처리하는 중에 TTOU를 보냅니다.',
      'One more. Now TTOU, while the oldest worker has a request.'),
    ask('half'), kill('TTOU'), ask(), ask(),
    say('새 연결은 받지 않고, 하던 요청을 마칩니다.', 'It gets nothing new, and finishes what it has.'), ['rest', 1]]]],
  12: [[11, ...broken, [...fails, say('새 워커를 하나 띄웁니다.', 'One more worker is started.'), kill('TTIN'), wait(1500),
    say('멀쩡하던 두 워커까지 모두 사라졌습니다.', 'And the two good workers are gone as well.')]],
  [12, ...broken, [...fails, say('HUP을 보냅니다.', 'HUP is sent.'), kill('HUP'), wait(300),
    say('리로드는 취소되고, 옛 워커가 계속 응답합니다.', 'The reload is called off, and the old workers go on.'), ask(), ask()]],
  [12, '리로드', 'A reload', [...kept, ['install', 'v2'], kill('HUP'),
    say('하나 늘리고 하나 줄입니다. 유지한 연결에는 1초가 있습니다.', 'One more, then one fewer. The kept connection has a second.'),
    wait(300), ['again', 1], wait(1000), say('이제 모두 v2입니다. 아무것도 잃지 않았습니다.', 'All of them are v2 now, and nothing is lost.')]]],
  13: [[13, '네 번 방문', 'Four visits', [...visits, say('1, 1, 2, 2. 워커마다 따로 셉니다.', '1, 1, 2, 2: each worker counts for itself.')]],
    [13, '유지한 연결', 'A kept connection', [
      say('같은 방문자가 연결을 유지합니다.', 'The same visitor keeps the connection.'), ask('keep', 'A'), ['again', 1], ['again', 1],
      say('이제는 맞습니다. 연결 하나는 한 워커의 것입니다.', 'Now it is right: a connection is one worker’s.'),
      say('리로드합니다.', 'A reload.'), kill('HUP'), wait(1200), ask('once', 'A'),
      say('잃은 요청은 없지만, 방문 횟수는 1로 돌아갔습니다.', 'No request is lost, but the count is: it is 1 again.')]]],
  14: [[13, '네 번 방문', 'Four visits', [...visits, say('1, 1, 2, 2.', '1, 1, 2, 2.')]],
    [14, '네 번 방문', 'Four visits', [...visits,
      say('1, 2, 3, 4. 워커를 죽여도 이어집니다.', '1, 2, 3, 4. A worker’s death does not matter.'), kill('KILL', 33095), wait(1100), ask('once', 'A')]],
    [14, '레디스 종료', 'Redis ends', [ask('once', 'A'), ask('once', 'A'),
      say('레디스가 종료됩니다.', 'Redis ends.'), ['turn', 'gone'], ask('once', 'A'), ask('once', 'A'),
      say('모두 503을 받습니다. 단일 장애점입니다.', 'Everybody gets a 503: a single point of failure.'),
      ['turn', 'up'], ask('once', 'A'), say('돌아온 레디스는 비어 있습니다.', 'It comes back empty.')]]],
};

const STYLE = `
:host { display: block; margin: 2rem 0 }
[hidden] { display: none !important }
.all { padding: 1rem; border: 1px solid var(--icons) }
.row { display: flex; flex-wrap: wrap; gap: .5em; align-items: center; margin: .5em 0 }
button, select { font: inherit; color: inherit; background: var(--bg); border: 1px solid; border-radius: 4px; min-height: 1.75em }
button { cursor: pointer }
.show { border-width: 2px; border-color: var(--links); padding-inline: .6em }
[aria-pressed=true] { background: color-mix(in srgb, var(--links) 25%, var(--bg)) }
small { font-size: .875em }
.said { min-height: max(4.6em, 9em - 6vw); margin: .5em 0; line-height: 1.5 }
.said b { display: block }
.board { display: flex; flex-direction: column; min-height: 27em; font: .9375em var(--mono-font); line-height: 1.4; isolation: isolate }
.net, .port { display: flex; gap: .5em; align-items: center; min-height: 2.6em; flex-wrap: wrap }
.port { border: 1.5px solid; border-bottom-width: 4px; padding: 0 .5em; border-radius: 6px; margin-bottom: 1em }
.port.gone, .box.gone { border-style: dashed; background: var(--bg) }
.box { border: 1.5px solid; border-radius: 6px; background: var(--quote-bg); padding: .3em .4em; position: relative; min-width: 0 }
.box.stopped { border-style: dotted; border-width: 3px; padding: calc(.3em - 1.5px) calc(.4em - 1.5px) }
.head { display: flex; flex-wrap: wrap; gap: 0 .4em; align-items: center; justify-content: space-between }
.head button { font-size: .9375em; padding: 0 .4em }
.box b { display: block; min-height: 1.4em; overflow-wrap: anywhere }
.places { display: flex; flex-wrap: wrap; gap: .3em 1em }
.places > div, .net, .port { row-gap: .3em }
.places > div { flex: 1 1 8em; display: flex; gap: .4em; align-items: center; min-height: 2em; flex-wrap: wrap }
.primary::before { content: ''; position: absolute; left: 50%; bottom: 100%; height: 1em; border-left: 2px solid; z-index: -1 }
.own .primary { order: 1; margin-top: .8em }
.own .primary::before { display: none }
.own .port { margin-bottom: 0 }
.lanes { flex: 1; display: grid; grid-template-columns: repeat(auto-fit, minmax(5em, 1fr)); gap: 0 .5em }
.lane { display: flex; flex-direction: column; min-width: 0 }
.lane .box { flex: 1 }
.channel { position: relative; min-height: 2.6em; display: flex; gap: .2em; align-items: center; justify-content: center; flex-wrap: wrap }
.channel::before { content: ''; position: absolute; inset: 0 auto 0 50%; border-left: 2px dashed; z-index: -1 }
.own .channel::before { border-left-style: solid }
.note:empty { display: none }
.note { background: var(--bg); padding: 0 .2em; border-radius: 4px; min-width: 1em; text-align: center }
.dots { display: flex; flex-wrap: wrap; gap: .25em; min-height: 1.9em; align-items: center }
.dot { display: inline-flex; align-items: center; justify-content: center; box-sizing: border-box; min-width: 1.75em; height: 1.75em; padding: 0 .25em; border: 2px solid; border-radius: 1em; background: var(--bg); color: var(--fg); font: inherit; line-height: 1; white-space: nowrap }
.dot.half { border-radius: 1em 0 0 1em; border-right-style: dashed }
.dot.keep { border-radius: 4px }
.dot.B:not(.copy, .way) { border-style: double; border-width: 4px }
.dot.way { border-style: dashed; border-color: var(--links) }
.dot.worker { border-color: var(--links); background: color-mix(in srgb, var(--links) 28%, var(--bg)) }
.dot.B.worker, .dot.B.client { background: color-mix(in srgb, #e08a00 30%, var(--bg)) }
.dot.lost, .dot.refused { border-color: #c33; background: color-mix(in srgb, #c33 18%, var(--bg)) }
.dot.copy { border-style: dotted }
span.dot, .dot[aria-disabled=true] { cursor: default }
[aria-disabled=true]:not(.dot) { opacity: .55; text-decoration: line-through }
i { position: absolute; bottom: 0; left: 0; border-top: .3em solid var(--links); max-width: 100% }
.redis { margin-top: .8em }
pre { height: 11em; overflow: auto; padding: .5em; margin: .5em 0 0; font: .875em var(--mono-font); background: var(--quote-bg) }
pre span { display: block; white-space: pre-wrap; overflow-wrap: anywhere }
.error { font-weight: bold }
@media print {
  .all { display: none }
  slot { display: block }
}`;

customElements.define('cluster-live', class extends HTMLElement {
  now = () => performance.now(); // a test has a clock of its own
  root = this.attachShadow({ mode: 'open' });
  plays = true;
  script = [];
  at = 0; // in the script
  flows = false; // whether somebody keeps asking
  came = 0;
  dots = new Map();

  connectedCallback() {
    const { root } = this;
    const here = Number(this.getAttribute('step'));
    const button = (name, text = WORDS[name] ?? name) => `<button name="${name}">${text}</button>`;
    const select = (name, values) => `<label>${WORDS[name]} <select name="${name}" translate="no">${
      values.map(([value, text]) => `<option value="${value}">${text}`).join('')}</select></label>`;
    const own = values => values.map(value => [value, value]);
    const shows = SHOWS[here].map(([step, ko, en], index) =>
      `<button class="show" name="show" value="${index}">${String(step).padStart(2, '0')} ▶ ${pick(ko, en)}</button>`).join('');
    root.innerHTML = `<style>${STYLE}</style><div class="all">
<div class="row">${WORDS.show}${shows}</div>
<div class="said" role="status"><b></b><span></span></div>
<div class="row">${button('back')}${button('pause')}${button('one')}${button('again')}${
      select('step', NAMES.map((name, index) => [index + 5, name]))}<span class="clock"></span></div>
<div class="board">
<div class="net"><small></small><div class="dots"></div></div>
<div class="port"><span></span><small>${WORDS.backlog}</small><div class="dots"></div></div>
<div class="box primary"><div class="head"><span></span><button name="kill"></button></div><b></b><div class="places"><div><small>${
      WORDS.queue}</small><div class="dots"></div></div><div><small>${WORDS.copies}</small><div class="dots"></div></div></div><i></i></div>
<div class="lanes"></div>
<div class="box redis"><b></b></div>
</div>
<div class="row">${button('once')}${button('half')}${button('keep')}${button('flow')}${select('visitor', own(['A', 'B']))}</div>
<div class="row">${select('signal', own(SIGNALS))}${button('Ctrl-C')}${
      select('program', [['v1', 'v1'], ['v2', 'v2'], ['exit', 'exit(3)'], ['nothing', WORDS.nothing]])}${
      select('redis', ['up', 'gone', 'refuses'].map(is => [is, WORDS[is]]))}</div>
<small>${WORDS.legend}</small>
<pre tabindex="0" role="group" lang="ko" translate="no" aria-label="stdout, stderr"></pre></div><slot></slot>`;
    this.find = css => root.querySelector(css);
    this.control = name => root.querySelector(`[name=${name}]`);
    const visitor = () => this.model.from(13) ? this.control('visitor').value : '';
    const actions = {
      show: ({ value }) => {
        const [step, , , acts] = SHOWS[here][value];
        this.control('step').value = step;
        this.start();
        this.playing = value;
        this.flows = false;
        this.script = acts;
        this.plays = true;
      },
      step: () => this.start(),
      again: () => this.start(),
      back: () => this.back(),
      pause: () => this.plays = !this.plays,
      one: () => {
        this.plays = false;
        this.one();
      },
      once: () => this.act('ask', 'once', visitor()),
      half: () => this.act('ask', 'half', visitor()),
      keep: () => this.act('ask', 'keep', visitor()),
      flow: () => {
        this.flows = !this.flows;
        this.plays ||= this.flows;
      },
      kill: ({ value }) => this.act('signal', this.control('signal').value, Number(value)),
      'Ctrl-C': () => this.act('interrupt'),
      program: ({ value }) => this.act('install', value),
      redis: ({ value }) => this.act('turn', value),
      dot: ({ value }) => {
        const { kind } = this.model.client(value);
        this.act(kind === 'half' ? 'rest' : 'again', Number(value));
      },
    };
    const does = event => {
      const control = event.target.closest('[name]');
      if (!control || control.matches('select') !== (event.type === 'change')) return;
      const { value } = control; // before it is shown anew
      this.tick();
      actions[control.name]?.({ value });
      this.tick();
    };
    for (const type of ['click', 'change']) root.addEventListener(type, does);
    this.onkeydown = event => event.stopPropagation(); // mdBook would turn the page
    this.control('step').value = here;
    this.start();
    this.tick();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  start() {
    const step = Number(this.control('step').value);
    const workers = Number(this.getAttribute('workers')) || (step < 7 && this.getAttribute('step') < 7 ? 3 : 2);
    const maxFailures = Number(this.getAttribute('failures')) || 4;
    this.command = `WORKERS=${workers} ${step > 6 ? `MAX_FAILURES=${maxFailures} ` : ''}${NAMES[step - 5]}`;
    this.model = new LiveCluster(step, { workers, maxFailures, pid: PRIMARY });
    this.model.settle();
    this.model.events = [];
    Object.assign(this, { past: [], script: [], at: 0, until: 0, due: 0, caption: '', words: '', playing: '' });
    for (const dot of this.dots.values()) dot.remove();
    this.dots.clear();
    this.find('.lanes').textContent = '';
  }

  // Does what a reader wants, and can be taken back.
  act(name, ...about) {
    this.remember();
    this.model[name](...about);
    this.due = Math.max(this.due, this.now() + PACE / 2);
  }
  remember() {
    const { at, until, caption, words } = this;
    this.past.push({ at, until, caption, words, state: structuredClone(this.model.state) });
    if (this.past.length > 400) this.past.shift();
  }
  back() {
    const before = this.past.pop();
    if (!before) return;
    this.plays = false;
    const { state, ...rest } = before;
    this.model.state = state;
    this.model.events = [];
    Object.assign(this, rest);
  }
  // One thing that a process does; where none does anything, the next of the script; where that is
  // over, time goes by until something happens.
  one() {
    const { model } = this;
    const quiet = model.quiet();
    if (quiet === 0) {
      this.remember();
      model.step();
    } else if (model.state.now < this.until && model.state.now + quiet > this.until) {
      model.state.now = this.until;
      this.one();
    } else if (model.state.now >= this.until && this.at < this.script.length) {
      this.remember();
      const [name, ...about] = this.script[this.at++];
      if (name === 'say') this.caption = about[0];
      else if (name === 'halt') this.plays = false;
      else if (name === 'wait') this.until = model.state.now + about[0];
      else model[name](...about);
    } else if (quiet < Infinity) {
      this.remember();
      model.state.now += quiet;
      model.step();
    }
  }

  // The next of those who keep coming.
  comes() {
    const { model } = this;
    const { now, clients } = model.state;
    this.came = Math.min(this.came, now); // it may have been taken back
    const waiting = clients.filter(client => client.kind === 'once' && !client.result).length;
    if (!this.flows || model.quiet() === 0 || now < this.came + EACH || waiting > AT_ONCE) return;
    this.came = now;
    if (model.from(13)) this.act('ask', 'once', 'AAB'[clients.length % 3]);
    else for (let n = 0; n < AT_ONCE; n++) this.act('ask');
  }

  // Lets what is due happen, or the time pass that has passed; and shows what came of it.
  tick() {
    clearTimeout(this.timer);
    const { model } = this;
    const now = this.now();
    const passed = now - (this.last ?? now);
    this.last = now;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    let next = Infinity;
    if (this.plays) {
      this.comes();
      const quiet = model.quiet();
      const scripted = this.at < this.script.length;
      if (quiet > 0 && model.state.now < this.until) {
        model.state.now += Math.min(passed, quiet, this.until - model.state.now);
        next = calm ? 250 : 40;
      } else if (quiet === 0 || scripted) {
        if (now >= this.due) {
          const isSaid = quiet > 0 && this.script[this.at][0] === 'say';
          this.one();
          const { backlog, queue } = model.state;
          const many = backlog.length + queue.length > 2 || this.script[this.at]?.[0] === 'ask' && this.script[this.at - 1]?.[0] === 'ask';
          this.due = now + (isSaid ? 1600 : this.flows ? PACE / 5 : many ? PACE / 2.5 : PACE);
        }
        next = this.due - now;
      } else {
        model.state.now += Math.min(passed, quiet);
        next = this.flows ? 40 : quiet === Infinity ? quiet : Math.min(this.seen().length ? calm ? 250 : 40 : 1000, quiet);
      }
    }
    this.show(calm);
    if (next < Infinity && this.isConnected) this.timer = setTimeout(() => this.tick(), Math.max(next, 10));
  }

  // The clocks that a reader sees run.
  seen() {
    const { model } = this;
    const timers = model.state.timers.filter(timer => !['idle', 'fails'].includes(timer.kind) && model.isValid(timer));
    return timers.sort((a, b) => a.at - b.at);
  }

  show(calm = true) {
    const { model, root } = this;
    const { state } = model;
    const { primary, redis } = state;
    const over = state.status >= 0;
    const clocks = over ? [] : this.seen();
    const before = new Map([...this.dots].map(([key, dot]) => [key, dot.getBoundingClientRect()]));
    const focus = root.activeElement;
    const clock = (box, timer) => {
      const left = timer ? timer.at - state.now : 0;
      const short = timer?.kind === 'restart';
      box.querySelector('i').style.width = timer ? `${Math.min(100, left / (short ? 10 : 100))}%` : 0;
      return timer ? ` ${(left / 1000).toFixed(short ? 2 : 1)} s` : '';
    };
    const fill = (box, name, process, text) => {
      const button = box.querySelector('button');
      button.value = process.pid;
      button.setAttribute('aria-disabled', !model.lives(process));
      button.textContent = this.control('signal').value;
      button.setAttribute('aria-label', `kill -${button.textContent} ${process.pid}`);
      box.querySelector('span').textContent = name;
      box.querySelector('b').textContent = text;
      box.classList.toggle('gone', !model.lives(process));
      box.classList.toggle('stopped', process.stopped);
    };

    for (const [css, has] of [['.places', model.from(6)], ['.redis', model.from(14)], ['[name=visitor]', model.from(13)],
      ['[name=redis]', model.from(14)], ['[name=program]', [6, 7, 11, 12].includes(state.step)]]) {
      const part = this.find(css);
      (part.closest('label') ?? part).hidden = !has;
    }
    this.find('.board').classList.toggle('own', !model.from(6));
    for (const option of this.control('signal').options) option.hidden = option.disabled = /TT/.test(option.value) && !model.from(11);
    if (!over) {
      this.control('program').value = state.program;
      if (redis.is) this.control('redis').value = redis.is;
    }
    this.find('.port').classList.toggle('gone', !state.listening);
    this.find('.port span').textContent = state.listening ? ':8086 LISTEN' : ':8086 CLOSED';
    const box = this.find('.primary');
    const limit = clocks.find(timer => timer.kind === 'limit');
    fill(box, `${pick('마스터', 'primary')} ${primary.pid}`, primary, over ? `$? ${state.status}`
      : (primary.stopped ? WORDS.stopped : primary.ending ? WORDS.ending : '') + clock(box, limit));
    if (over) clock(box);
    this.find('.redis b').textContent = `${WORDS.redis}: ${WORDS[redis.is]}${redis.is === 'gone' ? '' : counts(redis.counts, state, ' · ')}`;

    const lanes = this.find('.lanes');
    const shown = state.places.filter(place => place.pid && (place.is !== 'gone' || place.stays));
    for (const lane of [...lanes.children]) if (!shown.some(place => place.id === Number(lane.dataset.place))) lane.remove();
    for (const place of shown) {
      let lane = lanes.querySelector(`[data-place="${place.id}"]`);
      if (!lane) {
        lane = document.createElement('div');
        lane.className = 'lane';
        lane.dataset.place = place.id;
        lane.innerHTML = '<div class="channel"><div class="dots"></div><small class="note"></small></div><div class="box work"><div class="head"><span></span><button name="kill"></button></div><b></b><div class="dots"></div><small></small><i></i></div>';
        lanes.append(lane);
      }
      const worker = model.worker(place.pid);
      const timer = clocks.find(({ kind, of }) => kind === 'restart' || kind === 'ready' ? of === place.id : of === place.pid);
      const part = lane.querySelector('.box');
      const time = clock(part, timer);
      const is = worker.is === 'starting' ? WORDS.starting : worker.stopped ? WORDS.stopped
        : worker.finishes && model.lives(worker) ? WORDS.finishes : '';
      const end = worker.signal ?? (worker.code === null ? '' : `code ${worker.code}`);
      const text = model.lives(worker) ? is + time : place.is === 'pausing' ? WORDS.pauses + time : end;
      fill(part, `${worker.pid}`, worker, text);
      const version = state.step === 12 ? worker.program : '';
      part.querySelector('small').textContent = version + counts(worker.counts, state, version ? ' · ' : '');
      lane.querySelector('.note').textContent = (worker.said.length ? '+↑ ' : '') + (worker.told.includes('f') ? 'f↓' : '');
    }

    const lane = client => {
      const place = shown.find(place => place.pid === client.pid);
      return lanes.querySelector(`[data-place="${place?.id}"]`);
    };
    const [queue, copies] = box.querySelectorAll('.dots');
    const net = this.find('.net .dots');
    const places = {
      backlog: () => this.find('.port .dots'),
      queue: () => queue,
      way: client => lane(client)?.querySelector('.channel .dots') ?? queue,
      worker: client => lane(client)?.querySelector('.work .dots'),
      client: () => net,
    };
    const answers = state.clients.flatMap(client => client.answers);
    const pages = answers.filter(({ status }) => status === 200).length;
    const none = state.clients.filter(({ result }) => /lost|refused/.test(result)).length;
    this.find('.net small').textContent = `${WORDS.clients} ✓ ${pages} ✗ ${answers.length - pages + none}`;
    const left = state.clients.filter(client => client.result).slice(-MOST);
    const present = state.clients.filter(client => !client.result || left.includes(client));
    const order = [...state.backlog, ...state.queue];
    present.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
    const wanted = new Set();
    for (const client of present) {
      for (const isCopy of client.copy ? [false, true] : [false]) {
        const key = (isCopy ? 'copy' : '') + client.id;
        wanted.add(key);
        let dot = this.dots.get(key);
        if (!dot) {
          dot = document.createElement(client.kind === 'once' || isCopy ? 'span' : 'button');
          if (!isCopy) before.set(key, net.getBoundingClientRect());
          if (dot.matches('button')) Object.assign(dot, { name: 'dot', value: client.id });
          else dot.setAttribute('role', 'img');
          this.dots.set(key, dot);
        }
        const where = isCopy ? copies : places[client.where](client);
        const answer = client.answers.at(-1);
        const answered = answer && answer.status !== 200 ? '✗' : '✓';
        const mark = { answered, closed: '·', lost: '✗', refused: '⊘' }[client.result] ?? (client.waits ? '' : answered);
        const said = answer && !client.waits ? answer.count ?? (answer.status === 200 ? '' : answer.status) : '';
        dot.className = `dot ${client.kind} ${client.visitor} ${isCopy ? 'copy' : client.result || client.where}`;
        dot.textContent = (client.visitor || client.id) + (isCopy ? '' : mark + said);
        dot.setAttribute('aria-label', this.name(client, isCopy, mark, said));
        if (dot.matches('button')) dot.setAttribute('aria-disabled', client.kind === 'half' ? client.whole || client.result !== '' : client.waits || client.result !== '');
        if (dot.parentElement !== where || order.includes(client.id)) where.append(dot);
      }
    }
    for (const [key, dot] of this.dots) {
      if (wanted.has(key)) continue;
      dot.remove();
      this.dots.delete(key);
    }
    if (focus?.isConnected && root.activeElement !== focus) focus.focus({ preventScroll: true });
    if (!calm) this.move(before);

    const events = model.events.splice(0);
    const lost = events.filter(([name]) => name === 'lost').map(([, id]) => pick(`${id}번`, id)).join(', ');
    const sentences = events.filter(([name]) => name !== 'lost').map(event => this.sentence(event));
    if (lost) sentences.unshift(SAID.lost.replace('%1', lost));
    if (events.length) this.words = sentences.join(' ');
    const [caption, words] = this.find('.said').children;
    if (caption.textContent !== this.caption) caption.textContent = this.caption;
    if (words.textContent !== this.words) words.textContent = this.words;
    for (const button of root.querySelectorAll('.show')) button.setAttribute('aria-pressed', button.value === this.playing);
    this.control('flow').setAttribute('aria-pressed', this.flows);
    this.find('.said').ariaLive = this.flows ? 'off' : 'polite';
    this.control('pause').textContent = this.plays ? WORDS.pause : WORDS.play;
    this.control('back').setAttribute('aria-disabled', !this.past.length);
    root.querySelector('[name=Ctrl-C]').setAttribute('aria-disabled', over);
    this.find('.clock').textContent = clocks.length ? `t = ${(state.now / 1000).toFixed(1)} s` : '';
    const console = this.find('pre');
    const lines = [['prompt', '$ ' + this.command], ...state.lines.map(({ text, error }) => [error ? 'error' : 'out', text])];
    if (over) lines.push(['prompt', '$ echo $?'], ['prompt', String(state.status)]);
    if (console.textContent !== lines.map(([, text]) => text + '\n').join('')) {
      console.replaceChildren(...lines.map(([name, text]) => {
        const line = document.createElement('span');
        line.className = name;
        line.textContent = text + '\n';
        return line;
      }));
      console.scrollTop = console.scrollHeight;
    }
  }

  // Each connection travels from where it was.
  move(before) {
    for (const [key, dot] of this.dots) {
      const from = before.get(key);
      const to = dot.getBoundingClientRect();
      const [x, y] = from ? [from.left - to.left, from.top - to.top] : [0, 0];
      if (!from) dot.animate({ opacity: [0, 1] }, 200);
      else if (Math.abs(x) + Math.abs(y) > 2) {
        dot.animate({ transform: [`translate(${x}px, ${y}px)`, 'none'] }, { duration: PACE * 0.7, easing: 'ease-in-out' });
      }
    }
  }

  name(client, isCopy, mark, said) {
    const where = isCopy ? WORDS.copies : { backlog: WORDS.backlog, queue: WORDS.queue }[client.where] ?? '';
    const does = client.result ? '' : client.kind === 'half' && !client.whole ? pick(', 나머지 보내기', ', send the rest')
      : client.kind === 'keep' && !client.waits ? pick(', 다시 요청하기', ', ask again') : '';
    return `${client.visitor ? client.visitor + ' ' : ''}${pick(`${client.id}번 연결`, `connection ${client.id}`)} ${mark}${said} ${where}${does}`.trim();
  }

  sentence([name, first, second]) {
    const word = value => WORDS[value] ?? (value === 'exit' ? 'exit(3)' : value);
    const { visitor } = /^(connec|ref|aga|acc|sent|tak|conf|ans|back)/.test(name) && this.model.client(first) || {};
    let text = SAID[name].replace('%1', (name === 'redis' || name === 'installed' ? word(first) : first) + (visitor ? `(${visitor})` : '')).replace('%2', second);
    if (name === 'answered') {
      const { answers } = this.model.client(first);
      const { status, count, last } = answers.at(-1);
      text += ` ${status}${count ? pick(`, ${count}번째 방문`, `, visit ${count}`) : ''}${last ? ', Connection: close' : ''}.`;
    }
    return text;
  }
});

// How often each visitor has been there.
function counts(memory, state, before) {
  const visitor = session => Object.keys(state.visitors).find(name => state.visitors[name] === Number(session)) ?? '?';
  const all = Object.entries(memory).map(([session, count]) => `${visitor(session)}: ${count}`);
  return all.length ? before + all.join(', ') : '';
}
})();
