// The report's style sheet: system fonts, one accent, light and dark.

export const STYLE = `
:root{--ink:#1b1f24;--dim:#5c6773;--paper:#fff;--soft:#f4f6f8;--line:#dfe4e9;--a:#0f766e;--b:#b45309;--good:#0f766e;--bad:#b42318;--warm:#fff7ed}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaee;--dim:#98a3af;--paper:#14181d;--soft:#1d232a;--line:#313a44;--a:#2dd4bf;--b:#fbbf24;--good:#2dd4bf;--bad:#f97066;--warm:#2a2117}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:960px;margin:0 auto;padding:40px 24px 80px}h1{font-size:15px;font-weight:600;letter-spacing:.04em;color:var(--dim);margin:0 0 20px}
h2{font-size:20px;margin:48px 0 6px}h2+p{margin-top:0}p{max-width:70ch}.dim{color:var(--dim)}
.verdict{border-radius:14px;padding:24px 28px;background:var(--soft);border-left:8px solid var(--bad)}.verdict.proven{border-color:var(--good)}
.verdict strong{display:block;font-size:34px;line-height:1.2;color:var(--bad)}.verdict.proven strong{color:var(--good)}.verdict ul{margin:12px 0 0;padding-left:20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:14px;margin:20px 0}.tile{background:var(--soft);border-radius:12px;padding:16px 18px}
.tile b{display:block;font-size:26px;line-height:1.25;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:14px}
svg{display:block;width:100%;height:auto;max-width:760px;margin:12px 0}svg text{font:13px system-ui,"Noto Sans CJK SC",sans-serif;fill:var(--ink)}svg .tick{fill:var(--dim);font-size:12px}svg .value{font-weight:600}
.grid{stroke:var(--line)}.line{fill:none;stroke-width:2}.line.a,.dot.a{stroke:var(--a)}.line.b,.dot.b{stroke:var(--b)}.dot.a,.bar.a{fill:var(--a)}.dot.b,.bar.b{fill:var(--b)}
.limit{stroke:var(--bad);stroke-dasharray:5 4}svg .limit-text{fill:var(--bad);font-size:12px}.legend{display:flex;gap:20px;color:var(--dim);font-size:14px}.key{display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:7px;vertical-align:middle}.key.a{background:var(--a)}.key.b{background:var(--b)}
table{border-collapse:collapse;width:100%;font-size:15px}th{text-align:left;font-weight:600}td,th{padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bars th{width:26%;font-weight:400}.bars td:nth-child(2){width:45%}.track{background:var(--soft);border-radius:4px;height:14px;margin-top:5px}.fill{background:var(--a);height:14px;border-radius:4px}
.scroll{overflow-x:auto}.matrix{width:auto;font-size:13px}.matrix td{min-width:30px;text-align:center;padding:5px;border:1px solid var(--line)}.matrix th{border:0;white-space:nowrap;padding:4px 8px;font-weight:400}.matrix thead th{vertical-align:bottom}.matrix thead span{writing-mode:vertical-rl;transform:rotate(180deg)}.matrix .corner{color:var(--dim);vertical-align:bottom}
.matrix .right{background:color-mix(in srgb,var(--good) calc(var(--s)*70%),transparent)}.matrix .wrong{background:color-mix(in srgb,var(--bad) calc(var(--s)*70%),transparent)}
.example{border:1px solid var(--line);border-radius:12px;margin:14px 0;overflow:hidden}.example>p{margin:0;padding:12px 16px;background:var(--soft);max-width:none;white-space:pre-wrap;overflow-wrap:anywhere}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr))}.pair div{padding:12px 16px;border-top:1px solid var(--line);min-width:0}.pair div+div{border-left:1px solid var(--line)}
.pair small{color:var(--dim);display:block}.pair pre{margin:4px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,Menlo,Consolas,"Noto Sans Mono CJK SC",monospace}.ok{color:var(--good)}.no{color:var(--bad)}
.note{background:var(--warm);border-radius:8px;padding:8px 14px;margin:6px 0;max-width:none}code{font:13px ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}footer{margin-top:56px;color:var(--dim);font-size:14px}
@media print{main{padding:0}.example,.tile,.verdict{break-inside:avoid}}
`;
