// Search that finds Korean. mdBook's index drops Korean words but keeps each section's text: look
// there. searcher.js calls `search` and lists what it returns; `fill` completes the list.
(() => {
const { lang } = document.documentElement;
const $ = id => document.getElementById(`mdbook-search${id}`);
const bar = $('bar');
if (!window.elasticlunr || !bar) return;
const PARTICLES = /^(\S\S+?)(에서|에게|으로|까지|부터|마다|보다|처럼|이?란|[이가은는을를의에와과로도만])+$/;
// A transcript's lines: the index does not tell them from prose.
const CONSOLE = /\$ [ -~]{1,80}|마스터 프로세스 아이디:|\S*번 워커(가 종| 실)\S*|code \S+ signal \S+/g;
let sections;

const read = docs => Object.values(docs).map(({ id, ...doc }) => {
  const [title, body, path] = [doc.title, doc.body, doc.breadcrumbs].map(text => text.normalize('NFC'));
  const prose = body.replace(CONSOLE, line => ' '.repeat(line.length));
  return { id, url: search.doc_urls[id], title, body, prose, path };
}).filter(({ url }) => url.startsWith(lang + '/'));

// What stands for a word. Korean: without its particle; spaced anyhow, if it begins a word.
// English: what begins with it or its stem; in a later try, what holds it.
// No lookbehind, which Safari lacks before 16.4: a match may hold the character before the word.
const pattern = (word, tried) => {
  const bare = word.replace(PARTICLES, '$1');
  if (/^[가-힣]+$/.test(bare)) return `(?:${bare}|(?:^|[^가-힣\\w])${[...bare].join('\\s?')})`;
  const plain = bare.replace(/[^\wㄱ-힣]/g, '\\$&');
  const stem = /^[a-z]+$/.test(bare) ? elasticlunr.stemmer(bare).replace(/[ei]$/, '[eiy]') : plain;
  return `${!tried && /^\w/.test(bare) ? '(?:\\b|_)' : ''}(?:${plain}|${stem})`;
};

// Where all the words stand; in the last try, where any does.
const find = (query, tried) => {
  const words = query.match(/[^\s,?'"`\u2018-\u201f]+/g) ?? [query];
  const patterns = words.map(word => pattern(word, tried));
  const tests = patterns.map(source => RegExp(source, 'i'));
  const any = RegExp(`(${patterns.join('|')})`, 'i');
  const phrase = RegExp(patterns.join('\\s?'), 'i');
  const named = RegExp(`^${phrase.source} *(\\(|$)`, 'i');
  // Title before body before transcript before the page's name.
  const score = ({ title, prose, body, path }) => {
    const worth = test => [[title, 100], [prose, 10], [body, 1], [path, 0.1]].find(([text]) => test.test(text))?.[1];
    return tests.reduce((sum, test) => sum + (worth(test) ?? (tried > 1 ? 0 : NaN)), (worth(phrase) ?? 0) / 2)
      + 40 * named.test(title);
  };
  return sections.map(section => ({ ...section, any, phrase, score: score(section) }))
    .filter(hit => hit.score > 0).sort((a, b) => b.score - a.score);
};

const fill = (hits, typed) => {
  if (lang === 'ko') $('results-header').textContent = `‘${typed}’ 검색 결과${hits[0] ? ` ${hits.length}개` : '가 없습니다'}`;
  [...$('results').children].forEach(({ children: [a, teaser] }, i) => {
    const { url, title, body, prose, path, any, phrase } = hits[i];
    a.textContent = path.replace(/^(.*) » \1$/, '$1');
    // mdBook marks on the page what ?highlight= holds: give it what stands there.
    const there = `${title} ${body}`.match(RegExp(any, 'gi')) ?? [typed];
    const marks = new Set(there.join(' ').trim().toLowerCase().split(/\s+/));
    a.href = path_to_root + url.replace(/#|$/, `?highlight=${encodeURIComponent([...marks].slice(0, 8).join(' '))}$&`);
    const at = [prose.search(phrase), prose.search(any), body.search(any)].find(at => at >= 0) ?? 0;
    const from = at < 40 ? 0 : body.lastIndexOf(' ', at - 40) + 1;
    const text = (from ? '… ' : '') + body.slice(from, from + 180).replace(/\s+\S*$/, ' …');
    teaser.removeAttribute('aria-label');
    teaser.textContent = '';
    text.split(any).forEach((part, i) => {
      teaser.append(i % 2 ? Object.assign(document.createElement('em'), { textContent: part }) : part);
    });
  });
};

elasticlunr.Index.prototype.search = function (typed) {
  sections ??= read(this.documentStore.docs);
  const query = typed.normalize('NFC').toLowerCase();
  // The second try: a syllable being composed, such as 웤 on its way from 워 to 워커.
  const shorter = query.normalize('NFD').slice(0, -1).normalize('NFC') || query;
  const hits = [[query], [shorter], [query, 1], [query, 2]]
    .reduce((hits, [text, tried = 0]) => hits[0] ? hits : find(text, tried), []);
  queueMicrotask(() => fill(hits, typed));
  return hits.map(({ id }) => ({ ref: id, doc: { body: '', breadcrumbs: '' } }));
};

// Enter ends a syllable there; it must not follow the first result.
bar.addEventListener('keydown', event => {
  if (event.isComposing || event.keyCode === 229) event.stopPropagation();
});
// mdBook hears keys only: not paste, dictation or the clear button.
const changed = () => bar.dispatchEvent(new Event('keyup'));
bar.oninput = changed;
// A ?search= answered before this came is asked again; the same would not be.
const term = bar.value;
if (term) {
  bar.value = term + ' .';
  changed();
  bar.value = term;
  changed();
}
})();
