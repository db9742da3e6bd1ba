import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, roles, type Explained, type Findings, type Policy, type Rule, type Rules, type Session } from "../api";
import { Badge, Choice, Empty, Host, Meter, Panel, Problem, Scroll, Search, Text, useLoaded, useSettled, VerdictBadge } from "../parts/parts";
import { ago, bytes, count, plural, visible } from "../text";
import { keep, linkTo, type Place } from "../route";

const page = 100;

function Answer({ of }: { of: Explained }): JSX.Element {
  const nearest = of.phases.flatMap((phase) => phase.rules);
  return (
    <div class="answer" aria-live="polite">
      <p class="asked">
        <Host name={of.host} port={of.port} whole /> by {of.scheme === "http" ? "plain HTTP" : "CONNECT (https)"}
        {of.risk && <Badge kind="warn" title={of.risk.why}>{of.risk.tags}</Badge>}
        {(of.name_bits ?? 0) > 200 && <Badge kind="warn" title="A long random name can carry data out by itself">{of.name_bits} bits in the name</Badge>}
      </p>
      <Scroll label="Answers by phase">
        <table>
          <thead><tr><th>Phase</th><th>Answer</th><th>Why</th></tr></thead>
          <tbody>
            {of.phases.map((phase) => (
              <tr key={phase.phase}>
                <td><strong>{phase.phase}</strong></td>
                <td><VerdictBadge verdict={phase.verdict} /><small>{phase.reason}</small></td>
                <td>
                  {phase.canary_at && <p>A canary: no honest process asks for it (<code>{visible(phase.canary_at)}</code>).</p>}
                  {phase.rules.map((rule) => (
                    <p key={rule.rule + rule.relation}><Badge kind={rule.relation === "governs" || rule.relation === "denies" ? "strong" : ""}>{rule.relation}</Badge> <code><Text text={rule.rule} most={120} /></code> <Text text={rule.text} /> <span class="faint"><Text text={rule.rule_at} /></span></p>
                  ))}
                  {phase.left_out > 0 && <p class="faint">and {count(phase.left_out)} more</p>}
                  {phase.rules.length === 0 && !phase.canary_at && <p class="faint">No rule comes near.</p>}
                  {phase.hint && <p>To allow it: <code><Text text={phase.hint} /></code></p>}
                  {!phase.hint && phase.next?.map((line) => <p key={line}><code class="pre"><Text text={line} /></code></p>)}
                </td>
              </tr>
            ))}
            {of.deny.length > 0 && (
              <tr>
                <td><strong>deny</strong><small>every phase</small></td><td />
                <td>{of.deny.map((rule) => <p key={rule.rule}><Badge kind={rule.relation === "denies" ? "strong" : ""}>{rule.relation}</Badge> <code><Text text={rule.rule} /></code> <Text text={rule.text} /> <span class="faint"><Text text={rule.rule_at} /></span></p>)}</td>
              </tr>
            )}
          </tbody>
        </table>
      </Scroll>
      {nearest.length === 0 && <p class="faint">Nothing was looked up: this is the decision before DNS. The addresses of a name are judged when it is asked for.</p>}
    </div>
  );
}

function TryIt({ place }: { place: Place }): JSX.Element {
  const asked = place.query.get("try") ?? "";
  const [text, set] = useState(asked);
  const [method, setMethod] = useState("GET");
  const [answer, setAnswer] = useState<Explained | Error>();
  useEffect(() => {
    set(asked);
    if (asked === "") return setAnswer(undefined);
    let mine = true;
    get<Explained>("try", { destination: asked, method }).then((got) => mine && setAnswer(got), (error: Error) => mine && setAnswer(error));
    return () => { mine = false; };
  }, [asked, method]);
  const plain = text.startsWith("http://");
  return (
    <Panel title="Try it" aside={<span class="faint">the same function decides; nothing is sent</span>}>
      <form class="bar" onSubmit={(event) => {
        event.preventDefault();
        keep("policy", { ...Object.fromEntries(place.query), try: text.trim() });
      }}>
        <input class="grow" aria-label="URL or HOST:PORT" placeholder="https://registry.example/ or host:port" value={text} maxLength={2000}
          onInput={(event) => set(event.currentTarget.value)} spellcheck={false} autocomplete="off" data-try />
        {plain && (
          <select aria-label="Method" value={method} onChange={(event) => setMethod(event.currentTarget.value)}>
            {["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map((name) => <option key={name}>{name}</option>)}
          </select>
        )}
        <button type="submit" class="primary">Try</button>
      </form>
      {answer instanceof Error ? <Problem error={answer} /> : answer && <Answer of={answer} />}
    </Panel>
  );
}

function RuleRow({ rule, open, toggle }: { rule: Rule; open: boolean; toggle(): void }): JSX.Element {
  return (
    <>
      <tr class={open ? "open" : ""}>
        <td>
          <button type="button" class="plain" aria-expanded={open} onClick={toggle}><bdi>{visible(rule.what)}</bdi></button>
          {rule.unicode && <small>reads <bdi>{visible(rule.unicode)}</bdi></small>}
          {rule.reason && <small><Text text={rule.reason} most={140} /></small>}
        </td>
        <td class="number">{rule.ports}</td>
        <td>
          {rule.expired && <Badge kind="deny">expired</Badge>}
          {rule.expires && !rule.expired && <Badge title="valid to the end of this day, UTC">until {rule.expires}</Badge>}
          {rule.risk && <Badge kind="warn" title={rule.risk.why}>{rule.risk.tags}</Badge>}
          {rule.final && <Badge title="No included file may allow it">final</Badge>}
          {rule.included && <Badge title="From an included file">included</Badge>}
        </td>
        <td class="wide-only">{rule.bundle ? <Badge>{visible(rule.bundle)}</Badge> : <span class="faint"><Text text={rule.at} most={60} /></span>}</td>
        <td class="number">{rule.hits === 0 ? <span class="faint">unused</span> : count(rule.hits)}{rule.last_hit && <small>{ago(rule.last_hit)}</small>}</td>
      </tr>
      {open && (
        <tr class="more">
          <td colSpan={5}>
            <div class="details">
              <pre>- {visible(rule.yaml)}</pre>
              <dl class="facts wide">
                <dt>Id</dt><dd><code>{visible(rule.id)}</code></dd>
                <dt>Stands at</dt><dd><code>{visible(rule.at)}</code></dd>
                {rule.owner && <><dt>Owner</dt><dd><Text text={rule.owner} /></dd></>}
                {rule.ticket && <><dt>Ticket</dt><dd><Text text={rule.ticket} /></dd></>}
                {rule.risk && <><dt>Risk</dt><dd>{rule.risk.tags}: {rule.risk.why}</dd></>}
                {rule.budgets.map((budget) => (
                  <Fragment key={budget.kind}>
                    <dt>{budget.kind}</dt>
                    <dd><Meter used={budget.used} limit={budget.limit} label={`${budget.kind} used`} /> {budget.kind === "names" || budget.kind === "requests" ? `${count(budget.used)} of ${count(budget.limit)}` : `${bytes(budget.used)} of ${bytes(budget.limit)}`}</dd>
                  </Fragment>
                ))}
              </dl>
            </div>
          </td>
        </tr>
      )}
    </>
  );
}

function FindingsPanel({ digest }: { digest: string }): JSX.Element | null {
  const { value, error } = useLoaded(() => get<Findings>("policy/findings"), digest);
  if (value === undefined) return <Problem error={error} />;
  const tone = { high: "deny", medium: "warn", low: "", info: "" };
  return (
    <Panel title="What is weak in it" aside={<span class="faint">{plural(value.total, "finding")} of exeat lint</span>} flush>
      {value.findings.length === 0 ? <Empty title="Nothing found." /> : (
        <Scroll label="Findings">
          <table>
            <thead><tr><th>Severity</th><th>Finding</th><th>What to do</th></tr></thead>
            <tbody>
              {value.findings.slice(0, 50).map((one) => (
                <tr key={one.code + one.text}>
                  <td><Badge kind={tone[one.severity]}>{one.severity}</Badge><small>{one.code}</small></td>
                  <td><Text text={one.text} /><small>{visible(one.at)}</small></td>
                  <td class="faint">{one.fix}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

export function PolicyPage({ place, session }: { place: Place; session: Session }): JSX.Element {
  const { value: policy, error } = useLoaded(() => get<Policy>("policy"), "", 10);
  const wanted = place.query.get("phase") ?? policy?.phases[0]?.name ?? "";
  const q = place.query.get("q") ?? "";
  const use = (place.query.get("use") ?? "") as "" | "used" | "unused";
  const offset = Number(place.query.get("from") ?? "0") || 0;
  const settled = useSettled(q);
  const [open, setOpen] = useState<string>();
  const change = (to: Record<string, string | undefined>): void => keep("policy", { ...Object.fromEntries(place.query), from: undefined, ...to });
  const { value: rules, error: failed } = useLoaded<Rules | undefined>(
    async () => (wanted === "" ? undefined : get<Rules>("policy/rules", { phase: wanted === "(all)" ? "" : wanted, q: settled, use, offset, limit: page })),
    [policy?.digest, wanted, settled, use, offset].join("\n"), 10);
  if (policy === undefined) return <Problem error={error} />;
  const phase = policy.phases.find((one) => one.name === wanted);
  const tabs: [string, number][] = [...policy.phases.map((one): [string, number] => [one.name, one.rules]), ["deny", policy.deny]];
  return (
    <>
      <TryIt place={place} />
      <Panel title="Rules in force" flush aside={<span class="faint"><code>{visible(policy.file)}</code> · digest {policy.digest.slice(0, 12)} · loaded {ago(policy.loaded_at)}</span>}>
        <div class="bar inset">
          <div class="choice" role="group" aria-label="Phase">
            {tabs.map(([name, n]) => <button type="button" key={name} aria-pressed={name === wanted} onClick={() => change({ phase: name })}>{name}<small>{count(n)}</small></button>)}
          </div>
          <Search value={q} change={(text) => change({ q: text })} label="Host, reason, owner, file" />
          <Choice label="Use" value={use} change={(to) => change({ use: to })} options={[["", "All"], ["used", "Used"], ["unused", "Unused"]]} />
        </div>
        {phase && (
          <p class="inset facts-line">
            <Badge kind={phase.untrusted ? "" : "warn"}>{phase.untrusted ? "untrusted" : "trusted"}</Badge>
            {phase.audit && <Badge kind="would_deny" title="Everything passes; what would be refused is logged">audit</Badge>}
            {phase.final && <Badge>final</Badge>}
            {phase.canaries > 0 && <Badge>{plural(phase.canaries, "canary", "canaries")}</Badge>}
            {phase.limits.upload !== undefined && <Badge>upload {bytes(phase.limits.upload)}</Badge>}
            {phase.limits.download !== undefined && <Badge>download {bytes(phase.limits.download)}</Badge>}
            {phase.limits.requests !== undefined && <Badge>{count(phase.limits.requests)} requests</Badge>}
            {phase.time_limit && <Badge>{phase.time_limit}</Badge>}
            <span class="faint">refusals say {phase.hints === "full" ? "the rule to ask for" : "a code and an id"}; ECH {phase.ech === "allow" ? "passes" : "is refused"}</span>
          </p>
        )}
        <Problem error={failed} />
        {rules && rules.rules.length === 0 ? (
          <Empty title={q || use ? "No rule fits the filter." : wanted === "deny" ? "Nothing is denied by name." : "This phase may reach nothing."}>
            {q || use ? <p><button type="button" onClick={() => change({ q: undefined, use: undefined })}>Clear the filter</button></p>
              : <p>Rules stand in <code>{visible(policy.file)}</code>; what a job asked for and did not get is under <a href="#/live">Live</a>.</p>}
          </Empty>
        ) : rules && (
          <>
            <Scroll label="Rules">
              <table class="rules">
                <thead><tr><th>Destination</th><th class="number">Ports</th><th>Notes</th><th class="wide-only">From</th><th class="number">Hits</th></tr></thead>
                <tbody>{rules.rules.map((rule) => <RuleRow key={rule.id} rule={rule} open={open === rule.id} toggle={() => setOpen(open === rule.id ? undefined : rule.id)} />)}</tbody>
              </table>
            </Scroll>
            <p class="inset pager">
              <span class="faint">{count(rules.offset + 1)} to {count(rules.offset + rules.rules.length)} of {count(rules.total)}; hits since the start, {ago(rules.since)}</span>
              {offset > 0 && <a href={linkTo("policy", { ...Object.fromEntries(place.query), from: String(Math.max(0, offset - page)) })}>Back</a>}
              {rules.offset + rules.rules.length < rules.total && <a href={linkTo("policy", { ...Object.fromEntries(place.query), from: String(offset + page) })}>Next</a>}
            </p>
          </>
        )}
      </Panel>
      {roles.indexOf(session.role) >= roles.indexOf("reviewer") && <FindingsPanel digest={policy.digest} />}
      {policy.addresses.length > 0 && (
        <Panel title="Exceptions for addresses" flush>
          <Scroll label="Exceptions for addresses">
            <table>
              <thead><tr><th>Prefix</th><th>Names that may resolve into it</th><th>Reason</th><th>From</th></tr></thead>
              <tbody>{policy.addresses.map((one) => <tr key={one.at}><td><code>{one.cidr}</code>{one.literal && <Badge kind="warn">literal</Badge>}</td><td><Text text={one.hosts.join(", ")} most={200} /></td><td><Text text={one.reason} /></td><td class="faint">{visible(one.at)}</td></tr>)}</tbody>
            </table>
          </Scroll>
        </Panel>
      )}
    </>
  );
}
