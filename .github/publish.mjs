// What robots and link previews read: the file as it is, before a script has run. On a built book:
// node .github/publish.mjs target/book https://example.org/the-book/
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const [folder, address] = process.argv.slice(2);
const site = address.replace(/\/*$/, '/');

const part = (html, pattern) => {
  const found = pattern.exec(html);
  if (!found) throw new Error(`mdBook no longer writes ${pattern}`);
  return found[1];
};

// The first sentences of the page, as many as a preview has room for.
const describe = html => {
  const text = part(html, /<main>[^]*?<p>([^]*?)<\/p>/).replace(/<[^>]*>/g, '').replace(/\s+/g, ' ');
  return text.match(/.+?[.?!](?= |$)|.+$/g).reduce((all, next) => (all + next).length > 200 ? all : all + next);
};

const publish = (file, url, language, twins = []) => {
  const path = `${folder}/${file}`;
  const html = readFileSync(path, 'utf8');
  const book = part(html, /<h1 class="menu-title">(.*?)<\/h1>/);
  const description = part(html, /<meta name="description" content="(.*?)">/);
  const title = part(html, /<title>(.*?)<\/title>/).split(` - ${book}`)[0];
  const tags = {
    title, description: language ? describe(html) : description, type: 'article', url: site + url, site_name: book,
    image: site + 'assets/card.png',
    ...language && { locale: { ko: 'ko_KR', en: 'en_US' }[language] },
  };
  const attribute = text => text.replaceAll('"', '&quot;');
  const head = [
    `<meta name="description" content="${attribute(tags.description)}">`,
    `<link rel="canonical" href="${tags.url}">`,
    ...twins.map(twin => `<link rel="alternate" hreflang="${twin.slice(0, 2)}" href="${site}${twin}">`),
    ...Object.entries(tags).map(([name, text]) => `<meta property="og:${name}" content="${attribute(text)}">`),
  ];
  writeFileSync(path, html
    .replace(/<html lang="\w+"/, it => language ? `<html lang="${language}"` : it)
    .replace(/<title>.*?<\/title>/, () => `<title>${title === book ? book : `${title} - ${book}`}</title>`)
    .replace(/<meta name="description".*?>/, () => head.join('\n        ')));
};

publish('index.html', '', '');
const languages = ['ko', 'en'];
for (const language of languages) {
  for (const page of readdirSync(`${folder}/${language}`).filter(name => name.endsWith('.html'))) {
    publish(`${language}/${page}`, `${language}/${page}`, language, languages.map(other => `${other}/${page}`));
  }
}
