// Transcripts, twins and diffs, out of plain fences. Relies on mdBook's `pre > code.language-X`,
// hljs, #fa-copy and playground_text (what a .clip-button copies).
(() => {
const root = document.documentElement;
const ko = root.lang === 'ko';
const all = selector => document.querySelectorAll(selector);
const linesIn = code => code.textContent.replace(/\n$/, '').split('\n');
const bar = (before, html) => before.insertAdjacentHTML('beforebegin', `<div class="bar">${html}</div>`);

// Since 10.7, which has highlightElement, highlight.js takes the code first; mdBook 0.5 has 10.1.
const paint = (language, line) => (hljs.highlightElement
  ? hljs.highlight(line, { language, ignoreIllegals: true })
  : hljs.highlight(language, line, true)).value;

// `──── 2 ────` names the terminal of what follows.
const icon = document.getElementById('fa-copy')?.innerHTML ?? '⧉';
const copy = `<button class="clip-button"><i class="tooltiptext"></i>${icon}</button>`;
for (const code of all('pre > code.language-console')) {
  code.textContent = code.textContent;
  const box = document.createElement('div');
  box.innerHTML = code.innerHTML.replace(/^──── (\d) ────\n([^─]*)/gm, (_, number, text) =>
    `<div class="terminal t${number}"><div>${ko ? '터미널' : 'Terminal'} ${number}</div><pre><code
class="hljs">${text.replace(/^\$ (.*)/gm, `${copy}<span>$$ </span><b>$1</b>`)}</code></pre></div>`);
  code.parentElement.replaceWith(box);
}
// `kill -KILL` stays on one line; in a cell, only what is long may break.
for (const code of all(':is(p, li, summary, figcaption) > code')) {
  if (code.textContent.length < 29) code.style.whiteSpace = 'nowrap';
}
for (const code of all('td > code')) code.classList.toggle('long', /\S{18}/.test(code.textContent));
// A passage out of the middle of a program stands at the left.
for (const code of all('pre > :is(.language-rust, .language-js)')) {
  const lines = linesIn(code).filter(line => line.trim());
  const indent = Math.min(...lines.map(line => line.search(/\S/)));
  if (lines.length && indent) code.innerHTML = code.innerHTML.replace(RegExp(`^ {${indent}}`, 'gm'), '');
}

// Where a stage begins in Rust and in Node: it ends with its statement. Respawn is part of wait.
const STAGES = {
  bind: [/TcpListener::bind/, /server\.listen/],
  fork: [/println!\("마스터|for _ in/, /`마스터|for \(let/],
  wait: [/^ *loop/, /cluster\.on/],
  respawn: [/forked/, /cluster\.fork/],
  serve: [/= Server::|워커 실행|in server/, /const server/],
};
for (const twins of all('.twins')) {
  const codes = ['rust', 'js'].map(name => twins.querySelector('.language-' + name));
  codes.forEach((code, side) => code?.insertAdjacentHTML('beforebegin', `<span class="name">${side ? 'Node' : 'Rust'}</span>`));
  if (!codes[1] || !/^fn main/m.test(codes[0]?.textContent)) continue;
  const [here, there] = codes.map((code, side) => {
    const lines = linesIn(code);
    const stages = lines.map(() => []);
    const depth = at => lines[at]?.search(/\S/);
    for (const name in STAGES) lines.forEach((line, at) => {
      if (!STAGES[name][side].test(line) || name === 'respawn' && stages[at][0] !== 'wait') return;
      const start = depth(at);
      do stages[at++].unshift(name);
      while (depth(at) > start || depth(at) === start && /^ *[)}]/.test(lines[at]));
    });
    code.innerHTML = `<span class="rows">${lines.map((line, at) => `<span class="row"
data-s="${stages[at].join(' ')}">${paint(side ? 'js' : 'rust', line)}</span>\n`).join('')}</span>`;
    return stages.flat();
  });
  bar(twins.firstElementChild, Object.keys(STAGES)
    .filter(name => here.includes(name) && there.includes(name))
    .map(name => `<button data-s="${name}" aria-pressed="false">${
      name === 'fork' && /thread::spawn\(move \|\| worker/.test(codes[0].textContent) ? 'spawn' : name
    }</button>`).join(''));

  // What the pointer is on is lit; else the stage whose button was pressed.
  let pressed;
  const light = name => {
    for (const part of twins.querySelectorAll('[data-s]')) {
      part.classList.toggle('lit', part.matches(`[data-s~="${name}"]`));
    }
  };
  twins.onmouseover = ({ target }) => light(target.closest('[data-s]')?.dataset.s.split(' ')[0] || pressed);
  twins.onmouseleave = () => light(pressed);
  twins.onclick = ({ target }) => {
    const name = target.closest('button')?.dataset.s;
    if (!name) return;
    pressed = name === pressed ? undefined : name;
    for (const button of twins.querySelectorAll('[aria-pressed]')) {
      button.setAttribute('aria-pressed', button.dataset.s === pressed);
    }
    light(pressed);
  };
}

// A run of changes: its old lines, its new lines.
for (const code of all('pre > code.language-diff')) {
  const language = /\.mjs$/m.test(code.textContent) ? 'js' : 'rust';
  const rows = linesIn(code).map(line => {
    const tag = { '-': 'del', '+': 'ins' }[line[0]] ?? 'span';
    return /^(---|\+\+\+|@@) /.test(line) ? line + '\n'
      : `<${tag} class="row">${line[0]}${paint(language, line.slice(1))}</${tag}>\n`;
  }).join('');
  code.innerHTML = `<span class="rows">${rows.replace(/((?:<del.*\n)*)((?:<ins.*\n)*)/g,
    (run, old, now) => run && `<span class="run"><span>${old}</span><span>${now}</span></span>`)}</span>`;
  bar(code.parentElement, `<button class="split">${ko ? '나란히 보기' : 'Side by side'}</button>`);
}
const split = on => {
  root.classList.toggle('split', on);
  for (const button of all('button.split')) button.setAttribute('aria-pressed', on);
};
// Storage may be blocked: then the choice holds for this page.
let stored;
try { stored = localStorage.getItem('split'); } catch { }
split(stored === 'true');
addEventListener('click', ({ target }) => {
  if (!target.closest('button.split')) return;
  const on = !root.matches('.split');
  split(on);
  try { localStorage.setItem('split', on); } catch { }
}, true);

// What a button copies, whatever a translation made of the page; its name says it.
const sources = new Map();
for (const button of all('.clip-button')) {
  const block = button.closest('.terminal') ? button.nextSibling.nextSibling : button.closest('pre').querySelector('code');
  const source = block.textContent;
  sources.set(button, source);
  const name = `${ko ? '복사' : 'Copy'}: ${source.trim().split('\n')[0]}`;
  for (const attribute of ['title', 'aria-label']) button.setAttribute(attribute, name);
}
for (const code of all('pre, code, svg')) code.setAttribute('translate', 'no');
let source;
const usual = window.playground_text;
if (usual) window.playground_text = pre => source ?? usual(pre);
const said = document.getElementById('said');
addEventListener('click', ({ target }) => { source = sources.get(target.closest('.clip-button')); }, true);
// mdBook has just written what came of it into the button.
addEventListener('click', ({ target }) => {
  const result = target.closest('.clip-button')?.firstChild.textContent;
  if (result) said.textContent = `${result} ${source}`;
});

// Keys scroll what scrolls, where mdBook would turn the page; and it shows where there is more.
const more = box => box.classList.toggle('more', box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
const fit = new ResizeObserver(sized => {
  for (const { target } of sized) {
    target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
    more(target);
  }
});
for (const box of all('pre code, .table-wrapper')) {
  fit.observe(box);
  box.onscroll = () => more(box);
  box.onkeydown = event => {
    if (event.key.startsWith('Arrow') && box.tabIndex === 0) event.stopPropagation();
  };
}

// The marks of a search are older than what was just made: mdBook is to set them again.
if (/[?&]highlight=/.test(location.search) && window.Mark) new Mark(root).unmark({ done: window.onpopstate });
// A result may lead to what is folded away in its section.
let part = document.getElementById(location.hash.slice(1));
while ((part = part?.nextElementSibling) && !part.matches('h1, h2, h3')) {
  if (part.matches('details') && part.querySelector('mark')) part.open = true;
}
})();
