/**
 * Two kinds of plot, written by hand as SVG. Each brings its own ground and both sets of colours, so it reads in a light
 * and in a dark page; ours is told from the others by weight as well as by colour.
 */

const WIDTH = 880;
const LABEL_WIDTH = 320;
const RIGHT = 72;
const ROW_HEIGHT = 30;
const TOP = 76;
const BOTTOM = 44;
const PLOT_WIDTH = WIDTH - LABEL_WIDTH - RIGHT;

export interface RangeRow {
  readonly label: string;
  readonly ours: boolean;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** One line for each row from its median to its maximum, on a logarithmic scale. The first row is the baseline. */
export function rangePlot(options: { title: string; unit: string; rows: readonly RangeRow[] }): string {
  const { rows } = options;
  const from = 10 ** Math.floor(Math.log10(Math.min(...rows.map((row) => row.p50))));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...rows.map((row) => row.max))));
  const x = (value: number) => LABEL_WIDTH + (Math.log10(value / from) / Math.log10(to / from)) * PLOT_WIDTH;
  const height = TOP + rows.length * ROW_HEIGHT + BOTTOM;
  const baseline = rows[0]?.p999;
  return frame({ title: options.title, height }, [
    ...legend(),
    ...powersOfTen(from, to).map((value) => gridLine(x(value), height, shortly(value))),
    ...(baseline === undefined ? [] : [guide(x(baseline), height)]),
    ...rows.flatMap((row, at) => {
      const y = TOP + (at + 0.5) * ROW_HEIGHT;
      const kind = row.ours ? 'ours' : 'other';
      return [
        label(row, y),
        `<line class="${kind} stroke" x1="${fixed(x(row.p50))}" x2="${fixed(x(row.max))}" y1="${y}" y2="${y}" />`,
        `<circle class="${kind} hollow" cx="${fixed(x(row.p50))}" cy="${y}" r="4" />`,
        `<circle class="${kind} fill" cx="${fixed(x(row.p99))}" cy="${y}" r="3" />`,
        `<circle class="${kind} fill" cx="${fixed(x(row.p999))}" cy="${y}" r="6" />`,
        `<line class="${kind} stroke" x1="${fixed(x(row.max))}" x2="${fixed(x(row.max))}" y1="${y - 7}" y2="${y + 7}" />`,
        `<text class="value" x="${WIDTH - 12}" y="${y + 4}" text-anchor="end">${shortly(row.p999)}</text>`,
      ];
    }),
    `<text class="quiet" x="${WIDTH - 12}" y="${TOP - 10}" text-anchor="end">p99.9</text>`,
    axisTitle(options.unit, height),
  ]);
}

export interface BarRow {
  readonly label: string;
  readonly ours: boolean;
  readonly value: number;
  readonly text: string;
}

/** One bar for each row from zero, and a dashed line at the reference where there is one. */
export function barPlot(options: { title: string; reference: number | null; rows: readonly BarRow[] }): string {
  const { rows, reference } = options;
  const top = TOP - 28;
  const most = Math.max(...rows.map((row) => row.value), reference ?? 0);
  const x = (value: number) => LABEL_WIDTH + (value / most) * (PLOT_WIDTH - 24);
  const height = top + rows.length * ROW_HEIGHT + 16;
  return frame({ title: options.title, height }, [
    ...(reference === null
      ? []
      : [
          `<line class="guide" x1="${fixed(x(reference))}" x2="${fixed(x(reference))}" y1="${top}" y2="${height - 16}" />`,
        ]),
    ...rows.flatMap((row, at) => {
      const y = top + at * ROW_HEIGHT;
      const kind = row.ours ? 'ours' : 'other';
      return [
        label(row, y + ROW_HEIGHT / 2),
        `<rect class="${kind} fill" x="${LABEL_WIDTH}" y="${y + 6}" width="${fixed(x(row.value) - LABEL_WIDTH)}" height="${ROW_HEIGHT - 12}" rx="2" />`,
        `<text class="value" x="${fixed(x(row.value) + 8)}" y="${y + ROW_HEIGHT / 2 + 4}">${row.text}</text>`,
      ];
    }),
  ]);
}

function frame({ title, height }: { title: string; height: number }, marks: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title">
  <title id="title">${escaped(title)}</title>
  <style>${STYLE}</style>
  <rect class="ground" width="${WIDTH}" height="${height}" rx="8" />
  <text class="title" x="16" y="28">${escaped(title)}</text>
  ${marks.join('\n  ')}
</svg>
`;
}

const STYLE = `
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 15px; font-weight: 600; }
    .label-ours { font-weight: 700; }
    .value { font-variant-numeric: tabular-nums; paint-order: stroke; stroke: #ffffff; stroke-width: 5px; }
    .quiet { font-size: 12px; fill: #59636e; }
    .ground { fill: #ffffff; }
    .grid { stroke: #d1d9e0; }
    .guide { stroke: #59636e; stroke-dasharray: 4 4; }
    .stroke { stroke-width: 2; }
    .ours.fill { fill: #0969da; }
    .ours.stroke, .ours.hollow { stroke: #0969da; }
    .other.fill { fill: #818b98; }
    .other.stroke, .other.hollow { stroke: #818b98; }
    .hollow { fill: #ffffff; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .quiet { fill: #9198a1; }
      .ground, .hollow { fill: #0d1117; }
      .value { stroke: #0d1117; }
      .grid { stroke: #3d444d; }
      .guide { stroke: #9198a1; }
      .ours.fill { fill: #4493f8; }
      .ours.stroke, .ours.hollow { stroke: #4493f8; }
    }
  `;

function legend(): readonly string[] {
  const y = 50;
  const entry = (x: number, mark: string, text: string) =>
    `${mark}<text class="quiet" x="${x + 12}" y="${y + 4}">${text}</text>`;
  return [
    entry(LABEL_WIDTH, `<circle class="other hollow" cx="${LABEL_WIDTH}" cy="${y}" r="4" />`, 'p50'),
    entry(LABEL_WIDTH + 60, `<circle class="other fill" cx="${LABEL_WIDTH + 60}" cy="${y}" r="3" />`, 'p99'),
    entry(LABEL_WIDTH + 120, `<circle class="other fill" cx="${LABEL_WIDTH + 120}" cy="${y}" r="6" />`, 'p99.9'),
    entry(
      LABEL_WIDTH + 190,
      `<line class="other stroke" x1="${LABEL_WIDTH + 190}" x2="${LABEL_WIDTH + 190}" y1="${y - 7}" y2="${y + 7}" />`,
      'max',
    ),
    entry(
      LABEL_WIDTH + 250,
      `<line class="guide" x1="${LABEL_WIDTH + 250}" x2="${LABEL_WIDTH + 250}" y1="${y - 8}" y2="${y + 8}" />`,
      'p99.9 alone',
    ),
  ];
}

function label(row: { label: string; ours: boolean }, y: number): string {
  return `<text class="${row.ours ? 'label-ours' : 'label'}" x="${LABEL_WIDTH - 16}" y="${y + 4}" text-anchor="end">${escaped(row.label)}</text>`;
}

function gridLine(x: number, height: number, text: string): string {
  const bottom = height - BOTTOM;
  return (
    `<line class="grid" x1="${fixed(x)}" x2="${fixed(x)}" y1="${TOP}" y2="${bottom}" />` +
    `<text class="quiet" x="${fixed(x)}" y="${bottom + 18}" text-anchor="middle">${text}</text>`
  );
}

function guide(x: number, height: number): string {
  return `<line class="guide" x1="${fixed(x)}" x2="${fixed(x)}" y1="${TOP}" y2="${height - BOTTOM}" />`;
}

function axisTitle(text: string, height: number): string {
  return `<text class="quiet" x="${LABEL_WIDTH + PLOT_WIDTH / 2}" y="${height - 10}" text-anchor="middle">${escaped(text)}</text>`;
}

function powersOfTen(from: number, to: number): readonly number[] {
  const powers: number[] = [];
  for (let power = Math.round(Math.log10(from)); power <= Math.round(Math.log10(to)); power++) powers.push(10 ** power);
  return powers;
}

function shortly(value: number): string {
  return value >= 1000
    ? value.toLocaleString('en', { maximumFractionDigits: 0 })
    : String(Number(value.toPrecision(3)));
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
