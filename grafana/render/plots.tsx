// The two kinds of panel that @grafana/ui does not have, drawn on its UPlotChart: the plugins live in Grafana's server.
import { DataFrame, FieldType, GrafanaTheme2, TimeRange } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder, VizLegend } from '@grafana/ui';
import type uPlot from 'uplot';

interface Props {
  frames: DataFrame[];
  range: TimeRange;
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

type Draw = (plot: uPlot) => void;

function chart({ range, theme, width, height }: Props, rows: string[], draw: Draw) {
  const builder = new UPlotConfigBuilder('utc');
  builder.addScale({
    scaleKey: 'x',
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [range.from.valueOf(), range.to.valueOf()],
  });
  builder.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: () => [0, rows.length],
  });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme });
  builder.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    theme,
    splits: () => rows.map((_, place) => place + 0.5),
    values: () => rows,
    grid: { show: false },
    size: 20 + 7 * Math.max(...rows.map(({ length }) => length)),
  });
  builder.addSeries({ scaleKey: 'y', theme, pathBuilder: () => null, pointsBuilder: () => null, lineColor: 'transparent' } as any);
  builder.addHook('draw', draw);
  const data = [[range.from.valueOf(), range.to.valueOf()], [0, 0]] as any;
  return <UPlotChart config={builder} data={data} width={width} height={height} timeRange={range} />;
}

export function Timeline(props: Props) {
  const values = props.frames.map((frame) => frame.fields[1]);
  const seen = new Map<string, string>();
  for (const field of values) {
    field.values.forEach((value) => seen.set(field.display!(value).text, field.display!(value).color ?? 'grey'));
  }
  const plot = chart({ ...props, height: props.height - 28 }, values.map(({ name }) => name), (u) => {
    props.frames.forEach((frame, row) => {
      const [time, field] = frame.fields;
      const top = u.valToPos(row + 0.92, 'y', true);
      const bottom = u.valToPos(row + 0.08, 'y', true);
      let start = 0;
      for (let at = 1; at <= frame.length; at++) {
        if (at < frame.length && field.values[at] === field.values[start]) {
          continue;
        }
        const left = u.valToPos(time.values[start], 'x', true);
        const right = u.valToPos(time.values[Math.min(at, frame.length - 1)], 'x', true);
        const { text, color } = field.display!(field.values[start]);
        u.ctx.fillStyle = color ?? 'grey';
        u.ctx.fillRect(left, top, right - left, bottom - top);
        if (right - left > u.ctx.measureText(text).width + 10) {
          u.ctx.fillStyle = props.theme.colors.getContrastText(color ?? '#808080');
          u.ctx.textAlign = 'left';
          u.ctx.textBaseline = 'middle';
          u.ctx.fillText(text, left + 6, (top + bottom) / 2);
        }
        start = at;
      }
    });
  });
  const items = [...seen].map(([label, color]) => ({ label, color, yAxis: 1 }));
  return (
    <>
      {plot}
      <VizLegend items={items} displayMode={'list' as any} placement="bottom" />
    </>
  );
}

export function Heatmap(props: Props) {
  const bound = (frame: DataFrame) => Number((frame.fields[1].labels?.le ?? '').replace('+Inf', 'Infinity'));
  const ordered = [...props.frames].sort((one, other) => bound(one) - bound(other));
  const rows = ordered.map((frame) => (Number.isFinite(bound(frame)) ? `≤ ${bound(frame)} s` : 'more'));
  const at = ordered.map((frame) => new Map(frame.fields[0].values.map((time, place) => [time, frame.fields[1].values[place]])));
  const cells = ordered.flatMap((frame, row) =>
    frame.fields.find(({ type }) => type === FieldType.time)!.values.map((time) => ({
      time,
      row,
      count: (at[row].get(time) ?? 0) - (row ? (at[row - 1].get(time) ?? 0) : 0),
    }))
  );
  const most = Math.max(...cells.map(({ count }) => count), 1e-9);
  return chart(props, rows, (u) => {
    const times = ordered[0].fields[0].values;
    const step = u.valToPos(times[1], 'x', true) - u.valToPos(times[0], 'x', true);
    for (const { time, row, count } of cells) {
      if (count > most / 100) {
        u.ctx.fillStyle = `hsl(25 90% ${30 + (45 * count) / most}%)`;
        const top = u.valToPos(row + 1, 'y', true);
        u.ctx.fillRect(u.valToPos(time, 'x', true) - step, top + 1, step - 1, u.valToPos(row, 'y', true) - top - 1);
      }
    }
  });
}
