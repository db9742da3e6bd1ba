#include "admin/job_json.hpp"

namespace exeat::admin {
namespace {

void write_phases(json_writer& out, const job_state& job, bool with_traffic) {
  out.open('[');
  for (const phase_state& phase : job.phases) {
    out.open('{');
    out.key("phase").text(phase.name);
    out.key("step").number(phase.step);
    out.key("sealed").boolean(phase.sealed);
    out.key("current").boolean(phase.current);
    if (with_traffic) {
      out.key("tunnels").number(phase.tunnels);
      out.key("bytes_up").number(phase.bytes_up);
      out.key("bytes_down").number(phase.bytes_down);
    }
    out.close('}');
  }
  out.close(']');
}

}  // namespace

void write(json_writer& out, const held_state& held) {
  out.open('{');
  out.key("findings").number(held.findings);
  out.key("first").text(held.first);
  out.close('}');
}

void write(json_writer& out, const job_state& job, bool with_traffic) {
  out.open('{');
  out.key("job").text(job.id);
  if (job.ended.empty()) {
    out.key("ended").null();
  } else {
    out.key("ended").text(job.ended);
  }
  write_phases(out.key("phases"), job, with_traffic);
  if (job.held) {
    write(out.key("held"), *job.held);
  } else {
    out.key("held").null();
  }
  out.close('}');
}

void write(json_writer& out, const job_health& health) {
  out.open('{');
  if (health.declared) {
    write(out.key("declared"), *health.declared, false);
  } else {
    out.key("declared").null();
  }
  out.key("open").number(health.open);
  out.key("held").number(health.held);
  if (!health.trouble.empty()) out.key("trouble").text(health.trouble);
  out.close('}');
}

std::string to_json(const std::vector<job_state>& jobs) {
  json_writer out;
  out.open('{');
  out.key("jobs").open('[');
  for (const job_state& job : jobs) write(out, job, true);
  out.close(']');
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const advance_result& result) {
  json_writer out;
  out.open('{');
  out.key("from").texts(result.from);
  std::vector<std::string> to;
  for (const phase_state& phase : result.job.phases) {
    if (phase.current) to.push_back(phase.name);
  }
  out.key("to").texts(to);
  write(out.key("job"), result.job, true);
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const open_result& result) {
  json_writer out;
  out.open('{');
  out.key("job").text(result.id);
  out.key("phases").open('[');
  for (const opened_phase& phase : result.phases) {
    out.open('{');
    out.key("phase").text(phase.phase);
    out.key("token").text(phase.token);
    out.key("urls").texts(phase.urls);
    out.close('}');
  }
  out.close(']');
  out.key("advance_secret").text(result.advance_secret);
  out.close('}');
  return std::move(out).take();
}

}  // namespace exeat::admin
