import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { get, post, type Overview, type Reloaded, type Session } from "../api";
import { Chart, type Line } from "../parts/chart";
import { Badge, Empty, Panel, Problem, Scroll, Text, useLoaded, VerdictBadge } from "../parts/parts";
import { ago, bytes, count, duration, plural, rate } from "../text";
import { linkTo } from "../route";

function Tile({ name, value, note, tone }: { name: string; value: string; note?: string; tone?: string | undefined }): JSX.Element {
  return <div class={`tile ${tone ?? ""}`}><dt>{name}</dt><dd>{value}{note !== undefined && <small>{note}</small>}</dd></div>;
}

type Count = "allow" | "deny" | "would_deny" | "error";

/** Per second between two samples; a restart in between is none. */
function rates(samples: Overview["history"]["samples"], what: Count): number[] {
  return samples.slice(1).map((now, i) => {
    const before = samples[i]!;
    const seconds = (now.at - before.at) / 1000;
    return seconds > 0 ? Math.max(0, now[what] - before[what]) / seconds : 0;
  });
}

function Charts({ history }: { history: Overview["history"] }): JSX.Element {
  const { samples } = history;
  const drawn = useMemo(() => {
    const times = samples.slice(1).map((s) => s.at / 1000);
    const line = (label: string, colour: string, what: Count): Line => ({ label, colour, values: rates(samples, what) });
    const lines = [line("allowed", "--allow", "allow"), line("denied", "--deny", "deny")];
    if (samples.some((s) => s.would_deny > 0)) lines.push(line("audit", "--audit", "would_deny"));
    if (samples.some((s) => s.error > 0)) lines.push(line("failed", "--error", "error"));
    return { times, lines };
  }, [samples]);
  if (samples.length < 2) return <Empty title="The first point comes within ten seconds." />;
  return <Chart {...drawn} height={170} label="Decisions per second over the last half hour" />;
}

function Reload({ again }: { again(): void }): JSX.Element {
  const [done, set] = useState<Reloaded | Error>();
  const [busy, setBusy] = useState(false);
  const reload = (): void => {
    setBusy(true);
    void post<Reloaded>("reload").then(set, set).then(() => { setBusy(false); again(); });
  };
  return (
    <div class="actions">
      <button type="button" onClick={reload} disabled={busy}>Reload policy</button>
      <span role="status">
        {done instanceof Error ? <Text text={done.message} /> : done && (
          done.ok ? `In force: ${plural(done.rules, "rule")}${done.held.length > 0 ? `, held back for ${plural(done.held.length, "job")}` : ""}.` : "It failed: see above.")}
      </span>
    </div>
  );
}

function Notes({ of }: { of: Overview }): JSX.Element | null {
  const { health } = of;
  const notes: { tone: string; text: string; more?: string[] }[] = [];
  if (health.policy.last_reload && !health.policy.last_reload.ok)
    notes.push({ tone: "bad", text: `The last reload failed ${ago(health.policy.last_reload.at)}: the policy before it is in force.`, more: health.policy.last_reload.errors });
  if (health.job.trouble) notes.push({ tone: "bad", text: health.job.trouble });
  if (health.draining) notes.push({ tone: "bad", text: "The process is stopping: it takes no new connections." });
  const dropped = of.log.reduce((sum, sink) => sum + sink.dropped, 0);
  if (dropped > 0) notes.push({ tone: "warn", text: `${plural(dropped, "log line")} lost: the counts here are whole, single requests may be missing.` });
  if (health.job.held > 0) notes.push({ tone: "warn", text: `${plural(health.job.held, "job")} keep the policy before, for the new one is wider.` });
  if (health.identity === "none" && health.identity_note) notes.push({ tone: "warn", text: `Identity ${health.identity_note}.` });
  for (const text of health.sandbox_lacks ?? []) notes.push({ tone: "warn", text });
  return (
    <>
      {notes.map((note) => (
        <div class={`note ${note.tone}`} key={note.text}>
          <Text text={note.text} />
          {note.more && <ul>{note.more.map((line) => <li key={line}><code><Text text={line} /></code></li>)}</ul>}
        </div>
      ))}
    </>
  );
}

export function OverviewPage({ session }: { session: Session }): JSX.Element {
  const { value: of, error, again } = useLoaded(() => get<Overview>("overview"), "", 5);
  if (of === undefined) return <Problem error={error} />;
  const { samples } = of.history;
  const minute = samples.slice(-13);
  const last = (what: Count): number => {
    const all = rates(minute, what);
    return all.length === 0 ? 0 : all.reduce((sum, value) => sum + value, 0) / all.length;
  };
  const refused = of.reasons.filter((one) => one.verdict !== "allow");
  const most = refused[0]?.count ?? 1;
  const dropped = of.log.reduce((sum, sink) => sum + sink.dropped, 0);
  return (
    <>
      <Problem error={error} />
      <dl class="tiles">
        <Tile name="State" value={of.health.status} note={`up ${duration(Date.parse(of.time) - Date.parse(of.since))}`} tone={of.health.status === "ok" ? "good" : "bad"} />
        <Tile name="Allowed" value={`${rate(last("allow"))}/s`} note={`${count(of.totals.allow)} in all`} />
        <Tile name="Denied" value={`${rate(last("deny"))}/s`} note={`${count(of.totals.deny)} in all`} tone={of.totals.deny > 0 ? "deny" : undefined} />
        <Tile name="Tunnels" value={count(of.totals.tunnels)} note={plural(of.totals.connections, "connection")} />
        <Tile name="Moved" value={bytes(of.totals.bytes_up + of.totals.bytes_down)} note={`${bytes(of.totals.bytes_up)} up`} />
        <Tile name="Policy" value={duration(Date.parse(of.time) - Date.parse(of.health.policy.loaded_at))} note={`${plural(of.health.policy.rules, "rule")}, ${of.health.policy.digest.slice(0, 8)}`} />
        <Tile name="Lost lines" value={count(dropped)} note="of the log" tone={dropped > 0 ? "warn" : undefined} />
      </dl>
      <Notes of={of} />
      <Panel title="Decisions per second"><Charts history={of.history} /></Panel>
      <div class="columns">
        <Panel title="Refused and failed, by reason" flush>
          {refused.length === 0 ? (
            <Empty title="Nothing has been refused since the start.">
              <p>Give a job its proxy (<code>HTTPS_PROXY</code>), or look up what a destination would get under <a href="#/policy">Policy</a>.</p>
            </Empty>
          ) : (
            <Scroll label="Refused and failed, by reason">
              <table>
                <thead><tr><th>Reason</th><th>Phase</th><th>Verdict</th><th class="number">Requests</th></tr></thead>
                <tbody>
                  {refused.slice(0, 40).map((one) => (
                    <tr key={`${one.phase} ${one.verdict} ${one.reason}`}>
                      <td><a href={linkTo("live", { q: one.reason, phase: one.phase.startsWith("(") ? undefined : one.phase })}>{one.reason}</a><small>{one.text}</small></td>
                      <td><Text text={one.phase} /></td>
                      <td><VerdictBadge verdict={one.verdict} /></td>
                      <td class="number">{count(one.count)}<Share of={one.count / most} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
        </Panel>
        <Panel title="Listeners" flush>
          <Scroll label="Listeners">
            <table>
              <thead><tr><th>Address</th><th>Phase</th><th>Identity</th></tr></thead>
              <tbody>
                {of.health.listeners.map((one) => (
                  <tr key={one.address}>
                    <td><code><Text text={one.address} /></code></td>
                    <td>{one.phase === "" ? <span class="faint">by identity</span> : one.phase}</td>
                    <td>{one.identity === "none" ? <Badge kind="warn" title="Any local process may use it">none</Badge> : one.identity}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <dl class="facts">
            <dt>Sandbox</dt><dd><Text text={of.health.sandbox ?? "unknown"} /></dd>
            <dt>Workers</dt><dd>{of.health.workers}</dd>
            <dt>Reloads</dt><dd>{count(of.reloads.good)} good, {count(of.reloads.failed)} failed</dd>
            <dt>Turned away here</dt><dd>{plural(of.control_denied, "attempt")} without the right</dd>
          </dl>
          {session.role === "admin" && <Reload again={again} />}
        </Panel>
      </div>
    </>
  );
}

function Share({ of }: { of: number }): JSX.Element {
  return <svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width={Math.max(1, of * 100)} height="4" /></svg>;
}
