// The report as one page that opens anywhere: no script, no request, safe to mail.
import type { Artifact } from '../../artifacts/store.ts';
import { formatDuration } from '../../base/duration.ts';
import { VERSION } from '../../base/version.ts';
import type { Evaluated, ScoredLine } from '../evaluated.ts';
import type { Ledger } from '../ledger.ts';
import type { PlanePoint } from '../plane.ts';
import { QUALITY_LIMIT, type Verdict } from '../verdict.ts';
import {
  confusionTable,
  costChart,
  type Estimate,
  intervalChart,
  lineChart,
  type Series,
  shareBars,
} from './charts.ts';
import { count, share, usd } from './format.ts';
import { html, Markup } from './markup.ts';
import { planeChart } from './plane.ts';
import { STYLE } from './style.ts';

export interface PageContent {
  title: string;
  verdict: Verdict;
  evaluated?: Evaluated;
  ledger?: Ledger;
  plane: readonly PlanePoint[];
  curve: Series[];
  examples: ScoredLine[];
  artifacts: readonly Artifact[];
}

/** The whole document. */
export function page(content: PageContent): string {
  const { title, verdict, evaluated, ledger, plane, curve, examples, artifacts } = content;
  const body = [
    verdictBox(verdict),
    evaluated && ledger && tiles(evaluated, ledger),
    evaluated && qualitySection(evaluated),
    ledger && costSection(ledger),
    plane.length > 0 && planeSection(plane),
    curve.some((line) => line.points.length > 1) && trainingSection(curve),
    evaluated && weaknessSection(evaluated),
    examples.length > 0 && examplesSection(examples),
    artifactsSection(artifacts),
  ];
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline'"><title>${title}</title><style>${new Markup(STYLE)}</style></head><body><main><h1>${title}</h1>${body}<footer>Made by Cupel ${VERSION}. Everything here is read from the manifests of the artifacts above.</footer></main></body></html>
`.text;
}

function verdictBox({ verdict, reasons }: Verdict): Markup {
  const tone = verdict === 'proven' ? 'proven' : 'open';
  return html`<section class="verdict ${tone}"><strong>${verdict === 'proven' ? 'Proven' : 'Not proven'}</strong><ul>${reasons.map((reason) => html`<li>${reason}</li>`)}</ul></section>`;
}

function tiles({ quality, speed }: Evaluated, ledger: Ledger): Markup {
  const tile = (value: string, name: string) => html`<div class="tile"><b>${value}</b><span>${name}</span></div>`;
  return html`<div class="tiles">${[
    tile(share(quality.ratio), `of the teacher's quality, on ${count(quality.n)} held-out items`),
    tile(share(ledger.share, ledger.share < 0.01 ? 2 : 1), "of the teacher's running cost"),
    tile(usd(ledger.student.usdPer1k), `for 1,000 requests, instead of ${usd(ledger.teacher.usdPer1k)}`),
    tile(speed.requestsPerSecond.toFixed(1), `requests a second, ${speed.concurrency} at once`),
  ]}</div>`;
}

function qualitySection({ quality, basis, scorerDescription, notes }: Evaluated): Markup {
  const rows: Estimate[] = [
    { name: 'student', tone: 'a', value: quality.student, ...quality.studentInterval },
    { name: 'student / teacher', tone: 'a', value: quality.ratio, lower: quality.lower95, upper: quality.ratio },
  ];
  if (basis === 'reference')
    rows.unshift({ name: 'teacher', tone: 'b', value: quality.teacher, ...quality.teacherInterval });
  const against = basis === 'reference' ? 'the reference answers' : "the teacher's own answers";
  return html`<h2>Quality</h2><p class="dim">Scored against ${against}: ${scorerDescription}. Intervals of single scores are 95% Wilson intervals; for the ratio the line reaches down to the one-sided 95% lower bound of a paired test.</p>
${intervalChart(rows, { value: QUALITY_LIMIT, name: '95% of the teacher' })}${notes.map((note) => html`<p class="note">${note}</p>`)}`;
}

function costSection(ledger: Ledger): Markup {
  const { teacher, student, machine, alwaysOn, spent } = ledger;
  const prices = [...new Map(teacher.models.map((entry) => [entry.price.from, entry])).values()];
  return html`<h2>Cost</h2><p class="dim">Of 1,000 requests like the held-out ones. Student: the measured speed at ${usd(machine.usdPerHour)} an hour, the machine fully used.</p>
${costChart([
  { name: 'teacher', tone: 'b', value: teacher.usdPer1k },
  { name: 'student', tone: 'a', value: student.usdPer1k },
])}
${prices.map(({ model, price, estimated }) => html`<p class="note">${model}: ${usd(price.input)} for a million input tokens${price.cached !== price.input && ` (${usd(price.cached)} cached)`}, ${usd(price.output)} output, by ${price.from}${price.asOf && ` as of ${price.asOf}`} (${price.source}).${price.note && ` Note: ${price.note}.`}${estimated && ' Tokens estimated: the rows have no usage.'}</p>`)}
<p class="note">Machine: ${machine.from}${machine.asOf && `, as of ${machine.asOf}`}${machine.source && ` (${machine.source})`}.</p>
${cascadeLine(ledger)}${perCorrectLine(ledger)}${trafficLine(ledger)}${servedLine(ledger)}${breakEvenLine(ledger)}
<p>A machine that runs all month costs ${usd(alwaysOn.usdPerMonth)}. That is less than the teacher from ${count(alwaysOn.requestsToBreakEven)} requests a month, and less than 5% of it from ${count(alwaysOn.requestsForLimit)}; it can answer ${count(alwaysOn.capacity)}.</p>
<table><thead><tr><th>Made once</th><th class="num">time</th><th class="num">money</th></tr></thead><tbody>${spent.map((entry) => html`<tr><td>${entry.stage}</td><td class="num">${formatDuration(entry.seconds)}</td><td class="num">${usd(entry.usd)}</td></tr>`)}<tr><th>together</th><td class="num">${formatDuration(spent.reduce((sum, entry) => sum + entry.seconds, 0))}</td><td class="num">${usd(ledger.spentUsd)}</td></tr></tbody></table>
${ledger.requestsToRepay !== null && html`<p class="dim">Paid back after ${count(ledger.requestsToRepay)} requests.</p>`}`;
}

function planeSection(plane: readonly PlanePoint[]): Markup {
  return html`<h2>Quality over cost</h2><p class="dim">Up and to the left is better. Lines are 95% Wilson intervals of the score; the scale of money is logarithmic.</p>${planeChart(plane)}`;
}

function cascadeLine({ cascade }: Ledger): Markup | false {
  if (!cascade) return false;
  const { local, usdPer1k, teacherUsdPer1k } = cascade;
  return html`<p>With its teacher behind it the student answers ${share(local)} itself. 1,000 requests then cost ${usd(usdPer1k)}, ${usd(teacherUsdPer1k)} of it for the teacher: ${share(cascade.share)} of the teacher alone.</p>`;
}

function breakEvenLine({ breakEven }: Ledger): Markup | false {
  if (!breakEven) return false;
  const { date, earliest, latest, days, growth } = breakEven;
  const when = date === null ? 'not within ten years' : `on ${date}`;
  return html`<p>By the trend of ${days} days of traffic (${share(growth)} a month), with the machine running day and night, the money is back ${when}; 95% of the futures that the trend allows lie between ${earliest ?? 'never'} and ${latest ?? 'never'}.</p>`;
}

function trafficLine({ traffic }: Ledger): Markup | false {
  if (!traffic) return false;
  return html`<p>The recorded traffic that it was made from and tested on, ${count(traffic.requests)} requests, cost ${usd(traffic.usd)} with the teacher: paid before, and not counted below.</p>`;
}

function servedLine({ served }: Ledger): Markup | false {
  if (!served) return false;
  const { since, until, student, teacher, usd: spent } = served;
  return html`<p>Served with its teacher from ${since.slice(0, 10)} to ${until.slice(0, 10)}: the student answered ${count(student)} requests, the teacher ${count(teacher)}, for ${usd(spent)}.</p>`;
}

function perCorrectLine({ student, teacher, energy }: Ledger): Markup {
  const money = (value: number | null) => (value === null ? 'no right answer' : usd(value));
  return html`<p>1,000 correct answers cost ${money(student.usdPer1kCorrect)} with the student and ${money(teacher.usdPer1kCorrect)} with the teacher.${energy && ` At ${energy.watts.toPrecision(3)} W, ${energy.source === 'stated' ? 'as stated' : 'by the counters of the processor and its memory'}, 1,000 requests take ${energy.kwhPer1k.toPrecision(2)} kWh, and making the student took ${energy.spentKwh.toPrecision(2)} kWh.`}</p>`;
}

function trainingSection(curve: Series[]): Markup {
  return html`<h2>Training</h2><p class="dim">Loss a token of the assistant's answers.</p>${lineChart(curve, { x: 'step', y: 'loss' })}`;
}

function weaknessSection({ fields, confusions, slices }: Evaluated): Markup | false {
  const parts = [
    Object.keys(fields).length > 0 &&
      html`<h2>By field</h2>${shareBars(Object.entries(fields).map(([name, value]) => ({ name, value })))}`,
    confusions.length > 0 && html`<h2>Confusions</h2>${confusionTable(confusions)}`,
    slices.length > 0 &&
      html`<h2>By slice</h2>${shareBars(slices.map((slice) => ({ name: `${slice.tag}: ${slice.value}`, value: slice.student, note: `teacher ${share(slice.teacher)}, ${slice.n} items` })))}`,
  ].filter((part) => part !== false);
  return parts.length > 0 && html`${parts}`;
}

function examplesSection(examples: ScoredLine[]): Markup {
  const answer = (who: string, text: string, score: number) =>
    html`<div><small>${who} <span class="${score === 1 ? 'ok' : 'no'}">${score === 1 ? 'right' : score === 0 ? 'wrong' : share(score)}</span></small><pre>${text}</pre></div>`;
  return html`<h2>Examples, the worst first</h2>${examples.map(
    (example) =>
      html`<div class="example"><p>${example.asked}</p><div class="pair">${answer('student', example.student, example.studentScore)}${answer('teacher', example.teacher, example.teacherScore)}${example.expected !== example.teacher && html`<div><small>reference</small><pre>${example.expected}</pre></div>`}</div></div>`,
  )}`;
}

function artifactsSection(artifacts: readonly Artifact[]): Markup {
  const machine = artifacts.at(-1)?.manifest.machine;
  return html`<h2>Where it comes from</h2><table><thead><tr><th>stage</th><th>key</th><th>inputs</th></tr></thead><tbody>${artifacts.map(
    ({ manifest }) =>
      html`<tr><td>${manifest.stage}</td><td><code>${manifest.key.slice(0, 16)}</code></td><td>${Object.entries(manifest.inputs).map(([name, key]) => html`<div>${name} <code>${key.replace(/^sha256:/, '').slice(0, 16)}</code></div>`)}</td></tr>`,
  )}</tbody></table>${machine && html`<p class="dim">${machine.cpu}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ${machine.platform}, Node ${machine.node}</p>`}`;
}
