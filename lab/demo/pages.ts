/** The pages of the demo: the application's, and what visitors see while it is being moved. Each is one self-contained file. */

export type DemoVersion = 'old' | 'new';

const look = `
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6879;--paper:#f4f5f8;--card:#fff;--line:#dfe3e9;--old:#8a5a12;--new:#12715a}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a4b5;--paper:#12161c;--card:#1a2029;--line:#2d3643;--old:#e0ac4b;--new:#4cc39a}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--paper);color:var(--ink);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans JP",sans-serif}
main{width:100%;max-width:560px;background:var(--card);border:1px solid var(--line);border-radius:16px;padding:36px 32px}
h1{margin:0 0 8px;font-size:28px;line-height:1.25}p{margin:0 0 12px}p:last-child{margin:0}.soft{color:var(--soft);font-size:14px}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:24px 0}
dl div{border:1px solid var(--line);border-radius:10px;padding:12px 16px}dt{color:var(--soft);font-size:13px}
dd{margin:0;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}
.badge{display:inline-block;margin-bottom:16px;padding:2px 12px;border:1px solid currentColor;border-radius:99px;font-size:13px;font-weight:600}
.old{color:var(--old)}.new{color:var(--new)}
.bar{height:6px;border-radius:3px;overflow:hidden;background:var(--line);margin:24px 0}
.bar i{display:block;width:35%;height:100%;border-radius:3px;background:var(--new);animation:go 2.4s ease-in-out infinite alternate}
@keyframes go{to{transform:translateX(186%)}}@media(prefers-reduced-motion:reduce){.bar i{animation:none}}
`;

const document = (title: string, body: string, refreshSeconds = 5) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="refresh" content="${refreshSeconds}">
<title>${title}</title>
<style>${look}</style>
</head>
<body><main>${body}</main></body>
</html>
`;

/** The application's only page. */
export function applicationPage(app: {
  version: DemoVersion;
  users: number;
  teams: number;
  personal: number | null;
}): string {
  const figures: [string, number | null][] = [
    ['Users', app.users],
    ['Teams', app.teams],
    ['Personal organizations', app.personal],
  ];
  const list = figures
    .filter(([, count]) => count !== null)
    .map(([name, count]) => `<div><dt>${name}</dt><dd>${count?.toLocaleString('en')}</dd></div>`)
    .join('');
  const who =
    app.version === 'old'
      ? 'Servers, tools and logs belong to users.'
      : 'Servers, tools and logs belong to organizations; every user has a personal one.';
  return document(
    'Tumiki demo',
    `<span class="badge ${app.version}">${app.version} version</span><h1>Tumiki demo</h1><p>${who}</p><dl>${list}</dl>
<p class="soft">This page looks again every five seconds.</p>`,
  );
}

/** What visitors see while the flag file exists. */
export function maintenancePage(): string {
  return document(
    'Back soon',
    `<h1>We’ll be back soon</h1><p>We are moving everything to its new home. Nothing you have saved is lost, and there is nothing you have to do.</p>
<div class="bar" role="presentation"><i></i></div><p class="soft">This page reloads by itself as soon as we are open again.</p>`,
  );
}

/** A page for a failure; `sentence` must hold no markup. */
export function failurePage(sentence: string): string {
  return document('Tumiki demo', `<h1>Not available</h1><p>${escapeHtml(sentence)}</p>`);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
