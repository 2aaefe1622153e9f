// Two languages in one book, where mdBook knows one. theme/head.hbs has set lang and data-page.
(() => {
const { lang, dataset: { page } } = document.documentElement;
const ko = lang === 'ko';
const other = ko ? 'en' : 'ko';
const folder = /^(ko|en)\b/.exec(page)?.[0];
// What mdBook names so, if it still does.
const $ = id => document.getElementById(`mdbook-${id}`);
const all = (css, act) => document.querySelectorAll(css).forEach(act);

// The switch leads to the same page at the heading being read: the ids are the same in both.
const top = element => element?.getBoundingClientRect().top;
const place = () => {
  const aim = top(document.getElementById(location.hash.slice(1)));
  if (aim >= 0 && aim < innerHeight) return location.hash;
  const above = [...document.querySelectorAll('main :is(h2, h3)[id]')].filter(it => top(it) < innerHeight / 3);
  return scrollY && above.length ? '#' + above.pop().id : '';
};
const link = document.createElement('a');
link.id = 'language-switch';
link.lang = link.hreflang = other;
link.textContent = ko ? 'English' : '한국어';
const aim = () => {
  link.href = `${path_to_root}${other}/${folder ? page.slice(3) : 'introduction.html'}${place()}`;
};
link.onpointerenter = link.onclick = window.onhashchange = aim;
aim();
document.querySelector('.right-buttons')?.append(link);

// Any link that leaves the language chooses the other one.
addEventListener('click', ({ target }) => {
  const chosen = /\/(ko|en)\/[^/]*$/.exec(target.closest('a')?.pathname)?.[1];
  try { if (chosen && chosen !== folder) localStorage.setItem('book-language', chosen); } catch { }
});

// Previous and next, also by arrow key, stay in the language; the chooser has neither.
all('.nav-chapters, .mobile-nav-chapters', a => a.pathname.includes(`/${folder}/`) || a.remove());
all('#mdbook-sidebar a[href$="index.html"]', a => { a.hash = 'choose'; });

// For keys and screen readers: past the sidebar in one step, and a place for what is only said.
document.body.insertAdjacentHTML('afterbegin',
  `<a id="skip" href="#mdbook-content">${ko ? '본문으로 건너뛰기' : 'Skip to the text'}</a><p id="said" role="status"></p>`);
// With a Korean input method on, the key S is another letter.
addEventListener('keydown', event => {
  const { code, key, target, ctrlKey, altKey, metaKey } = event;
  if (code !== 'KeyS' || !/^(ㄴ|Process)$/.test(key)) return;
  const plain = { key: 's', bubbles: true, cancelable: true, ctrlKey, altKey, metaKey };
  if (!target.dispatchEvent(new KeyboardEvent('keydown', plain))) event.preventDefault();
});
// The sidebar's button is a label, which no key reaches: here is one.
const label = $('sidebar-toggle');
if (label) {
  label.insertAdjacentHTML('beforebegin', label.outerHTML.replace(/^<label|label>$/g, tag => tag.replace('label', 'button')));
  label.id = '';
  label.hidden = true;
  const button = $('sidebar-toggle');
  button.onclick = () => {
    label.click();
    button.setAttribute('aria-expanded', label.getAttribute('aria-expanded'));
  };
}
$('menu-bar')?.setAttribute('role', 'banner');
$('search-wrapper')?.setAttribute('role', 'search');
$('searchresults-header')?.setAttribute('role', 'status');
$('searchbar')?.setAttribute('aria-label', $('searchbar').placeholder);
all('th:empty', th => th.replaceWith(document.createElement('td')));

// mdBook's words, as its template and book.js have them.
if (!ko) return;
const KOREAN = {
  'Table of contents': '차례', 'Toggle Table of Contents': '차례 여닫기', 'Change theme': '테마 바꾸기', Themes: '테마',
  Auto: '자동', Light: '밝게', Rust: '러스트', Coal: '석탄', Navy: '남색', Ayu: '아유',
  'Search (`/`)': '검색 (`/`)', 'Toggle Searchbar': '검색창 여닫기', 'Search this book ...': '이 책에서 검색…',
  'Page navigation': '장 이동', 'Previous chapter': '이전 장', 'Next chapter': '다음 장',
  'Copy to clipboard': '복사', 'Copied!': '복사했습니다', 'Clipboard error!': '복사하지 못했습니다',
  'Keyboard shortcuts': '단축키', Press: '', or: ' 또는 ', 'to navigate between chapters': ': 장 이동',
  'to search in the book': ': 검색', 'to show this help': ': 도움말', 'to hide this help': ': 닫기',
  Note: '참고', Tip: '팁', Warning: '주의',
};
const translate = ({ childNodes }) => childNodes.forEach(node => {
  node.data = KOREAN[node.data?.trim()] ?? node.data;
});
for (const name of ['title', 'aria-label', 'placeholder']) all(`[${name}]`, element => {
  const text = element.getAttribute(name);
  element.setAttribute(name, KOREAN[text] ?? text);
});
all('#mdbook-help-popup *, #mdbook-theme-list *, .blockquote-tag-title', translate);
// book.js has just written "Copied!".
addEventListener('click', () => all('.tooltiptext', translate));
})();
