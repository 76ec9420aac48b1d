// One dashboard, drawn by Grafana's own components from what a real Prometheus had answered.
//
// The page around it sets window.DASHBOARD and window.ANSWERS. Of every panel there is an element with data-panel; one
// that cannot be drawn says so in data-fault, for the test.
import { DataFrame, TimeRange, VizOrientation, createTheme, dateTime } from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, Table, ThemeContext, TimeSeries } from '@grafana/ui';
import { Component, ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { Answer, Panel, rows, series } from './frames';
import { Heatmap, Timeline } from './plots';

declare const DASHBOARD: { title: string; panels: Panel[] };
declare const ANSWERS: { began: number; ended: number; answers: Record<string, Answer[]> };

const COLUMN = 60;
const ROW = 36;
const GAP = 8;
const theme = createTheme({ colors: { mode: 'dark' } });
const [from, to] = [dateTime(ANSWERS.began * 1000), dateTime(ANSWERS.ended * 1000)];
const range: TimeRange = { from, to, raw: { from, to } };

class Guarded extends Component<{ children: ReactNode }, { fault?: string }> {
  state: { fault?: string } = {};
  static getDerivedStateFromError(error: Error) {
    return { fault: String(error) };
  }
  render() {
    return this.state.fault ? <div data-fault={this.state.fault}>{this.state.fault}</div> : this.props.children;
  }
}

function last(frame: DataFrame) {
  const field = frame.fields[1];
  return { ...field.display!(field.values[field.values.length - 1]), title: field.name };
}

function Drawn({ panel, width, height }: { panel: Panel; width: number; height: number }) {
  const answers = ANSWERS.answers[panel.id] ?? [];
  const frames = panel.type === 'table' ? [] : series(panel, answers, theme);
  const common = { frames, range, theme, width, height };
  switch (panel.type) {
    case 'stat': {
      const { noValue = 'No data' } = panel.fieldConfig.defaults;
      const value = frames.length ? { ...last(frames[0]), title: undefined } : { text: noValue, numeric: NaN };
      return (
        <BigValue
          value={value}
          width={width}
          height={height}
          theme={theme}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          textMode={panel.options.textMode}
          justifyMode={panel.options.justifyMode}
        />
      );
    }
    case 'bargauge':
      return (
        <>
          {frames.map((frame, place) => (
            <BarGauge
              key={place}
              value={last(frame)}
              field={frame.fields[1].config}
              display={frame.fields[1].display}
              width={width}
              height={Math.min(height / frames.length, 50)}
              theme={theme}
              orientation={VizOrientation.Horizontal}
              displayMode={panel.options.displayMode}
            />
          ))}
        </>
      );
    case 'timeseries':
      return (
        <TimeSeries
          frames={frames}
          timeRange={range}
          timeZone="utc"
          width={width}
          height={height}
          legend={panel.options.legend}
        />
      );
    case 'state-timeline':
      return <Timeline {...common} />;
    case 'heatmap':
      return <Heatmap {...common} />;
    case 'table':
      return <Table data={rows(panel, answers, theme)} width={width} height={height} />;
    default:
      throw new Error(`no way to draw a ${panel.type}`);
  }
}

function Place({ panel }: { panel: Panel }) {
  const { x, y, w, h } = panel.gridPos;
  const [width, height] = [w * COLUMN - GAP, h * ROW - GAP];
  const place = { position: 'absolute', left: x * COLUMN + GAP, top: y * ROW + GAP + 40, width, height } as const;
  if (panel.type === 'row') {
    return <h2 style={{ ...place, font: '500 16px sans-serif', color: theme.colors.text.primary }}>{panel.title}</h2>;
  }
  return (
    <div style={place} data-panel={panel.id}>
      <Guarded>
        <PanelChrome title={panel.title} width={width} height={height}>
          {(innerWidth, innerHeight) => (
            <Guarded>
              <Drawn panel={panel} width={innerWidth} height={innerHeight} />
            </Guarded>
          )}
        </PanelChrome>
      </Guarded>
    </div>
  );
}

// What Grafana's own style sheet resets, and these components expect.
const style = document.createElement('style');
style.textContent = `
  *, *::before, *::after { box-sizing: border-box }
  body { margin: 0 }
  button { color: inherit; background: none; border: 0; font: inherit }
  ul { list-style: none; margin: 0; padding: 0 }
`;
document.head.append(style);
document.body.style.background = theme.colors.background.canvas;
document.body.style.color = theme.colors.text.primary;
document.body.style.fontFamily = 'Inter, Helvetica, Arial, sans-serif';
document.body.style.fontSize = '14px';

// How much of a panel is drawn: coloured pixels, for grids and axes are grey; letters, where there is no canvas.
function ink(panel: Element): number {
  const canvas = panel.querySelector('canvas');
  if (!canvas) {
    return (panel.textContent ?? '').length;
  }
  const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
  let coloured = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    coloured += Math.max(red, green, blue) - Math.min(red, green, blue) > 50 ? 1 : 0;
  }
  return coloured;
}

setTimeout(() => {
  document.querySelectorAll('[data-panel]').forEach((panel) => panel.setAttribute('data-ink', String(ink(panel))));
}, 2000);

createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={theme}>
    <h1 style={{ position: 'absolute', left: GAP, top: 0, font: '500 20px sans-serif' }}>{DASHBOARD.title}</h1>
    {DASHBOARD.panels.map((panel) => (
      <Place key={panel.id} panel={panel} />
    ))}
  </ThemeContext.Provider>
);
