// Transcripts, twins and diffs, out of plain fences. Relies on mdBook's `pre > code.language-X`,
// hljs, #fa-copy and playground_text (what a .clip-button copies).
(() => {
const root = document.documentElement, ko = root.lang === 'ko';
const all = selector => document.querySelectorAll(selector);
const linesIn = code => code.textContent.replace(/\n$/, '').split('\n');
const paint = (language, line) => hljs.highlight(language, line, true).value;
const bar = (before, html) => before.insertAdjacentHTML('beforebegin', `<div class="bar">${html}</div>`);

// `──── 2 ────` names the terminal of what follows.
const copy = `<button class="clip-button" title="${ko ? '명령 복사' : 'Copy the command'}"><i
class="tooltiptext"></i>${document.getElementById('fa-copy').innerHTML}</button>`;
for (const code of all('pre > code.language-console')) {
  code.textContent = code.textContent;
  const box = document.createElement('div');
  box.innerHTML = code.innerHTML.replace(/^──── (\d) ────\n([^─]*)/gm, (_, number, text) =>
    `<div class="terminal t${number}"><div>${ko ? '터미널' : 'Terminal'} ${number}</div><pre><code
class="hljs">${text.replace(/^\$ (.*)/gm, `<span>$$ </span><b>$1</b>${copy}`)}</code></pre></div>`);
  code.parentElement.replaceWith(box);
}
const usual = playground_text;
let command;
playground_text = pre => command ?? usual(pre);

// Where a stage begins in Rust and in Node: it ends with its statement. Respawn is part of wait.
const STAGES = {
  bind: [/TcpListener::bind/, /server\.listen/],
  fork: [/println!\("마스터|for _ in/, /`마스터|for \(let/],
  wait: [/^ *loop/, /cluster\.on/],
  respawn: [/if unsafe { fork/, /cluster\.fork/],
  serve: [/let server|워커 실행|in server/, /const server/],
};
for (const twins of all('.twins')) {
  const codes = ['rust', 'js'].map(name => twins.querySelector('.language-' + name));
  if (!codes[1] || !/^fn main/m.test(codes[0]?.textContent)) continue;
  const [here, there] = codes.map((code, side) => {
    const lines = linesIn(code), stages = lines.map(() => []);
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
    .map(name => `<button data-s="${name}">${name}</button>`).join(''));
  for (const type of ['mouseover', 'focusin']) twins.addEventListener(type, ({ target }) => {
    const name = target.closest('[data-s]')?.dataset.s.split(' ')[0];
    for (const part of twins.querySelectorAll('[data-s]')) {
      part.classList.toggle('lit', part.matches(`[data-s~="${name}"]`));
    }
  });
}

// A run of changes: its old lines, its new lines.
for (const code of all('pre > code.language-diff')) {
  const rows = linesIn(code).map(line => {
    const tag = { '-': 'del', '+': 'ins' }[line[0]] ?? 'span';
    return /^(---|\+\+\+|@@) /.test(line) ? line + '\n'
      : `<${tag} class="row">${line[0]}${paint('rust', line.slice(1))}</${tag}>\n`;
  }).join('');
  code.innerHTML = `<span class="rows">${rows.replace(/((?:<del.*\n)*)((?:<ins.*\n)*)/g,
    (run, old, now) => run && `<span class="run"><span>${old}</span><span>${now}</span></span>`)}</span>`;
  bar(code.parentElement, `<button class="split">${ko ? '나란히 보기' : 'Side by side'}</button>`);
}
const split = on => {
  root.classList.toggle('split', on);
  for (const button of all('button.split')) button.ariaPressed = on;
  localStorage.split = on;
};
addEventListener('click', ({ target }) => {
  command = target.closest('.terminal .clip-button')?.previousSibling.textContent;
  if (target.matches('button.split')) split(!root.matches('.split'));
}, true);

// Keys scroll what scrolls, where mdBook would turn the page.
const fit = new ResizeObserver(sized => sized.forEach(({ target }) => {
  target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
}));
for (const code of all('pre code, .table-wrapper')) {
  fit.observe(code);
  code.onkeydown = event => /Arrow/.test(event.key) && !code.tabIndex && event.stopPropagation();
}
split(localStorage.split === 'true'); // last: storage may be blocked
})();
