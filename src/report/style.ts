/** The look of the report: light, dark, narrow and on paper. */

export const reportStyle = `
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6879;--paper:#f5f6f8;--card:#fff;--line:#dfe3e9;--track:#edf0f4;
--good:#12805c;--bad:#c0362c;--wait:#b7791f;--run:#2b6cb0}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a4b5;--paper:#12161c;--card:#1a2029;--line:#2d3643;--track:#242c37;
--good:#3fb68b;--bad:#ef7269;--wait:#e0ac4b;--run:#63a4e6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{border-top:8px solid var(--run);background:var(--card);border-bottom:1px solid var(--line);padding:28px 24px}
header>*{max-width:1040px;margin-left:auto;margin-right:auto}
header.good{border-top-color:var(--good)}header.bad{border-top-color:var(--bad)}
header.good h1{color:var(--good)}header.bad h1{color:var(--bad)}
h1{margin-top:0;margin-bottom:4px;font-size:34px;line-height:1.2}
.plan{margin-top:0;margin-bottom:4px;color:var(--soft);font-weight:600}.lead{margin-top:0;margin-bottom:0;font-size:17px}
main{max-width:1088px;margin:0 auto;padding:20px 24px 48px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-top:16px}
h2{margin:0 0 12px;font-size:17px}ul{margin:0;padding-left:20px}
.figures{display:flex;flex-wrap:wrap;gap:12px;margin:0}
.figures div{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
dt{color:var(--soft);font-size:13px}.figures dd{margin:0;font-size:22px;font-weight:600;overflow-wrap:anywhere}
.row{display:grid;grid-template-columns:190px 1fr 210px;gap:12px;align-items:center;min-height:26px;font-size:14px}
.row>:last-child{color:var(--soft);font-variant-numeric:tabular-nums}
.track{position:relative;height:14px;background:var(--track);border-radius:4px}
.track i{position:absolute;top:0;bottom:0;border-radius:4px;background:var(--good)}
.track i.failed{background:var(--bad)}.track i.undone,.track i.waiting{background:var(--wait)}.track i.running{background:var(--run)}
.track i.skipped,.track i.pending{background:var(--soft)}
.axis .track{background:none;height:20px}.axis span[style]{position:absolute;transform:translateX(-50%);font-size:12px;color:var(--soft);font-variant-numeric:tabular-nums}
em{font-style:normal;font-size:12px;color:var(--soft)}em.failed{color:var(--bad)}em.undone,em.waiting{color:var(--wait)}em.running{color:var(--run)}
.hint{margin:10px 0 0;color:var(--soft);font-size:13px}.troubles li{color:var(--bad)}
.scroll{overflow-x:auto}table{width:100%;border-collapse:collapse;font-size:14px}
th{text-align:left;color:var(--soft);font-weight:600;font-size:13px}th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child td{border-bottom:0}.number{text-align:right;font-variant-numeric:tabular-nums;padding-right:24px;white-space:nowrap}
time{white-space:nowrap}code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.pass{color:var(--good)}.fail{color:var(--bad)}
.facts{display:grid;grid-template-columns:130px 1fr;gap:6px 12px;margin:0}.facts dd{margin:0}.facts ul{list-style:none;padding:0}
@media(max-width:720px){.row{grid-template-columns:110px 1fr 84px}.axis span:nth-child(even){display:none}}
@media print{:root{color-scheme:light}body{background:#fff;font-size:11pt}section,.figures div{break-inside:avoid;border-radius:0}
section:has(table){break-inside:auto}tr,.row{break-inside:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
`;
