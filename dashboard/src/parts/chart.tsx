// Rates over time.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line { label: string; colour: string; values: number[] }

function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function hour(seconds: number): string {
  const at = new Date(seconds * 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}${at.getSeconds() === 0 ? "" : `:${two(at.getSeconds())}`}`;
}

export function Chart({ times, lines, height, label }: { times: number[]; lines: Line[]; height: number; label: string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = [times, ...lines.map((line) => line.values)] as uPlot.AlignedData;
  const shape = lines.map((line) => line.label).join();
  useEffect(() => {
    const at = box.current!;
    const make = (): void => {
      plot.current?.destroy();
      const axis = { stroke: colourOf("--faint"), grid: { stroke: colourOf("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      plot.current = new uPlot({
        width: at.clientWidth, height, cursor: { y: false, drag: { setScale: false } }, legend: { show: false },
        scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] } },
        axes: [{ ...axis, space: 90, size: 26, values: (_, marks) => marks.map(hour) }, { ...axis, size: 44, space: 28 }],
        series: [{}, ...lines.map((line) => ({
          label: line.label, stroke: colourOf(line.colour), fill: `${colourOf(line.colour)}22`, width: 1.5, points: { show: false },
        }))],
      }, data, at);
    };
    make();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: at.clientWidth, height }));
    sized.observe(at);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    window.addEventListener("exeat-theme", make);
    return () => {
      sized.disconnect();
      dark.removeEventListener("change", make);
      window.removeEventListener("exeat-theme", make);
      plot.current?.destroy();
    };
  }, [shape, height]);
  useEffect(() => { plot.current?.setData(data); }, [times, lines]);
  return (
    <figure class="chart">
      <div ref={box} role="img" aria-label={label} />
      <figcaption>
        {lines.map((line) => <span key={line.label} class="key"><i class={`dot ${line.colour.slice(2)}`} />{line.label}</span>)}
      </figcaption>
    </figure>
  );
}
