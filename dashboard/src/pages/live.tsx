import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { follow, get, type Decision, type LiveFilter, type Policy } from "../api";
import { Badge, Choice, Empty, Host, Problem, Scroll, Search, Text, useLoaded, useSettled, VerdictBadge } from "../parts/parts";
import { bytes, clock, plural, visible } from "../text";
import { keep, linkTo, type Place } from "../route";

const most = 400;
interface Row { id: number; line?: Decision; missed?: number }

function Details({ line }: { line: Decision }): JSX.Element {
  const known = Object.entries(line).filter(([, value]) => value !== "" && value !== undefined);
  const at = line.port === undefined || line.port === 443 ? line.host : `${line.host}:${line.port}`;
  const url = line.scheme === "http" ? `http://${line.host}:${line.port ?? 80}/` : at;
  return (
    <div class="details">
      {line.hint && <div class="note"><strong>To allow it:</strong> <code><Text text={line.hint} /></code></div>}
      <dl class="facts wide">
        {known.map(([name, value]) => <Fragment key={name}><dt>{name}</dt><dd>{name === "host" ? <Host name={String(value)} whole /> : <Text text={String(value)} />}</dd></Fragment>)}
      </dl>
      {line.host && <p><a href={linkTo("policy", { try: url })}>Why? Try this destination against the policy</a></p>}
    </div>
  );
}

export function LivePage({ place }: { place: Place }): JSX.Element {
  const filter: LiveFilter = {
    phase: place.query.get("phase") ?? "", q: place.query.get("q") ?? "", show: place.query.get("show") === "all" ? "all" : "refused",
  };
  const change = (to: Partial<LiveFilter>): void => {
    const next = { ...filter, ...to };
    keep("live", { phase: next.phase, q: next.q, show: next.show === "all" ? "all" : undefined });
  };
  const settled = useSettled(filter.q);
  const [rows, set] = useState<Row[]>([]);
  const [paused, pause] = useState(false);
  const [state, setState] = useState<{ connected: boolean; problem?: string | undefined }>({ connected: false });
  const [open, setOpen] = useState<number>();
  const last = useRef<number | undefined>(undefined);
  const { value: policy } = useLoaded(() => get<Policy>("policy"), "");
  const key = `${filter.phase}\n${settled}\n${filter.show}`;
  const shown = useRef(key);

  useEffect(() => {
    if (paused) return;
    if (shown.current !== key) {
      shown.current = key;
      last.current = undefined;
      set([]);
    }
    let fresh: Row[] = [];
    let frame = 0;
    const add = (row: Row): void => {
      fresh.push(row);
      if (frame === 0) {
        frame = requestAnimationFrame(() => {
          frame = 0;
          const taken = fresh.reverse();
          fresh = [];
          set((old) => [...taken, ...old].slice(0, most));
        });
      }
    };
    const stop = follow({ phase: filter.phase, show: filter.show, q: settled }, last.current, {
      decision: (id, line) => { last.current = id; add({ id, line }); },
      gap: (missed) => add({ id: -Math.random(), missed }),
      state: (connected, problem) => setState({ connected, problem }),
    });
    return () => { cancelAnimationFrame(frame); stop(); };
  }, [key, paused]);

  const phases = policy?.phases.map((phase) => phase.name) ?? [];
  return (
    <>
      <div class="bar">
        <Search value={filter.q} change={(q) => change({ q })} label="Host, reason, rule, process" />
        <select aria-label="Phase" value={filter.phase} onChange={(event) => change({ phase: event.currentTarget.value })}>
          <option value="">all phases</option>
          {[...new Set([...phases, ...(filter.phase ? [filter.phase] : [])])].map((name) => <option key={name} value={name}>{visible(name)}</option>)}
        </select>
        <Choice label="Which" value={filter.show} change={(show) => change({ show })} options={[["refused", "Refused"], ["all", "All"]]} />
        <button type="button" aria-pressed={paused} onClick={() => pause(!paused)} data-pause>{paused ? "Resume" : "Pause"}</button>
        <span class="state" role="status">
          <i class={`dot ${paused ? "error" : state.connected ? "allow" : "deny"}`} />
          {paused ? "paused" : state.connected ? "live" : "not connected"}
        </span>
      </div>
      <Problem error={state.problem ? new Error(state.problem) : undefined} />
      {rows.length === 0 ? (
        <Empty title={filter.show === "refused" ? "Nothing refused yet." : "Nothing has been asked for yet."}>
          <p>Requests appear here as they are decided. To see one, ask through a phase's port for a name that no rule has:</p>
          <pre>curl -x http://127.0.0.1:3129 https://example.org/</pre>
          {filter.q || filter.phase ? <p><button type="button" onClick={() => change({ q: "", phase: "" })}>Clear the filter</button></p> : null}
        </Empty>
      ) : (
        <section class="panel flush">
          <Scroll label="Decisions, the latest first">
            <table class="live">
              <thead><tr><th>Time</th><th>Verdict</th><th>Phase</th><th>Destination</th><th>Reason</th><th class="wide-only">Rule</th><th class="wide-only">Process</th><th class="number wide-only">Bytes</th></tr></thead>
              <tbody>
                {rows.map(({ id, line, missed }) => line === undefined ? (
                  <tr key={id} class="gap"><td colSpan={8}>{plural(missed ?? 0, "event")} not shown: they came faster than this page took them. The log has them.</td></tr>
                ) : (
                  <Fragment key={id}>
                    <tr class={open === id ? "open" : ""}>
                      <td class="time"><button type="button" class="plain" aria-expanded={open === id} onClick={() => setOpen(open === id ? undefined : id)} title={visible(line.time)}>{clock(line.time)}</button></td>
                      <td>{line.event === "close" && line.verdict === "allow" ? <Badge>ended</Badge> : <VerdictBadge verdict={line.verdict} />}</td>
                      <td class="nowrap"><Text text={line.phase ?? ""} most={40} /></td>
                      <td><Host name={line.host ?? ""} port={line.port} />{line.method && line.method !== "CONNECT" && <small class="inline"><Text text={line.method} most={16} /></small>}</td>
                      <td class="nowrap">{line.reason}</td>
                      <td class="wide-only cut"><Text text={line.rule ?? ""} most={60} /></td>
                      <td class="wide-only cut"><Text text={line.process ?? ""} most={60} /></td>
                      <td class="number wide-only">{line.bytes_up !== undefined || line.bytes_down !== undefined ? bytes((line.bytes_up ?? 0) + (line.bytes_down ?? 0)) : ""}</td>
                    </tr>
                    {open === id && <tr class="more"><td colSpan={8}><Details line={line} /></td></tr>}
                  </Fragment>
                ))}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
    </>
  );
}
