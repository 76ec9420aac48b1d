// Prometheus' answers as Grafana's data frames, dressed with the field configuration of the panel.
import {
  DataFrame,
  Field,
  FieldType,
  GrafanaTheme2,
  getDisplayProcessor,
  getFieldDisplayName,
} from '@grafana/data';

export interface Series {
  metric: Record<string, string>;
  values: Array<[number, string]>;
}

export interface Answer {
  target: { expr: string; legendFormat: string; format: string; instant: boolean; refId: string };
  series: Series[];
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description: string;
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig: { defaults: Record<string, any> };
  options: Record<string, any>;
  transformations?: Array<{ id: string; options: Record<string, any> }>;
}

function called(answer: Answer, metric: Record<string, string>): string {
  const legend = answer.target.legendFormat;
  if (legend === '__auto') {
    return Object.keys(metric).length ? Object.values(metric).join(' ') : 'Value';
  }
  return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '').trim() || 'Value';
}

// One frame a series: what Grafana's own data source makes of a range query.
export function series(panel: Panel, answers: Answer[], theme: GrafanaTheme2): DataFrame[] {
  const frames: DataFrame[] = [];
  for (const answer of answers) {
    for (const one of answer.series) {
      const value: Field = {
        name: called(answer, one.metric),
        type: FieldType.number,
        labels: one.metric,
        config: { ...panel.fieldConfig.defaults },
        values: one.values.map(([, text]) => (text === 'NaN' ? null : Number(text))), // as Grafana's data source does
        state: { seriesIndex: frames.length },
      };
      value.config.displayName = value.name;
      const time: Field = {
        name: 'Time',
        type: FieldType.time,
        config: {},
        values: one.values.map(([seconds]) => seconds * 1000),
      };
      for (const field of [time, value]) {
        field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      }
      frames.push({ refId: answer.target.refId, fields: [time, value], length: time.values.length });
    }
  }
  frames.forEach((frame) => getFieldDisplayName(frame.fields[1], frame, frames));
  return frames;
}

// One frame of rows: what an instant query becomes, with the panel's own hiding and renaming of columns.
export function rows(panel: Panel, answers: Answer[], theme: GrafanaTheme2): DataFrame {
  const options = panel.transformations?.find(({ id }) => id === 'organize')?.options ?? {};
  const found = answers.flatMap((answer) => answer.series.map((one) => one.metric));
  const labels = [...new Set(found.flatMap((metric) => Object.keys(metric)))];
  const shown = labels.filter((label) => !options.excludeByName?.[label]);
  const fields = shown.map((label): Field => {
    const name = options.renameByName?.[label] ?? label;
    const field: Field = { name, type: FieldType.string, config: {}, values: found.map((metric) => metric[label] ?? '') };
    field.display = getDisplayProcessor({ field, theme });
    return field;
  });
  return { fields, length: found.length };
}
