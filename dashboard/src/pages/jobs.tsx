import type { JSX } from "preact";
import { get, type Activity, type Budget, type Job, type Jobs } from "../api";
import { Badge, Empty, Meter, Panel, Problem, Scroll, Text, useLoaded } from "../parts/parts";
import { ago, bytes, clock, count, duration, plural, visible } from "../text";
import { linkTo } from "../route";

/** First to last request of each phase, on one line of time. */
function TimeLine({ phases, until }: { phases: Activity[]; until: number }): JSX.Element | null {
  const from = Math.min(...phases.map((one) => Date.parse(one.first)));
  const span = Math.max(1000, until - from);
  return (
    <ul class="timeline" aria-label="First to last request of each phase">
      {phases.map((one) => {
        const start = ((Date.parse(one.first) - from) / span) * 1000;
        const width = Math.max(8, ((Date.parse(one.last) - Date.parse(one.first)) / span) * 1000);
        return (
          <li key={one.phase}>
            <span class="name">{visible(one.phase)}</span>
            <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="1000" height="10" /><rect class={one.deny > 0 ? "span deny" : "span"} x={Math.min(start, 992)} width={Math.min(width, 1000 - start)} height="10" /></svg>
            <span class="faint">{clock(one.first)} to {clock(one.last)} ({duration(Date.parse(one.last) - Date.parse(one.first))})</span>
          </li>
        );
      })}
    </ul>
  );
}

function amount(budget: Budget, value: number): string {
  if (budget.kind === "time") return duration(value);
  return budget.kind === "names" || budget.kind === "requests" ? count(value) : bytes(value);
}

function Budgets({ budgets }: { budgets: Budget[] }): JSX.Element {
  return (
    <Panel title="Budgets of the job of exeat.yaml" flush>
      <Scroll label="Budgets">
        <table>
          <thead><tr><th>What</th><th>Of</th><th>Used</th><th class="number">Limit</th></tr></thead>
          <tbody>
            {budgets.map((one) => (
              <tr key={`${one.kind} ${one.phase} ${one.rule}`}>
                <td>{one.kind}</td>
                <td>{one.rule ? <code><Text text={one.rule} most={100} /></code> : one.phase ? `phase ${one.phase}` : "the whole job"}</td>
                <td><Meter used={one.used} limit={one.limit} label={`${one.kind} used`} /> {amount(one, one.used)}</td>
                <td class="number">{amount(one, one.limit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function OneJob({ job, activity, now }: { job: Job; activity: Activity[]; now: number }): JSX.Element {
  const steps = [...new Set(job.phases.map((phase) => phase.step))].sort((a, b) => a - b);
  const of = (phase: string): Activity | undefined => activity.find((one) => one.phase === phase);
  return (
    <Panel title={job.job === "" ? "The job of exeat.yaml" : `Job ${visible(job.job)}`}
      aside={job.ended !== null ? <Badge kind="deny">{job.ended}</Badge> : job.held ? <Badge kind="warn" title={visible(job.held.first)}>keeps its policy: {plural(job.held.findings, "finding")}</Badge> : undefined} flush>
      <ol class="steps" aria-label="Phases in their order">
        {steps.map((step) => (
          <li key={step}>
            {job.phases.filter((phase) => phase.step === step).map((phase) => (
              <span key={phase.phase} class={`step ${phase.sealed ? "sealed" : phase.current ? "current" : ""}`}>
                {visible(phase.phase)}<small>{phase.sealed ? "sealed" : phase.current ? "current" : "to come"}</small>
              </span>
            ))}
          </li>
        ))}
      </ol>
      {activity.length > 0 && <TimeLine phases={activity} until={now} />}
      <Scroll label="Phases">
        <table>
          <thead><tr><th>Phase</th><th class="number">Tunnels</th><th class="number">Up</th><th class="number">Down</th><th class="number">Allowed</th><th class="number">Denied</th><th class="number">Failed</th><th class="number">Canaries</th><th>Last request</th></tr></thead>
          <tbody>
            {job.phases.map((phase) => {
              const seen = of(phase.phase);
              const denied = (seen?.deny ?? 0) + (seen?.would_deny ?? 0);
              return (
                <tr key={phase.phase}>
                  <td><strong>{visible(phase.phase)}</strong></td>
                  <td class="number">{count(phase.tunnels ?? 0)}</td>
                  <td class="number">{bytes(phase.bytes_up ?? 0)}</td>
                  <td class="number">{bytes(phase.bytes_down ?? 0)}</td>
                  <td class="number">{count(seen?.allow ?? 0)}</td>
                  <td class="number">{denied > 0 ? <a href={linkTo("live", { phase: phase.phase })}>{count(denied)}</a> : 0}</td>
                  <td class="number">{count(seen?.error ?? 0)}</td>
                  <td class="number">{(seen?.canaries ?? 0) > 0 ? <Badge kind="deny">{count(seen!.canaries)}</Badge> : 0}</td>
                  <td>{seen ? ago(seen.last, now) : <span class="faint">none yet</span>}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

export function JobsPage(): JSX.Element {
  const { value: of, error } = useLoaded(() => get<Jobs>("jobs"), "", 3);
  if (of === undefined) return <Problem error={error} />;
  const now = Date.parse(of.time);
  const loose = of.activity.filter((one) => !of.jobs.some((job) => job.job === one.job));
  return (
    <>
      <Problem error={error} />
      {of.jobs.map((job) => <OneJob key={job.job} job={job} activity={of.activity.filter((one) => one.job === job.job)} now={now} />)}
      {of.jobs.length === 0 && (
        <Empty title="No job is declared, so no phase is ever sealed.">
          <p>Name the phases of the one job of this machine under <code>job</code> in exeat.yaml, or open one for each run:</p>
          <pre>exeat job open --phases setup,agent+mcp</pre>
        </Empty>
      )}
      {loose.length > 0 && (
        <Panel title={of.jobs.length === 0 ? "By phase, since the start" : "Of jobs that have ended"} flush>
          {of.jobs.length === 0 && <TimeLine phases={loose.filter((one) => one.job === "")} until={now} />}
          <Scroll label="By phase">
            <table>
              <thead><tr><th>Job</th><th>Phase</th><th class="number">Allowed</th><th class="number">Denied</th><th class="number">Failed</th><th class="number">Canaries</th><th>Last request</th></tr></thead>
              <tbody>
                {loose.map((one) => (
                  <tr key={`${one.job} ${one.phase}`}>
                    <td>{one.job === "" ? <span class="faint">none</span> : visible(one.job)}</td><td><strong>{visible(one.phase)}</strong></td>
                    <td class="number">{count(one.allow)}</td>
                    <td class="number">{one.deny + one.would_deny > 0 ? <a href={linkTo("live", { phase: one.phase })}>{count(one.deny + one.would_deny)}</a> : 0}</td>
                    <td class="number">{count(one.error)}</td>
                    <td class="number">{one.canaries > 0 ? <Badge kind="deny">{count(one.canaries)}</Badge> : 0}</td><td>{ago(one.last, now)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </Panel>
      )}
      {of.budgets.length > 0 && <Budgets budgets={of.budgets} />}
    </>
  );
}
